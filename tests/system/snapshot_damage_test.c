/* SPDX-License-Identifier: MIT
 *
 * snapshot_damage_test.c - single bits that are flipped anywhere in the files of
 * a snapshot: refused when it is opened, or refused when the page is read, or
 * without any effect; never wrong bytes. And the same of files that are cut off.
 */
#include <errno.h>
#include <fcntl.h>
#include <lazymem/snapshot.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <support/actor.h>
#include <support/snapshots.h>
#include <sys/stat.h>
#include <unistd.h>

#define STACKS 12
#define FLIPS_PER_STACK 600
#define FLIPS_SERVED 60
#define MOST_PARENTS 3

/* Of the header, lazymem-snapshot(5). */
enum {
	AT_SECTION_COUNT = 20,
	AT_SECTIONS = 256,
	SECTION_BYTES = 32,
	AT_SECTION_OFFSET = 8,
	AT_SECTION_LENGTH = 16,
	AT_HEADER_CHECKSUM = 4092,
};

static uint64_t random_state;

static uint64_t below(uint64_t limit)
{
	return next_random(&random_state) % limit;
}

/* ---- files ------------------------------------------------------------------ */

struct file {
	const char *path;
	int fd;
	uint64_t length;
	uint32_t section_count;
	uint64_t starts[8], lengths[8]; /* of sections */
};

static void file_open(struct file *file, const char *path)
{
	unsigned char header[PAGE];
	struct stat status;

	*file = (struct file){.path = path, .fd = open(path, O_RDWR | O_CLOEXEC)};
	assert_true(file->fd >= 0);
	assert_int_equal(fstat(file->fd, &status), 0);
	file->length = (uint64_t)status.st_size;
	assert_int_equal(pread(file->fd, header, PAGE, 0), PAGE);
	memcpy(&file->section_count, header + AT_SECTION_COUNT, 4);
	assert_in_range(file->section_count, 3, 8);
	for (uint32_t i = 0; i < file->section_count; i++) {
		const unsigned char *entry = header + AT_SECTIONS + i * SECTION_BYTES;

		memcpy(&file->starts[i], entry + AT_SECTION_OFFSET, 8);
		memcpy(&file->lengths[i], entry + AT_SECTION_LENGTH, 8);
	}
}

static void file_flip(const struct file *file, uint64_t offset, unsigned bit)
{
	unsigned char byte;

	assert_int_equal(pread(file->fd, &byte, 1, (off_t)offset), 1);
	byte ^= (unsigned char)(1u << bit);
	assert_int_equal(pwrite(file->fd, &byte, 1, (off_t)offset), 1);
}

/* A byte of the file: of the used part of the header, of its checksum, of a
 * section, or of anything. */
static uint64_t choose_offset(const struct file *file)
{
	const uint64_t kind = below(8);
	const uint64_t section = below(file->section_count);

	if (kind == 0)
		return below(AT_SECTIONS + file->section_count * SECTION_BYTES);
	if (kind == 1)
		return below(2) != 0 ? AT_HEADER_CHECKSUM + below(4) : below(PAGE);
	if (kind <= 3 && file->lengths[section] > 0)
		return file->starts[section] + below(file->lengths[section]);
	return below(file->length);
}

/* ---- reads ------------------------------------------------------------------ */

/* A stack with one of its files in hand. */
struct fixture {
	struct snapshots snapshots;
	struct lazymem_snapshot *sound; /* opened before anything was done to it */
	struct file file;
};

static void begin(struct fixture *f)
{
	const size_t parents = below(MOST_PARENTS + 1);

	snapshots_write(&f->snapshots, 1 + below(40 * PAGE), parents, &random_state);
	assert_ok(lazymem_snapshot_open(f->snapshots.path, NULL, &f->sound));
	file_open(&f->file, strdup(snapshots_path(below(parents + 1))));
}

static void end(struct fixture *f)
{
	lazymem_snapshot_unref(f->sound);
	close(f->file.fd);
	free((void *)(uintptr_t)f->file.path);
	snapshots_destroy(&f->snapshots);
}

static void assert_regions(const struct fixture *f, const struct lazymem_snapshot *snapshot)
{
	assert_int_equal(lazymem_snapshot_region_count(snapshot), f->snapshots.region_count);
	for (size_t i = 0; i < f->snapshots.region_count; i++) {
		const struct lazymem_snapshot_region region =
			lazymem_snapshot_region_at(snapshot, i);

		assert_memory_equal(&region, &f->snapshots.regions[i], sizeof(region));
	}
}

static void assert_trace(const struct fixture *f, const struct lazymem_snapshot *snapshot)
{
	const struct lazymem_trace *trace = lazymem_snapshot_trace(snapshot);
	const struct lazymem_trace *sound = lazymem_snapshot_trace(f->sound);

	assert_int_equal(trace != NULL, sound != NULL);
	if (trace == NULL)
		return;
	assert_int_equal(lazymem_trace_count(trace), lazymem_trace_count(sound));
	for (size_t i = 0; i < lazymem_trace_count(trace); i++) {
		const struct lazymem_guest_range a = lazymem_trace_range(trace, i);
		const struct lazymem_guest_range b = lazymem_trace_range(sound, i);

		assert_memory_equal(&a, &b, sizeof(a));
	}
}

/* How many pages are refused; all others must be right. */
static size_t count_refused(const struct fixture *f, const struct lazymem_snapshot *snapshot)
{
	struct lazymem_backing *backing = lazymem_snapshot_backing(snapshot);
	const uint64_t length = f->snapshots.length;
	unsigned char *bytes = malloc(length);
	size_t refused = 0;
	int error;

	for (uint64_t at = 0; at < length; at += PAGE) {
		const size_t n = length - at < PAGE ? (size_t)(length - at) : PAGE;

		error = lazymem_backing_read(backing, at, bytes, n);
		if (error == 0)
			assert_memory_equal(bytes, f->snapshots.bytes + at, n);
		else
			assert_int_equal(error, -EBADMSG);
		refused += error != 0;
	}
	error = lazymem_backing_read(backing, 0, bytes, length);
	assert_int_equal(error, refused > 0 ? -EBADMSG : 0);
	if (error == 0)
		assert_memory_equal(bytes, f->snapshots.bytes, length);
	free(bytes);
	return refused;
}

/* The same of blobs. */
static size_t count_refused_blobs(const struct lazymem_snapshot *snapshot)
{
	size_t refused = 0;

	for (size_t i = 0; i < lazymem_snapshot_blob_count(snapshot); i++) {
		void *blob;
		size_t n;
		const int error = lazymem_snapshot_blob(snapshot, "state", &blob, &n);

		refused += error != 0;
		if (error != 0) {
			assert_int_equal(error, -EBADMSG);
			continue;
		}
		assert_int_equal(n, 20);
		assert_memory_equal(blob, "state of the monitor", 20);
		free(blob);
	}
	return refused;
}

/* ---- flips ------------------------------------------------------------------ */

static struct {
	unsigned refused_at_open;
	unsigned refused_when_read;
	unsigned harmless;
} counts;

static void flip_one(const struct fixture *f)
{
	const uint64_t offset = choose_offset(&f->file);
	const unsigned bit = (unsigned)below(8);
	struct lazymem_snapshot *snapshot;
	int error;

	file_flip(&f->file, offset, bit);
	error = lazymem_snapshot_open(f->snapshots.path, NULL, &snapshot);
	if (error != 0) {
		assert_true(error == -EBADMSG || error == -EPROTONOSUPPORT);
		assert_int_equal(
			strncmp(lazymem_error_message(), f->file.path, strlen(f->file.path)), 0);
		counts.refused_at_open++;
	} else {
		assert_true(offset >= PAGE);
		assert_regions(f, snapshot);
		assert_trace(f, snapshot);
		if (count_refused(f, snapshot) + count_refused_blobs(snapshot) > 0)
			counts.refused_when_read++;
		else
			counts.harmless++;
		lazymem_snapshot_unref(snapshot);
	}
	file_flip(&f->file, offset, bit);
}

static void test_no_flipped_bit_is_ever_read_as_wrong_bytes(void **state)
{
	(void)state;
	for (int i = 0; i < STACKS; i++) {
		struct fixture f;

		begin(&f);
		for (int j = 0; j < FLIPS_PER_STACK; j++)
			flip_one(&f);
		end(&f);
	}
	print_message("%d bits flipped: %u refused when opened, %u when read, %u without effect\n",
		      STACKS * FLIPS_PER_STACK, counts.refused_at_open, counts.refused_when_read,
		      counts.harmless);
	assert_true(counts.refused_at_open > 0);
	assert_true(counts.refused_when_read > 0);
}

/* The header and the sections have no byte that does not count. */
static void test_every_bit_of_header_and_sections_is_guarded(void **state)
{
	struct lazymem_snapshot *snapshot;
	struct fixture f;

	(void)state;
	begin(&f);
	for (uint32_t i = 0; i <= f.file.section_count; i++) {
		const bool is_header = i == f.file.section_count;
		const uint64_t start = is_header ? 0 : f.file.starts[i];
		const uint64_t length = is_header ? PAGE : f.file.lengths[i];

		for (uint64_t at = 0; at < length; at += 1 + below(1 + length / 300)) {
			const unsigned bit = (unsigned)below(8);

			file_flip(&f.file, start + at, bit);
			assert_true(lazymem_snapshot_open(f.snapshots.path, NULL, &snapshot) < 0);
			file_flip(&f.file, start + at, bit);
		}
	}
	end(&f);
}

/* ---- served ----------------------------------------------------------------- */

static atomic_uint failures;

static enum lazymem_verdict poison(void *context, const struct lazymem_failure *failure)
{
	(void)context;
	assert_int_equal(failure->error, -EBADMSG);
	atomic_fetch_add(&failures, 1);
	return LAZYMEM_POISON;
}

static void prefetch_all(const struct restored *restored, const struct lazymem_trace *trace)
{
	struct lazymem_prefetch replay = {.size = sizeof(replay), .trace = trace};

	if (trace != NULL)
		assert_ok(lazymem_attachment_prefetch(restored->attachment, &replay));
	assert_ok(lazymem_attachment_prefetch(restored->attachment, NULL));
	assert_ok(lazymem_attachment_wait(restored->attachment, SOON_NS));
}

/* Touch every page, perhaps after a prefetch: it is right, or raises SIGBUS.
 * Returns how many did. */
static unsigned count_signals(const struct fixture *f, const struct lazymem_snapshot *snapshot,
			      bool with_prefetch)
{
	struct lazymem_attach_options options = {.size = sizeof(options), .on_failure = poison};
	const uint64_t pages = (f->snapshots.length + PAGE - 1) / PAGE;
	struct restored restored;
	unsigned signals = 0;

	restored_begin(&restored, &f->snapshots, lazymem_snapshot_backing(snapshot), &options);
	if (with_prefetch)
		prefetch_all(&restored, lazymem_snapshot_trace(snapshot));
	for (uint64_t page = 0; page < pages; page++) {
		unsigned char *at = restored_page(&restored, page);
		const int touched = touch(at);

		if (touched >= SIGNALLED) {
			assert_int_equal(touched, SIGNALLED + SIGBUS);
			signals++;
		} else {
			assert_memory_equal(at, f->snapshots.bytes + page * PAGE, PAGE);
		}
	}
	restored_end(&restored);
	return signals;
}

static void serve_damaged(bool with_prefetch)
{
	unsigned poisoned = 0;

	for (int i = 0; i < FLIPS_SERVED; i++) {
		struct lazymem_snapshot *snapshot;
		struct fixture f;
		unsigned signals;

		begin(&f);
		file_flip(&f.file, choose_offset(&f.file), (unsigned)below(8));
		if (lazymem_snapshot_open(f.snapshots.path, NULL, &snapshot) == 0) {
			atomic_store(&failures, 0);
			signals = count_signals(&f, snapshot, with_prefetch);
			assert_int_equal(signals, count_refused(&f, snapshot));
			assert_int_equal(signals > 0, atomic_load(&failures) > 0);
			poisoned += signals;
			lazymem_snapshot_unref(snapshot);
		}
		end(&f);
	}
	print_message("%u pages poisoned\n", poisoned);
	assert_true(poisoned > 0);
}

static void test_a_damaged_page_is_poisoned_and_reported(void **state)
{
	(void)state;
	serve_damaged(false);
}

static void test_a_prefetch_brings_all_but_the_damaged_pages(void **state)
{
	(void)state;
	serve_damaged(true);
}

/* ---- cut off ----------------------------------------------------------------- */

/* The file, cut off at `length` bytes, is refused by its name. */
static void assert_refused_when_cut(const struct fixture *f, uint64_t length)
{
	unsigned char *bytes = malloc(f->file.length);
	struct lazymem_snapshot *snapshot;

	if (length >= f->file.length) {
		free(bytes);
		return;
	}
	assert_int_equal(pread(f->file.fd, bytes, f->file.length, 0), f->file.length);
	assert_int_equal(ftruncate(f->file.fd, (off_t)length), 0);
	assert_refused(lazymem_snapshot_open(f->snapshots.path, NULL, &snapshot), -EBADMSG,
		       f->file.path);
	assert_int_equal(pwrite(f->file.fd, bytes, f->file.length, 0), f->file.length);
	free(bytes);
}

static void test_a_file_that_is_cut_off_is_refused_by_name(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++) {
		struct fixture f;

		begin(&f);
		assert_refused_when_cut(&f, 0);
		assert_refused_when_cut(&f, PAGE - 1);
		assert_refused_when_cut(&f, PAGE);
		for (uint32_t i = 0; i < f.file.section_count; i++) {
			assert_refused_when_cut(&f, f.file.starts[i]);
			assert_refused_when_cut(&f, f.file.starts[i] + f.file.lengths[i]);
		}
		for (int i = 0; i < 30; i++)
			assert_refused_when_cut(&f, below(f.file.length));
		end(&f);
	}
}

static void test_a_file_that_grew_is_refused(void **state)
{
	struct lazymem_snapshot *snapshot;
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(ftruncate(f.file.fd, (off_t)(f.file.length + PAGE)), 0);
	assert_refused(lazymem_snapshot_open(f.snapshots.path, NULL, &snapshot), -EBADMSG,
		       f.file.path);
	end(&f);
}

/* Zeros are not served in place of what is gone. */
static void test_a_file_that_is_cut_off_while_it_is_open_fails_reads(void **state)
{
	struct lazymem_snapshot *snapshot;
	unsigned char page[PAGE];
	struct fixture f;

	(void)state;
	begin(&f);
	assert_ok(lazymem_snapshot_open(f.snapshots.path, NULL, &snapshot));
	assert_int_equal(ftruncate(f.file.fd, PAGE), 0);
	for (uint64_t at = 0; at + PAGE <= f.snapshots.length; at += PAGE) {
		const int error =
			lazymem_backing_read(lazymem_snapshot_backing(snapshot), at, page, PAGE);

		if (error == 0)
			assert_memory_equal(page, f.snapshots.bytes + at, PAGE);
		else
			assert_int_equal(error, -ENODATA);
	}
	lazymem_snapshot_unref(snapshot);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_flipped_bit_is_ever_read_as_wrong_bytes),
		TEST(test_every_bit_of_header_and_sections_is_guarded),
		TEST(test_a_damaged_page_is_poisoned_and_reported),
		TEST(test_a_prefetch_brings_all_but_the_damaged_pages),
		TEST(test_a_file_that_is_cut_off_is_refused_by_name),
		TEST(test_a_file_that_grew_is_refused),
		TEST(test_a_file_that_is_cut_off_while_it_is_open_fails_reads),
	};

	require_faults();
	random_state = harness_seed();
	return run_group(tests);
}
