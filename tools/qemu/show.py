"""show.py - restore a guest in every way; after each one it finds everything right."""
import collections
import contextlib
import os
import time

import pages
import restores
from guest import Failed, Guest
from restores import Snapshot, copy_sparse, eager, lazily, resident, save

WHOLE_EVERY = 5  # seeds: where all of the memory is written out and read back
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

    def restore(self, how, expected):
        with how as restored:
            self.test(restored, expected)
            restored.quit()

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
        self.restore(lazily(setting, again), second)

    def move_balloon(self, how, expected):
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
        self.restore(restores.by_stream(self.setting, stream), expected)

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
        self.restore(eager(setting, dumped), expected)

    def compare(self, dumped_path, memory_path):
        """Below 1 MiB, guests see firmware in place of some of the memory."""
        with open(dumped_path, "rb") as dumped, open(memory_path, "rb") as memory:
            for offset, _ in pages.differing_pages(dumped, memory):
                require(offset < 1 << 20, f"the dump is not the memory at {offset:#x}")

    # ---- all of it ------------------------------------------------------------

    def run(self, name, step):
        try:
            step()
        except Failed as error:
            raise Failed(f"{name}: {error}") from error
        self.right[name] += 1

    def run_seed(self, seed, balloon):
        setting = self.setting
        taken = self.take(seed)
        (first, first_sum), (last, last_sum) = taken[0], taken[-1]
        option = (["--complete"], ["--prefetch", "all"])[seed % 2]
        self.run("QEMU, eagerly", lambda: self.restore(eager(setting, first), first_sum))
        self.run("lazymem run, raw image",
                 lambda: self.restore(lazily(setting, first), first_sum))
        with_set = restores.with_working_set(setting, first, "set",
                                             lambda restored: self.test(restored, first_sum))
        self.run("lazymem run, snapshot with working set",
                 lambda: self.restore(lazily(setting, with_set), first_sum))
        chain = self.chain([snapshot for snapshot, _ in taken])
        self.run("lazymem run, chain of two diffs",
                 lambda: self.restore(lazily(setting, chain), last_sum))
        self.run("restored, saved by QEMU, restored again",
                 lambda: self.restore_again(first, first_sum, option))
        if balloon:
            kinds = [(first, first_sum), (with_set, first_sum), (chain, last_sum)]
            image, expected = kinds[seed % len(kinds)]
            self.run("lazymem run, while the balloon moves",
                     lambda: self.move_balloon(lazily(setting, image), expected))
        if seed % WHOLE_EVERY == 1:
            self.run("migrated by QEMU while partly there",
                     lambda: self.migrate_partly_there(last, last_sum))
            self.run("dumped by QEMU while partly there",
                     lambda: self.dump_partly_there(last, last_sum))


def show(setting, times, balloon):
    """Each kind of restore so many times; prints how often each one was right.
    The first that is not right ends it."""
    with source(setting) as guest:
        shown = Show(setting, guest)
        for seed in range(1, times + 1):
            begun = time.monotonic()
            shown.run_seed(seed, balloon)
            print(f"seed {seed} of {times}: everything right, {time.monotonic() - begun:.0f} s",
                  flush=True)
    print()
    for name, count in shown.right.items():
        print(f"  {count:3} right  {name}")
    print(flush=True)
