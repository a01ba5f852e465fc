#!/bin/bash
# The rules of the house: files of one concern, nothing left open, one layout.
set -euo pipefail
# shellcheck source=tests/interface/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$source_dir"

longest=500

for file in $(c_files core backing uffd tools); do
	lines=$(wc -l <"$file")
	[ "$lines" -le "$longest" ] || offend "$file: $lines lines, more than $longest"
done

rooms=()
for room in core backing uffd tools tests docs .ci cmake CMakeLists.txt README.md; do
	[ ! -e "$room" ] || rooms+=("$room")
done
# Spelled so that this file does not find itself.
if grep -rnwE 'TO[D]O|FIX[M]E|XX[X]' "${rooms[@]}" >&2; then
	offend "something is left open"
fi
if grep -rnE '[[:space:]]+$' --include='*.[ch]' --include='*.sh' --include='*.txt' \
	"${rooms[@]}" >&2; then
	offend "white space at the end of a line"
fi

mapfile -t scripts < <(find tools tests .ci -name '*.sh' -o -path .ci/run | sort)
for script in "${scripts[@]}"; do
	head -1 "$script" | grep -qx '#!/bin/bash' || offend "$script: does not begin with #!/bin/bash"
	bash -n "$script" || offend "$script: not sound"
done

# in_parallel COMMAND...: with all lines of standard input as its last arguments, some at
# a time; what it finds names the file.
in_parallel() {
	xargs -d '\n' -P "$(nproc)" -n 16 "$@" >&2
}

if command -v shellcheck >/dev/null; then
	printf '%s\n' "${scripts[@]}" | in_parallel shellcheck -x -S warning ||
		offend "shellcheck finds fault"
fi

format=$(command -v clang-format-14 || command -v clang-format) || skip "clang-format is not installed"
"$format" --version | grep -q 'version 14\.' || skip "clang-format is not version 14"
c_files core backing uffd tools tests docs/examples | in_parallel "$format" --dry-run -Werror ||
	offend "not as clang-format lays it out"
report
