/* SPDX-License-Identifier: MIT
 *
 * inject_power.c - a backing object like a disk with a cache that forgets: what
 * is written stays in memory, and reaches the inner object with a flush.
 *
 * It is a log of the writes and discards since the last flush, in their order.
 * A read takes the bytes of the inner object and lays the log over them. A flush
 * carries the log out on the inner object, flushes that, and then forgets the
 * log; if either fails the log stays, and the next flush does all of it again,
 * which changes nothing in what reads see.
 *
 * When the power fails, each sector of each entry is carried out or lost, one
 * independently of the other, in the order of the log: so of two writes to a
 * sector the disk may have neither, the first, or the second, and writes are torn
 * between sectors, but not inside of one. A seed decides, the same way each time.
 *
 * One lock guards the log and is held over the I/O of the inner object, so that no
 * read falls between its bytes and its log; it is not held while a completion
 * runs. All of it blocks the calling thread: this is for tests.
 */
#include <lazymem/inject.h>

#include "backing/wrapper.h"
#include "core/backing_object.h"
#include "core/checked.h"
#include "core/error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a disk writes as a whole. */
#define SECTOR UINT64_C(512)

/* Zeros for an inner object that cannot discard. */
#define ZERO_PIECE ((size_t)64 << 10)

struct entry {
	struct entry *next;
	uint64_t offset;
	uint64_t length;
	bool is_discard;
	unsigned char bytes[]; /* of a write */
};

struct power {
	struct lm_wrapper wrapper;
	pthread_mutex_t lock;
	struct entry *first, **end;
};

/* ---- the log ------------------------------------------------------------- */

static void forget(struct power *power)
{
	while (power->first != NULL) {
		struct entry *entry = power->first;

		power->first = entry->next;
		free(entry);
	}
	power->end = &power->first;
}

/* At the end of the log; `bytes` NULL for a discard. */
static int append(struct power *power, uint64_t offset, uint64_t length, const void *bytes)
{
	struct entry *entry = malloc(sizeof(*entry) + (bytes != NULL ? (size_t)length : 0));

	if (entry == NULL)
		return -ENOMEM;
	entry->next = NULL;
	entry->offset = offset;
	entry->length = length;
	entry->is_discard = bytes == NULL;
	if (bytes != NULL)
		memcpy(entry->bytes, bytes, (size_t)length);
	pthread_mutex_lock(&power->lock);
	*power->end = entry;
	power->end = &entry->next;
	pthread_mutex_unlock(&power->lock);
	return 0;
}

/* What of an entry lies in a range: its start, and its length, or 0. */
static uint64_t overlap(const struct entry *entry, uint64_t offset, uint64_t length,
			uint64_t *ret_start)
{
	const uint64_t start = entry->offset > offset ? entry->offset : offset;
	const uint64_t end = lm_min(entry->offset + entry->length, offset + length);

	*ret_start = start;
	return end > start ? end - start : 0;
}

static void lay_over(const struct power *power, uint64_t offset, unsigned char *bytes,
		     size_t length)
{
	for (const struct entry *entry = power->first; entry != NULL; entry = entry->next) {
		uint64_t start;
		const size_t common = (size_t)overlap(entry, offset, length, &start);

		if (common == 0)
			continue;
		if (entry->is_discard)
			memset(bytes + (start - offset), 0, common);
		else
			memcpy(bytes + (start - offset), entry->bytes + (start - entry->offset),
			       common);
	}
}

/* ---- carrying out -------------------------------------------------------- */

static int write_zeros(struct lazymem_backing *inner, uint64_t offset, uint64_t length)
{
	static const unsigned char zeros[ZERO_PIECE];
	int error = 0;

	while (error == 0 && length != 0) {
		const size_t piece = (size_t)lm_min(length, sizeof(zeros));

		error = lazymem_backing_write(inner, offset, zeros, piece);
		offset += piece;
		length -= piece;
	}
	return error;
}

/* Do this part of an entry to the inner object. */
static int carry_out(struct power *power, const struct entry *entry, uint64_t start,
		     uint64_t length)
{
	struct lazymem_backing *inner = power->wrapper.inner;
	int error;

	if (!entry->is_discard)
		return lazymem_backing_write(inner, start, entry->bytes + (start - entry->offset),
					     (size_t)length);
	error = lazymem_backing_discard(inner, start, length);
	return error == -EOPNOTSUPP ? write_zeros(inner, start, length) : error;
}

static int carry_out_all(struct power *power)
{
	int error = 0;

	for (const struct entry *entry = power->first; error == 0 && entry != NULL;
	     entry = entry->next)
		error = carry_out(power, entry, entry->offset, entry->length);
	return error != 0 ? error : lazymem_backing_flush(power->wrapper.inner);
}

/* A coin, by the generator of Steele, Lea and Flood (splitmix64). */
static bool toss(uint64_t *seed)
{
	uint64_t bits = *seed += UINT64_C(0x9e3779b97f4a7c15);

	bits = (bits ^ bits >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	bits = (bits ^ bits >> 27) * UINT64_C(0x94d049bb133111eb);
	return (bits ^ bits >> 31) >> 63 != 0;
}

static int carry_out_some_sectors(struct power *power, const struct entry *entry, uint64_t *seed)
{
	const uint64_t end = entry->offset + entry->length;
	uint64_t start = entry->offset;
	int error = 0;

	while (error == 0 && start < end) {
		const uint64_t next = lm_min(lm_align_down(start, SECTOR) + SECTOR, end);

		if (toss(seed))
			error = carry_out(power, entry, start, next - start);
		start = next;
	}
	return error;
}

/* ---- operations ---------------------------------------------------------- */

static int read_range(struct power *power, uint64_t offset, unsigned char *bytes, size_t length)
{
	int error;

	pthread_mutex_lock(&power->lock);
	error = lazymem_backing_read(power->wrapper.inner, offset, bytes, length);
	if (error == 0)
		lay_over(power, offset, bytes, length);
	pthread_mutex_unlock(&power->lock);
	return error;
}

static void power_read(void *object, struct lazymem_read *read)
{
	const struct lazymem_read_part whole = {read->offset, read->length};
	const struct lazymem_read_part *parts = read->parts != NULL ? read->parts : &whole;
	const size_t count = read->parts != NULL ? read->part_count : 1;
	unsigned char *bytes = read->buffer;
	int error = 0;

	for (size_t i = 0; error == 0 && i < count; i++) {
		error = read_range(object, parts[i].offset, bytes, parts[i].length);
		bytes += parts[i].length;
	}
	lazymem_read_complete(read, error);
}

static void power_write(void *object, struct lazymem_write *write)
{
	lazymem_write_complete(write, append(object, write->offset, write->length, write->buffer));
}

static int power_discard(void *object, uint64_t offset, uint64_t length)
{
	return append(object, offset, length, NULL);
}

static void power_flush(void *object, struct lazymem_write *flush)
{
	struct power *power = object;
	int error;

	pthread_mutex_lock(&power->lock);
	error = carry_out_all(power);
	if (error == 0)
		forget(power);
	pthread_mutex_unlock(&power->lock);
	lazymem_write_complete(flush, error);
}

/* Where a write waits it is data, whatever the inner object says. */
static int power_extent(void *object, uint64_t offset, uint64_t length,
			struct lazymem_extent *ret_extent)
{
	struct power *power = object;
	int error;

	pthread_mutex_lock(&power->lock);
	error = lm_wrapper_extent(object, offset, length, ret_extent);
	for (const struct entry *entry = power->first; error == 0 && entry != NULL;
	     entry = entry->next) {
		uint64_t start;
		const uint64_t common = overlap(entry, offset, ret_extent->length, &start);

		if (common == 0 || entry->is_discard || ret_extent->kind != LAZYMEM_EXTENT_ZERO)
			continue;
		if (start == offset)
			ret_extent->kind = LAZYMEM_EXTENT_DATA;
		ret_extent->length = start == offset ? common : start - offset;
	}
	pthread_mutex_unlock(&power->lock);
	return error;
}

/* While something waits, the bytes are not those of the inner object. */
static int power_identity(void *object, struct lazymem_identity *ret_identity)
{
	struct power *power = object;
	int error = -ENODATA;

	pthread_mutex_lock(&power->lock);
	if (power->first == NULL)
		error = lm_wrapper_identity(object, ret_identity);
	pthread_mutex_unlock(&power->lock);
	return error;
}

static void power_close(void *object)
{
	struct power *power = object;

	forget(power);
	pthread_mutex_destroy(&power->lock);
	lm_wrapper_destroy(&power->wrapper);
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations),
	.read = power_read,
	.extent = power_extent,
	.identity = power_identity,
	.readahead = lm_wrapper_readahead,
	.write = power_write,
	.flush = power_flush,
	.discard = power_discard,
	.close = power_close,
};

int lazymem_inject_power(struct lazymem_backing *inner, struct lazymem_backing **ret_backing)
{
	const struct lazymem_inject_range all = {0};
	struct power *power;
	int error;

	if (inner != NULL && !lazymem_backing_is_writable(inner))
		return lm_error(-EROFS, "%s is read-only: it has nothing to lose",
				lazymem_backing_name(inner));
	power = lm_wrapper_create(sizeof(*power), inner, all, &error);
	if (power == NULL)
		return error;
	pthread_mutex_init(&power->lock, NULL);
	power->end = &power->first;
	error = lm_wrapper_publish(&power->wrapper, &operations, "forgetful", ret_backing);
	if (error != 0)
		power_close(power);
	return error;
}

int lazymem_inject_power_failure(struct lazymem_backing *backing, uint64_t seed)
{
	struct power *power = lm_backing_object(backing, power_read);
	int error = 0;

	if (power == NULL)
		return lm_error(-EINVAL, "%s has no power that could fail",
				lazymem_backing_name(backing));
	pthread_mutex_lock(&power->lock);
	if (seed != 0)
		for (const struct entry *entry = power->first; error == 0 && entry != NULL;
		     entry = entry->next)
			error = carry_out_some_sectors(power, entry, &seed);
	forget(power);
	pthread_mutex_unlock(&power->lock);
	return error;
}
