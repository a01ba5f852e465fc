/* SPDX-License-Identifier: MIT
 *
 * cloud_hypervisor.c - libFuzzer harness for the parser of a Cloud Hypervisor
 * state.json.
 *
 * The table of memory ranges is JSON inside JSON. So the input is tried twice:
 * as the file, and as what is inside, with a sound file around it.
 */
#include "tools/lazymem/cloud_hypervisor_state.h"

#include "core/checked.h"
#include "tests/fuzz/require.h"

#include <errno.h>
#include <string.h>

static void parse(const void *bytes, size_t length)
{
	struct lazymem_snapshot_region *regions;
	struct parse_fault fault = {""};
	uint64_t offset = 0;
	size_t count;
	const int error = cloud_hypervisor_parse_state(bytes, length, &regions, &count, &fault);

	if (error != 0) {
		REQUIRE(error == -EBADMSG);
		REQUIRE(fault.text[0] != '\0');
		return;
	}
	REQUIRE(count >= 1 && count <= 65536);
	for (size_t i = 0; i < count; i++) {
		REQUIRE(regions[i].base.value % 4096 == 0);
		REQUIRE(regions[i].length % 4096 == 0 && regions[i].length > 0);
		REQUIRE(regions[i].offset == offset);
		REQUIRE(lm_add(offset, regions[i].length, &offset));
	}
	free(regions);
}

/* As an array of bytes, which needs no escapes. */
static void parse_inside(const uint8_t *bytes, size_t size)
{
	static const char before[] =
		"{\"snapshots\":{\"memory-manager\":{\"snapshot_data\":{\"state\":[";
	static const char behind[] = "]}}}}";
	const size_t room = sizeof(before) + size * 4 + sizeof(behind);
	char *text = malloc(room);
	size_t length = sizeof(before) - 1;

	REQUIRE(text != NULL);
	memcpy(text, before, length);
	for (size_t i = 0; i < size; i++)
		length += (size_t)snprintf(text + length, room - length, i == 0 ? "%u" : ",%u",
					   bytes[i]);
	memcpy(text + length, behind, sizeof(behind) - 1);
	parse(text, length + sizeof(behind) - 1);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	parse(bytes, size);
	parse_inside(bytes, size);
	return 0;
}
