/* SPDX-License-Identifier: MIT
 *
 * report_file.h - what every report in JSON has: the file, and the machine.
 */
#ifndef UFFDBENCH_REPORT_FILE_H
#define UFFDBENCH_REPORT_FILE_H

#include "json.h"

/* Write to the file at `path` what `put` puts. 0, or -1 after a message. */
int report_file(const char *path, void (*put)(struct json *json, const void *context),
		const void *context);

/* The member "machine"; files are in `directory`. */
void report_machine(struct json *json, const char *directory);

#endif
