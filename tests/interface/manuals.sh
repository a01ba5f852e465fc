#!/bin/bash
# Every manual page is sound, every public function has one, and every option
# that a tool's --help prints is in the tool's page.
set -euo pipefail
# shellcheck source=tests/interface/lib.sh
. "$(dirname "$0")/lib.sh"

manuals=$source_dir/docs/man
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v mandoc >/dev/null || skip "mandoc is not installed"

for page in "$manuals"/*.[1-8]; do
	mandoc -Tlint -W warning "$page" >&2 || offend "$page: mandoc finds fault"
done

for symbol in $(declared_symbols); do
	grep -qE "^\.Nm $symbol( ,)?\$" "$manuals"/*.3 || offend "$symbol: in no NAME section"
	grep -qE "^\.F[no] $symbol( |\$)" "$manuals"/*.3 || offend "$symbol: in no SYNOPSIS"
done

# The names a page documents are names that exist.
documented=$(sed -nE 's/^\.Nm (lazymem_[a-z0-9_]+)( ,)?$/\1/p' "$manuals"/*.3 | sort -u)
for name in $(comm -13 <(declared_symbols) <(printf '%s\n' "$documented")); do
	grep -qE "^(struct|enum) $name\b" "$source_dir"/*/include/lazymem/*.h ||
		offend "$name: has a manual page and does not exist"
done

# A page of ours that another one points to is there.
sed -nE 's/^\.Xr ((lazymem|uffdbench)[a-z0-9_-]*) ([1-8]).*/\1 \3/p' "$manuals"/*.[1-8] | sort -u \
	>"$work/references"
while read -r name section; do
	[ -f "$manuals/$name.$section" ] ||
		grep -qsE "^\.Nm $name( ,)?\$" "$manuals"/*."$section" ||
		offend "$name($section): is referred to and not there"
done <"$work/references"

# programs: the tools that were built, without what they preload.
programs() {
	find "$build_dir/tools" -maxdepth 2 -name CMakeFiles -prune -o \
		-type f -executable ! -name '*.so' -print
}

for tool in $(programs); do
	page=$manuals/$(basename "$tool").1
	if [ ! -f "$page" ]; then
		offend "$(basename "$tool"): has no manual page"
		continue
	fi
	options=$("$tool" --help | grep -oE -- '(^|[ ,[|(])--[a-z][a-z0-9-]*' | sed 's/^[^-]*--//' |
		sort -u)
	[ -n "$options" ] || offend "$(basename "$tool") --help prints no option"
	for option in $options; do
		# mdoc spells --memory as "Fl -memory".
		grep -qE -- "Fl -$option( |\$)" "$page" ||
			offend "$(basename "$tool") --$option: not in $page"
	done
done
report
