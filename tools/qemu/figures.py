"""figures.py - what restores cost, side by side.

The runs of all kinds take turns, first with their files in the page cache and
then without. Cold means that no page of an image and of a state is cached,
which is looked up in the kernel before the clock starts; the programs are cached
in both.
"""
import dataclasses
import json
import os
import re
import statistics
import subprocess

import restores
from guest import Failed
from restores import Snapshot, resident
from show import source

MIB = 1 << 20


@dataclasses.dataclass
class Kind:
    name: str
    start: object  # how a guest is restored from `snapshot`
    snapshot: Snapshot


@dataclasses.dataclass
class Run:
    """Seconds since the start of the destination, and bytes."""
    beat: float
    end: float
    loaded: int
    process: int
    touched: int  # of page_at_a_time only
    fault_us: float  # of lazymem run only

    @property
    def first_pass(self):
        return self.end - self.beat


# ---- the page cache ------------------------------------------------------------

def cached_pages(path):
    answer = subprocess.run(["fincore", "--bytes", "--noheadings", "--output", "PAGES", path],
                            check=True, capture_output=True, text=True)
    return int(answer.stdout)


def read_all(path):
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 22):
            pass


def make_cached(setting, snapshot):
    for path in snapshot.files():
        read_all(path)
        if cached_pages(path) * 4096 < os.stat(path).st_blocks * 512 * 9 // 10:
            raise Failed(f"{path} does not stay in the page cache")


def make_cold(setting, snapshot):
    for path in snapshot.files():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if os.geteuid() == 0:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as drop:
            drop.write("1")
    warm_programs(setting)
    for path in snapshot.files():
        if cached_pages(path) > 0:
            raise Failed(f"{path} does not leave the page cache")


def warm_programs(setting):
    """What is measured is the guest's memory, and not how QEMU is loaded."""
    for program in ([setting.qemu, "--version"], [setting.lazymem, "--version"],
                    ["cp", "--version"], ["sh", "-c", "cat </dev/null"]):
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL,
                       env=setting.environment(None))
    read_all(setting.path("page_at_a_time.so"))
    read_all(os.path.join(os.path.dirname(setting.lazymem), "liblazymem-run.so"))
    for path in ("vmlinuz", "initramfs"):
        read_all(setting.path(path))


# ---- one run --------------------------------------------------------------------

def status_bytes(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    raise Failed(f"/proc/{pid}/status has no {name}")


def fault_median(said):
    """Microseconds, out of the summary of lazymem run."""
    median = re.search(r"faults, p50 ([0-9.]+) (µs|ms|s)", said)
    return float(median[1]) * {"µs": 1, "ms": 1e3, "s": 1e6}[median[2]] if median else 0


def run_once(setting, kind):
    """Until the first heartbeat, then one pass."""
    with kind.start(setting, kind.snapshot) as guest:
        beat = guest.wait_for_beat()
        guest.perform("check")
        end = guest.seconds()
        run = Run(beat, end, resident(guest.memory), status_bytes(guest.pid(), "VmRSS"), 0, 0)
        if kind.start is restores.page_at_a_time:
            with open(setting.path("count"), "rb") as count:
                run.touched = int.from_bytes(count.read(), "little") * 4096
        guest.quit()
        run.fault_us = fault_median(guest.said())
    return run


def save_stream(setting, guest):
    """All of the guest in one file, as mapped-ram."""
    stream = Snapshot(setting.path("mapped.state"))
    restores.use_mapped_ram(guest)
    guest.ignore_shared(False)
    guest.migrate("file:" + stream.state)
    return stream


def make_kinds(setting):
    with source(setting) as guest:
        guest.perform("check")
        raw = restores.save(setting, guest, "figures")
        kinds = [Kind("QEMU, eagerly", restores.eager, raw)]
        if int(setting.version.split(".")[0]) >= 10:
            guest.ask("cont")
            kinds.append(Kind("QEMU, mapped-ram, multifd, direct I/O", restores.mapped_ram,
                              save_stream(setting, guest)))
        guest.quit()
    with_set = restores.with_working_set(setting, raw, "figures",
                                         lambda restored: restored.perform("check"))
    return kinds + [Kind("page at a time, in process", restores.page_at_a_time, raw),
                    Kind("lazymem run, raw image", restores.lazily, raw),
                    Kind("lazymem run, working set", restores.lazily, with_set)]


# ---- the table ------------------------------------------------------------------

class Figures:
    def __init__(self):
        self.runs = {}

    def add(self, kind, temperature, run):
        self.runs.setdefault((kind.name, temperature), []).append(run)

    def median(self, name, temperature, attribute):
        return statistics.median(getattr(run, attribute)
                                 for run in self.runs[name, temperature])

    def names(self):
        return list(dict.fromkeys(name for name, _ in self.runs))

    def print_table(self, temperature):
        print(f"\n  {temperature:39}first beat  end of pass  the pass  loaded  resident  process")
        for name in self.names():
            value = lambda attribute, name=name: self.median(name, temperature, attribute)
            print(f"  {name:38}{value('beat'):9.3f} s{value('end'):11.3f} s"
                  f"{value('first_pass'):8.3f} s{value('loaded') / MIB:6.0f} M"
                  f"{value('loaded') / self.touched(temperature):9.2f}x"
                  f"{value('process') / MIB:7.0f} M")

    def touched(self, temperature):
        """Bytes of the pages that the guest touches: those a handler that loads
        nothing else was asked for."""
        return self.median("page at a time, in process", temperature, "touched")

    def print_aims(self):
        eagerly = min(self.median(name, "cold", "beat") for name in self.names()
                      if name.startswith("QEMU"))
        for temperature in ("cold", "cached"):
            passes = {name: self.median(name, temperature, "first_pass") for name in self.names()}
            lost = passes["page at a time, in process"] - passes["QEMU, eagerly"]
            raw, replay = passes["lazymem run, raw image"], passes["lazymem run, working set"]
            print(f"\n  {temperature}: of the time that a page at a time loses to faults "
                  f"({lost:.3f} s), the raw image loses "
                  f"{(raw - passes['QEMU, eagerly']) / lost:.2f}; its pass takes {raw / lost:.2f}")
            print(f"  {temperature}: a pass with the working set takes "
                  f"{replay / passes['QEMU, eagerly']:.2f} times the eager guest's")
        for name in self.names():
            if name.startswith("lazymem"):
                beat = self.median(name, "cold", "beat")
                print(f"  cold: first beat {beat / eagerly:.2f} of the better eager one: {name}")
        print(flush=True)

    def write_json(self, setting, path):
        runs = [{"name": name, "pages": temperature, "runs": [dataclasses.asdict(run) for run in runs]}
                for (name, temperature), runs in self.runs.items()]
        with open(path, "a", encoding="utf-8") as file:
            json.dump({"qemu": setting.version, "memory_mib": setting.mib,
                       "in_use_mib": setting.in_use, "kinds": runs}, file)
            file.write("\n")


def measure(setting, times, json_path):
    """Each kind so many times, cached and cold."""
    kinds = make_kinds(setting)
    figures = Figures()
    for prepare, temperature in ((make_cold, "cold"), (make_cached, "cached")):
        for kind in kinds * times:
            prepare(setting, kind.snapshot)
            figures.add(kind, temperature, run_once(setting, kind))
    print(f"{setting.mib} MiB, {setting.in_use} MiB in use; medians of {times}; loaded is what "
          f"is there at the end of the pass;\nresident is that, divided by the "
          f"{figures.touched('cold') / MIB:.0f} MiB that the guest has touched; "
          "process is VmRSS of QEMU, that included")
    figures.print_table("cold")
    figures.print_table("cached")
    figures.print_aims()
    if json_path:
        figures.write_json(setting, json_path)
