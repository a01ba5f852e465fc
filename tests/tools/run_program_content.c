/* SPDX-License-Identifier: MIT
 *
 * run_program_content.c - what the bytes of a file are.
 *
 * No byte of an image or of what is written is zero, but two pages of sixteen of
 * an image are all zeros: one that is a hole of its file, and one that is stored.
 */
#include "run_program.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SMALL_PAGE 4096u
#define HOLE 5u
#define STORED_ZEROS 6u

static uint64_t mixed(uint64_t value)
{
	value ^= value >> 30;
	value *= 0xbf58476d1ce4e5b9;
	value ^= value >> 27;
	value *= 0x94d049bb133111eb;
	return value ^ value >> 31;
}

static unsigned kind_of_page(uint64_t offset)
{
	return (unsigned)(offset / SMALL_PAGE % 16);
}

uint64_t content_word(const struct target *target, uint64_t offset, unsigned content)
{
	if (content == ZEROS)
		return 0;
	if (content == IMAGE && (offset >= target->length || kind_of_page(offset) == HOLE ||
				 kind_of_page(offset) == STORED_ZEROS))
		return 0;
	return mixed((target->seed << 40) + ((uint64_t)content << 56) + offset) |
	       0x0101010101010101;
}

/* Bytes from `offset` to the end of its word, or of the range. */
static size_t step(uint64_t offset, uint64_t end)
{
	const uint64_t rest = 8 - offset % 8;

	return (size_t)(rest < end - offset ? rest : end - offset);
}

void fill(const struct target *target, void *at, uint64_t offset, size_t length, unsigned content)
{
	const uint64_t end = offset + length;
	char *byte = at;
	size_t bytes;

	for (; offset < end; offset += bytes, byte += bytes) {
		const uint64_t word = content_word(target, offset - offset % 8, content);

		bytes = step(offset, end);
		memcpy(byte, (const char *)&word + offset % 8, bytes);
	}
}

/* The first offset where it does not, or the end. */
static uint64_t first_other(const struct target *target, const void *at, uint64_t offset,
			    size_t length, unsigned content)
{
	const uint64_t end = offset + length;
	const char *byte = at;
	size_t bytes;

	for (; offset < end; offset += bytes, byte += bytes) {
		const uint64_t word = content_word(target, offset - offset % 8, content);

		bytes = step(offset, end);
		if (memcmp(byte, (const char *)&word + offset % 8, bytes) != 0)
			return offset;
	}
	return end;
}

bool holds(const struct target *target, const void *at, uint64_t offset, size_t length,
	   unsigned content)
{
	return first_other(target, at, offset, length, content) == offset + length;
}

void expect_at(const char *file, int line, const struct target *target, const void *at,
	       uint64_t offset, size_t length, unsigned content)
{
	const uint64_t other = first_other(target, at, offset, length, content);
	const char *found = "something else";
	const char *byte = at;
	size_t rest;

	if (other == offset + length)
		return;
	byte += other - offset;
	rest = length - (size_t)(other - offset);
	if (rest > 8)
		rest = 8;
	if (holds(target, byte, other, rest, ZEROS))
		found = "zeros";
	else if (holds(target, byte, other, rest, IMAGE))
		found = "the image";
	die(file, line, "offset 0x%jx (%p) of [0x%jx+0x%zx]: %s, not %s", (uintmax_t)other,
	    (const void *)byte, (uintmax_t)offset, length, found,
	    content == IMAGE   ? "the image"
	    : content == ZEROS ? "zeros"
			       : "what was written");
}

/* Layer 0 is full, and wrong where another one is to be seen. */
static void make_page(const struct target *target, char *at, uint64_t offset, unsigned layer,
		      unsigned layers)
{
	const bool ours = offset / SMALL_PAGE / 4 % layers == layer;
	const uint64_t rest = target->length - offset;
	const size_t length = rest < SMALL_PAGE ? (size_t)rest : SMALL_PAGE;

	if (!ours && layer > 0)
		return;
	if (ours && kind_of_page(offset) == HOLE && layer == 0)
		return;
	fill(target, at, offset, length, ours ? IMAGE : WRITTEN + 99);
}

void make_image(const struct target *target, unsigned layer, unsigned layers)
{
	const int fd = open(target->path, O_RDWR | O_CREAT, 0600);
	struct target made = *target;
	char *at;

	CHECK(fd >= 0);
	if (lseek(fd, 0, SEEK_END) == 0)
		CHECK(ftruncate(fd, (off_t)target->length) == 0);
	made.fd = fd;
	at = map(&made, 0, target->length, BOTH, MAP_SHARED);
	for (uint64_t offset = 0; offset < target->length; offset += SMALL_PAGE)
		make_page(target, at + offset, offset, layer, layers);
	CHECK(munmap(at, target->length) == 0 && close(fd) == 0);
}
