#!/bin/bash
# What the documents say is so: the README shows an example that is built and
# run, and commands that CI runs; links lead somewhere; every call has its
# place in the tables of threads and errors; every test named there exists.
set -euo pipefail
# shellcheck source=tests/interface/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$source_dir"

# blocks LANGUAGE FILE: the fenced blocks of that language.
blocks() {
	awk -v fence="\`\`\`$1" '$0 == fence { inside = 1; next } /^```/ { inside = 0 } inside' "$2"
}

blocks c README.md | diff -u --label README.md --label docs/examples/embed.c - \
	docs/examples/embed.c >&2 || offend "the C of the README is not docs/examples/embed.c"

[ -n "$(blocks sh README.md)" ] || offend "the README shows no command"
while IFS= read -r command; do
	grep -qF -- "$command" .ci/run || offend "README.md: CI does not run: $command"
done < <(blocks sh README.md | grep -v '^#')

# links FILE: the relative links in it.
links() {
	grep -oE '\]\([^)#]+' "$1" | sed 's/^](//' | grep -v '://' || true
}

for file in README.md docs/*.md; do
	for link in $(links "$file"); do
		[ -e "$(dirname "$file")/$link" ] || offend "$file: leads nowhere: $link"
	done
done

# What the guide through lazyvm's code names is there: files, functions, what belongs to headers.
for name in $(grep -oE '`[A-Za-z_][A-Za-z0-9_]*(\.[ch])?`' docs/embedding.md | tr -d '`' | sort -u); do
	case $name in
	*.[ch])
		[ -f "tools/lazyvm/$name" ] || compgen -G "*/include/lazymem/$name" >/dev/null ||
			offend "docs/embedding.md: no such file: $name"
		;;
	*_*)
		grep -rqw -- "$name" tools/lazyvm ./*/include/lazymem ||
			offend "docs/embedding.md: nothing is called $name"
		;;
	esac
done

for symbol in $(declared_symbols); do
	grep -qsF "\`$symbol\`" docs/threads.md || offend "$symbol: not in docs/threads.md"
done

# failing_symbols: the calls that can fail.
failing_symbols() {
	local header
	for header in $(public_headers); do
		perl -0ne 's{/\*.*?\*/}{}gs; print "$1\n"
			while /LAZYMEM_PUBLIC\s+int\s+(lazymem_\w+)\(/g' "$header"
	done | grep -vx lazymem_guest_address_compare
}

for symbol in $(failing_symbols); do
	grep -qsF "\`$symbol\`" docs/errors.md || offend "$symbol: not in docs/errors.md"
done

# A test is named as FILE:FUNCTION, FILE without its room.
while IFS=: read -r file name; do
	# Rooms may have files of the same name.
	[ -n "$(find tests -name "$file" -exec grep -qw "$name" {} \; -print)" ] ||
		offend "docs/errors.md: no such test: $file:$name"
done < <(grep -oE '`[a-z0-9_]+_test\.c:[a-z0-9_]+`' docs/errors.md | tr -d '`' | sort -u)
report
