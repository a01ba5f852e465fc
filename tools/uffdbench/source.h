/* SPDX-License-Identifier: MIT
 *
 * source.h - is a file that a run reads in the page cache or not, and can we
 * show it? The image is one; some engines have one of their own.
 */
#ifndef UFFDBENCH_SOURCE_H
#define UFFDBENCH_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

/* All that has to be known of the file here. */
struct source_file {
	int fd;           /* below zero: there is none */
	const char *name; /* for messages: the file, or the directory it is in */
	uint64_t length;
};

enum source {
	SOURCE_CACHED, /* every page of the file is in the page cache */
	SOURCE_COLD,   /* at most one in a thousand is */
};

const char *source_name(enum source source);

/* Can this file be brought into that state, and can that be proved? 0, or -1
 * after a message. */
int source_check(const struct source_file *file, enum source source);

/* Bring it there. 0, or -1 after a message. */
int source_bring(const struct source_file *file, enum source source);

/* Pages that the file has. */
uint64_t source_pages(const struct source_file *file);

/* Ask the kernel where it is: pages of the file in the page cache, and
 * whether that is the state wanted. 0, or -1 after a message. */
int source_prove(const struct source_file *file, enum source source, uint64_t *ret_resident,
		 bool *ret_proved);

#endif
