"""restores.py - the ways in which a snapshot becomes a running guest again."""
import contextlib
import dataclasses
import os
import subprocess
import time

from guest import Guest

INCOMING = ("-incoming", "defer")


@dataclasses.dataclass
class Snapshot:
    """What was saved of a guest: the state of its devices, and its memory as
    `image`, a raw file, or several with commas between them, or a snapshot of
    lazymem. A state of QEMU that holds the memory as well has no image."""
    state: str
    image: str = ""

    def files(self):
        return [self.state, *filter(None, self.image.split(","))]


def save(setting, guest, name):
    """Save the guest under that name; it stands still afterwards."""
    snapshot = Snapshot(setting.path(name + ".state"), setting.path(name + ".raw"))
    guest.save(snapshot.state)
    copy_sparse(guest.memory, snapshot.image)
    return snapshot


def copy_sparse(source, target, how="always"):
    subprocess.run(["cp", "--sparse=" + how, source, target], check=True)


def resident(path):
    """Bytes of a file on tmpfs that are there."""
    return os.stat(path).st_blocks * 512


@contextlib.contextmanager
def memory_file(setting):
    path = setting.memory("restored")
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


@contextlib.contextmanager
def eager(setting, snapshot):
    """All of the memory is copied before QEMU starts."""
    with memory_file(setting) as memory:
        begun = time.monotonic()
        copy_sparse(snapshot.image, memory, "auto")
        with Guest(setting, memory, INCOMING, begun=begun) as guest:
            guest.load(snapshot.state)
            yield guest


@contextlib.contextmanager
def by_stream(setting, snapshot):
    """QEMU reads the memory itself, out of its own migration stream."""
    with memory_file(setting) as memory, Guest(setting, memory, INCOMING) as guest:
        guest.load(snapshot.state, ())
        yield guest


@contextlib.contextmanager
def mapped_ram(setting, snapshot):
    """As that, with several threads and without the page cache (QEMU 10.0)."""
    with memory_file(setting) as memory, Guest(setting, memory, INCOMING) as guest:
        use_mapped_ram(guest)
        guest.say("migrate-incoming", uri="file:" + snapshot.state)
        yield guest


def use_mapped_ram(guest):
    guest.say("migrate-set-capabilities", capabilities=[
        {"capability": name, "state": True} for name in ("mapped-ram", "multifd")])
    guest.say("migrate-set-parameters", direct_io=True, multifd_channels=4)


@contextlib.contextmanager
def page_at_a_time(setting, snapshot):
    """By a plain handler in QEMU; the number of its faults is in guest.count()."""
    count = setting.path("count")
    with memory_file(setting) as memory:
        begun = time.monotonic()
        with open(memory, "wb") as file:
            file.truncate(setting.mib << 20)
        preloaded = {"LD_PRELOAD": setting.path("page_at_a_time.so"),
                     "PAGE_AT_A_TIME": f"{memory}:{snapshot.image}:{count}"}
        with Guest(setting, memory, INCOMING, environment=preloaded, begun=begun) as guest:
            guest.load(snapshot.state)
            yield guest


@contextlib.contextmanager
def lazily(setting, snapshot, *options):
    """By lazymem run."""
    with memory_file(setting) as memory:
        prefix = [setting.lazymem, "run", "--memory", f"{memory}={snapshot.image}", "--create",
                  "--stats", *options, "--"]
        with Guest(setting, memory, INCOMING, prefix=prefix) as guest:
            guest.load(snapshot.state)
            yield guest


def lazymem(setting, *arguments):
    subprocess.run([setting.lazymem, *arguments], check=True)


def with_working_set(setting, snapshot, name, work):
    """A snapshot of lazymem with the working set of work(guest), recorded in a
    first restore."""
    image = setting.path(name + ".snap")
    trace = setting.path(name + ".trace")
    lazymem(setting, "create", snapshot.image, image)
    made = Snapshot(snapshot.state, image)
    with lazily(setting, made, "--record", trace) as guest:
        guest.wait_for_beat()
        work(guest)
        guest.quit()
    lazymem(setting, "optimize", "--trace", trace, image)
    return made
