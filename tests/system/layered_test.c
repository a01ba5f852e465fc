/* SPDX-License-Identifier: MIT
 *
 * layered_test.c - a raw image and sparse diffs over it, in real files: what a
 * guest sees is the topmost data, through faults, prefetch and reads.
 */
#include <errno.h>
#include <fcntl.h>
#include <lazymem/file.h>
#include <lazymem/layered.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <support/guest.h>
#include <unistd.h>

#define MOST_LAYERS 10
#define LENGTH (2 * MIB)

static uint64_t random_state;

struct fixture {
	unsigned char *bytes; /* what the guest must see */
	struct lazymem_backing *files[MOST_LAYERS];
	size_t count;
	struct lazymem_backing *layered;
};

static uint64_t below(uint64_t limit)
{
	return next_random(&random_state) % limit;
}

/* Write runs of pages to a sparse file, `share` of ten of all, zeros among them. */
static void write_layer(struct fixture *f, const char *path, uint64_t share)
{
	const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, LENGTH), 0);
	for (uint64_t at = 0; at < LENGTH;) {
		uint64_t length = PAGE * (1 + below(16));
		const int byte = (int)below(4);

		if (length > LENGTH - at)
			length = LENGTH - at;
		if (below(10) < share) {
			memset(f->bytes + at, byte, length);
			for (uint64_t i = 0; byte != 0 && i < length; i += 8)
				memcpy(f->bytes + at + i, &(uint64_t){next_random(&random_state)},
				       8);
			assert_int_equal(pwrite(fd, f->bytes + at, length, (off_t)at), length);
		}
		at += length;
	}
	close(fd);
}

static bool file_system_has_holes(struct lazymem_backing *file)
{
	struct lazymem_extent extent;

	assert_ok(lazymem_backing_extent(file, 0, LENGTH, &extent));
	return extent.length != LENGTH || extent.kind != LAZYMEM_EXTENT_DATA;
}

static void end(struct fixture *f)
{
	for (size_t i = 0; i < f->count; i++)
		lazymem_backing_unref(f->files[i]);
	lazymem_backing_unref(f->layered);
	free(f->bytes);
}

static void begin(struct fixture *f, size_t count)
{
	*f = (struct fixture){.count = count, .bytes = calloc(1, LENGTH)};
	for (size_t i = 0; i < count; i++) {
		char name[32];

		snprintf(name, sizeof(name), "layer-%zu", i);
		write_layer(f, scratch_path(name), i == 0 ? 8 : 3);
		assert_ok(lazymem_file_open(scratch_path(name), NULL, &f->files[i]));
	}
	if (!file_system_has_holes(f->files[count - 1])) {
		end(f);
		skip();
	}
	assert_ok(lazymem_layered_create(f->files, count, &f->layered));
}

static void restore_by_faults(struct fixture *f)
{
	struct guest guest;

	guest_start(&guest, ANONYMOUS, LENGTH, f->layered);
	assert_memory_equal(guest.host, f->bytes, LENGTH);
	guest_end(&guest);
}

static void restore_by_prefetch(struct fixture *f)
{
	struct guest guest;

	guest_start(&guest, ANONYMOUS, LENGTH, f->layered);
	guest_prefetch(&guest, 0, 0);
	assert_memory_equal(guest.host, f->bytes, LENGTH);
	guest_end(&guest);
}

static void restore_by_reads(struct fixture *f)
{
	unsigned char *bytes = malloc(LENGTH);

	assert_ok(lazymem_backing_read(f->layered, 0, bytes, LENGTH));
	assert_memory_equal(bytes, f->bytes, LENGTH);
	for (int i = 0; i < 300; i++) {
		const uint64_t offset = below(LENGTH - 20000);
		const size_t length = 1 + below(20000);

		assert_ok(lazymem_backing_read(f->layered, offset, bytes, length));
		assert_memory_equal(bytes, f->bytes + offset, length);
	}
	free(bytes);
}

static void test_an_image_and_its_diffs_are_restored(void **state)
{
	(void)state;
	for (size_t count = 1; count <= MOST_LAYERS; count++) {
		struct fixture f;

		begin(&f, count);
		restore_by_reads(&f);
		restore_by_faults(&f);
		restore_by_prefetch(&f);
		end(&f);
	}
}

/* More extents than fit into a small table: none of the holes may be lost. */
static void test_a_diff_of_very_many_extents_hides_nothing(void **state)
{
	enum { EXTENTS = 70000 };
	const uint64_t length = (uint64_t)EXTENTS * 2 * PAGE;
	struct lazymem_backing *files[2], *layered;
	unsigned char page[PAGE];
	int fds[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		const char *path = scratch_path(i == 0 ? "base" : "diff");

		fds[i] = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_true(fds[i] >= 0);
		assert_int_equal(ftruncate(fds[i], (off_t)length), 0);
	}
	for (uint64_t i = 0; i < EXTENTS; i++)
		assert_int_equal(pwrite(fds[1], "diff", 4, (off_t)(i * 2 * PAGE)), 4);
	for (uint64_t i = 0; i < EXTENTS; i += 1000)
		assert_int_equal(pwrite(fds[0], "base", 4, (off_t)((i * 2 + 1) * PAGE)), 4);
	assert_ok(lazymem_file_open(scratch_path("base"), NULL, &files[0]));
	assert_ok(lazymem_file_open(scratch_path("diff"), NULL, &files[1]));
	assert_ok(lazymem_layered_create(files, 2, &layered));
	for (uint64_t i = 0; i < EXTENTS; i += 1000) {
		assert_ok(lazymem_backing_read(layered, i * 2 * PAGE, page, PAGE));
		assert_memory_equal(page, "diff", 4);
		assert_ok(lazymem_backing_read(layered, (i * 2 + 1) * PAGE, page, PAGE));
		if (page[0] == 0 && lseek(fds[1], PAGE, SEEK_DATA) == (off_t)PAGE)
			skip(); /* a file system without holes of a page */
		assert_memory_equal(page, "base", 4);
	}
	lazymem_backing_unref(layered);
	for (int i = 0; i < 2; i++) {
		lazymem_backing_unref(files[i]);
		close(fds[i]);
	}
}

static void test_images_of_other_lengths_are_refused_by_name(void **state)
{
	struct lazymem_backing *shorter, *layered;
	struct fixture f;
	int fd;

	(void)state;
	begin(&f, 1);
	fd = open(scratch_path("shorter"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	close(fd);
	assert_ok(lazymem_file_open(scratch_path("shorter"), NULL, &shorter));
	assert_refused(lazymem_layered_create((struct lazymem_backing *[]){f.files[0], shorter}, 2,
					      &layered),
		       -EINVAL, "shorter");
	lazymem_backing_unref(shorter);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_an_image_and_its_diffs_are_restored),
		TEST(test_a_diff_of_very_many_extents_hides_nothing),
		TEST(test_images_of_other_lengths_are_refused_by_name),
	};

	require_faults();
	random_state = harness_seed();
	return run_group(tests);
}
