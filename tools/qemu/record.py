"""record.py - traces of what a guest touches: boot, an HTTP request, a sort.

boot is recorded from power-on, over memory that is all holes, to the first
heartbeat; the others in a guest that has been restored, from the restore until
the program has ended. Each is recorded twice, by two guests that know nothing of
each other: what they have in common is what recurs.
"""
import argparse
import os
import subprocess
import sys

import restores
from guest import Guest
from setting import add_arguments, with_setting
from show import source


def record_boot(setting, trace):
    empty = setting.path("empty.raw")
    with open(empty, "wb") as file:
        file.truncate(setting.mib << 20)
    with restores.memory_file(setting) as memory:
        prefix = [setting.lazymem, "run", "--memory", f"{memory}={empty}", "--create",
                  "--prefetch", "none", "--record", trace, "--"]
        with Guest(setting, memory, prefix=prefix) as guest:
            guest.wait_for_line("the guest is ready")
            guest.wait_for_beat()
            guest.quit()


def record_task(setting, snapshot, task, trace):
    with restores.lazily(setting, snapshot, "--prefetch", "none", "--record", trace) as guest:
        guest.wait_for_beat()
        guest.perform(task)
        guest.quit()


def pack(trace, target):
    with open(target, "wb") as packed:
        subprocess.run(["gzip", "-9nc", trace], check=True, stdout=packed)


def record(setting, directory):
    trace = setting.path("trace")
    with source(setting) as guest:
        snapshot = restores.save(setting, guest, "recorded")
        guest.quit()
    for number in (1, 2):
        for name in ("boot", "http", "sort"):
            if name == "boot":
                record_boot(setting, trace)
            else:
                record_task(setting, snapshot, name, trace)
            target = os.path.join(directory, f"{name}-{number}.trace.gz")
            pack(trace, target)
            print(f"{target}: {os.stat(target).st_size} bytes", flush=True)
            subprocess.run([setting.lazymem, "trace", "info", trace], check=True)


def main():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    return with_setting(options, "record-traces.sh",
                        lambda setting: record(setting, options.output))


if __name__ == "__main__":
    sys.exit(main())
