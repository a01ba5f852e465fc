/* SPDX-License-Identifier: MIT */
#include "image.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t room(uint64_t length)
{
	return (size_t)((length + PAGE - 1) / PAGE * PAGE);
}

char image_letter(const struct image *image, uint64_t offset)
{
	return image->layout[offset / PAGE % strlen(image->layout)];
}

void image_create(struct image *image, uint64_t length, const char *layout, uint64_t seed)
{
	*image = (struct image){.length = length, .layout = layout};
	image->bytes = mmap(NULL, room(length), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(image->bytes, MAP_FAILED);
	for (uint64_t page = 0; page < length; page += PAGE) {
		if (image_letter(image, page) != 'd')
			continue;
		for (uint64_t at = page; at < page + PAGE && at < length; at += 8) {
			uint64_t word = (at + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ seed << 1 ^ 1;
			size_t n = length - at < 8 ? (size_t)(length - at) : 8;

			memcpy(image->bytes + at, &word, n);
		}
	}
}

void image_destroy(struct image *image)
{
	munmap(image->bytes, room(image->length));
	image->bytes = NULL;
}

const char *image_write(const struct image *image, const char *name)
{
	const char *path = scratch_path(name);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)image->length), 0);
	for (uint64_t at = 0; at < image->length; at += PAGE) {
		uint64_t left = image->length - at;
		size_t n = left < PAGE ? (size_t)left : PAGE;

		if (image_letter(image, at) != 'h')
			assert_int_equal(pwrite(fd, image->bytes + at, n, (off_t)at), n);
	}
	close(fd);
	return path;
}

bool image_matches(const struct image *image, uint64_t offset, const void *memory, size_t length)
{
	const unsigned char *got = memory;
	const unsigned char *expected = image->bytes + offset;

	if (memcmp(got, expected, length) == 0)
		return true;
	for (size_t i = 0; i < length; i++) {
		if (got[i] != expected[i]) {
			print_error("byte %#llx of the image (page kind %c) is %#x, not %#x\n",
				    (unsigned long long)(offset + i),
				    image_letter(image, offset + i), got[i], expected[i]);
			break;
		}
	}
	return false;
}

bool all_zero(const void *memory, size_t length)
{
	const unsigned char *p = memory;

	return length == 0 || (p[0] == 0 && memcmp(p, p + 1, length - 1) == 0);
}
