"""setting.py - which guest, in which QEMU, and where its files are."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from guest import Failed


class Setting:
    def __init__(self, options, memory_directory):
        self.memory_directory = memory_directory
        self.work = options.work
        self.lazymem = options.lazymem
        self.qemu = options.qemu
        self.data = options.data
        self.libraries = options.libraries
        self.version = options.version
        self.accelerator = options.accelerator
        self.mib = options.memory
        self.in_use = options.in_use

    def path(self, name):
        return os.path.join(self.work, name)

    def memory(self, name):
        return os.path.join(self.memory_directory, name)

    def environment(self, more):
        libraries = {"LD_LIBRARY_PATH": self.libraries} if self.libraries else {}
        return {**os.environ, **libraries, **(more or {})}


def add_arguments(parser):
    for name in ("work", "lazymem"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--qemu", default="qemu-system-x86_64")
    parser.add_argument("--data", default="")
    parser.add_argument("--libraries", default="")
    parser.add_argument("--version", default="")
    parser.add_argument("--accelerator", default="tcg")
    for name in ("memory", "in-use"):
        parser.add_argument("--" + name, type=int, required=True)


def end_by_signal(number, _):
    raise Failed(f"ended by signal {number}")


def with_setting(options, program, work):
    """Run work(setting); the memory files are gone afterwards. The exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, end_by_signal)
    memory_directory = tempfile.mkdtemp(prefix="qemu-guest.", dir="/dev/shm")
    try:
        work(Setting(options, memory_directory))
    except (Failed, OSError, subprocess.CalledProcessError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(memory_directory, ignore_errors=True)
    return 0
