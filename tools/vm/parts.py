"""parts.py - what vm-figures.sh measures: each part makes a list of runs."""
import contextlib
import os

import lazyvm
import qemu

MIB = 1 << 20
BYTES_PER_PAGE = 4096


class Plan:
    """What is measured, with what, and where its files may be."""

    def __init__(self, options):
        self.lazyvm = options.lazyvm
        self.payloads = options.payloads
        self.work = options.work
        self.sizes = [int(size) for size in options.sizes.split(",")]
        self.repeats = options.repeat
        self.total_mib = options.total


def say(text):
    print("  " + text, flush=True)


# ---- restore -----------------------------------------------------------------

def read_all(path):
    """So that the file is in the page cache."""
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 22):
            pass


def snapshot(plan, mib):
    """Of a guest whose memory is full."""
    path = os.path.join(plan.work, f"{mib}.snap")
    with lazyvm.fill(plan, plan.work, "filled", mib) as guest:
        guest.run("snapshot", path)
        guest.quit()
    return path


def time_restore(plan, path, mib, way):
    options = {"lazy": [], "eager": ["--eager"]}[way]
    with lazyvm.Lazyvm(plan, plan.work, "restored", ["restore", *options, path]) as guest:
        first_us = guest.wait_for_status("first-run-us")
        read = guest.ask("status")["bytes-read"]
        guest.wait_for_line("checked")
        guest.quit()
    return {"mib": mib, "way": way, "first_instruction_us": first_us, "bytes_read": read}


def measure_restore(plan):
    """Sizes and ways take turns; the snapshots are in the page cache."""
    runs = []
    with contextlib.ExitStack() as made:
        paths = {}
        for mib in plan.sizes:
            say(f"a snapshot of {mib} MiB")
            paths[mib] = snapshot(plan, mib)
            made.callback(os.unlink, paths[mib])
        for repeat in range(1, plan.repeats + 1):
            for mib, path in paths.items():
                for way in ("lazy", "eager"):
                    read_all(path)
                    runs.append({**time_restore(plan, path, mib, way), "repeat": repeat})
    return runs


# ---- migration ----------------------------------------------------------------

def move(plan, source, number, options):
    """The guest goes on in another process; what was said of it, and that process."""
    target = lazyvm.Lazyvm(plan, plan.work, f"host{number}",
                           ["receive", "--kind", "memfd", "--listen", "127.0.0.1:0"])
    try:
        port = target.wait_for_port()
        answer = source.ask("migrate", *options, f"127.0.0.1:{port}")
        source.process.wait(lazyvm.PATIENCE)
        target.wait_for_line("checked")
    except BaseException:
        target.__exit__(None, None, None)
        raise
    source.__exit__(None, None, None)
    return answer, target


def moves(plan, mib, ways):
    """One guest that is moved in each of the ways, in turn; the answers. At the end it
    has checked all of its memory where it is."""
    numbers = iter(range(1, 1 << 30))
    guest = lazyvm.fill(plan, plan.work, "host0", mib, "--kind", "memfd")
    try:
        for repeat in range(1, plan.repeats + 1):
            for way, options in ways.items():
                answer, guest = move(plan, guest, next(numbers), options)
                yield repeat, way, answer
        guest.wait_for_line("ended round")
        guest.wait_for_line("ended round")
        guest.quit()
    finally:
        guest.__exit__(None, None, None)


def measure_pause(plan):
    ways = {"post-copy": [], "stop-and-copy": ["--stop-and-copy"]}
    runs = []
    for mib in plan.sizes:
        say(f"a guest of {mib} MiB that moves")
        for repeat, way, answer in moves(plan, mib, ways):
            runs.append({"mib": mib, "way": way, "repeat": repeat,
                         "pause_us": answer["pause-us"], "total_ms": answer["total-ms"],
                         "bytes": answer["received"], "faults": answer["faults"]})
    return runs


def measure_qemu(plan):
    runs = []
    say(f"QEMU: a guest that has filled {plan.total_mib} MiB, and moves")
    guest = qemu.boot(plan.work, plan.total_mib)
    try:
        guest.perform("check")
        for repeat in range(1, plan.repeats + 1):
            run, guest = qemu.migrate(plan.work, plan.total_mib, guest)
            runs.append({**run, "mib": plan.total_mib, "way": "QEMU " + qemu.version(),
                         "repeat": repeat})
        guest.quit()
    finally:
        guest.__exit__(None, None, None)
    return runs


def measure_total(plan):
    """lazyvm's guest has as much memory, all of it full, as QEMU's had that was not zero."""
    runs = measure_qemu(plan)
    pages = max(run["pages"] for run in runs)
    mib = -(-pages * BYTES_PER_PAGE // MIB)
    mib += mib % 2
    say(f"lazyvm: a guest that has filled {mib} MiB, and moves")
    for repeat, way, answer in moves(plan, mib, {"lazyvm": []}):
        runs.append({"mib": mib, "way": way, "repeat": repeat,
                     "seconds": answer["total-ms"] / 1e3, "pause_seconds": answer["pause-us"] / 1e6,
                     "bytes": answer["received"], "pages": answer["received"] // BYTES_PER_PAGE,
                     "faults": answer["faults"]})
    return runs


PARTS = {"restore": measure_restore, "pause": measure_pause, "total": measure_total}
FAILURES = (lazyvm.Failed, qemu.Failed)
