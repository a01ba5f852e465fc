/* SPDX-License-Identifier: MIT
 *
 * snapshot_mutator.c - how snapshot files are mutated: at one place that means
 * something, and then, but for a part chosen at random, mended. What is tried is
 * a file as it is: it can be given to any tool that reads snapshots.
 */
#include "tests/fuzz/require.h"
#include "tests/fuzz/snapshot_bytes.h"
#include "tests/fuzz/snapshot_mend.h"

#include <string.h>

#define ROOM ((size_t)64) /* what a section, or something stored, may grow by at once */
#define SCRATCH ((size_t)1 << 16)

size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed);

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Mutate `length` bytes at `offset` of a file, which may become more, over what
 * follows them. Returns how many they are then. */
static size_t mutate_at(uint8_t *file, size_t size, size_t offset, size_t length, size_t room)
{
	static uint8_t scratch[SCRATCH];
	size_t mutated;

	room = lm_min(lm_min(size - offset, SCRATCH), length + room);
	length = lm_min(length, room);
	if (room == 0)
		return 0;
	memcpy(scratch, file + offset, length);
	mutated = LLVMFuzzerMutate(scratch, length, room);
	if (mutated < length)
		memset(scratch + mutated, 0, length - mutated);
	memcpy(file + offset, scratch, lm_min(length > mutated ? length : mutated, room));
	return mutated;
}

static void mutate_header(uint8_t *file, size_t size, uint32_t *random)
{
	const uint32_t count = section_count(file);
	const uint32_t choice = next_random(random) % 4;

	if (choice == 0)
		mutate_at(file, size, 0, SECTIONS_AT + count * SECTION_SIZE, 0);
	else if (choice == 1)
		mutate_at(file, size, MEMORY_LENGTH_AT, 8, 0);
	else if (count > 0)
		mutate_at(file, size, SECTIONS_AT + next_random(random) % count * SECTION_SIZE,
			  SECTION_SIZE, 0);
}

/* All bytes of a section, and with them perhaps its length. */
static void mutate_section(uint8_t *file, size_t size, uint32_t *random)
{
	static const size_t units[] = {
		[REGIONS] = REGION_SIZE, [CHUNKS] = CHUNK_SIZE, [CHECKSUMS] = 4,
		[PARENT_PATH] = 1,       [TRACE] = 4,           [BLOBS] = BLOB_SIZE,
	};
	const uint32_t type = REGIONS + next_random(random) % BLOBS;
	uint8_t *entry = (uint8_t *)(uintptr_t)section_entry(file, type);
	size_t offset, length;

	if (!find_section(file, size, type, &offset, &length))
		return;
	length = mutate_at(file, size, offset, length, ROOM);
	if (next_random(random) % 2 == 0)
		lm_put_u64(entry + 16, length / units[type] * units[type]);
}

static size_t pick(size_t length, size_t unit, uint32_t *random)
{
	return next_random(random) % (length / unit) * unit;
}

/* One entry of a section, in place. */
static void mutate_entry(uint8_t *file, size_t size, uint32_t type, size_t unit, uint32_t *random)
{
	size_t offset, length;

	if (find_section(file, size, type, &offset, &length) && length >= unit)
		mutate_at(file, size, offset + pick(length, unit, random), unit, 0);
}

/* Near others more often than chance would have it. */
static void mutate_region(uint8_t *file, size_t size, uint32_t *random)
{
	size_t offset, length;
	uint8_t *field;

	if (next_random(random) % 2 == 0) {
		mutate_entry(file, size, REGIONS, REGION_SIZE, random);
		return;
	}
	if (!find_section(file, size, REGIONS, &offset, &length) || length < REGION_SIZE)
		return;
	field = file + offset + pick(length, REGION_SIZE / 2, random);
	lm_put_u64(field, next_random(random) % 16 * PAGE);
}

static void mutate_chunk(uint8_t *file, size_t size, uint32_t *random)
{
	size_t offset, length;
	uint8_t *chunk;

	if (!find_section(file, size, CHUNKS, &offset, &length) || length < CHUNK_SIZE)
		return;
	chunk = file + offset + pick(length, CHUNK_SIZE, random);
	switch (next_random(random) % 4) {
	case 0:
		mutate_at(file, size, (size_t)(chunk - file), CHUNK_SIZE, 0);
		break;
	case 1:
		chunk[12] = (uint8_t)(next_random(random) % 6);
		break;
	case 2:
		lm_put_u32(chunk + 8, next_random(random) % 70);
		break;
	default:
		memcpy(chunk, file + offset + pick(length, CHUNK_SIZE, random), CHUNK_SIZE);
		break;
	}
}

/* A chunk more, in front of another one, over what follows the section. */
static void insert_chunk(uint8_t *file, size_t size, uint32_t *random)
{
	uint8_t *entry = (uint8_t *)(uintptr_t)section_entry(file, CHUNKS);
	size_t offset, length, at;

	if (!find_section(file, size, CHUNKS, &offset, &length) || length < CHUNK_SIZE ||
	    size - offset - length < CHUNK_SIZE)
		return;
	at = offset + pick(length, CHUNK_SIZE, random);
	memmove(file + at + CHUNK_SIZE, file + at, offset + length - at);
	lm_put_u64(entry + 16, length + CHUNK_SIZE);
}

/* What a chunk stores, and with it perhaps how much that is. */
static void mutate_stored(uint8_t *file, size_t size, uint32_t *random)
{
	size_t offset, length;
	struct chunk_fields chunk;
	uint8_t *bytes;

	if (!find_section(file, size, CHUNKS, &offset, &length) || length < CHUNK_SIZE)
		return;
	bytes = file + offset + pick(length, CHUNK_SIZE, random);
	chunk = get_chunk(bytes);
	if (chunk.position < PAGE || !lm_fits(chunk.position, stored_length(&chunk), size))
		return;
	length = mutate_at(file, size, chunk.position, stored_length(&chunk), ROOM);
	if (chunk.kind != KIND_RAW && next_random(random) % 2 == 0)
		lm_put_u32(bytes + 24, (uint32_t)length);
}

/* A page of zeros more, to which a section is moved where it has room to grow. */
static size_t append_page(uint8_t *file, size_t size, uint32_t *random)
{
	const uint32_t type = REGIONS + next_random(random) % BLOBS;
	uint8_t *entry = (uint8_t *)(uintptr_t)section_entry(file, type);
	size_t offset, length;

	memset(file + size, 0, PAGE);
	if (find_section(file, size, type, &offset, &length) && length <= PAGE) {
		memcpy(file + size, file + offset, length);
		lm_put_u64(entry + 8, size);
	}
	return size + PAGE;
}

static void mutate_file(uint8_t *file, size_t size, uint32_t *random)
{
	switch (next_random(random) % 8) {
	case 0:
		mutate_header(file, size, random);
		break;
	case 1:
		mutate_section(file, size, random);
		break;
	case 2:
		mutate_region(file, size, random);
		break;
	case 3:
		mutate_entry(file, size, BLOBS, BLOB_SIZE, random);
		break;
	case 4:
		insert_chunk(file, size, random);
		mutate_chunk(file, size, random);
		break;
	case 5:
		mutate_stored(file, size, random);
		break;
	default:
		mutate_chunk(file, size, random);
		break;
	}
}

/* Nearly always nearly everything. */
static unsigned choose_mends(uint32_t *random)
{
	unsigned what = 0;

	for (unsigned mend = MEND_SUMS; mend <= MEND_LENGTH; mend <<= 1)
		if (next_random(random) % 16 != 0)
			what |= mend;
	if (next_random(random) % 2 == 0)
		what &= ~(unsigned)MEND_PAGES;
	if (next_random(random) % 4 == 0)
		what &= ~(unsigned)MEND_ORDER;
	return what;
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed)
{
	uint32_t random = seed;
	size_t at = 0, length;

	if (size < PAGE || next_random(&random) % 64 == 0)
		return LLVMFuzzerMutate(bytes, size, most);
	length = first_file(bytes, size);
	while (at + length < size && next_random(&random) % 2 == 0) {
		at += length;
		length = first_file(bytes + at, size - at);
	}
	if (length < PAGE)
		return LLVMFuzzerMutate(bytes, size, most);
	/* only the last file can grow without moving others */
	if (at + length == size && most - size >= PAGE && next_random(&random) % 32 == 0)
		size = at + append_page(bytes + at, length, &random);
	else
		mutate_file(bytes + at, length, &random);
	mend_snapshots(bytes, size, choose_mends(&random));
	return size;
}
