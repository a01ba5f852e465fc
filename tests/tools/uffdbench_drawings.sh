#!/bin/bash
# --plot leaves both drawings, with every engine in them.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

command -v gnuplot >/dev/null || skip "gnuplot is not installed"
succeeds --memory 4M --repeat 1 --plot "$work/drawings" kernel eager
for name in cdf totals; do
	drawing=$work/drawings/$name.svg
	grep -q '</svg>' "$drawing" || fail "$name.svg is not whole"
	for engine in kernel eager; do
		grep -q ">$engine<" "$drawing" || fail "$name.svg has no $engine"
	done
done
succeeds --memory 4M --repeat 1 --plot "$work/drawings" kernel
