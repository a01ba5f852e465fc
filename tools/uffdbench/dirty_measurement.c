/* SPDX-License-Identifier: MIT */
#include "dirty_measurement.h"

#include <string.h>

static const struct dirty_measurement *const measurements[] = {
	&dirty_track,
	&dirty_sync_pages,
	&dirty_sync_runs,
	&dirty_moment,
};

const struct dirty_measurement *dirty_measurement_at(size_t index)
{
	return index < sizeof(measurements) / sizeof(*measurements) ? measurements[index] : NULL;
}

const struct dirty_measurement *dirty_measurement_find(const char *name)
{
	const struct dirty_measurement *measurement;

	for (size_t i = 0; (measurement = dirty_measurement_at(i)) != NULL; i++) {
		if (strcmp(name, measurement->name) == 0)
			break;
	}
	return measurement;
}
