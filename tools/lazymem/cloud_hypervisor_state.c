/* SPDX-License-Identifier: MIT
 *
 * Where the table is: the object "memory-manager" in "snapshots" has its
 * "snapshot_data", which is JSON inside JSON. In that, "memory_ranges" has the
 * table, an array of {"gpa": N, "length": N}, by itself or as its "data".
 *
 * How JSON is put inside JSON differs between versions: as the string "state";
 * as "state" again, or as "snapshot" of "memory-manager-section", but an array
 * of its bytes. Versions between these wrote bytes that are no JSON; they are
 * refused.
 */
#include "cloud_hypervisor_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_JANSSON

#include <inttypes.h>
#include <jansson.h>

#define GUEST_PAGE 4096
#define MANAGER "memory-manager"
#define RANGES_LIMIT 65536u

static json_t *load(const char *bytes, size_t length, const char *what, struct parse_fault *fault)
{
	json_error_t error;
	json_t *value = json_loadb(bytes, length, 0, &error);

	if (value == NULL)
		parse_refuse(fault, "%s is no JSON: %s at byte %d", what, error.text,
			     error.position);
	return value;
}

/* An array of the bytes of a JSON text. */
static json_t *load_array(const json_t *array, struct parse_fault *fault)
{
	const size_t length = json_array_size(array);
	char *bytes = malloc(length + 1);
	json_t *value;

	if (bytes == NULL) {
		parse_refuse(fault, "no memory for the state of its " MANAGER);
		return NULL;
	}
	for (size_t i = 0; i < length; i++)
		bytes[i] = (char)json_integer_value(json_array_get(array, i));
	value = load(bytes, length,
		     "the state of its " MANAGER " (some versions wrote it in a binary form)",
		     fault);
	free(bytes);
	return value;
}

static json_t *load_manager(const json_t *root, struct parse_fault *fault)
{
	const json_t *manager = json_object_get(json_object_get(root, "snapshots"), MANAGER);
	const json_t *data = json_object_get(manager, "snapshot_data");
	const json_t *state = json_object_get(data, "state");

	if (state == NULL)
		state = json_object_get(json_object_get(data, MANAGER "-section"), "snapshot");
	if (json_is_string(state))
		return load(json_string_value(state), json_string_length(state),
			    "the state of its " MANAGER, fault);
	if (json_is_array(state))
		return load_array(state, fault);
	if (manager == NULL)
		parse_refuse(fault, "has no snapshot of a " MANAGER);
	else
		parse_refuse(fault, "has a " MANAGER " whose state is of an unknown form");
	return NULL;
}

static int parse_range(const json_t *range, size_t index,
		       struct lazymem_snapshot_region *ret_region, struct parse_fault *fault)
{
	const json_t *gpa = json_object_get(range, "gpa");
	const json_t *length = json_object_get(range, "length");

	if (!json_is_integer(gpa) || !json_is_integer(length))
		return parse_refuse(fault, "memory range %zu has no gpa and length", index);
	if (json_integer_value(gpa) < 0 || json_integer_value(gpa) % GUEST_PAGE != 0 ||
	    json_integer_value(length) <= 0 || json_integer_value(length) % GUEST_PAGE != 0)
		return parse_refuse(fault,
				    "memory range %zu, gpa %" JSON_INTEGER_FORMAT
				    ", length %" JSON_INTEGER_FORMAT ", is not in whole pages",
				    index, json_integer_value(gpa), json_integer_value(length));
	*ret_region = (struct lazymem_snapshot_region){
		.base = {(uint64_t)json_integer_value(gpa)},
		.length = (uint64_t)json_integer_value(length),
	};
	return 0;
}

static int parse_ranges(const json_t *ranges, struct lazymem_snapshot_region **ret_regions,
			size_t *ret_count, struct parse_fault *fault)
{
	const size_t count = json_array_size(ranges);
	struct lazymem_snapshot_region *regions;
	uint64_t offset = 0;

	if (count == 0)
		return parse_refuse(fault, "has no memory ranges: the memory of this guest is "
					   "not in its snapshot");
	if (count > RANGES_LIMIT)
		return parse_refuse(fault, "has %zu memory ranges, more than %u", count,
				    RANGES_LIMIT);
	regions = calloc(count, sizeof(*regions));
	if (regions == NULL) {
		parse_refuse(fault, "no memory for its %zu memory ranges", count);
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		int error = parse_range(json_array_get(ranges, i), i, &regions[i], fault);

		regions[i].offset = offset;
		if (error == 0 && __builtin_add_overflow(offset, regions[i].length, &offset))
			error = parse_refuse(fault, "has memory ranges of more than 2^64 bytes");
		if (error != 0) {
			free(regions);
			return error;
		}
	}
	*ret_regions = regions;
	*ret_count = count;
	return 0;
}

static int parse_manager(const json_t *manager, struct lazymem_snapshot_region **ret_regions,
			 size_t *ret_count, struct parse_fault *fault)
{
	const json_t *ranges = json_object_get(manager, "memory_ranges");

	if (json_is_object(ranges))
		ranges = json_object_get(ranges, "data");
	if (!json_is_array(ranges))
		return parse_refuse(fault, "has a " MANAGER " without a table of memory ranges");
	return parse_ranges(ranges, ret_regions, ret_count, fault);
}

int cloud_hypervisor_parse_state(const void *bytes, size_t length,
				 struct lazymem_snapshot_region **ret_regions, size_t *ret_count,
				 struct parse_fault *fault)
{
	json_t *root = load(bytes, length, "the file", fault);
	json_t *manager;
	int error;

	if (root == NULL)
		return -EBADMSG;
	manager = load_manager(root, fault);
	json_decref(root);
	if (manager == NULL)
		return -EBADMSG;
	error = parse_manager(manager, ret_regions, ret_count, fault);
	json_decref(manager);
	return error;
}

#else

int cloud_hypervisor_parse_state(const void *bytes, size_t length,
				 struct lazymem_snapshot_region **ret_regions, size_t *ret_count,
				 struct parse_fault *fault)
{
	(void)bytes;
	(void)length;
	(void)ret_regions;
	(void)ret_count;
	parse_refuse(fault, "cannot be read: this lazymem was built without jansson");
	return -EPROTONOSUPPORT;
}

#endif
