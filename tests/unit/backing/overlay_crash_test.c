/* wrap: pwrite fdatasync fallocate lm_queue_write lm_queue_datasync */
/* SPDX-License-Identifier: MIT
 *
 * overlay_crash_test.c - random writes, discards and flushes of an overlay on a disk
 * that forgets, tears and fails.
 *
 * Every sector that is written to the file is noted, as it is afterwards. A flush that
 * succeeds takes what was noted before it began to the disk. At any system call the
 * power may fail: what was noted since is on the disk or not, sector by sector, at
 * random, and in its order. What is left is opened as an overlay, and each sector of
 * it must be one of the versions that the object has had since the last good flush.
 * A flush that fails takes some of the sectors to the disk and forgets the others,
 * also those in the cache. LAZYMEM_TEST_SEED repeats a run.
 */
#include "backing/overlay_format.h"
#include "backing/queue.h"

#include "overlay_fixture.h"

#include <time.h>

#ifdef __SANITIZE_THREAD__
#define FEWER 6 /* each access costs it many times as much */
#else
#define FEWER 1
#endif

enum { SECTOR = 512, SEQUENCES = 60 / FEWER, STEPS = 40, HISTORY = 14, NOTES = 8192 };

struct note {
	uint64_t sector;
	unsigned char bytes[SECTOR];
};

static uint64_t seed;
static struct lm_queue *queue; /* NULL where there is no io_uring */
static bool on_queue;          /* this step goes through it */

/* The disk under the file. */
static bool armed;
static unsigned char *disk;
static size_t disk_length;
static struct note *notes;
static size_t note_count;
static bool sync_fails, write_fails;
static unsigned checks;

/* What the object holds, the latest last. */
static unsigned char history[HISTORY][LENGTH];
static unsigned versions;

static uint64_t below(uint64_t limit)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed * UINT64_C(0x2545f4914f6cdd1d) >> 32) % limit;
}

/* ---- the disk ------------------------------------------------------------- */

ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);
void __real_lm_queue_write(struct lm_queue *to, struct lm_operation *operation, int fd,
			   const void *bytes, size_t length, uint64_t offset);
void __wrap_lm_queue_write(struct lm_queue *to, struct lm_operation *operation, int fd,
			   const void *bytes, size_t length, uint64_t offset);
void __real_lm_queue_datasync(struct lm_queue *to, struct lm_operation *operation, int fd);
void __wrap_lm_queue_datasync(struct lm_queue *to, struct lm_operation *operation, int fd);

static void check_crash(void);

static void note_sectors(int fd, uint64_t offset, uint64_t length)
{
	const uint64_t end = (offset + length + SECTOR - 1) / SECTOR;

	for (uint64_t sector = offset / SECTOR; sector < end; sector++) {
		struct note *note = &notes[note_count++];

		assert_true(note_count <= NOTES);
		note->sector = sector;
		assert_int_equal(pread(fd, note->bytes, SECTOR, (off_t)(sector * SECTOR)), SECTOR);
	}
	if (below(6) == 0)
		check_crash();
}

static void take_to(unsigned char *to, const struct note *note)
{
	memcpy(to + note->sector * SECTOR, note->bytes, SECTOR);
}

static void forget_notes(size_t count)
{
	memmove(notes, notes + count, (note_count - count) * sizeof(*notes));
	note_count -= count;
}

static void synced(size_t count)
{
	for (size_t i = 0; i < count; i++)
		take_to(disk, &notes[i]);
	forget_notes(count);
	if (below(2) == 0)
		check_crash();
}

/* What is not on the disk is lost, in the cache too. */
static void lose_some(int fd)
{
	for (size_t i = 0; i < note_count; i++)
		if (below(2) == 0)
			take_to(disk, &notes[i]);
	note_count = 0;
	assert_int_equal(__real_pwrite(fd, disk, disk_length, 0), disk_length);
	sync_fails = false;
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	if (armed && write_fails) {
		const uint64_t half = ((uint64_t)offset + size / 2) / SECTOR * SECTOR;

		write_fails = false;
		if (half > (uint64_t)offset) {
			(void)__real_pwrite(fd, bytes, half - (uint64_t)offset, offset);
			note_sectors(fd, (uint64_t)offset, half - (uint64_t)offset);
		}
		errno = ENOSPC;
		return -1;
	}
	assert_int_equal(__real_pwrite(fd, bytes, size, offset), size);
	if (armed)
		note_sectors(fd, (uint64_t)offset, size);
	return (ssize_t)size;
}

int __wrap_fdatasync(int fd)
{
	if (!armed)
		return 0;
	if (sync_fails) {
		lose_some(fd);
		errno = EIO;
		return -1;
	}
	synced(note_count);
	return 0;
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t length)
{
	const int result = below(4) == 0 ? -1 : __real_fallocate(fd, mode, offset, length);

	errno = EOPNOTSUPP;
	if (result == 0 && armed)
		note_sectors(fd, (uint64_t)offset, (uint64_t)length);
	return result;
}

/* The bytes are noted when they are on their way. */
void __wrap_lm_queue_write(struct lm_queue *to, struct lm_operation *operation, int fd,
			   const void *bytes, size_t length, uint64_t offset)
{
	assert_int_equal(__real_pwrite(fd, bytes, length, (off_t)offset), length);
	if (armed)
		note_sectors(fd, offset, length);
	__real_lm_queue_write(to, operation, fd, bytes, length, offset);
}

/* One at a time. */
static struct {
	void (*complete)(struct lm_operation *operation, int result, bool more);
	size_t notes;
	int fd;
} syncing;

static void datasync_completed(struct lm_operation *operation, int result, bool more)
{
	operation->complete = syncing.complete;
	syncing.complete = NULL;
	if (sync_fails) {
		lose_some(syncing.fd);
		result = -EIO;
	} else {
		synced(syncing.notes);
	}
	operation->complete(operation, result, more);
}

void __wrap_lm_queue_datasync(struct lm_queue *to, struct lm_operation *operation, int fd)
{
	if (armed) {
		assert_null(syncing.complete);
		syncing.complete = operation->complete;
		syncing.notes = note_count;
		syncing.fd = fd;
		operation->complete = datasync_completed;
	}
	__real_lm_queue_datasync(to, operation, fd);
}

/* ---- versions ------------------------------------------------------------- */

static unsigned char *latest(void)
{
	return history[versions - 1];
}

static unsigned char *change(void)
{
	assert_true(versions < HISTORY);
	memcpy(history[versions], latest(), LENGTH);
	versions++;
	return latest();
}

/* Each sector is as it was in one of the versions. */
static void assert_one_of_the_versions(const unsigned char *bytes)
{
	for (size_t at = 0; at < LENGTH; at += SECTOR) {
		const size_t length = LENGTH - at < SECTOR ? LENGTH - at : SECTOR;
		bool found = false;

		for (unsigned i = 0; i < versions && !found; i++)
			found = memcmp(bytes + at, history[i] + at, length) == 0;
		if (!found)
			fail_msg("byte %zu of block %zu: none of %u versions", at % PAGE, at / PAGE,
				 versions);
	}
}

/* Write to `to` what a failure of power at this moment leaves. */
static void write_remains(const char *to)
{
	static unsigned char *remains;
	const uint64_t odds = below(3);
	int fd;

	remains = realloc(remains, disk_length);
	memcpy(remains, disk, disk_length);
	for (size_t i = 0; i < note_count; i++)
		if (odds == 0 || (odds == 1 && below(2) == 0))
			take_to(remains, &notes[i]);
	fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(__real_pwrite(fd, remains, disk_length, 0), disk_length);
	close(fd);
}

/* As `bytes` read. */
static void read_all(struct lazymem_backing *from)
{
	if (lazymem_backing_read(from, 0, buffer, LENGTH) != 0)
		fail_msg("%s", lazymem_error_message());
	assert_one_of_the_versions(buffer);
}

static void check_crash(void)
{
	char *left = path_of("left");
	struct lazymem_backing *opened = NULL;

	armed = false;
	write_remains(left);
	if (lazymem_overlay_open(left, base, NULL, &opened) != 0)
		fail_msg("%s", lazymem_error_message());
	read_all(opened);
	lazymem_backing_unref(opened);
	assert_int_equal(unlink(left), 0);
	free(left);
	armed = true;
	checks++;
}

/* ---- steps ---------------------------------------------------------------- */

/* After a failure: what is read is one of the versions, and the latest from now on. */
static void look_again(void)
{
	sync_fails = write_fails = false;
	read_all(overlay);
	memcpy(change(), buffer, LENGTH);
}

static void completed(struct lazymem_write *write, int error)
{
	*(int *)write->context = error;
}

static int on_the_queue(struct lazymem_write *write, bool is_flush)
{
	int error = 1;

	write->complete = completed;
	write->context = &error;
	write->queue = queue;
	if (is_flush)
		lazymem_backing_submit_flush(overlay, write);
	else
		lazymem_backing_submit_write(overlay, write);
	while (error == 1)
		assert_true(lm_queue_run(queue, UINT64_MAX) >= 0);
	return error;
}

static void pick_range(uint64_t *ret_offset, size_t *ret_length)
{
	if (below(2) == 0) {
		const uint64_t first = below(BLOCKS);
		const uint64_t count = 1 + below(5);

		*ret_offset = first * PAGE;
		*ret_length = count * PAGE;
	} else {
		*ret_offset = below(LENGTH);
		*ret_length = 1 + below(below(2) == 0 ? 600 : 3 * PAGE);
	}
	if (*ret_length > LENGTH - *ret_offset)
		*ret_length = LENGTH - *ret_offset;
}

static void step_write(void)
{
	struct lazymem_write write = {0};
	unsigned char *bytes;
	int error;

	pick_range(&write.offset, &write.length);
	write.buffer = bytes = change() + write.offset;
	for (size_t i = 0; i < write.length; i++)
		bytes[i] = (unsigned char)below(256);
	error = on_queue ? on_the_queue(&write, false)
			 : lazymem_backing_write(overlay, write.offset, bytes, write.length);
	if (error != 0)
		look_again();
}

static void step_discard(void)
{
	uint64_t offset;
	size_t length;

	pick_range(&offset, &length);
	memset(change() + offset, 0, length);
	if (lazymem_backing_discard(overlay, offset, length) != 0)
		look_again();
}

static void step_flush(void)
{
	struct lazymem_write flush_ = {0};
	const int error = on_queue ? on_the_queue(&flush_, true) : lazymem_backing_flush(overlay);

	if (error != 0) {
		look_again();
		return;
	}
	assert_false(sync_fails);
	memmove(history[0], latest(), LENGTH);
	versions = 1;
	check_crash();
}

static void learn_disk(void)
{
	struct stat status;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(fstat(fd, &status), 0);
	disk_length = (size_t)status.st_size;
	disk = realloc(disk, disk_length);
	assert_int_equal(pread(fd, disk, disk_length, 0), disk_length);
	close(fd);
	note_count = 0;
}

/* The power fails, and all goes on from what is left. */
static void step_power_failure(void)
{
	char *left = path_of("left");

	armed = false;
	write_remains(left);
	close_overlay();
	assert_int_equal(rename(left, path), 0);
	free(left);
	learn_disk();
	open_overlay();
	read_all(overlay);
	memcpy(history[0], buffer, LENGTH);
	versions = 1;
	armed = true;
}

static void play(void)
{
	open_overlay();
	learn_disk();
	memcpy(history[0], expected, LENGTH);
	versions = 1;
	armed = true;
	for (unsigned step = 0; step < STEPS; step++) {
		const uint64_t what = below(20);

		on_queue = queue != NULL && below(2) == 0;
		if (what == 0)
			sync_fails = true;
		else if (what == 1)
			write_fails = !on_queue;
		if (versions >= HISTORY - 2 || what <= 3)
			step_flush();
		else if (what == 4)
			step_power_failure();
		else if (what <= 8)
			step_discard();
		else
			step_write();
		sync_fails = write_fails = false;
		read_all(overlay);
		assert_memory_equal(buffer, latest(), LENGTH);
	}
	armed = false;
	close_overlay();
}

static void whatever_the_power_leaves_is_old_or_new(void **state)
{
	const char *given = getenv("LAZYMEM_TEST_SEED");
	const uint64_t first = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

	(void)state;
	print_message("LAZYMEM_TEST_SEED=%llu\n", (unsigned long long)first);
	notes = calloc(NOTES, sizeof(*notes));
	if (lm_queue_create(8, &queue) != 0)
		queue = NULL;
	for (unsigned i = 0; i < SEQUENCES; i++) {
		seed = (first + i) * UINT64_C(0x9e3779b97f4a7c15) | 1;
		play();
		assert_int_equal(unlink(path), 0);
	}
	assert_true(checks > SEQUENCES * 5);
	lm_queue_destroy(queue);
	free(notes);
	free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(whatever_the_power_leaves_is_old_or_new, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
