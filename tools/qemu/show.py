"""show.py - restore a guest in every way; after each one it finds everything right."""
import collections
import contextlib
import os

import pages
import restores
from guest import Failed, Guest
from restores import Snapshot, copy_sparse, eager, lazily, resident, save

TASKS = ("sort", "gzip", "inflate", "http")


@contextlib.contextmanager
def source(setting):
    """A guest from power-on, ready."""
    memory = setting.memory("source")
    try:
        with Guest(setting, memory) as guest:
            guest.wait_for_line("the guest is ready")
            yield guest
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(memory)


def require(truth, text):
    if not truth:
        raise Failed(text)


class Show:
    """One guest that runs on from seed to seed, and what is restored from it."""

    def __init__(self, setting, guest):
        self.setting = setting
        self.guest = guest
        self.right = collections.Counter()

    def test(self, restored, expected):
        """The guest beats, checks all of its memory, works, and checks again.
        The sum of its first pass is that of the source."""
        restored.wait_for_beat()
        result = restored.perform("check")
        require(result.split()[0] == expected,
                f"the guest is another one: {result}, and {expected} was expected")
        for task in TASKS:
            restored.perform(task)
        restored.perform("check")

    def count(self, name):
        self.right[name] += 1

    # ---- what is restored ----------------------------------------------------

    def take(self, seed):
        """Three snapshots of the guest while it runs on; each with the sum that
        the next pass has."""
        taken = []
        self.guest.perform(f"fill {seed}")
        for number in range(3):
            snapshot = save(self.setting, self.guest, f"image{number}")
            self.guest.ask("cont")
            taken.append((snapshot, self.guest.perform("check").split()[0]))
        return taken

    def chain(self, snapshots):
        """The last of them, as the first and diffs."""
        layers = [snapshots[0].image]
        for number, (old, new) in enumerate(zip(snapshots, snapshots[1:])):
            diff = self.setting.path(f"diff{number}")
            require(pages.write_diff(old.image, new.image, diff) > 0, "the guest stood still")
            layers.append(diff)
        return Snapshot(snapshots[-1].state, ",".join(layers))

    def restore_once(self, name, how, expected):
        with how as restored:
            self.test(restored, expected)
            restored.quit()
        self.count(name)

    def restore_again(self, snapshot, expected, option):
        """What QEMU saves of a restored guest is a snapshot like any other."""
        setting = self.setting
        with lazily(setting, snapshot, *option) as restored:
            self.test(restored, expected)
            restored.perform("fill 77")
            again = Snapshot(setting.path("again.state"), setting.path("again.raw"))
            restored.save(again.state)
            restored.quit()
            copy_sparse(restored.memory, again.image)
        with eager(setting, again) as restored:
            restored.wait_for_beat()
            second = restored.perform("check").split()[0]
            restored.quit()
        self.restore_once("restored, saved, restored again", lazily(setting, again), second)

    def move_balloon(self, name, how, expected):
        """The balloon takes a part of the memory and gives it back, twice, while
        the guest checks."""
        whole = self.setting.mib << 20
        small = whole - min(256 << 20, (self.setting.mib - self.setting.in_use) << 19)
        with how as restored:
            restored.wait_for_beat()
            sums = []
            for target in (small, whole, small, whole):
                restored.ask("balloon", value=target)
                while not sums or restored.ask("query-balloon")["actual"] != target:
                    sums.append(restored.perform("check").split()[0])
            require(sums[0] == expected, "the guest is another one")
            for task in TASKS:
                restored.perform(task)
            restored.quit()
        self.count(name)

    # ---- guests that are only partly there -----------------------------------

    def require_partly_there(self, restored, snapshot):
        there, whole = resident(restored.memory), resident(snapshot.image)
        require(there < whole // 2, f"{there} of {whole} bytes are there already")

    def migrate_partly_there(self, snapshot, expected):
        """QEMU migrates all of the memory, though most was never touched."""
        stream = Snapshot(self.setting.path("stream"))
        with lazily(self.setting, snapshot) as restored:
            restored.wait_for_beat()
            self.require_partly_there(restored, snapshot)
            restored.ignore_shared(False)
            restored.migrate(f"exec:cat >{stream.state}")
            restored.quit()
        self.restore_once("migrated by QEMU while partly there",
                          restores.by_stream(self.setting, stream), expected)

    def dump_partly_there(self, snapshot, expected):
        """dump-guest-memory: what it wrote is the memory, and a guest runs from it."""
        setting = self.setting
        core = setting.path("core")
        dumped = Snapshot(setting.path("dumped.state"), setting.path("dumped.raw"))
        with lazily(setting, snapshot, "--complete") as restored:
            restored.wait_for_beat()
            self.require_partly_there(restored, snapshot)
            restored.save(dumped.state)
            restored.ask("dump-guest-memory", paging=False, protocol="file:" + core)
            restored.quit()
            covered = pages.flatten_core(core, dumped.image, setting.mib << 20)
            require(covered > (setting.mib << 20) - (1 << 20), f"the dump has only {covered} bytes")
            self.compare(dumped.image, restored.memory)
        os.unlink(core)
        self.restore_once("dumped by QEMU while partly there", eager(setting, dumped), expected)

    def compare(self, dumped_path, memory_path):
        """Below 1 MiB, guests see firmware in place of some of the memory."""
        with open(dumped_path, "rb") as dumped, open(memory_path, "rb") as memory:
            for offset, _ in pages.differing_pages(dumped, memory):
                require(offset < 1 << 20, f"the dump is not the memory at {offset:#x}")

    # ---- all of it ------------------------------------------------------------

    def run_seed(self, seed, balloon):
        setting = self.setting
        taken = self.take(seed)
        first, first_sum = taken[0]
        last, last_sum = taken[-1]
        self.restore_once("QEMU, eagerly", eager(setting, first), first_sum)
        self.restore_once("lazymem run, raw image", lazily(setting, first), first_sum)
        with_set = restores.with_working_set(setting, first, "set",
                                             lambda restored: self.test(restored, first_sum))
        self.restore_once("lazymem run, snapshot with working set", lazily(setting, with_set),
                          first_sum)
        chain = self.chain([snapshot for snapshot, _ in taken])
        self.restore_once("lazymem run, chain of two diffs", lazily(setting, chain), last_sum)
        self.restore_again(first, first_sum, (["--complete"], ["--prefetch", "all"])[seed % 2])
        if balloon:
            kinds = [(first, first_sum), (with_set, first_sum), (chain, last_sum)]
            snapshot, expected = kinds[seed % 3]
            self.move_balloon("lazymem run, while the balloon moves", lazily(setting, snapshot),
                              expected)
        self.migrate_partly_there(last, last_sum)
        self.dump_partly_there(last, last_sum)


def show(setting, times, balloon):
    """Each kind of restore so many times; prints how often each one was right."""
    with source(setting) as guest:
        shown = Show(setting, guest)
        for seed in range(1, times + 1):
            shown.run_seed(seed, balloon)
            print(f"seed {seed} of {times}: everything right", flush=True)
    print()
    for name, count in shown.right.items():
        print(f"  {count:3} of {times} right  {name}")
    print(flush=True)
