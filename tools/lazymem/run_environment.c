/* SPDX-License-Identifier: MIT
 *
 * LD_PRELOAD names our library, before those that it named; RUN_ENVIRONMENT says
 * where the settings are and what LD_PRELOAD was, so that the library can put
 * both in order again when it has what it needs.
 */
#include "complain.h"
#include "run.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY "liblazymem-run.so"
#define PRELOAD "LD_PRELOAD"

/* DIRECTORY of the executable, with the slash. */
static int own_directory(char *directory, size_t size)
{
	const ssize_t length = readlink("/proc/self/exe", directory, size - 1);
	char *slash;

	if (length < 0) {
		complain("/proc/self/exe: %s", strerror(errno));
		return -1;
	}
	directory[length] = '\0';
	slash = strrchr(directory, '/');
	if (slash != NULL)
		slash[1] = '\0';
	return 0;
}

/* Beside the executable, as it is built; or where it is installed. To be freed;
 * NULL after a message. */
static char *find_library(void)
{
	static const char *const places[] = {"", RUN_LIBRARY_DIRECTORY "/"};
	char directory[PATH_MAX];

	if (own_directory(directory, sizeof(directory)) != 0)
		return NULL;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		char *path;

		if (asprintf(&path, "%s%s" LIBRARY, directory, places[i]) < 0) {
			complain("no memory for the name of " LIBRARY);
			return NULL;
		}
		if (access(path, R_OK) == 0)
			return path;
		free(path);
	}
	complain(LIBRARY ": is neither in %s nor in %s%s", directory, directory,
		 RUN_LIBRARY_DIRECTORY);
	return NULL;
}

int run_check_environment(void)
{
	char *library;
	int result = 0;

	if (getenv(RUN_ENVIRONMENT) != NULL) {
		complain(RUN_ENVIRONMENT " is set: one lazymem run inside another; give all "
					 "memories to one of them");
		return EXIT_RUN_FAILED;
	}
	library = find_library();
	if (library == NULL)
		return EXIT_RUN_FAILED;
	if (strpbrk(library, " \t\n:") != NULL) {
		complain("%s: cannot be preloaded: its name has a space or a colon", library);
		result = EXIT_RUN_FAILED;
	}
	free(library);
	return result;
}

/* NAME = FORMAT. */
static int set_variable(const char *name, const char *a, const char *between, const char *b)
{
	char *value;
	int result = -1;

	if (asprintf(&value, "%s%s%s", a, between, b) >= 0) {
		result = setenv(name, value, 1);
		free(value);
	}
	if (result != 0)
		complain("%s: cannot be set: %s", name, strerror(ENOMEM));
	return result;
}

int run_set_environment(int settings_fd)
{
	const char *value = getenv(PRELOAD);
	char *before = value != NULL ? strdup(value) : NULL;
	char *library = find_library();
	char number[16];
	int result = -1;

	snprintf(number, sizeof(number), "%d", settings_fd);
	if (value != NULL && before == NULL)
		complain("no memory for " PRELOAD);
	else if (library != NULL) {
		result = set_variable(RUN_ENVIRONMENT, number, before != NULL ? ":" : "",
				      before != NULL ? before : "");
		if (result == 0)
			result = set_variable(PRELOAD, library,
					      before != NULL && before[0] != '\0' ? ":" : "",
					      before != NULL ? before : "");
	}
	free(library);
	free(before);
	return result == 0 ? 0 : EXIT_RUN_FAILED;
}
