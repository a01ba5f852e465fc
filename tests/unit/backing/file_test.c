/* wrap: open statx calloc */
/* SPDX-License-Identifier: MIT
 *
 * file_test.c - opening files as backing objects: what is refused, what is
 * data, and what becomes of descriptors.
 */
#include "file_fixture.h"

#include <sys/mman.h>

int __real_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...);

int __real_statx(int fd, const char *name, int flags, unsigned mask, struct statx *status);
int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *status);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

static bool no_proc;   /* nothing can be opened under /proc */
static bool no_direct; /* the file system says that it always uses its cache */
static bool old_statx; /* the kernel does not tell of alignments */
static bool no_memory;

int __wrap_open(const char *name, int flags, ...)
{
	va_list arguments;
	unsigned mode;

	va_start(arguments, flags);
	mode = (flags & O_CREAT) != 0 ? va_arg(arguments, unsigned) : 0;
	va_end(arguments);
	if (no_proc && strncmp(name, "/proc/", 6) == 0) {
		errno = ENOENT;
		return -1;
	}
	return __real_open(name, flags, mode);
}

int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *status)
{
	const int result = __real_statx(fd, name, flags, mask, status);

	if (no_direct) {
		status->stx_mask |= STATX_DIOALIGN;
		status->stx_dio_mem_align = 0;
		status->stx_dio_offset_align = 0;
	}
	if (old_statx)
		status->stx_mask &= ~STATX_DIOALIGN;
	return result;
}

void *__wrap_calloc(size_t count, size_t size)
{
	return no_memory ? NULL : __real_calloc(count, size);
}

static int set_up(void **state)
{
	(void)state;
	no_proc = false;
	no_direct = false;
	old_statx = false;
	return make_file();
}

/* ---- extents ------------------------------------------------------------- */

/* 4 MiB with 64 KiB of data at 1 MiB; false where the file system has no holes. */
static bool make_sparse(void)
{
	struct stat status;
	int fd;

	unlink(path);
	sample_write(path, 1 << 20, 64 << 10);
	assert_int_equal(truncate(path, 4 << 20), 0);
	assert_int_equal(stat(path, &status), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (status.st_blocks * 512 < 1 << 20 && lseek(fd, 0, SEEK_DATA) == 1 << 20) {
		close(fd);
		return true;
	}
	close(fd);
	return false;
}

static void assert_extent(uint64_t offset, uint64_t length, enum lazymem_extent_kind kind)
{
	struct lazymem_extent extent;

	assert_int_equal(lazymem_backing_extent(backing, offset, 16 << 20, &extent), 0);
	assert_int_equal(extent.start, offset);
	assert_int_equal(extent.length, length);
	assert_int_equal(extent.kind, kind);
}

static void holes_are_found(void **state)
{
	(void)state;
	if (!make_sparse())
		skip();
	open_file(0);
	assert_extent(0, 1 << 20, LAZYMEM_EXTENT_ZERO);
	assert_extent(1 << 20, 64 << 10, LAZYMEM_EXTENT_DATA);
	assert_extent((1 << 20) + (64 << 10), (16 << 20), LAZYMEM_EXTENT_ZERO);
	assert_int_equal(lazymem_backing_read(backing, (1 << 20) - 1, buffer, 2), 0);
	assert_int_equal(buffer[0], 0);
	assert_int_equal(buffer[1], sample_byte(1 << 20));
}

static void holes_are_counted_from_the_start_of_the_window(void **state)
{
	const struct lazymem_file_options options = {
		.size = sizeof(options), .start = (1 << 20) - PAGE, .length = 2 * PAGE};

	(void)state;
	if (!make_sparse())
		skip();
	assert_int_equal(lazymem_file_open(path, &options, &backing), 0);
	assert_extent(0, PAGE, LAZYMEM_EXTENT_ZERO);
	assert_extent(PAGE, PAGE, LAZYMEM_EXTENT_DATA);
}

static void holes_can_be_left_alone(void **state)
{
	(void)state;
	make_sparse();
	open_file(LAZYMEM_FILE_NO_HOLES);
	assert_extent(0, 4 << 20, LAZYMEM_EXTENT_DATA);
}

/* ---- opening ------------------------------------------------------------- */

static int open_window(uint64_t start, uint64_t length)
{
	const struct lazymem_file_options options = {
		.size = sizeof(options), .start = start, .length = length};

	return lazymem_file_open(path, &options, &backing);
}

static void a_window_is_the_object(void **state)
{
	(void)state;
	assert_int_equal(open_window(1000, 5000), 0);
	assert_int_equal(lazymem_backing_length(backing), 5000);
	assert_int_equal(lazymem_backing_read(backing, 4990, buffer, 20), 0);
	assert_true(sample_matches(buffer, 5990, 10));
	for (int i = 10; i < 20; i++)
		assert_int_equal(buffer[i], 0);
	lazymem_backing_unref(backing);
	assert_int_equal(open_window(LENGTH - 1, 0), 0);
	assert_int_equal(lazymem_backing_length(backing), 1);
	lazymem_backing_unref(backing);
	assert_int_equal(open_window(0, LENGTH), 0);
}

static void a_window_past_the_end_is_refused(void **state)
{
	(void)state;
	assert_int_equal(open_window(0, LENGTH + 1), -ERANGE);
	assert_non_null(strstr(lazymem_error_message(), path));
	assert_int_equal(open_window(1, LENGTH), -ERANGE);
	assert_int_equal(open_window(LENGTH, 0), -ERANGE);
	assert_int_equal(open_window(LENGTH, 1), -ERANGE);
	assert_int_equal(open_window(UINT64_MAX, UINT64_MAX), -ERANGE);
	assert_int_equal(open_window(2, UINT64_MAX), -ERANGE);
	assert_null(backing);
}

static void options_are_checked(void **state)
{
	struct {
		struct lazymem_file_options known;
		uint64_t newer;
	} options = {.known = {.size = sizeof(options)}, .newer = 1};

	(void)state;
	assert_int_equal(lazymem_file_open(path, &options.known, &backing), -E2BIG);
	options.known.size = 1;
	assert_int_equal(lazymem_file_open(path, &options.known, &backing), -EINVAL);
	options.known = (struct lazymem_file_options){.size = sizeof(options.known), .flags = 0x80};
	assert_int_equal(lazymem_file_open(path, &options.known, &backing), -EINVAL);
	assert_non_null(strstr(lazymem_error_message(), "unknown flag"));
	assert_null(backing);
	assert_int_equal(lazymem_file_open(path, NULL, &backing), 0);
}

static void assert_refused(const char *name, int error)
{
	assert_int_equal(lazymem_file_open(name, NULL, &backing), error);
	assert_non_null(strstr(lazymem_error_message(), name));
	assert_null(backing);
}

static void what_is_no_file_is_refused(void **state)
{
	char *name = path_of("fifo");

	(void)state;
	assert_refused(directory, -EISDIR);
	assert_refused("/dev/null", -EINVAL);
	assert_int_equal(mkfifo(name, 0600), 0);
	assert_refused(name, -EINVAL);
	assert_int_equal(unlink(name), 0);
	assert_refused(name, -ENOENT);
	free(name);
	assert_int_equal(truncate(path, 0), 0);
	assert_refused(path, -ENODATA);
	assert_int_equal(lazymem_file_open(NULL, NULL, &backing), -EINVAL);
}

static unsigned count_descriptors(void)
{
	DIR *entries = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(entries) != NULL)
		count++;
	closedir(entries);
	return count;
}

static void nothing_is_left_open(void **state)
{
	const unsigned before = count_descriptors();
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(open_window(LENGTH, 0), -ERANGE);
	assert_int_equal(open_window(0, 0), 0);
	lazymem_backing_unref(backing);
	assert_int_equal(lazymem_file_from_fd(fd, "x", NULL, &backing), 0);
	lazymem_backing_unref(backing);
	open_file_direct();
	lazymem_backing_unref(backing);
	backing = NULL;
	close(fd);
	assert_int_equal(count_descriptors(), before);
}

/* ---- descriptors --------------------------------------------------------- */

static void a_descriptor_is_left_as_it_was(void **state)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(lseek(fd, 777, SEEK_SET), 777);
	for (int i = 0; i < 2; i++) {
		no_proc = i == 1; /* the second time it is duplicated */
		assert_int_equal(lazymem_file_from_fd(fd, "mine", NULL, &backing), 0);
		assert_string_equal(lazymem_backing_name(backing), "mine");
		assert_reads(3, 2 * PAGE);
		assert_int_equal(lseek(fd, 0, SEEK_CUR), 777);
		lazymem_backing_unref(backing);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	}
	backing = NULL;
	close(fd);
}

static void a_descriptor_may_be_closed_and_the_file_removed(void **state)
{
	const int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	struct lm_queue *queue = make_queue();

	(void)state;
	assert_int_equal(unlink(path), 0);
	assert_int_equal(lazymem_file_from_fd(fd, NULL, NULL, &backing), 0);
	assert_string_equal(lazymem_backing_name(backing), "unnamed");
	close(fd);
	assert_reads_on_queue(queue, 0, 10 * PAGE);
	sample_write(path, 0, 1); /* for tear_down */
	lm_queue_destroy(queue);
}

static void a_memfd_is_a_file(void **state)
{
	const int fd = memfd_create("sample", MFD_CLOEXEC);
	struct lm_queue *queue = make_queue();

	(void)state;
	sample_fill(buffer, 0, 2 * PAGE);
	assert_int_equal(pwrite(fd, buffer, 2 * PAGE, 0), 2 * PAGE);
	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	assert_int_equal(lazymem_file_from_fd(fd, "memfd", NULL, &backing), 0);
	assert_extent(0, 2 * PAGE, LAZYMEM_EXTENT_DATA);
	assert_reads_on_queue(queue, 10, 2 * PAGE - 10);
	close(fd);
	lm_queue_destroy(queue);
}

static void a_descriptor_that_cannot_be_read_is_refused(void **state)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ends[2];

	(void)state;
	assert_int_equal(lazymem_file_from_fd(fd, "x", NULL, &backing), -EBADF);
	close(fd);
	assert_int_equal(lazymem_file_from_fd(fd, "x", NULL, &backing), -EBADF);
	assert_non_null(strstr(lazymem_error_message(), "x: descriptor"));
	assert_int_equal(lazymem_file_from_fd(-1, "x", NULL, &backing), -EBADF);
	fd = open(path, O_PATH | O_CLOEXEC);
	assert_int_equal(lazymem_file_from_fd(fd, "x", NULL, &backing), -EBADF);
	close(fd);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(lazymem_file_from_fd(ends[0], "x", NULL, &backing), -EINVAL);
	close(ends[0]);
	close(ends[1]);
	assert_null(backing);
}

static void direct_needs_to_open_again(void **state)
{
	const struct lazymem_file_options options = {.size = sizeof(options),
						     .flags = LAZYMEM_FILE_DIRECT};
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	(void)state;
	no_proc = true;
	assert_int_equal(lazymem_file_from_fd(fd, "x", &options, &backing), -ENOENT);
	assert_non_null(strstr(lazymem_error_message(), "x with O_DIRECT"));
	close(fd);
}

static void writing_needs_to_open_again(void **state)
{
	const struct lazymem_file_options options = {.size = sizeof(options),
						     .flags = LAZYMEM_FILE_WRITABLE};
	const int fd = open(path, O_RDWR | O_CLOEXEC);

	(void)state;
	no_proc = true;
	assert_int_equal(lazymem_file_from_fd(fd, "x", &options, &backing), -ENOENT);
	assert_non_null(strstr(lazymem_error_message(), "x: cannot duplicate"));
	close(fd);
}

static void direct_is_refused_where_it_would_be_an_empty_promise(void **state)
{
	const struct lazymem_file_options options = {.size = sizeof(options),
						     .flags = LAZYMEM_FILE_DIRECT};

	(void)state;
	open_file_direct();
	lazymem_backing_unref(backing);
	backing = NULL;
	no_direct = true;
	assert_int_equal(lazymem_file_open(path, &options, &backing), -EOPNOTSUPP);
	assert_non_null(strstr(lazymem_error_message(), path));
}

static void direct_does_without_being_told_the_alignment(void **state)
{
	(void)state;
	old_statx = true;
	open_file_direct();
	assert_reads(0, LENGTH);
	assert_reads(512, PAGE);
}

static void nothing_is_opened_without_memory(void **state)
{
	const unsigned before = count_descriptors();
	int error;

	(void)state;
	no_memory = true;
	error = lazymem_file_open(path, NULL, &backing);
	no_memory = false;
	assert_int_equal(error, -ENOMEM);
	assert_int_equal(count_descriptors(), before);
}

/* ---- identity ------------------------------------------------------------ */

static struct lazymem_identity identity_of(const char *file, uint64_t start, uint64_t length)
{
	const struct lazymem_file_options options = {
		.size = sizeof(options), .start = start, .length = length};
	struct lazymem_backing *opened = NULL;
	struct lazymem_identity identity = {{0}};

	assert_int_equal(lazymem_file_open(file, &options, &opened), 0);
	assert_int_equal(lazymem_backing_identity(opened, &identity), 0);
	lazymem_backing_unref(opened);
	return identity;
}

static bool are_equal(struct lazymem_identity a, struct lazymem_identity b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

static void set_time(const char *file, time_t seconds, long nanoseconds)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
					  {.tv_sec = seconds, .tv_nsec = nanoseconds}};

	assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
}

static void a_file_is_known_by_its_size_and_time(void **state)
{
	struct lazymem_identity before;

	(void)state;
	set_time(path, 1000, 5);
	before = identity_of(path, 0, 0);
	assert_true(are_equal(identity_of(path, 0, 0), before));
	set_time(path, 1000, 6);
	assert_false(are_equal(identity_of(path, 0, 0), before));
	set_time(path, 1001, 5);
	assert_false(are_equal(identity_of(path, 0, 0), before));
	assert_int_equal(truncate(path, LENGTH + 1), 0);
	set_time(path, 1000, 5);
	assert_false(are_equal(identity_of(path, 0, 0), before));
	assert_false(are_equal(identity_of(path, 0, LENGTH), before));
	assert_int_equal(truncate(path, LENGTH), 0);
	set_time(path, 1000, 5);
	assert_true(are_equal(identity_of(path, 0, 0), before));
}

static void a_copy_that_keeps_its_time_keeps_its_identity(void **state)
{
	char *copy = path_of("copy");
	struct stat status;

	(void)state;
	sample_write(copy, 0, LENGTH);
	assert_int_equal(stat(path, &status), 0);
	set_time(copy, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
	assert_true(are_equal(identity_of(copy, 0, 0), identity_of(path, 0, 0)));
	unlink(copy);
	free(copy);
}

static void windows_of_a_file_are_known_apart(void **state)
{
	(void)state;
	assert_true(are_equal(identity_of(path, 0, 0), identity_of(path, 0, LENGTH)));
	assert_false(are_equal(identity_of(path, 0, 0), identity_of(path, 0, LENGTH - 1)));
	assert_false(are_equal(identity_of(path, 0, PAGE), identity_of(path, PAGE, PAGE)));
}

static void a_descriptor_gives_the_identity_of_its_file(void **state)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct lazymem_identity identity = {{0}};

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(lazymem_file_from_fd(fd, "given", NULL, &backing), 0);
	close(fd);
	assert_int_equal(lazymem_backing_identity(backing, &identity), 0);
	assert_true(are_equal(identity, identity_of(path, 0, 0)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(holes_are_found),
		TEST(holes_are_counted_from_the_start_of_the_window),
		TEST(holes_can_be_left_alone),
		TEST(a_window_is_the_object),
		TEST(a_window_past_the_end_is_refused),
		TEST(options_are_checked),
		TEST(what_is_no_file_is_refused),
		TEST(nothing_is_left_open),
		TEST(a_descriptor_is_left_as_it_was),
		TEST(a_descriptor_may_be_closed_and_the_file_removed),
		TEST(a_memfd_is_a_file),
		TEST(a_descriptor_that_cannot_be_read_is_refused),
		TEST(direct_needs_to_open_again),
		TEST(writing_needs_to_open_again),
		TEST(direct_is_refused_where_it_would_be_an_empty_promise),
		TEST(direct_does_without_being_told_the_alignment),
		TEST(nothing_is_opened_without_memory),
		TEST(a_file_is_known_by_its_size_and_time),
		TEST(a_copy_that_keeps_its_time_keeps_its_identity),
		TEST(windows_of_a_file_are_known_apart),
		TEST(a_descriptor_gives_the_identity_of_its_file),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
