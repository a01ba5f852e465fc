"""lazyvm.py - guests of lazyvm, asked over their control sockets."""
import os
import re
import subprocess
import time

PATIENCE = 300  # seconds for anything that a guest is waited for


class Failed(Exception):
    """Something is not as it must be; the text is for a person."""


class Lazyvm:
    """One process that runs a guest, or waits for one. `programs` has the paths of
    lazyvm and of the payloads."""

    def __init__(self, programs, work, name, arguments):
        self.program = programs.lazyvm
        self.name = name
        self.socket = os.path.join(work, name + ".socket")
        self.serial = os.path.join(work, name + ".serial")
        self.said = 0  # lines of the serial port that were looked at
        self.errors = os.path.join(work, name + ".errors")
        for path in (self.socket, self.serial):
            if os.path.exists(path):
                os.unlink(path)
        with open(self.errors, "w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                [self.program, *arguments[:1], "--control", self.socket, "--serial", self.serial,
                 *arguments[1:]],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        if error is not None:
            print(*self.lines_of(self.errors)[-4:], *self.lines_of(self.serial)[-4:], sep="\n")

    @staticmethod
    def lines_of(path):
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()

    def wait_until(self, what, look):
        """What look() says, once that is something."""
        deadline = time.monotonic() + PATIENCE
        while True:
            ended = self.process.poll() is not None
            found = look()
            if found:
                return found
            if ended:
                said = self.lines_of(self.errors)
                raise Failed(f"{self.name} ended before {what}: {' '.join(said[-2:])}")
            if time.monotonic() > deadline:
                raise Failed(f"{self.name}: nothing for {PATIENCE} s: {what}")
            time.sleep(0.01)

    # ---- what the guest prints ------------------------------------------------

    def wait_for_line(self, pattern):
        """The next line that the guest prints and that matches. One that has found a
        bad page is not listened to."""
        def look():
            lines = self.lines_of(self.serial)
            bad = [line for line in lines if "BAD" in line or "refused" in line]
            if bad:
                raise Failed(f"{self.name}: the guest has found something wrong: {bad[0]}")
            for number in range(self.said, len(lines)):
                if re.search(pattern, lines[number]):
                    self.said = number + 1
                    return lines[number]
            return None
        return self.wait_until(f"'{pattern}'", look)

    def wait_for_port(self):
        """Where a destination listens."""
        line = self.process.stdout.readline()
        if not re.search(r"port \d+$", line):
            raise Failed(f"{self.name} does not listen: {' '.join(self.lines_of(self.errors))}")
        return int(line.split()[-1])

    # ---- the control socket ---------------------------------------------------

    def run(self, *arguments):
        answer = subprocess.run([self.program, arguments[0], "--control", self.socket,
                                 *arguments[1:]],
                                capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            raise Failed(answer.stderr.strip())
        return answer.stdout

    def ask(self, *arguments):
        """Its answer: the words of the form name=value of it, numbers as such."""
        words = re.findall(r"(\S+?)=(\S+)", self.run(*arguments))
        return {name: int(value) if value.isdigit() else value for name, value in words}

    def wait_for_status(self, name):
        """Until the status has this number, and it is not zero."""
        def look():
            if not os.path.exists(self.socket):
                return None
            try:
                return self.ask("status").get(name)
            except Failed:
                return None
        return self.wait_until(f"{name} in its status", look)

    def quit(self):
        self.run("quit")
        self.process.wait(PATIENCE)


def fill(programs, work, name, mib, *options):
    """A guest of one vCPU that has filled its memory with a pattern, and from now on
    checks it over and over."""
    guest = Lazyvm(programs, work, name,
                   ["run", "--memory", f"{mib}M", *options, "--argument", "0",
                    os.path.join(programs.payloads, "fill")])
    try:
        guest.wait_for_line("filled")
    except BaseException:
        guest.__exit__(None, None, None)
        raise
    return guest
