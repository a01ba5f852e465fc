/* SPDX-License-Identifier: MIT */
#include "cloud_hypervisor_state.h"
#include "complain.h"
#include "file_bytes.h"
#include "source.h"

#include <inttypes.h>
#include <lazymem/common.h>
#include <stdlib.h>

/* The file memory-ranges is the regions one after the other: it is served as
 * it is. */
int import_cloud_hypervisor(struct lazymem_backing *file, const char *state, struct source *source)
{
	struct parse_fault fault;
	uint64_t total = 0;
	void *bytes;
	size_t length;
	int error;

	if (file_bytes_read(state, &bytes, &length) != 0)
		return -1;
	error = cloud_hypervisor_parse_state(bytes, length, &source->regions, &source->region_count,
					     &fault);
	free(bytes);
	if (error != 0) {
		complain("%s: %s", state, fault.text);
		return -1;
	}
	for (size_t i = 0; i < source->region_count; i++)
		total += source->regions[i].length;
	if (total != lazymem_backing_length(file)) {
		complain("%s has %" PRIu64 " bytes, and the memory ranges in %s have %" PRIu64,
			 lazymem_backing_name(file), lazymem_backing_length(file), state, total);
		return -1;
	}
	source->backing = lazymem_backing_ref(file);
	return 0;
}
