/* SPDX-License-Identifier: MIT */
#include "maps.h"
#include "complain.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MAPS "/proc/self/maps"

static int protection_of(const char *letters)
{
	return (letters[0] == 'r' ? PROT_READ : 0) | (letters[1] == 'w' ? PROT_WRITE : 0) |
	       (letters[2] == 'x' ? PROT_EXEC : 0);
}

/* One line: "start-end rwxp ...". */
static bool parse(const char *line, struct run_mapped *ret_mapped)
{
	char letters[5];

	if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &ret_mapped->start, &ret_mapped->end,
		   letters) != 3)
		return false;
	ret_mapped->protection = protection_of(letters);
	return true;
}

int run_maps_find(uintptr_t address, struct run_mapped *ret_mapped)
{
	FILE *maps = fopen(MAPS, "re");
	int error = EFAULT;
	char *line = NULL;
	size_t room = 0;

	if (maps == NULL) {
		error = errno;
		complain("%s: %s", MAPS, strerror(error));
		return error;
	}
	while (error != 0 && getline(&line, &room, maps) > 0) {
		struct run_mapped mapped;

		if (!parse(line, &mapped) || address < mapped.start || address >= mapped.end)
			continue;
		*ret_mapped = mapped;
		error = 0;
	}
	free(line);
	fclose(maps);
	return error;
}
