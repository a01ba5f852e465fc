"""report.py - the tables, the drawings and the page of vm-figures.sh, from the JSON of its
parts; nothing in them is typed in.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

HEAD = """# Restore and migration

Written by `tools/vm-figures.sh` from the JSON of its runs; nothing here is typed in. Every figure is a median over the repeats of one run in which the ways take turns, unless it is said otherwise, and in brackets are the least and the most of them. The guests check their memory all the while, and every page that is measured without a guest was compared with its source; what was found wrong ends the run.
"""


# ---- numbers -------------------------------------------------------------------

def short(value):
    """Three digits, as a person would write them."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(values, scale=1.0):
    """The median, and in brackets the least and the most."""
    if not values:
        return "-"
    scaled = sorted(value * scale for value in values)
    return f"{short(statistics.median(scaled))} ({short(scaled[0])} to {short(scaled[-1])})"


def median(runs, key, scale=1.0):
    return statistics.median(run[key] for run in runs) * scale


def pick(runs, **wanted):
    return [run for run in runs if all(run[key] == value for key, value in wanted.items())]


def values(runs, key):
    return [run[key] for run in runs if run[key] is not None]


def unique(runs, key):
    return list(dict.fromkeys(run[key] for run in runs))


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


# ---- drawings ------------------------------------------------------------------

STYLE = """set terminal svg size 720,440 font 'sans,14' background '#ffffff'
set output '{name}.svg'
set title '{title}' noenhanced
set ylabel '{unit}'
set grid ytics
set key noenhanced {key}
"""

BARS = """set style data histograms
set style histogram clustered gap 1
set style fill solid 0.8
set yrange [0:*]
plot for [i=2:{columns}] $data using i:xtic(1) title columnheader(i)
"""

LINES = """set logscale xy
set xlabel 'memory of the guest, MiB'
set xtics ({ticks})
set xrange [{first}*0.8:{last}*1.25]
plot for [i=2:{columns}] $data using 1:i with linespoints lw 2 pt 7 title columnheader(i)
"""


def draw(plots, name, title, unit, head, rows, kind=BARS, key="left top"):
    """Rows of numbers, the first of each being where it stands."""
    data = ["$data << END", " ".join(f'"{word}"' for word in ["x", *head])]
    for row in rows:
        place = f'"{row[0]}"' if isinstance(row[0], str) else str(row[0])
        data.append(" ".join([place] + [f"{value:.6g}" for value in row[1:]]))
    places = [row[0] for row in rows]
    script = "\n".join(data) + "\nEND\n" + STYLE.format(
        name=name, title=title, unit=unit, key=key) + kind.format(
            columns=len(head) + 1, ticks=", ".join(str(place) for place in places),
            first=places[0], last=places[-1])
    subprocess.run(["gnuplot"], input=script, text=True, check=True, cwd=plots)


def picture(plots, page, title, name):
    where = os.path.relpath(plots, os.path.dirname(os.path.abspath(page)))
    return f"\n![{title}]({where}/{name}.svg)\n"


# ---- the parts -------------------------------------------------------------------

PERCENTILES = {"p50": "p50_ns", "p90": "p90_ns", "p99": "p99_ns"}


def report_faults(runs, plots, page):
    runs = pick(runs, measurement="faults")
    ways = unique(runs, "way")
    rows = [[way, *(spread(values(pick(runs, way=way), key), 1e-3)
                    for key in PERCENTILES.values()),
             spread(values(pick(runs, way=way), "p99_to_alone")),
             short(median(pick(runs, way=way), "faults")),
             spread(values(pick(runs, way=way), "stream_bytes_per_second"), 1e-9),
             str(sum(run["wrong"] for run in pick(runs, way=way)))] for way in ways]
    draw(plots, "post-copy-faults", "A fault over NBD", "microseconds", ways,
         [[name, *(median(pick(runs, way=way), key, 1e-3) for way in ways)]
          for name, key in PERCENTILES.items()])
    return table(["way", "p50 (µs)", "p90 (µs)", "p99 (µs)", "p99 to alone", "faults",
                  "stream (GB/s)", "wrong pages"], rows) + picture(
                      plots, page, "Latency of a fault over NBD", "post-copy-faults")


def report_stream(runs, plots, page):
    runs = pick(runs, measurement="stream")
    ways = unique(runs, "way")
    rows = [[way, spread(values(pick(runs, way=way), "bytes_per_second"), 1e-9),
             spread(values(pick(runs, way=way), "to_nbdcopy")),
             str(sum(run["wrong"] for run in pick(runs, way=way)))] for way in ways]
    draw(plots, "post-copy-stream", "Everything over NBD", "GB/s", ["rate"],
         [[way, median(pick(runs, way=way), "bytes_per_second", 1e-9)] for way in ways],
         key="off")
    return table(["way", "rate (GB/s)", "to nbdcopy", "wrong pages"], rows) + picture(
        plots, page, "Rate of the stream", "post-copy-stream")


def report_post_copy(result, plots, page):
    runs = result["runs"]
    mib = runs[0]["memory_bytes"] >> 20
    machine = result["machine"]
    priority = (f"real-time priority {machine['realtime_priority']}"
                if machine.get("realtime_priority") else "the usual priority")
    return (f"""## A fault over NBD, and the stream that brings the rest

`uffdbench --post-copy --memory {mib}M --repeat {max(run['repeat'] for run in runs)}`, at {priority}: memory that nbdkit exports over a unix socket. Faults arrive as a Poisson process; *alone*, and while everything else is being brought at full rate (*stream*). How each number is defined is in uffdbench(1).

""" + report_faults(runs, plots, page) + "\nThe stream alone, beside `nbdcopy` of the same export into a memfd:\n\n"
            + report_stream(runs, plots, page))


def by_size(runs, key, scale, plots, name, title):
    """A line for each way, over the sizes."""
    sizes, ways = unique(runs, "mib"), unique(runs, "way")
    draw(plots, name, title, "milliseconds", ways,
         [[mib, *(median(pick(runs, mib=mib, way=way), key, scale) for way in ways)]
          for mib in sizes], LINES)
    return sizes, ways


def largest_to_least(runs, key, way):
    """How flat it is: the largest of the medians to the least of them."""
    medians = [median(pick(runs, mib=mib, way=way), key) for mib in unique(runs, "mib")]
    return f"{max(medians) / min(medians):.2f}"


def report_restore(result, plots, page):
    runs = result["runs"]
    key = "first_instruction_us"
    sizes, _ = by_size(runs, key, 1e-3, plots, "restore-first-instruction",
                       "From restore to the first instruction of the guest")
    rows = [[str(mib), spread(values(pick(runs, mib=mib, way="lazy"), key), 1e-3),
             spread(values(pick(runs, mib=mib, way="eager"), key), 1e-3)] for mib in sizes]
    return (f"""## From restore to the first instruction

`lazyvm restore` of guests whose memory is full, out of snapshots that are in the page cache; with `--eager` all of the memory is read before. From when the command's own code begins until right before the first vCPU enters the guest; the page of its first instruction is brought after that, in one fault whatever the size. {result['repeats']} repeats. Of the lazy restores the largest median is {largest_to_least(runs, key, 'lazy')} times the least.

""" + table(["memory (MiB)", "lazy (ms)", "eager (ms)"], rows)
            + picture(plots, page, "Time to the first instruction", "restore-first-instruction"))


def report_pause(result, plots, page):
    runs = result["runs"]
    sizes, ways = by_size(runs, "pause_us", 1e-3, plots, "migration-pause",
                          "How long the guest stands still")
    rows = [[str(mib), *(spread(values(pick(runs, mib=mib, way=way), "pause_us"), 1e-3)
                         for way in ways),
             *(spread(values(pick(runs, mib=mib, way=way), "total_ms"), 1e-3) for way in ways)]
            for mib in sizes]
    return (f"""## The pause of a migration

`lazyvm migrate` over the loopback device of guests whose memory is full and that go on checking it, from the last instruction at the source until the source hears that the guest runs; and with `--stop-and-copy`, where the guest stands still while all of its memory is copied. {result['repeats']} repeats. Of the post-copies the largest median is {largest_to_least(runs, 'pause_us', 'post-copy')} times the least.

""" + table(["memory (MiB)", *(f"pause, {way} (ms)" for way in ways),
             *(f"total, {way} (s)" for way in ways)], rows)
            + picture(plots, page, "Pause of a migration", "migration-pause"))


def report_total(result, plots, page):
    runs = result["runs"]
    ways = unique(runs, "way")
    rows = [[way, short(median(pick(runs, way=way), "bytes", 2 ** -20)),
             spread(values(pick(runs, way=way), "seconds")),
             spread([run["bytes"] / run["seconds"] / 1e9 for run in pick(runs, way=way)]),
             spread(values(pick(runs, way=way), "pause_seconds"), 1e3),
             spread(values(pick(runs, way=way), "faults"))] for way in ways]
    draw(plots, "migration-total", "A migration by post-copy, all of it", "seconds", ["total"],
         [[way, median(pick(runs, way=way), "seconds")] for way in ways], key="off")
    times = [median(pick(runs, way=way), "seconds") for way in ways]
    return (f"""## A migration, all of it, beside stock QEMU's

Post-copy from the start over the loopback device, as fast as it goes. QEMU's guest is Linux under software emulation that has filled its memory; lazyvm's has as much memory as QEMU's had that was not zeros, all of it full. Both check it during the migration. QEMU's migrations come first and lazyvm's after them, since the size of lazyvm's guest follows from QEMU's. From the command until the source is not needed any more. {result['repeats']} repeats. lazyvm takes {times[-1] / times[0]:.2f} times as long as QEMU.

""" + table(["way", "brought (MiB)", "total (s)", "GB/s", "pause (ms)", "faults"], rows)
            + picture(plots, page, "Total time of a migration", "migration-total"))


REPORTS = {"post-copy": report_post_copy, "restore": report_restore, "pause": report_pause,
           "total": report_total}


def machine_of(result):
    machine = result["machine"]
    return (f"\n{machine['cpus']} CPUs ({machine['cpu']}), "
            f"{machine['memory_bytes'] / (1 << 30):.0f} GiB of memory, "
            f"{machine['kernel'].split('-')[0]}, {machine['architecture']}.\n")


def main():
    parser = argparse.ArgumentParser()
    for name in ("results", "page", "plots"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("parts", nargs="+", choices=REPORTS)
    options = parser.parse_args()
    sections = []
    for part in options.parts:
        with open(os.path.join(options.results, part + ".json"), encoding="utf-8") as file:
            result = json.load(file)
        if "machine" in result:
            sections.insert(0, machine_of(result))
        sections.append("\n" + REPORTS[part](result, options.plots, options.page))
    with open(options.page + ".part", "w", encoding="utf-8") as file:
        file.write(HEAD + "".join(sections))
    os.rename(options.page + ".part", options.page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
