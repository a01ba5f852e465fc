/* SPDX-License-Identifier: MIT
 *
 * options.h - the command line.
 */
#ifndef UFFDBENCH_OPTIONS_H
#define UFFDBENCH_OPTIONS_H

#include "engine.h"
#include "pin.h"
#include "source.h"
#include "suite.h"

#include <stdbool.h>
#include <stdint.h>

#define OPTIONS_ENGINES_MAX 32u
#define OPTIONS_MEASUREMENTS_MAX 8u

struct options {
	uint64_t memory; /* bytes; 0: the workload's own */
	const char *workload;
	enum source source;
	unsigned threads;
	enum pin pin;
	bool write;
	unsigned repeat;
	const char *json;
	const char *plot;
	const char *directory;   /* NULL: see options_directory */
	const char *image;       /* an existing one; NULL: make one */
	const char *guest_image; /* a real one; NULL: none */
	const char *make_image;  /* make this one and do nothing else */
	const char *make_trace;  /* likewise */
	const struct engine *engines[OPTIONS_ENGINES_MAX];
	unsigned engine_count;
	const struct suite *suite; /* measure these of it instead; NULL: engines */
	const struct measurement *measurements[OPTIONS_MEASUREMENTS_MAX];
	unsigned measurement_count;
};

/* Read the command line. --help and --version print and exit with 0; anything
 * wrong is named and ends the process with EXIT_USAGE. */
void options_parse(int argc, char **argv, struct options *ret_options);

void options_help(void);

#endif
