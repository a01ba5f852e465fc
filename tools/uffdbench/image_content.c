/* SPDX-License-Identifier: MIT
 *
 * What the pages of an image hold: what follows from its layout, or, for the
 * image of a real guest, what the file says.
 */
#include "complain.h"
#include "image.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int image_page(const struct image *image, uint64_t offset, uint64_t *words)
{
	ssize_t count;

	if (!image->given) {
		pattern_fill(image->layout, offset, words);
		return 0;
	}
	count = pread(image->fd, words, PAGE_BYTES, (off_t)offset);
	if (count == PAGE_BYTES)
		return 0;
	complain("image %s: cannot read at %llu: %s", image->name, (unsigned long long)offset,
		 count < 0 ? strerror(errno) : "it has become shorter");
	return -1;
}

bool image_matches(const struct image *image, uint64_t offset, const uint64_t *words, bool written)
{
	uint64_t expected[PAGE_WORDS];

	if (!image->given)
		return pattern_matches(image->layout, offset, words, written);
	if (image_page(image, offset, expected) != 0)
		return false;
	if (written)
		expected[0] = PATTERN_WRITTEN;
	return memcmp(words, expected, PAGE_BYTES) == 0;
}

enum pattern_kind image_kind(const struct image *image, uint64_t offset)
{
	if (!image->given)
		return pattern_kind(image->layout, offset);
	return lseek(image->fd, (off_t)offset, SEEK_DATA) == (off_t)offset ? PATTERN_KIND_DATA
									   : PATTERN_KIND_HOLE;
}

static bool is_zero(const uint64_t *words)
{
	uint64_t all = 0;

	for (size_t i = 0; i < PAGE_WORDS; i++)
		all |= words[i];
	return all == 0;
}

static int keep_touches(const struct image *image, struct workload *workload)
{
	uint64_t words[PAGE_WORDS];
	size_t kept = 0;

	for (size_t i = 0; i < workload->touch_count; i++) {
		struct touch touch = workload->touches[i];

		if (image_page(image, touch.offset, words) != 0)
			return -1;
		if (is_zero(words))
			continue;
		touch.expected = words[0];
		workload->touches[kept++] = touch;
	}
	workload->touch_count = kept;
	return 0;
}

static int keep_recorded(const struct image *image, struct workload *workload)
{
	uint64_t words[PAGE_WORDS];
	size_t kept = 0;

	for (size_t i = 0; i < workload->recorded_count; i++) {
		if (image_page(image, workload->recorded[i], words) != 0)
			return -1;
		if (!is_zero(words))
			workload->recorded[kept++] = workload->recorded[i];
	}
	workload->recorded_count = kept;
	return 0;
}

int image_fit(const struct image *image, struct workload *workload)
{
	if (!image->given)
		return 0;
	if (keep_touches(image, workload) != 0 || keep_recorded(image, workload) != 0)
		return -1;
	if (workload->touch_count > 0 && workload->recorded_count > 0)
		return 0;
	complain("image %s has nothing but zeros where workload %s touches it", image->name,
		 workload->name);
	return -1;
}
