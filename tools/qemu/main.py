"""main.py - what qemu-guest.sh does with one QEMU."""
import argparse
import sys

from figures import measure
from setting import add_arguments, with_setting
from show import show


def main():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for name in ("balloon", "parts", "json"):
        parser.add_argument("--" + name, default="")
    parser.add_argument("--times", type=int, required=True)
    options = parser.parse_args()

    def work(setting):
        if "show" in options.parts:
            show(setting, options.times, options.balloon == "yes")
        if "figures" in options.parts:
            measure(setting, options.times, options.json)

    return with_setting(options, f"qemu-guest.sh: QEMU {options.version}", work)


if __name__ == "__main__":
    sys.exit(main())
