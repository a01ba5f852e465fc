/* SPDX-License-Identifier: MIT
 *
 * Signals that end the process remove the names first. What a signal handler needs of
 * them is set before there is anything to be removed.
 */
#include "own_name.h"
#include "complain.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int deadly[] = {SIGINT, SIGTERM, SIGHUP};

#define DEADLY_COUNT (sizeof(deadly) / sizeof(*deadly))

static const char *volatile doomed_directory, *volatile doomed_path;
static struct sigaction before[DEADLY_COUNT];

void own_name_remove_at_death(void)
{
	if (doomed_path != NULL)
		unlink(doomed_path);
	if (doomed_directory != NULL)
		rmdir(doomed_directory);
}

static void die(int number)
{
	own_name_remove_at_death();
	signal(number, SIG_DFL);
	raise(number); /* once this has returned */
}

/* A signal that the caller ignores, as nohup does, stays ignored. */
static void watch_signals(void)
{
	const struct sigaction action = {.sa_handler = die, .sa_flags = SA_RESTART};

	for (size_t i = 0; i < DEADLY_COUNT; i++) {
		sigaction(deadly[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN)
			sigaction(deadly[i], &action, NULL);
	}
}

static int make(const char *file, struct own_name *name)
{
	if (mkdtemp(name->directory) == NULL) {
		complain("cannot make a directory %s: %s", name->directory, strerror(errno));
		return -1;
	}
	if (asprintf(&name->path, "%s/%s", name->directory, file) < 0) {
		name->path = NULL;
		complain("no memory");
		return -1;
	}
	doomed_path = name->path;
	return 0;
}

int own_name_create(const char *parent, const char *file, struct own_name *ret_name)
{
	struct own_name name = {NULL, NULL};

	if (asprintf(&name.directory, "%s/uffdbench.XXXXXX", parent) < 0) {
		complain("no memory");
		return -1;
	}
	doomed_directory = name.directory;
	watch_signals();
	if (make(file, &name) != 0) {
		own_name_remove(&name);
		return -1;
	}
	*ret_name = name;
	return 0;
}

void own_name_remove(struct own_name *name)
{
	if (name->directory == NULL)
		return;
	own_name_remove_at_death();
	for (size_t i = 0; i < DEADLY_COUNT; i++)
		sigaction(deadly[i], &before[i], NULL);
	doomed_path = doomed_directory = NULL;
	free(name->path);
	free(name->directory);
	*name = (struct own_name){NULL, NULL};
}
