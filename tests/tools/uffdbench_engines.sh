#!/bin/bash
# Every engine runs on every kind of image, each page is as it should be, and
# the JSON says so in the promised members.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

needs_userfaultfd
command -v python3 >/dev/null || skip "python3 is not installed"
mapfile -t engines < <("$program" --help | sed -n '/^Engines/,$ s/^[* ] \([a-z-]*\) .*/\1/p')
[ "${#engines[@]}" -ge 10 ] || fail "--help names too few engines"

# check REPEATS: what holds for every run in $work/json.
check() {
	python3 - "$work/json" "$1" "${engines[@]}" <<'END' >"$work/output" 2>&1 || fail "the JSON is wrong"
import json, sys
report = json.load(open(sys.argv[1]))
repeats, engines = int(sys.argv[2]), sys.argv[3:]
assert set(report) == {"machine", "calibration", "runs", "summary"}
runs = report["runs"]
assert [(r["repeat"], r["engine"]) for r in runs] == \
    [(i + 1, e) for i in range(repeats) for e in engines], "not interleaved"
for r in runs:
    assert r["mismatches"] == 0 and r["proved"] and not r["failed"], r
    assert 0 < r["first_ns"] <= r["wall_ns"], r
    assert r["p50_ns"] <= r["p90_ns"] <= r["p99_ns"] <= r["p999_ns"] <= r["max_ns"], r
    assert 0 < r["mean_ns"] <= r["max_ns"] <= r["wall_ns"], r
    for key in ("pages", "faults", "cpu_ns", "bytes_read", "context_switches"):
        assert isinstance(r[key], int), r
    assert r["compared"] == (r["engine"] != "floor"), r
    if r["engine"] in ("floor", "naive", "mapped"):
        assert r["faults"] >= r["pages"], r
    if r["engine"] == "naive":
        assert r["bytes_read"] == 4096 * r["faults"], r
    if r["engine"] in ("eager", "lazymem-fill"):
        assert r["complete_ns"] >= r["wall_ns"], r
END
}

# measure REPEATS ARGUMENT...
measure() {
	local repeats=$1
	shift
	succeeds --json "$work/json" --repeat "$repeats" "$@" "${engines[@]}"
	check "$repeats"
}

measure 2 --memory 4M
measure 1 --memory 4M --workload mixed --threads 3
measure 1 --memory 4M --workload mixed --write --pin same
measure 1 --memory 4M --workload sparse --source cold
measure 1 --memory 4M --workload stride --write --threads 2
measure 1 --memory 4M --workload post-restore
measure 1 --memory 4K --workload sequential --threads 4
measure 1 --memory 64M --workload image_rotate
[ "$(nproc)" -lt 2 ] || measure 1 --memory 4M --pin other
