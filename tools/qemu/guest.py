"""guest.py - a QEMU that runs the guest of qemu-guest.sh.

The console, the port for commands and QEMU's monitor (QMP) are sockets that
QEMU inherits, so nothing has to be waited for but what comes out of them. What
is to be said to the monitor at the start is said before QEMU runs.
"""
import json
import os
import re
import select
import socket
import subprocess
import time

BEAT = re.compile(r"^beat (\d+)$")

PATIENCE = 120  # seconds for anything that a guest is waited for


class Failed(Exception):
    """Something is not as it must be; the text is for a person."""


class Lines:
    """The complete lines that come out of a socket."""

    def __init__(self, end):
        self.end = end
        self.rest = b""

    def receive(self):
        data = self.end.recv(65536)
        if not data:
            raise Failed("QEMU has closed a connection")
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [line.decode("ascii", "replace").rstrip("\r") for line in lines]


class Guest:
    """One QEMU. `setting` says which program and how much memory; `memory` is
    the file that holds the guest's memory, which must exist or be made by what
    `prefix` runs before QEMU, for example lazymem run."""

    def __init__(self, setting, memory, arguments=(), prefix=(), environment=None, begun=None):
        self.setting = setting
        self.memory = memory
        self.begun = begun if begun is not None else time.monotonic()
        self.console_lines = []
        self.events = []
        self.errors = open(setting.path("errors"), "w+", encoding="utf-8")
        ours, theirs = zip(*(socket.socketpair() for _ in range(3)))
        self.console, self.commands, self.monitor = ours
        self.lines = {end: Lines(end) for end in (self.console, self.monitor)}
        self.process = subprocess.Popen(
            [*prefix, *self.command_line([end.fileno() for end in theirs]), *arguments],
            pass_fds=[end.fileno() for end in theirs], stdin=subprocess.DEVNULL,
            stderr=self.errors, env=setting.environment(environment))
        for end in theirs:
            end.close()
        self.say("qmp_capabilities")

    def command_line(self, fds):
        setting = self.setting
        names = ["console", "commands", "monitor"]
        chardevs = [f"socket,id={name},fd={fd}" for name, fd in zip(names, fds)]
        return [
            setting.qemu, *(["-L", setting.data] if setting.data else []),
            "-accel", setting.accelerator, "-m", str(setting.mib),
            "-object", f"memory-backend-file,id=ram,size={setting.mib}M,share=on,"
                       f"mem-path={self.memory}",
            "-machine", "pc,memory-backend=ram", "-nodefaults", "-no-user-config", "-no-reboot",
            "-display", "none", "-nic", "none", "-device", "virtio-balloon-pci,id=balloon",
            *(word for chardev in chardevs for word in ("-chardev", chardev)),
            "-serial", "chardev:console", "-serial", "chardev:commands",
            "-mon", "chardev=monitor,mode=control",
            "-kernel", setting.path("vmlinuz"), "-initrd", setting.path("initramfs"),
            "-append", "console=ttyS0 quiet panic=-1 "
                       f"workload.mib={setting.in_use} workload.seed=1"]

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for end in (self.console, self.commands, self.monitor):
            end.close()
        if error is not None:
            self.print_last_words()
        self.errors.close()

    def said(self):
        """What QEMU, and what ran it, wrote to standard error."""
        self.errors.seek(0)
        return self.errors.read()

    def print_last_words(self):
        print(*self.said().splitlines()[-8:], *self.console_lines[-8:], sep="\n")

    # ---- what comes ---------------------------------------------------------

    def receive(self, deadline, what):
        """Take in what has come; waits until the deadline for something to come."""
        left = deadline - time.monotonic()
        ready = left > 0 and select.select(list(self.lines), [], [], left)[0]
        if not ready:
            raise Failed(f"nothing for {PATIENCE} s: {what}")
        for end in ready:
            lines = self.lines[end].receive()
            if end is self.console:
                self.console_lines += lines
            else:
                self.events += [json.loads(line) for line in lines]

    def wait_for_line(self, pattern):
        """The match of the next line of the console that matches."""
        deadline = time.monotonic() + PATIENCE
        while True:
            while self.console_lines:
                match = re.match(pattern, self.console_lines.pop(0))
                if match:
                    return match
            self.receive(deadline, pattern)

    # ---- the monitor --------------------------------------------------------

    def say(self, command, mark=False, **arguments):
        message = {"execute": command, "id": "mark"} if mark else {"execute": command}
        if arguments:
            message["arguments"] = {name.replace("_", "-"): value
                                    for name, value in arguments.items()}
        self.monitor.sendall(json.dumps(message).encode() + b"\n")

    def wait_for_event(self, wanted):
        """The next message for which wanted(message) is true; an error is none."""
        deadline = time.monotonic() + PATIENCE
        while True:
            while self.events:
                event = self.events.pop(0)
                if "error" in event:
                    raise Failed("QEMU: " + event["error"]["desc"])
                if wanted(event):
                    return event
            self.receive(deadline, "the monitor")

    def ask(self, command, **arguments):
        """The answer to it, after those to all that was only said before."""
        self.say("query-status", mark=True)
        self.wait_for_event(lambda event: "id" in event)
        self.say(command, **arguments)
        return self.wait_for_event(lambda event: "return" in event)["return"]

    # ---- the guest ----------------------------------------------------------

    def wait_for_beat(self):
        """Seconds since the start."""
        self.wait_for_line(BEAT)
        return self.seconds()

    def seconds(self):
        return time.monotonic() - self.begun

    def command(self, line):
        self.commands.sendall(line.encode() + b"\n")

    def wait_until_done(self, name):
        match = self.wait_for_line(rf"^done {name} (right|wrong) ?(.*)$")
        if match[1] != "right":
            raise Failed(f"the guest has found something wrong: {match[0]}")
        return match[2]

    def perform(self, line):
        """Have the guest do something, and find it right; what it said of it."""
        self.command(line)
        return self.wait_until_done(line.split()[0])

    # ---- snapshots ----------------------------------------------------------

    def ignore_shared(self, state):
        """Whether the next migration leaves the memory in its file."""
        self.ask("migrate-set-capabilities",
                 capabilities=[{"capability": "x-ignore-shared", "state": state}])

    def migrate(self, uri):
        """Write out the state, as its capabilities say, and wait for the end of it."""
        self.ask("migrate", uri=uri)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            status = self.ask("query-migrate")
            if status["status"] == "completed":
                return status
            if status["status"] in ("failed", "cancelled"):
                raise Failed("migration: " + status.get("error-desc", status["status"]))
            time.sleep(0.01)
        raise Failed("the migration does not end")

    def save(self, state):
        """Write the state of the devices; the memory stays in its file. The end of
        the migration stops the guest; one that is stopped before would be restored
        as a stopped one."""
        self.ignore_shared(True)
        self.migrate(f"exec:cat >{state}")

    def load(self, state, capabilities=("x-ignore-shared",)):
        """Say to a QEMU with -incoming defer what it is to load, without waiting."""
        self.say("migrate-set-capabilities",
                 capabilities=[{"capability": name, "state": True} for name in capabilities])
        self.say("migrate-incoming", uri=f"exec:cat {state}")

    def quit(self):
        """An orderly end."""
        self.say("quit")
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed("QEMU does not end") from None
        if status != 0:
            raise Failed(f"QEMU has ended with status {status}")

    def pid(self):
        """Of QEMU itself: it may be the child of what runs it."""
        own = self.process.pid
        with open(f"/proc/{own}/task/{own}/children", encoding="ascii") as children:
            for child in children.read().split():
                if "qemu" in os.readlink(f"/proc/{child}/exe"):
                    return int(child)
        return own
