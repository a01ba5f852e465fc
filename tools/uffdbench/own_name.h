/* SPDX-License-Identifier: MIT
 *
 * own_name.h - a file that must have a name for as long as it is used, as a socket
 * has: in a new directory that nothing is left of, however this process ends, but by
 * SIGKILL. There is one at a time.
 */
#ifndef UFFDBENCH_OWN_NAME_H
#define UFFDBENCH_OWN_NAME_H

struct own_name {
	char *directory; /* NULL: there is none */
	char *path;      /* of the file in it, which is the caller's to make */
};

/* A new directory in `parent`. -1 after a message. */
int own_name_create(const char *parent, const char *file, struct own_name *ret_name);

/* The directory, and the file if there is one. */
void own_name_remove(struct own_name *name);

/* The same, for whoever ends the process in a signal handler. */
void own_name_remove_at_death(void);

#endif
