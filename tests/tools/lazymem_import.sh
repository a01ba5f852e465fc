#!/bin/bash
# Memory in other programs' formats. ELF cores and mapped-ram files are made
# here, from their descriptions, by make_file.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
cd "$work"

# ---- ELF -------------------------------------------------------------------------

for kind in elf elf32; do
	"$make_file" $kind core
	succeeds create core snapshot
	exports snapshot core.raw
	succeeds create --format elf core snapshot
	exports snapshot core.raw
	succeeds export core raw
	same core.raw raw
done
"$make_file" elf core
is core '[.format, .memory_bytes]' '["elf",122880]'
succeeds create core snapshot
is snapshot '[.regions[] | [.address, .length]]' \
	'[[1048576,65536],[0,32768],[4194304,16384],[4294967296,8192]]'

# refuses_cut TEXT FILE BYTES: cut off there.
refuses_cut() {
	head -c "$3" "$2" >"cut"
	refuses 1 "$1" create --format "$format" cut other
	[ ! -e other ] || fail "something was written"
}

format=elf
refuses_cut 'cut: is too short for an ELF file' core 8
refuses_cut 'cut: is truncated' core 40
refuses_cut 'cut: is truncated: the table' core 100
refuses_cut 'cut: is truncated: segment 1' core 5000
refuses_cut 'cut: is truncated: segment 4' core "$(($(wc -c <core) - 1))"
refuses 1 'is no ELF file' create --format elf core.raw other
refuses 1 '--region does not go with core' create --region 0:4K core other

# ---- mapped-ram --------------------------------------------------------------------

"$make_file" qemu ram
succeeds create ram snapshot
exports snapshot ram.raw
is snapshot '.regions' '[{"address":0,"length":409600,"offset":0}]'
is ram '[.format, .memory_bytes]' '["qemu",409600]'
succeeds create --region 0:40K --region 4G:360K ram snapshot
exports snapshot ram.raw
is snapshot '[.regions[] | [.address, .length]]' '[[0,40960],[4294967296,368640]]'
succeeds create --block 0000:00:02.0/vga.vram ram snapshot
is snapshot '.memory_bytes' 65536
refuses 1 'has no RAM block "nosuch"; it has: 0000:00:02.0/vga.vram, pc.ram' \
	create --block nosuch ram other
"$make_file" qemu-shared shared
succeeds create shared snapshot
exports snapshot shared.raw
refuses 1 'was shared, and is not in the file' create --block hidden shared other

format=qemu
refuses_cut 'cut: is no migration file of QEMU' ram 3
refuses_cut 'cut: is truncated: it ends before the first RAM block' ram 60
refuses_cut 'cut: is truncated: it ends in the header of a RAM block' ram 170
refuses_cut 'cut: is truncated: the bitmap' ram 200
refuses_cut 'cut: is truncated' ram "$((0x100000 + 65536 + 20))"
refuses_cut 'cut: is truncated: pages of RAM block "pc.ram"' ram "$((0x200000 + 4096))"
refuses 1 'is no migration file of QEMU' create --format qemu core other

# ---- Cloud Hypervisor ----------------------------------------------------------------

mixed memory-ranges 256
table='{"memory_ranges":{"data":[{"gpa":4294967296,"length":786432},{"gpa":0,"length":262144}]},"selected_slot":0}'

# state FILTER: state.json with the table, as a string, put in place by jq.
state() {
	jq -n --arg table "$table" "{snapshots: {\"memory-manager\": $1}}" >state.json
}

# takes_state: it is understood.
takes_state() {
	succeeds create --state state.json memory-ranges snapshot
	exports snapshot memory-ranges
	is snapshot '[.regions[] | [.address, .length]]' '[[4294967296,786432],[0,262144]]'
}

# refuses_state TEXT FILTER
refuses_state() {
	state "$2"
	refuses 1 "$1" create --state state.json memory-ranges other
}

state '{}'
run create --state state.json memory-ranges other
if ! grep -q 'built without jansson' "$work/errors"; then
	state '{snapshot_data: {state: $table}}'
	takes_state
	succeeds create --format cloud-hypervisor --state state.json memory-ranges snapshot
	state '{snapshot_data: {state: ($table | explode)}}'
	takes_state
	state '{snapshot_data: {"memory-manager-section": {id: "x", snapshot: ($table | explode)}}}'
	takes_state
	state '{snapshot_data: {state: ($table | fromjson | .memory_ranges |= .data | tojson)}}'
	takes_state

	refuses_state 'state.json: has a memory-manager whose state is of an unknown form' '{}'
	refuses_state 'is no JSON' '{snapshot_data: {state: "{"}}'
	refuses_state 'binary form' '{snapshot_data: {state: [1, 2, 3]}}'
	refuses_state 'without a table of memory ranges' '{snapshot_data: {state: "{}"}}'
	refuses_state 'has no memory ranges' \
		'{snapshot_data: {state: ({memory_ranges: {data: []}} | tojson)}}'
	refuses_state 'memory range 0 has no gpa and length' \
		'{snapshot_data: {state: ({memory_ranges: [{gpa: "0"}]} | tojson)}}'
	refuses_state 'memory range 0, gpa 4097' \
		'{snapshot_data: {state: ({memory_ranges: [{gpa: 4097, length: 4096}]} | tojson)}}'
	refuses_state 'memory range 0, gpa 0, length -4096' \
		'{snapshot_data: {state: ({memory_ranges: [{gpa: 0, length: -4096}]} | tojson)}}'
	refuses_state 'memory-ranges has 1048576 bytes, and the memory ranges in state.json have 4096' \
		'{snapshot_data: {state: ({memory_ranges: [{gpa: 0, length: 4096}]} | tojson)}}'
	echo '{}' >state.json
	refuses 1 'has no snapshot of a memory-manager' create --state state.json memory-ranges other
	: >state.json
	refuses 1 'state.json: the file is no JSON' create --state state.json memory-ranges other
	refuses 1 'nosuch: No such file' create --state nosuch memory-ranges other
fi
