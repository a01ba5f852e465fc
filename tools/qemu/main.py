"""main.py - what qemu-guest.sh does with one QEMU."""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

from figures import measure
from guest import Failed
from show import show


class Setting:
    """Which guest, in which QEMU, and where its files are."""

    def __init__(self, options, memory_directory):
        self.work = options.work
        self.memory_directory = memory_directory
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


def parse():
    parser = argparse.ArgumentParser()
    for name in ("qemu", "data", "libraries", "version", "work", "lazymem", "accelerator",
                 "balloon", "parts", "json"):
        parser.add_argument("--" + name, default="")
    for name in ("times", "memory", "in-use"):
        parser.add_argument("--" + name, type=int, required=True)
    return parser.parse_args()


def main():
    options = parse()
    memory_directory = tempfile.mkdtemp(prefix="qemu-guest.", dir="/dev/shm")
    try:
        setting = Setting(options, memory_directory)
        if "show" in options.parts:
            show(setting, options.times, options.balloon == "yes")
        if "figures" in options.parts:
            measure(setting, options.times, options.json)
    except (Failed, OSError, subprocess.CalledProcessError) as error:
        print(f"qemu-guest.sh: QEMU {options.version}: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(memory_directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
