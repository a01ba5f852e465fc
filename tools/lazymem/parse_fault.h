/* SPDX-License-Identifier: MIT
 *
 * parse_fault.h - what is wrong with bytes that come from outside. The parsers
 * of foreign files are functions over bytes: they read no files, and depend on
 * nothing else here, so that they can be tested and fuzzed alone.
 */
#ifndef LAZYMEM_TOOL_PARSE_FAULT_H
#define LAZYMEM_TOOL_PARSE_FAULT_H

struct parse_fault {
	char text[256]; /* what follows "FILE: " in the message */
};

/* Fill it; returns -EBADMSG. */
int parse_refuse(struct parse_fault *fault, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
