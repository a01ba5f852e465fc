/* SPDX-License-Identifier: MIT
 *
 * page_at_a_time.c - the plainest handler that fills the memory of an unmodified
 * monitor on demand, to compare with: a library to be preloaded, as fast as
 * this description allows. It recognises the mmap of one file, registers it with
 * userfaultfd, and a thread of it waits, reads one message, reads one page of
 * the image, and installs that page.
 *
 *   PAGE_AT_A_TIME=MEMORY:IMAGE:COUNT   the file that the program maps, what it
 *                                       is filled from, and a file to which
 *                                       the number of pages is written
 *
 * It serves one mapping, copes with no discard, and leaves what was not touched
 * unreadable at the end: enough for a measurement.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096u

struct served {
	uintptr_t start;
	uint64_t offset;
	int image;
	int faults;
	_Atomic uint64_t *count; /* in a file, for whoever measures */
};

static struct served served;
static atomic_flag taken = ATOMIC_FLAG_INIT;

static void give_up(const char *what)
{
	fprintf(stderr, "page_at_a_time: %s: %s\n", what, strerror(errno));
	_exit(70);
}

static void serve_one(uintptr_t address)
{
	static char page[PAGE] __attribute__((aligned(PAGE)));
	uintptr_t at = address & ~(uintptr_t)(PAGE - 1);
	struct uffdio_copy copy = {.dst = at, .src = (uintptr_t)page, .len = PAGE};

	if (pread(served.image, page, PAGE, (off_t)(at - served.start + served.offset)) != PAGE)
		give_up("the image");
	if (!ioctl(served.faults, UFFDIO_COPY, &copy)) {
		atomic_fetch_add_explicit(served.count, 1, memory_order_relaxed);
		return;
	}
	if (errno != EEXIST)
		give_up("UFFDIO_COPY");
	if (ioctl(served.faults, UFFDIO_WAKE, &(struct uffdio_range){at, PAGE}))
		give_up("UFFDIO_WAKE");
}

static void *serve(void *unused)
{
	struct pollfd wait = {.fd = served.faults, .events = POLLIN};
	struct uffd_msg message;

	(void)unused;
	while (poll(&wait, 1, -1) >= 0 || errno == EINTR) {
		ssize_t got = read(served.faults, &message, sizeof(message));

		if (got < 0 && errno == EAGAIN)
			continue;
		if (got != sizeof(message))
			give_up("read");
		if (message.event == UFFD_EVENT_PAGEFAULT)
			serve_one(message.arg.pagefault.address);
	}
	give_up("poll");
	return NULL;
}

static _Atomic uint64_t *map_count(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	void *count;

	if (fd < 0 || ftruncate(fd, sizeof(*served.count)))
		give_up(path);
	count = mmap64(NULL, sizeof(*served.count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (count == MAP_FAILED)
		give_up(path);
	close(fd);
	return count;
}

static void begin(void *start, size_t length, off_t offset, const char *image, const char *count)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register registered = {.range = {(uintptr_t)start, length},
					     .mode = UFFDIO_REGISTER_MODE_MISSING};
	pthread_t thread;

	served.start = (uintptr_t)start;
	served.offset = (uint64_t)offset;
	served.count = map_count(count);
	served.image = open(image, O_RDONLY | O_CLOEXEC);
	if (served.image < 0)
		give_up(image);
	served.faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (served.faults < 0 || ioctl(served.faults, UFFDIO_API, &api) ||
	    ioctl(served.faults, UFFDIO_REGISTER, &registered))
		give_up("userfaultfd");
	if (pthread_create(&thread, NULL, serve, NULL))
		give_up("thread");
}

static int is_file(int fd, const char *path)
{
	struct stat mapped, named;

	return fd >= 0 && !fstat(fd, &mapped) && !stat(path, &named) &&
	       mapped.st_dev == named.st_dev && mapped.st_ino == named.st_ino;
}

/* MEMORY:IMAGE:COUNT in its parts. */
static int read_settings(char settings[4096], char **image, char **count)
{
	const char *value = getenv("PAGE_AT_A_TIME");

	if (!value || strlen(value) >= 4096)
		return 0;
	strcpy(settings, value);
	*image = strchr(settings, ':');
	*count = strrchr(settings, ':');
	if (!*image || *count == *image)
		return 0;
	*(*image)++ = '\0';
	*(*count)++ = '\0';
	return 1;
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset)
{
	void *start = (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
	char settings[4096], *image, *count;

	if (start == MAP_FAILED || fd < 0 || !(flags & MAP_SHARED) ||
	    !read_settings(settings, &image, &count) || !is_file(fd, settings) ||
	    atomic_flag_test_and_set(&taken))
		return start;
	begin(start, length, offset, image, count);
	return start;
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	return mmap64(address, length, protection, flags, fd, offset);
}
