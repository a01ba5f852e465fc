"""qemu.py - stock QEMU's own migration by post-copy, over the loopback device.

Both ends run the guest of tools/qemu under software emulation, in memory of
their own. The source is told to change to post-copy at once, and not to hold
itself back. The guest checks all of its memory meanwhile: it began before the
migration, and says at the destination whether everything was right.
"""
import itertools
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "qemu"))

from guest import PATIENCE, Failed, Guest  # pylint: disable=wrong-import-position

NOT_FILLED = 192  # MiB of the guest that are left to its kernel and programs
NO_LIMIT = 1 << 40  # bytes a second


class Setting:
    """What Guest asks of a setting."""
    qemu = "qemu-system-x86_64"
    data = ""
    accelerator = "tcg"
    numbers = itertools.count()

    def __init__(self, work, filled):
        self.work = work
        self.mib = filled + NOT_FILLED
        self.in_use = filled
        self.errors = f"errors{next(self.numbers)}"

    def path(self, name):
        return os.path.join(self.work, self.errors if name == "errors" else name)

    def environment(self, _):
        return None


class Host(Guest):
    """One end: a guest, or a QEMU that waits for one."""

    def __init__(self, work, filled, waits=False):
        super().__init__(Setting(work, filled), None, ("-incoming", "defer") if waits else ())
        self.ask("migrate-set-capabilities",
                 capabilities=[{"capability": "postcopy-ram", "state": True}])

    def command_line(self, fds):
        backend = f"memory-backend-ram,id=ram,size={self.setting.mib}M"
        return [backend if word.startswith("memory-backend-file") else word
                for word in super().command_line(fds)]

    def listen(self):
        """The port that it waits at."""
        self.ask("migrate-incoming", uri="tcp:127.0.0.1:0")
        return self.ask("query-migrate")["socket-address"][0]["port"]

    def migrate_to(self, port):
        """What QEMU says of it at the end, and the seconds that it took."""
        self.ask("migrate-set-parameters", max_bandwidth=NO_LIMIT)
        begun = time.monotonic()
        self.ask("migrate", uri=f"tcp:127.0.0.1:{port}")
        self.ask("migrate-start-postcopy")
        while time.monotonic() - begun < PATIENCE:
            status = self.ask("query-migrate")
            if status["status"] == "completed":
                return status, time.monotonic() - begun
            if status["status"] in ("failed", "cancelled", "postcopy-paused"):
                raise Failed("QEMU's migration: " + status.get("error-desc", status["status"]))
            time.sleep(0.005)
        raise Failed("QEMU's migration does not end")


def version(program="qemu-system-x86_64"):
    with os.popen(f"{program} --version") as answer:
        return answer.readline().split()[3]


def boot(work, filled):
    """A guest that has filled so many MiB."""
    guest = Host(work, filled)
    try:
        guest.wait_for_line("the guest is ready")
    except Failed:
        guest.__exit__(Failed, None, None)
        raise
    return guest


def migrate(work, filled, source):
    """Move the guest on: what it took, and the destination. The source ends."""
    target = Host(work, filled, waits=True)
    try:
        source.command("check")
        status, seconds = source.migrate_to(target.listen())
        target.wait_until_done("check")
    except BaseException:
        target.__exit__(None, None, None)
        raise
    source.quit()
    source.__exit__(None, None, None)
    ram = status["ram"]
    return {"seconds": seconds, "pause_seconds": status["downtime"] / 1e3,
            "bytes": ram["transferred"], "pages": ram["normal"],
            "faults": ram.get("postcopy-requests")}, target
