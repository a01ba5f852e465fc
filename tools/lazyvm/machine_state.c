/* SPDX-License-Identifier: MIT */
#include "machine_state.h"
#include "fault.h"

#include <errno.h>
#include <inttypes.h>
#include <lazymem/common.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = {'L', 'A', 'Z', 'Y', 'V', 'M', 'S', 'T'};

struct header {
	char magic[8];
	uint32_t version;
	uint32_t flags; /* none yet */
	uint64_t length;
	uint32_t checksum; /* CRC-32C of all that follows the header */
	uint32_t record_count;
};

struct record {
	uint32_t type;
	uint32_t index;
	uint64_t length; /* of the bytes that follow; then zeros up to a multiple of 8 */
};

/* CRC-32C, four bits at a time: it is made while the guest stands still. */
static uint32_t checksum(const unsigned char *bytes, size_t length)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

static uint64_t padded(uint64_t length)
{
	return (length + 7) & ~UINT64_C(7);
}

/* ---- writing ---------------------------------------------------------------- */

/* Room for `length` more bytes, which are zero. NULL leaves a sentence. */
static unsigned char *extend(struct machine_state *state, size_t length)
{
	unsigned char *end;

	if (length > state->capacity - state->length) {
		const size_t capacity = 2 * (state->capacity + length);
		unsigned char *bytes = realloc(state->bytes, capacity);

		if (bytes == NULL) {
			fault("no memory for %zu bytes of state", capacity);
			return NULL;
		}
		state->bytes = bytes;
		state->capacity = capacity;
	}
	end = state->bytes + state->length;
	memset(end, 0, length);
	state->length += length;
	return end;
}

int machine_state_add(struct machine_state *state, enum machine_record type, uint32_t index,
		      const void *bytes, size_t length)
{
	const struct record record = {type, index, length};
	unsigned char *end;

	if (state->length == 0 && extend(state, sizeof(struct header)) == NULL)
		return -1;
	end = extend(state, sizeof(record) + padded(length));
	if (end == NULL)
		return -1;
	memcpy(end, &record, sizeof(record));
	memcpy(end + sizeof(record), bytes, length);
	((struct header *)(void *)state->bytes)->record_count++;
	return 0;
}

void machine_state_seal(struct machine_state *state)
{
	struct header *header = (void *)state->bytes;

	memcpy(header->magic, magic, sizeof(magic));
	header->version = MACHINE_STATE_VERSION;
	header->length = state->length;
	header->checksum =
		checksum(state->bytes + sizeof(*header), state->length - sizeof(*header));
}

/* ---- reading ---------------------------------------------------------------- */

static int check_header(const struct machine_state *state, const char *name)
{
	struct header header;

	if (state->length < sizeof(header))
		return fault("%s: the state of the machine is truncated: %zu bytes", name,
			     state->length);
	memcpy(&header, state->bytes, sizeof(header));
	if (memcmp(header.magic, magic, sizeof(magic)) != 0)
		return fault("%s: is no state of a machine of lazyvm", name);
	if (header.version != MACHINE_STATE_VERSION)
		return fault("%s: the state of the machine is of version %" PRIu32
			     ", and this lazyvm reads version %d",
			     name, header.version, MACHINE_STATE_VERSION);
	if (header.flags != 0)
		return fault("%s: the state of the machine has flags 0x%" PRIx32
			     ", which this lazyvm does not know",
			     name, header.flags);
	if (header.length != state->length)
		return fault("%s: the state of the machine is truncated, or has a tail: %zu bytes, "
			     "and it says %" PRIu64,
			     name, state->length, header.length);
	if (header.checksum !=
	    checksum(state->bytes + sizeof(header), state->length - sizeof(header)))
		return fault("%s: the state of the machine is damaged: its checksum differs", name);
	return 0;
}

/* The record at *offset, which moves on behind it. False: none lies there as a whole. */
static bool next_record(const struct machine_state *state, size_t *offset,
			struct record *ret_record, const unsigned char **ret_bytes)
{
	const size_t left = state->length - *offset;

	if (left < sizeof(*ret_record))
		return false;
	memcpy(ret_record, state->bytes + *offset, sizeof(*ret_record));
	if (ret_record->length > left - sizeof(*ret_record) ||
	    padded(ret_record->length) > left - sizeof(*ret_record))
		return false;
	*ret_bytes = state->bytes + *offset + sizeof(*ret_record);
	*offset += sizeof(*ret_record) + (size_t)padded(ret_record->length);
	return true;
}

static int check_records(const struct machine_state *state, const char *name)
{
	const uint32_t count = ((const struct header *)(const void *)state->bytes)->record_count;
	size_t offset = sizeof(struct header);

	for (uint32_t i = 0; i < count; i++) {
		const unsigned char *bytes;
		struct record record;

		if (!next_record(state, &offset, &record, &bytes))
			return fault("%s: record %" PRIu32 " of the state of the machine goes past "
				     "its end",
				     name, i);
		if (record.type == 0 || record.type >= RECORD_TYPES)
			return fault("%s: record %" PRIu32
				     " of the state of the machine is of type %" PRIu32
				     ", which this lazyvm does not know",
				     name, i, record.type);
	}
	if (offset != state->length)
		return fault("%s: the state of the machine goes on behind its last record", name);
	return 0;
}

int machine_state_check(const struct machine_state *state, const char *name)
{
	if (check_header(state, name) != 0)
		return -1;
	return check_records(state, name);
}

const void *machine_state_find(const struct machine_state *state, enum machine_record type,
			       uint32_t index, size_t *ret_length)
{
	size_t offset = sizeof(struct header);
	const unsigned char *bytes;
	struct record record;

	while (next_record(state, &offset, &record, &bytes)) {
		if (record.type == (uint32_t)type && record.index == index) {
			*ret_length = (size_t)record.length;
			return bytes;
		}
	}
	return NULL;
}

/* ---- where it comes from ---------------------------------------------------- */

static const char *name_of(const struct lazymem_snapshot *snapshot)
{
	return lazymem_backing_name(lazymem_snapshot_backing(snapshot));
}

int machine_state_from_snapshot(struct machine_state *state,
				const struct lazymem_snapshot *snapshot)
{
	void *bytes;
	size_t length;
	int error = lazymem_snapshot_blob(snapshot, MACHINE_STATE_BLOB, &bytes, &length);

	if (error == -ENOENT)
		return fault("%s: has no state of a machine: it is no snapshot of lazyvm",
			     name_of(snapshot));
	if (error != 0)
		return fault_of_library(NULL);
	*state = (struct machine_state){bytes, length, length};
	if (machine_state_check(state, name_of(snapshot)) == 0)
		return 0;
	machine_state_free(state);
	return -1;
}

void machine_state_free(struct machine_state *state)
{
	free(state->bytes);
	*state = (struct machine_state){0};
}
