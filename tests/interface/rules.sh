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

for script in $(find tools tests .ci -name '*.sh' -o -path .ci/run | sort); do
	head -1 "$script" | grep -qx '#!/bin/bash' || offend "$script: does not begin with #!/bin/bash"
	bash -n "$script" || offend "$script: not sound"
	! command -v shellcheck >/dev/null || shellcheck -x -S warning "$script" >&2 ||
		offend "$script: shellcheck finds fault"
done

format=$(command -v clang-format-14 || command -v clang-format) || skip "clang-format is not installed"
"$format" --version | grep -q 'version 14\.' || skip "clang-format is not version 14"
for file in $(c_files core backing uffd tools tests docs/examples); do
	"$format" --dry-run -Werror "$file" 2>/dev/null || offend "$file: not as clang-format lays it out"
done
report
