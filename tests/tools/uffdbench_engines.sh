#!/bin/bash
# Every engine runs on every kind of image, each page is as it should be, and
# the JSON says so in the promised members.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

needs_userfaultfd
command -v python3 >/dev/null || skip "python3 is not installed"
mapfile -t engines < <("$program" --help | sed -n '/^Engines/,/^$/ s/^[* ] \([a-z0-9-]*\) .*/\1/p')
[ "${#engines[@]}" -ge 15 ] || fail "--help names too few engines"

# A library without a compression has no such engine.
for engine in lazymem-lz4 lazymem-zstd; do
	run --memory 4K --repeat 1 $engine
	! grep -q "engine $engine: .* built without" "$work/errors" || {
		mapfile -t engines < <(printf '%s\n' "${engines[@]}" | grep -vx $engine)
		continue
	}
	[ "$status" -eq 0 ] || fail "$engine: status $status, not 0"
done

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
    if r["engine"] == "reap":
        assert r["faults"] >= r["pages"] - r["recorded_pages"], r
    if r["engine"] == "naive":
        assert r["bytes_read"] == 4096 * r["faults"], r
    demand = [r[key] for key in ("recorded_faults", "waited_faults", "late_faults",
                                 "demand_p50_ns", "demand_p99_ns", "demand_max_ns")]
    assert r["resident_before"] <= r["source_pages"] or r["engine"] == "floor", r
    library = r["engine"].startswith("lazymem")
    prefetches = r["engine"] in ("reap", "lazymem-fill", "lazymem-prefetch", "lazymem-snapshot")
    assert (demand[1] is None) == (demand[2] is None), r
    if r["engine"] in ("kernel", "eager"):
        assert demand == [None] * 6, r
    elif prefetches:
        assert 0 <= demand[0] <= r["recorded_pages"], r
    elif demand[0] is not None:
        assert demand[0] == r["recorded_pages"] <= r["faults"], r
        assert demand[3:] == [r["p50_ns"], r["p99_ns"], r["max_ns"]], r
    else:
        assert r["engine"].startswith("lazymem") and r["faults"] < r["pages"], r
    if demand[0] is not None:
        assert demand[3] <= demand[4] <= demand[5] <= r["max_ns"], r
        assert (demand[1] is not None) == library, r
        assert not library or demand[1] + demand[2] <= r["faults"], r
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
# Real guests touch pages that were not recorded, and not all that were.
measure 1 --workload http --source cold
[ "$(nproc)" -lt 2 ] || measure 1 --memory 4M --pin other

# Several workloads: the summary is what follows from the runs.
succeeds --workload functions --memory 128M --repeat 2 --json "$work/json" kernel reap
python3 - "$work/json" <<'END' >"$work/output" 2>&1 || fail "the summary is wrong"
import json, math, statistics, sys
report = json.load(open(sys.argv[1]))
runs = {(r["engine"], r["workload"], r["repeat"]): r for r in report["runs"]}
names = sorted({r["workload"] for r in report["runs"]})
assert len(names) == 10

def mean(engine, other, key):
    ratios = [statistics.median(runs[engine, name, turn][key] / runs[other, name, turn][key]
                                for turn in (1, 2)) for name in names]
    return math.exp(statistics.mean(map(math.log, ratios)))

kernel, reap = report["summary"]
assert (kernel["engine"], reap["engine"]) == ("kernel", "reap")
assert kernel["wall_to_kernel"] == 1 and reap["wall_to_reap"] == 1 and reap["first_to_reap"] == 1
assert abs(reap["wall_to_kernel"] / mean("reap", "kernel", "wall_ns") - 1) < 1e-4
assert abs(kernel["wall_to_reap"] / mean("kernel", "reap", "wall_ns") - 1) < 1e-4
# Six decimals are what is written of a small number.
assert abs(kernel["first_to_reap"] - mean("kernel", "reap", "first_ns")) < 1e-6
served = [runs["reap", name, turn] for name in names for turn in (1, 2)]
share = sum(r["recorded_faults"] for r in served) / sum(r["recorded_pages"] for r in served)
assert abs(reap["recorded_faults_share"] - share) < 1e-6
assert kernel["recorded_faults_share"] is None
assert kernel["demand_p99_to_verified"] is None and reap["demand_p99_to_verified"] is None
END
