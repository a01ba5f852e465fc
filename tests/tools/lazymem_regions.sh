#!/bin/bash
# The table of regions: where the bytes of an image are in the guest.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
cd "$work"

mixed image 256
succeeds create image one
is one '.regions' '[{"address":0,"length":1048576,"offset":0}]'

# In the order of the command line, not of the addresses.
succeeds create --region 4G:512K --region 0:0x40000 --region 1M:256K image three
is three '[.regions[] | [.address, .length, .offset]]' \
	'[[4294967296,524288,0],[0,262144,524288],[1048576,262144,786432]]'
exports three image

refuses 1 'the regions are 128 pages long, the memory has 256' create --region 0:512K image other
refuses 1 'overlap' create --region 0:512K --region 256K:512K image other
[ ! -e other ] || fail "something was written"
