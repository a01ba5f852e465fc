/* SPDX-License-Identifier: MIT
 *
 * machine_arguments.h - options of every command that makes a machine.
 */
#ifndef LAZYVM_MACHINE_ARGUMENTS_H
#define LAZYVM_MACHINE_ARGUMENTS_H

#include "arguments.h"
#include "machine.h"

/* A command's own options are numbered from OPTION_MACHINE_END on. */
enum {
	OPTION_KIND = OPTION_OWN,
	OPTION_HUGEPAGES,
	OPTION_CONTROL,
	OPTION_SERIAL,
	OPTION_PAUSED,
	OPTION_MACHINE_END,
};

#define MACHINE_ARGUMENTS                                                                          \
	{"kind", required_argument, NULL, OPTION_KIND},                                            \
		{"hugepages", no_argument, NULL, OPTION_HUGEPAGES},                                \
		{"control", required_argument, NULL, OPTION_CONTROL},                              \
		{"serial", required_argument, NULL, OPTION_SERIAL},                                \
	{                                                                                          \
		"paused", no_argument, NULL, OPTION_PAUSED                                         \
	}

#define MACHINE_USAGE "[--kind KIND] [--hugepages] [--control SOCKET] [--serial FILE]\n[--paused]"
#define MACHINE_HELP                                                                               \
	"  --kind KIND       of the guest's memory: anonymous (the default), memfd, hugetlb\n"     \
	"  --hugepages       advise huge pages for it\n"                                           \
	"  --control SOCKET  listen there for the commands that have this option, too\n"           \
	"  --serial FILE     append what the guest prints to FILE, not to standard output\n"       \
	"  --paused          do not run before `resume`\n"

struct machine_arguments {
	struct guest_memory_options memory;
	const char *control;
	const char *serial;
	bool paused;
};

/* Take an option; false: it is the command's own. Ends the process for a wrong value. */
bool machine_arguments_take(struct machine_arguments *arguments, int option, const char *value);

/* After the last option. Ends the process for what cannot be. */
void machine_arguments_check(const struct machine_arguments *arguments);

#endif
