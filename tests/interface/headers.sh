#!/bin/bash
# Every public header compiles alone, as C99 and as C++, without a warning.
set -euo pipefail
# shellcheck source=tests/interface/lib.sh
. "$(dirname "$0")/lib.sh"

cc=$3
case $cc in
*clang*) cxx=clang++ ;;
*) cxx=g++ ;;
esac

include=()
for layer in core backing uffd; do
	include+=(-I "$source_dir/$layer/include")
done

# alone NAME COMPILER...: the header NAME, and nothing before it.
alone() {
	local header=$1
	shift
	printf '#include <lazymem/%s>\n' "$header" |
		"$@" -fsyntax-only -pedantic-errors -Wall -Wextra -Wshadow -Werror "${include[@]}" - ||
		offend "lazymem/$header does not compile alone with $*"
}

for header in $(public_headers); do
	name=$(basename "$header")
	alone "$name" "$cc" -x c -std=c99
	alone "$name" "$cxx" -x c++ -std=c++11
done
report
