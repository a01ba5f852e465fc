"""main.py - measure one part of vm-figures.sh, and write its runs to a file."""
import argparse
import json
import os
import signal
import subprocess
import sys

import parts


def end_by_signal(number, _):
    raise parts.lazyvm.Failed(f"ended by signal {number}")


def main():
    parser = argparse.ArgumentParser()
    for name in ("part", "lazyvm", "payloads", "work", "sizes", "output"):
        parser.add_argument("--" + name, required=True)
    for name in ("repeat", "total"):
        parser.add_argument("--" + name, type=int, required=True)
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, end_by_signal)
    try:
        runs = parts.PARTS[options.part](parts.Plan(options))
    except (*parts.FAILURES, OSError, subprocess.SubprocessError) as error:
        print(f"vm-figures.sh: {options.part}: {error}", file=sys.stderr)
        return 1
    with open(options.output + ".part", "w", encoding="utf-8") as file:
        json.dump({"repeats": options.repeat, "runs": runs}, file, indent=1)
        file.write("\n")
    os.rename(options.output + ".part", options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
