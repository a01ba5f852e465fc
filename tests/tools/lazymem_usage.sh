#!/bin/bash
# A wrong command line is named and ends with status 2.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

refuses 2 'which command'
refuses 2 'unknown command nosuch' nosuch
refuses 2 'unknown option --nosuch' --nosuch
refuses 2 'which trace command' trace
refuses 2 'unknown command trace nosuch' trace nosuch

for command in create info verify export diff merge commit optimize \
	'trace info' 'trace union' 'trace intersect' 'trace plot'; do
	# shellcheck disable=SC2086 # two words are two arguments
	{
		refuses 2 'unknown option --nosuch' $command --nosuch
		refuses 2 'unknown option -z' $command -z
		refuses 2 'file name' $command
		succeeds $command --help
	}
	grep -q "^usage: lazymem $command " "$work/output" || fail "$command --help: no usage"
	[ ! -s "$work/errors" ] || fail "$command --help complains"
done

refuses 2 'unknown option -x' create -xy a b
refuses 2 'option --json takes no value' info --json=yes a
refuses 2 'a file name is empty' create '' b
refuses 2 'at most 2 file names' create a b c
refuses 2 'at most 1 file name' info a b
refuses 2 'option --region needs a value' create --region
for region in '' 4096 0:1 1:4096 0:0 x:4096 0:4096: 0:4T; do
	refuses 2 "--region" create --region "$region" a b
done
refuses 2 'too large' create --region 0:17179869184G a b
refuses 2 '--compress gzip' create --compress gzip a b
for size in 0 4095 6K 512K x; do
	refuses 2 "--chunk $size" create --chunk "$size" a b
done
refuses 2 '--level x' create --level x a b
refuses 2 '--format pdf' create --format pdf a b
refuses 2 '--format trace' create --format trace a b
for blob in '' name =file name=; do
	refuses 2 'is not NAME=FILE' create --blob "$blob" a b
done
refuses 2 '--state' create --format raw --state c a b
refuses 2 'needs --state' create --format cloud-hypervisor a b
refuses 2 '--block' create --format raw --block c a b
refuses 2 '--region does not go with' create --format elf --region 0:4K a b
for number in 0 -1 x 1x 1025; do
	refuses 2 "--threads $number" verify --threads "$number" a
done

for option in --help --version; do
	succeeds $option
	[ -s "$work/output" ] || fail "$option prints nothing"
	[ ! -s "$work/errors" ] || fail "$option complains"
done
status=0
"$program" --help >/dev/full 2>"$work/errors" || status=$?
[ "$status" -eq 1 ] || fail "a full disk under --help is not noticed"

# A failure is told once, and also when it is the help that cannot be written.
refuses 1 'nosuch' info "$work/nosuch"
[ "$(wc -l <"$work/errors")" -eq 1 ] || fail "more than one message"
status=0
"$program" create --help >/dev/full 2>"$work/errors" || status=$?
[ "$status" -eq 1 ] || fail "status $status of help that cannot be written"
grep -q 'standard output' "$work/errors" || fail "help that cannot be written is not named"
