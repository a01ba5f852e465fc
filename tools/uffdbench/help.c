/* SPDX-License-Identifier: MIT */
#include "functions.h"
#include "guests.h"
#include "options.h"
#include "suite.h"

#include <stdio.h>

static const char head[] =
	"usage: uffdbench [--memory SIZE] [--workload NAME] [--source cached|cold] [--threads N]\n"
	"                 [--pin same|other|none] [--write] [--repeat N] [--json FILE]\n"
	"                 [--plot DIR] [--directory DIR]\n"
	"                 [--image FILE | --guest-image FILE] [ENGINE...]\n"
	"       uffdbench --make-image FILE [--memory SIZE] [--workload NAME]\n"
	"       uffdbench --make-trace FILE [--memory SIZE] [--workload NAME]\n"
	"       uffdbench --dirty [--memory SIZE] [--repeat N] [--json FILE] [--directory DIR]\n"
	"                 [MEASUREMENT...]\n"
	"       uffdbench --post-copy [--memory SIZE] [--repeat N] [--json FILE] [--directory "
	"DIR]\n"
	"                 [MEASUREMENT...]\n"
	"\n"
	"Measure ways to fill guest memory when it is first touched, side by side.\n"
	"\n"
	"  --memory SIZE       guest memory: bytes, or a number with K, M or G\n"
	"                      (default: the workload's own)\n"
	"  --workload NAME     random (default), sequential, stride, sparse, post-restore, mixed,\n"
	"                      trace:FILE, functions (all ten), guests (all three), or one of\n"
	"                     ";

static const char tail[] =
	"  --source WHERE      cached (default) or cold: is the image in the page cache?\n"
	"  --threads N         threads that touch (default 1)\n"
	"  --pin WHERE         toucher and handler on the same CPU, the handler on another one,\n"
	"                      or none (default)\n"
	"  --write             store into each page instead of loading from it\n"
	"  --repeat N          runs of each engine, interleaved (default 3)\n"
	"  --json FILE         write every run to FILE\n"
	"  --plot DIR          draw DIR/cdf.svg and DIR/totals.svg (needs gnuplot)\n"
	"  --directory DIR     where the image is made (default: TMPDIR or /var/tmp; with\n"
	"                      --image: beside it)\n"
	"  --image FILE        use this image, made by --make-image for the same workload\n"
	"  --guest-image FILE  use this raw image of a real guest's memory; pages that are zeros\n"
	"                      are not touched\n"
	"  --make-image FILE   make an image, keep it, and do nothing else\n"
	"  --make-trace FILE   write the recorded set of a workload as a trace, and do nothing "
	"else\n"
	"  --dirty             measure what it costs to know, and to keep, what the guest has\n"
	"                      written, in 4 GiB unless told otherwise\n"
	"  --post-copy         measure faults over NBD, and the stream that brings the rest, in\n"
	"                      2 GiB unless told otherwise (needs nbdkit and nbdcopy)\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 success; 1 a run, a proof, a check or a file failed; 2 wrong command\n"
	"line; 77 no permission for userfaultfd. See uffdbench(1).\n";

static void list_measurements(const struct suite *suite)
{
	printf("\nMeasurements of --%s (all by default):\n", suite->option);
	for (size_t i = 0; suite->measurements[i] != NULL; i++)
		printf("  %-16s %s\n", suite->measurements[i]->name,
		       suite->measurements[i]->summary);
}

void options_help(void)
{
	fputs(head, stdout);
	for (size_t i = 0; functions_name(i) != NULL; i++)
		printf("%s %s", i == 5 ? "\n                     " : "", functions_name(i));
	for (size_t i = 0; guests_name(i) != NULL; i++)
		printf("%s %s", i == 0 ? "\n                     " : "", guests_name(i));
	printf("\n%s\nEngines (* by default):\n", tail);
	for (size_t i = 0; engine_at(i) != NULL; i++)
		printf("%s %-16s %s\n", engine_is_default(engine_at(i)) ? "*" : " ",
		       engine_at(i)->name, engine_at(i)->summary);
	list_measurements(&suite_dirty);
	list_measurements(&suite_post_copy);
}
