#!/bin/bash
# lib.sh - what the interface tests share. Each one is run with the source
# directory and the build directory as its first two arguments; it reports every
# offence it finds, not only the first, and ends with report.

# shellcheck disable=SC2034 # the tests use these
source_dir=$(cd "$1" && pwd)
build_dir=$(cd "$2" && pwd)
failures=0

# offend MESSAGE...: one more offence.
offend() {
	printf '%s\n' "$*" >&2
	failures=$((failures + 1))
}

# report: the test's last command.
report() {
	if [ "$failures" -ne 0 ]; then
		printf '%s offences\n' "$failures" >&2
		exit 1
	fi
}

# skip REASON...: not to be run here.
skip() {
	printf 'skipped: %s\n' "$*"
	exit 77
}

# public_headers: each of them, relative to the source directory.
public_headers() {
	(cd "$source_dir" && find core backing uffd -path '*/include/lazymem/*.h' | sort)
}

# declared_symbols: the functions that the public headers mark as public.
declared_symbols() {
	local header
	for header in $(public_headers); do
		# Without comments and directives, one statement a line.
		perl -0pe 's{/\*.*?\*/}{}gs; s{^#.*$}{}gm; s{\s+}{ }g; s/[;{}]/\n/g' \
			"$source_dir/$header"
	done | sed -n 's/.*LAZYMEM_PUBLIC[^(]*\b\([A-Za-z_][A-Za-z_0-9]*\)(.*/\1/p' | sort
}

# c_files ROOM...: the C files below these rooms, those that exist.
c_files() {
	local room
	for room in "$@"; do
		[ ! -d "$source_dir/$room" ] || (cd "$source_dir" && find "$room" -name '*.[ch]')
	done | sort
}
