#!/bin/bash
# seed.sh - the corpora that fuzzing begins with: sound files, and damaged
# copies of them.
#
#   tests/fuzz/seed.sh BUILD-DIRECTORY CORPORA-DIRECTORY
#
# Makes a directory in CORPORA-DIRECTORY for each harness.
set -euo pipefail
programs=$1/tests/fuzz
corpora=$2

# damage NAME OFFSET: a copy of the trace "many" with one byte changed.
damage() {
	cp "$corpora/trace/many" "$corpora/trace/$1"
	printf '\xff' | dd of="$corpora/trace/$1" bs=1 seek="$2" conv=notrunc status=none
}

trace() {
	"$programs/seed_trace" "$corpora/trace"
	damage bad-version 8
	damage bad-page-size 18
	damage bad-count 24
	damage bound-to-image 40
	damage unaligned 64
	damage wraps 71
	head -c 63 "$corpora/trace/many" >"$corpora/trace/cut-in-header"
	head -c 100 "$corpora/trace/many" >"$corpora/trace/cut-in-run"
	cat "$corpora/trace/one" "$corpora/trace/one" >"$corpora/trace/twice"
}

# A state.json as newer versions write it, as older ones do, and the table alone.
cloud_hypervisor() {
	local table='{\"memory_ranges\":{\"data\":[{\"gpa\":0,\"length\":4096}]}}'
	local before='{"snapshots":{"memory-manager":{"snapshots":{},"snapshot_data":{'
	local directory=$corpora/cloud_hypervisor

	printf '%s"state":"%s"}}}}' "$before" "$table" >"$directory/string"
	printf '%s"memory-manager-section":{"id":"x","snapshot":[123,125]}}}}}' "$before" \
		>"$directory/array"
	printf '%s' "${table//\\/}" >"$directory/table"
	printf '{"memory_ranges":[{"gpa":4294967296,"length":8192},{"gpa":0,"length":4096}]}' \
		>"$directory/plain-table"
}

mkdir -p "$corpora"/{trace,snapshot_format,snapshot_file,codec,elf_core,mapped_ram,cloud_hypervisor}
trace
"$programs/seed_snapshot" "$corpora/snapshot_file"
"$programs/seed_snapshot" "$corpora/snapshot_format"
"$programs/seed_codec" "$corpora/codec"
"$programs/seed_import" "$corpora/elf_core" "$corpora/mapped_ram"
cloud_hypervisor
