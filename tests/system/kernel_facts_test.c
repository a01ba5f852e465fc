/* SPDX-License-Identifier: MIT
 *
 * kernel_facts_test.c - what the library believes about the kernel, one test
 * a fact, by raw system calls. The library is built on these answers; when a
 * kernel gives another one, this is where it shows, and not as a lost page.
 *
 * The only test that includes <linux/userfaultfd.h>.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif
#ifndef UFFD_FEATURE_POISON
#define UFFD_FEATURE_POISON (1 << 14)
#endif
#ifndef UFFDIO_POISON
#define _UFFDIO_POISON (0x08)
struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated;
};
#define UFFDIO_POISON _IOWR(UFFDIO, _UFFDIO_POISON, struct uffdio_poison)
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define PAGE ((size_t)4096)
#define HUGE ((size_t)2 << 20)
#define MODE_BOTH (UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR)
#define FEATURES                                                                                   \
	(UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM |       \
	 UFFD_FEATURE_MISSING_HUGETLBFS | UFFD_FEATURE_MINOR_HUGETLBFS | UFFD_FEATURE_POISON)
#define QUIET_MS 100   /* nothing has happened if it has not happened by then */
#define SOON_MS 200000 /* what must happen happens by then */
#define STAMP 0x5a

/* ---- registered memory --------------------------------------------------- */

/* A 2 MiB aligned piece of memory and the userfaultfd it is registered with;
 * of a memfd also the second mapping that is filled behind its back. */
struct arena {
	int uffd;
	int memfd;
	unsigned char *area;
	unsigned char *alias;
	size_t length;
};

static int open_with(uint64_t features)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd;

	if (device >= 0) {
		fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
		close(device);
	} else {
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	}
	if (fd < 0)
		return -1;
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	if (ioctl(fd, UFFDIO_API, &api) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int open_userfaultfd(void)
{
	return open_with(FEATURES);
}

static void *map_aligned(size_t length, int flags, int fd)
{
	unsigned char *room =
		mmap(NULL, length + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (room == MAP_FAILED)
		return MAP_FAILED;
	unsigned char *at = room + (HUGE - ((uintptr_t)room & (HUGE - 1)));
	return mmap(at, length, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
}

static int register_range(struct arena *a, uint64_t mode)
{
	struct uffdio_register r = {
		.range = {.start = (uintptr_t)a->area, .len = a->length},
		.mode = mode,
	};
	return ioctl(a->uffd, UFFDIO_REGISTER, &r) == 0 ? 0 : -errno;
}

static void make_anonymous(struct arena *a, size_t length)
{
	*a = (struct arena){.uffd = open_userfaultfd(), .memfd = -1, .length = length};
	a->area = map_aligned(length, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	assert_ptr_not_equal(a->area, MAP_FAILED);
	assert_int_equal(register_range(a, UFFDIO_REGISTER_MODE_MISSING), 0);
}

static void make_memfd(struct arena *a, size_t length, unsigned flags, uint64_t mode)
{
	*a = (struct arena){.uffd = open_userfaultfd(), .length = length};
	a->memfd = memfd_create("kernel-facts", MFD_CLOEXEC | flags);
	assert_true(a->memfd >= 0);
	assert_int_equal(ftruncate(a->memfd, (off_t)length), 0);
	a->area = map_aligned(length, MAP_SHARED, a->memfd);
	a->alias = map_aligned(length, MAP_SHARED, a->memfd);
	assert_ptr_not_equal(a->area, MAP_FAILED);
	assert_ptr_not_equal(a->alias, MAP_FAILED);
	assert_int_equal(register_range(a, mode), 0);
}

static void destroy(struct arena *a)
{
	if (a->uffd >= 0)
		close(a->uffd);
	munmap(a->area, a->length);
	if (a->alias)
		munmap(a->alias, a->length);
	if (a->memfd >= 0)
		close(a->memfd);
}

/* ---- verbs ---------------------------------------------------------------- */

static int verb(struct arena *a, unsigned long request, void *argument)
{
	return ioctl(a->uffd, request, argument) == 0 ? 0 : -errno;
}

static int copy_mode(struct arena *a, size_t offset, size_t length, uint64_t mode)
{
	unsigned char *source =
		mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(source, MAP_FAILED);
	memset(source, STAMP, length);
	struct uffdio_copy c = {
		.dst = (uintptr_t)a->area + offset,
		.src = (uintptr_t)source,
		.len = length,
		.mode = mode,
	};
	int result = verb(a, UFFDIO_COPY, &c);
	munmap(source, length);
	return result;
}

static int copy(struct arena *a, size_t offset, size_t length)
{
	return copy_mode(a, offset, length, 0);
}

static int zeropage(struct arena *a, size_t offset, size_t length)
{
	struct uffdio_zeropage z = {
		.range = {.start = (uintptr_t)a->area + offset, .len = length},
	};
	return verb(a, UFFDIO_ZEROPAGE, &z);
}

static int continue_range(struct arena *a, size_t offset, size_t length)
{
	struct uffdio_continue c = {
		.range = {.start = (uintptr_t)a->area + offset, .len = length},
	};
	return verb(a, UFFDIO_CONTINUE, &c);
}

static int poison(struct arena *a, size_t offset, size_t length)
{
	struct uffdio_poison p = {
		.range = {.start = (uintptr_t)a->area + offset, .len = length},
	};
	return verb(a, UFFDIO_POISON, &p);
}

static int wake(struct arena *a)
{
	struct uffdio_range r = {.start = (uintptr_t)a->area, .len = a->length};

	return verb(a, UFFDIO_WAKE, &r);
}

static int unregister(struct arena *a)
{
	struct uffdio_range r = {.start = (uintptr_t)a->area, .len = a->length};

	return verb(a, UFFDIO_UNREGISTER, &r);
}

static int advise(void *at, size_t length, int advice)
{
	return madvise(at, length, advice) == 0 ? 0 : -errno;
}

static bool readable(struct arena *a, int timeout_ms)
{
	struct pollfd p = {.fd = a->uffd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1 && (p.revents & POLLIN);
}

static struct uffd_msg expect_message(struct arena *a, uint8_t event)
{
	struct uffd_msg message;

	assert_true(readable(a, SOON_MS));
	assert_int_equal(read(a->uffd, &message, sizeof(message)), sizeof(message));
	assert_int_equal(message.event, event);
	return message;
}

/* ---- a thread that does one thing to the memory ---------------------------- */

#define SIGNALLED 0x1000 /* + the signal, in place of the byte that was read */

struct actor {
	pthread_t thread;
	int (*act)(unsigned char *at);
	unsigned char *at;
	int result;
	int done[2]; /* a pipe: readable once it is over */
};

static __thread sigjmp_buf escape;

static void on_signal(int number)
{
	siglongjmp(escape, number);
}

static int touch(unsigned char *at)
{
	struct sigaction action = {.sa_handler = on_signal};
	int number = sigsetjmp(escape, 1);

	sigaction(SIGBUS, &action, NULL); /* CMocka puts its own in place for each test */
	return number ? SIGNALLED + number : *(volatile unsigned char *)at;
}

static int dontneed(unsigned char *at)
{
	return advise(at, PAGE, MADV_DONTNEED);
}

static int remove_page(unsigned char *at)
{
	return advise(at, PAGE, MADV_REMOVE);
}

static void *actor_main(void *argument)
{
	struct actor *actor = argument;

	actor->result = actor->act(actor->at);
	assert_int_equal(write(actor->done[1], "", 1), 1);
	return NULL;
}

static void start(struct actor *actor, int (*act)(unsigned char *at), unsigned char *at)
{
	*actor = (struct actor){.act = act, .at = at};
	assert_int_equal(pipe(actor->done), 0);
	assert_int_equal(pthread_create(&actor->thread, NULL, actor_main, actor), 0);
}

static bool is_done(struct actor *actor, int timeout_ms)
{
	struct pollfd p = {.fd = actor->done[0], .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

static int finish(struct actor *actor)
{
	assert_true(is_done(actor, SOON_MS));
	pthread_join(actor->thread, NULL);
	close(actor->done[0]);
	close(actor->done[1]);
	return actor->result;
}

static size_t smaps_kib(const unsigned char *at, const char *field)
{
	char line[256];
	size_t kib = 0;
	bool here = false;
	FILE *file = fopen("/proc/self/smaps", "re");

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		uintptr_t from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from <= (uintptr_t)at && (uintptr_t)at < to;
		else if (here && strncmp(line, field, strlen(field)) == 0)
			sscanf(line + strlen(field), ": %zu", &kib);
	}
	fclose(file);
	return kib;
}

static size_t huge_kib(struct arena *a)
{
	return smaps_kib(a->area, a->alias ? "ShmemPmdMapped" : "AnonHugePages");
}

/* ---- copy ------------------------------------------------------------------ */

static void test_copy_onto_a_present_page_is_refused_and_wakes_nobody(void **state)
{
	struct arena a;
	struct actor actor;

	(void)state;
	make_anonymous(&a, HUGE);
	start(&actor, touch, a.area);
	expect_message(&a, UFFD_EVENT_PAGEFAULT);
	assert_int_equal(copy_mode(&a, 0, PAGE, UFFDIO_COPY_MODE_DONTWAKE), 0);
	assert_int_equal(copy(&a, 0, PAGE), -EEXIST);
	assert_false(is_done(&actor, QUIET_MS));
	assert_int_equal(wake(&a), 0);
	assert_int_equal(finish(&actor), STAMP);
	destroy(&a);
}

static void test_copy_says_eagain_while_a_remove_event_is_unread(void **state)
{
	struct arena a;
	struct actor actor;

	(void)state;
	make_anonymous(&a, HUGE);
	start(&actor, dontneed, a.area);
	assert_true(readable(&a, SOON_MS));
	assert_int_equal(copy(&a, PAGE, PAGE), -EAGAIN);
	assert_int_equal(zeropage(&a, PAGE, PAGE), -EAGAIN);
	assert_int_equal(poison(&a, PAGE, PAGE), -EAGAIN);
	expect_message(&a, UFFD_EVENT_REMOVE);
	assert_int_equal(finish(&actor), 0);
	assert_int_equal(copy(&a, PAGE, PAGE), 0);
	destroy(&a);
}

static void test_two_threads_on_one_page_send_two_messages(void **state)
{
	struct arena a;
	struct actor actors[2];

	(void)state;
	make_anonymous(&a, HUGE);
	start(&actors[0], touch, a.area);
	start(&actors[1], touch, a.area);
	expect_message(&a, UFFD_EVENT_PAGEFAULT);
	expect_message(&a, UFFD_EVENT_PAGEFAULT);
	assert_int_equal(copy(&a, 0, PAGE), 0);
	assert_int_equal(finish(&actors[0]), STAMP);
	assert_int_equal(finish(&actors[1]), STAMP);
	destroy(&a);
}

static void test_zeropage_resolves_an_anonymous_fault(void **state)
{
	struct arena a;
	struct actor actor;

	(void)state;
	make_anonymous(&a, HUGE);
	start(&actor, touch, a.area);
	expect_message(&a, UFFD_EVENT_PAGEFAULT);
	assert_int_equal(zeropage(&a, 0, PAGE), 0);
	assert_int_equal(finish(&actor), 0);
	destroy(&a);
}

static void test_zeropage_resolves_a_memfd_fault(void **state)
{
	struct arena a;
	struct actor actor;

	(void)state;
	make_memfd(&a, HUGE, 0, MODE_BOTH);
	start(&actor, touch, a.area);
	expect_message(&a, UFFD_EVENT_PAGEFAULT);
	assert_int_equal(zeropage(&a, 0, PAGE), 0);
	assert_int_equal(finish(&actor), 0);
	destroy(&a);
}

static void test_zeropage_is_refused_on_hugetlb(void **state)
{
	struct arena a;

	(void)state;
	make_memfd(&a, HUGE, MFD_HUGETLB, MODE_BOTH);
	assert_int_equal(zeropage(&a, 0, HUGE), -EINVAL);
	destroy(&a);
}

static void test_copy_onto_a_memfd_page_in_the_cache_says_eexist(void **state)
{
	struct arena a;

	(void)state;
	make_memfd(&a, HUGE, 0, MODE_BOTH);
	a.alias[0] = 1;
	assert_int_equal(copy(&a, 0, PAGE), -EEXIST);
	destroy(&a);
}

static void test_regular_files_cannot_be_registered(void **state)
{
	static const int flags[] = {MAP_PRIVATE, MAP_SHARED};
	static const char *const paths[] = {"/proc/self/exe", "/bin/sh", "/etc/passwd"};
	struct statfs fs;
	int fd = -1;

	(void)state;
	for (size_t i = 0; i < 3 && fd < 0; i++) {
		fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && (fstatfs(fd, &fs) != 0 || fs.f_type == 0x01021994)) {
			close(fd); /* tmpfs can be registered */
			fd = -1;
		}
	}
	if (fd < 0)
		skip();
	for (size_t i = 0; i < 2; i++) {
		struct arena a = {.uffd = open_userfaultfd(), .memfd = -1, .length = PAGE};

		a.area = mmap(NULL, PAGE, PROT_READ, flags[i], fd, 0);
		assert_ptr_not_equal(a.area, MAP_FAILED);
		assert_int_equal(register_range(&a, UFFDIO_REGISTER_MODE_MISSING), -EINVAL);
		destroy(&a);
	}
	close(fd);
}

/* ---- removal --------------------------------------------------------------- */

static void test_dontneed_sleeps_until_its_event_is_read(void **state)
{
	struct arena a;
	struct actor actor;

	(void)state;
	make_anonymous(&a, HUGE);
	assert_int_equal(copy(&a, 0, PAGE), 0);
	start(&actor, dontneed, a.area);
	assert_false(is_done(&actor, QUIET_MS));
	expect_message(&a, UFFD_EVENT_REMOVE);
	assert_int_equal(finish(&actor), 0);
	destroy(&a);
}

static void test_a_page_given_back_faults_again_and_takes_a_copy(void **state)
{
	struct arena a;
	struct actor actor;

	(void)state;
	make_anonymous(&a, HUGE);
	start(&actor, dontneed, a.area);
	expect_message(&a, UFFD_EVENT_REMOVE);
	assert_int_equal(finish(&actor), 0);
	start(&actor, touch, a.area);
	expect_message(&a, UFFD_EVENT_PAGEFAULT);
	assert_int_equal(copy(&a, 0, PAGE), 0);
	assert_int_equal(finish(&actor), STAMP);
	destroy(&a);
}

static void test_dontneed_on_a_memfd_keeps_the_data_and_faults_minor(void **state)
{
	struct arena a;
	struct actor actor;

	(void)state;
	make_memfd(&a, HUGE, 0, MODE_BOTH);
	assert_int_equal(copy(&a, 0, PAGE), 0);
	start(&actor, dontneed, a.area);
	expect_message(&a, UFFD_EVENT_REMOVE);
	assert_int_equal(finish(&actor), 0);
	start(&actor, touch, a.area);
	struct uffd_msg m = expect_message(&a, UFFD_EVENT_PAGEFAULT);
	assert_true(m.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR);
	assert_int_equal(continue_range(&a, 0, PAGE), 0);
	assert_int_equal(finish(&actor), STAMP);
	destroy(&a);
}

static void test_madv_remove_on_a_memfd_sends_a_remove_event_and_drops_the_data(void **state)
{
	struct arena a;
	struct actor actor;

	(void)state;
	make_memfd(&a, HUGE, 0, MODE_BOTH);
	assert_int_equal(copy(&a, 0, PAGE), 0);
	start(&actor, remove_page, a.area);
	expect_message(&a, UFFD_EVENT_REMOVE);
	assert_int_equal(finish(&actor), 0);
	assert_int_equal(a.alias[0], 0);
	destroy(&a);
}

static void punch_and_touch(unsigned flags, size_t page)
{
	struct arena a;
	struct actor actor;

	make_memfd(&a, HUGE, flags, MODE_BOTH);
	memset(a.alias, STAMP, page);
	assert_int_equal(continue_range(&a, 0, page), 0);
	assert_int_equal(touch(a.area), STAMP);
	assert_int_equal(
		fallocate(a.memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)page), 0);
	assert_false(readable(&a, 0));
	start(&actor, touch, a.area);
	struct uffd_msg m = expect_message(&a, UFFD_EVENT_PAGEFAULT);
	assert_false(m.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR);
	memset(a.alias, STAMP + 1, page);
	assert_int_equal(continue_range(&a, 0, page), 0);
	assert_int_equal(finish(&actor), STAMP + 1);
	destroy(&a);
}

static void test_a_punched_memfd_page_sends_no_event_and_faults_missing_again(void **state)
{
	(void)state;
	punch_and_touch(0, PAGE);
}

static void test_a_punched_hugetlb_page_sends_no_event_and_faults_missing_again(void **state)
{
	(void)state;
	punch_and_touch(MFD_HUGETLB, HUGE);
}

/* ---- memfd: fill through the alias ------------------------------------------ */

static void alias_and_continue(unsigned flags, size_t page)
{
	struct arena a;
	struct actor actor;

	make_memfd(&a, HUGE, flags, MODE_BOTH);
	start(&actor, touch, a.area);
	struct uffd_msg m = expect_message(&a, UFFD_EVENT_PAGEFAULT);
	assert_false(m.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR);
	memset(a.alias, STAMP, page);
	assert_int_equal(continue_range(&a, 0, page), 0);
	assert_int_equal(finish(&actor), STAMP);
	destroy(&a);
}

static void test_a_memfd_fault_ends_by_alias_and_continue(void **state)
{
	(void)state;
	alias_and_continue(0, PAGE);
}

static void test_a_hugetlb_fault_ends_by_alias_and_continue(void **state)
{
	(void)state;
	alias_and_continue(MFD_HUGETLB, HUGE);
}

static void test_continue_without_a_page_in_the_cache_is_refused(void **state)
{
	struct arena a;

	(void)state;
	make_memfd(&a, HUGE, 0, MODE_BOTH);
	assert_int_equal(continue_range(&a, 0, PAGE), -EFAULT);
	destroy(&a);
}

static void test_minor_alone_fills_holes_with_zeros_without_a_message(void **state)
{
	struct arena a;

	(void)state;
	make_memfd(&a, HUGE, 0, UFFDIO_REGISTER_MODE_MINOR);
	assert_int_equal(touch(a.area), 0);
	assert_false(readable(&a, 0));
	destroy(&a);
}

/* ---- letting go ------------------------------------------------------------- */

static void test_unregister_with_a_page_missing_reads_zeros(void **state)
{
	struct arena a;
	struct actor actor;

	(void)state;
	make_anonymous(&a, HUGE);
	start(&actor, touch, a.area);
	expect_message(&a, UFFD_EVENT_PAGEFAULT);
	assert_int_equal(unregister(&a), 0);
	assert_int_equal(finish(&actor), 0);
	assert_int_equal(touch(a.area + PAGE), 0);
	destroy(&a);
}

static void test_close_with_a_page_missing_reads_zeros(void **state)
{
	struct arena a;

	(void)state;
	make_anonymous(&a, HUGE);
	close(a.uffd);
	a.uffd = -1;
	assert_int_equal(touch(a.area), 0);
	destroy(&a);
}

/* ---- poison ----------------------------------------------------------------- */

static void test_poison_raises_sigbus_in_a_thread_that_waits(void **state)
{
	struct arena a;
	struct actor actor;

	(void)state;
	make_anonymous(&a, HUGE);
	start(&actor, touch, a.area);
	expect_message(&a, UFFD_EVENT_PAGEFAULT);
	assert_int_equal(poison(&a, 0, PAGE), 0);
	assert_int_equal(finish(&actor), SIGNALLED + SIGBUS);
	destroy(&a);
}

static void test_poison_makes_a_system_call_fail_with_efault(void **state)
{
	struct arena a;
	int ends[2];

	(void)state;
	make_anonymous(&a, HUGE);
	assert_int_equal(poison(&a, 0, PAGE), 0);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], a.area, 1), -1);
	assert_int_equal(errno, EFAULT);
	close(ends[0]);
	close(ends[1]);
	destroy(&a);
}

static void test_a_copy_heals_a_poisoned_page(void **state)
{
	struct arena a;

	(void)state;
	make_anonymous(&a, HUGE);
	assert_int_equal(poison(&a, 0, PAGE), 0);
	assert_int_equal(touch(a.area), SIGNALLED + SIGBUS);
	assert_int_equal(copy(&a, 0, PAGE), 0);
	assert_int_equal(touch(a.area), STAMP);
	destroy(&a);
}

static void continue_heals(unsigned flags, size_t page)
{
	struct arena a;

	make_memfd(&a, HUGE, flags, MODE_BOTH);
	assert_int_equal(poison(&a, 0, page), 0);
	assert_int_equal(touch(a.area), SIGNALLED + SIGBUS);
	memset(a.alias, STAMP, page);
	assert_int_equal(touch(a.area), SIGNALLED + SIGBUS);
	assert_int_equal(continue_range(&a, 0, page), 0);
	assert_int_equal(touch(a.area), STAMP);
	destroy(&a);
}

static void test_a_continue_heals_a_poisoned_memfd_page(void **state)
{
	(void)state;
	continue_heals(0, PAGE);
}

static void test_a_continue_heals_a_poisoned_hugetlb_page(void **state)
{
	(void)state;
	continue_heals(MFD_HUGETLB, HUGE);
}

static void test_zeropage_does_not_heal_anonymous_memory_but_a_copy_of_zeros_would(void **state)
{
	struct arena a;

	(void)state;
	make_anonymous(&a, HUGE);
	assert_int_equal(poison(&a, 0, PAGE), 0);
	assert_int_equal(zeropage(&a, 0, PAGE), -EEXIST);
	assert_int_equal(touch(a.area), SIGNALLED + SIGBUS);
	destroy(&a);
}

static void test_zeropage_heals_a_poisoned_memfd_page(void **state)
{
	struct arena a;

	(void)state;
	make_memfd(&a, HUGE, 0, MODE_BOTH);
	assert_int_equal(poison(&a, 0, PAGE), 0);
	assert_int_equal(zeropage(&a, 0, PAGE), 0);
	assert_int_equal(touch(a.area), 0);
	destroy(&a);
}

static void test_poison_of_a_poisoned_page_is_refused(void **state)
{
	struct arena a;

	(void)state;
	make_anonymous(&a, HUGE);
	assert_int_equal(poison(&a, 0, PAGE), 0);
	assert_int_equal(poison(&a, 0, PAGE), -EEXIST);
	destroy(&a);
}

static void test_poison_leaves_a_present_page_alone(void **state)
{
	struct arena a;

	(void)state;
	make_anonymous(&a, HUGE);
	assert_int_equal(copy(&a, 0, PAGE), 0);
	assert_int_equal(poison(&a, 0, PAGE), -EEXIST);
	assert_int_equal(touch(a.area), STAMP);
	destroy(&a);
}

enum arena_kind { ANONYMOUS, MEMFD, HUGETLB };

static size_t make_poisoned(struct arena *a, enum arena_kind kind)
{
	size_t page = kind == HUGETLB ? HUGE : PAGE;

	if (kind == ANONYMOUS)
		make_anonymous(a, HUGE);
	else
		make_memfd(a, HUGE, kind == HUGETLB ? MFD_HUGETLB : 0, MODE_BOTH);
	assert_int_equal(poison(a, 0, page), 0);
	return page;
}

static void poison_survives(enum arena_kind kind, bool by_close)
{
	struct arena a;

	make_poisoned(&a, kind);
	if (by_close) {
		close(a.uffd);
		a.uffd = -1;
	} else {
		assert_int_equal(unregister(&a), 0);
	}
	assert_int_equal(touch(a.area), SIGNALLED + SIGBUS);
	destroy(&a);
}

#define POISON_SURVIVES(name, kind, by_close)                                                      \
	static void test_poison_survives_##name(void **state)                                      \
	{                                                                                          \
		(void)state;                                                                       \
		poison_survives(kind, by_close);                                                   \
	}
POISON_SURVIVES(unregister_of_anonymous_memory, ANONYMOUS, false)
POISON_SURVIVES(unregister_of_a_memfd, MEMFD, false)
POISON_SURVIVES(unregister_of_hugetlb, HUGETLB, false)
POISON_SURVIVES(close_on_anonymous_memory, ANONYMOUS, true)
POISON_SURVIVES(close_on_a_memfd, MEMFD, true)
POISON_SURVIVES(close_on_hugetlb, HUGETLB, true)

static void dontneed_clears(enum arena_kind kind)
{
	struct arena a;
	size_t page = make_poisoned(&a, kind);

	assert_int_equal(unregister(&a), 0);
	assert_int_equal(touch(a.area), SIGNALLED + SIGBUS);
	assert_int_equal(advise(a.area, page, MADV_DONTNEED), 0);
	assert_int_equal(touch(a.area), 0);
	destroy(&a);
}

static void test_dontneed_clears_poison_of_anonymous_memory(void **state)
{
	(void)state;
	dontneed_clears(ANONYMOUS);
}

static void test_dontneed_clears_poison_of_a_memfd(void **state)
{
	(void)state;
	dontneed_clears(MEMFD);
}

static void test_dontneed_clears_poison_of_hugetlb(void **state)
{
	(void)state;
	dontneed_clears(HUGETLB);
}

static void punch_on_poison(enum arena_kind kind, int expected)
{
	struct arena a;
	size_t page = make_poisoned(&a, kind);

	assert_int_equal(
		fallocate(a.memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)page), 0);
	assert_int_equal(unregister(&a), 0);
	assert_int_equal(touch(a.area), expected);
	destroy(&a);
}

static void test_punching_a_memfd_keeps_poison(void **state)
{
	(void)state;
	punch_on_poison(MEMFD, SIGNALLED + SIGBUS);
}

static void test_punching_hugetlb_clears_poison(void **state)
{
	(void)state;
	punch_on_poison(HUGETLB, 0);
}

/* ---- collapse ----------------------------------------------------------------- */

static void test_a_full_registered_anonymous_block_collapses(void **state)
{
	struct arena a;

	(void)state;
	make_anonymous(&a, HUGE);
	assert_int_equal(copy(&a, 0, HUGE), 0);
	assert_int_equal(advise(a.area, HUGE, MADV_COLLAPSE), 0);
	assert_int_equal(huge_kib(&a), HUGE / 1024);
	assert_int_equal(touch(a.area + HUGE - 1), STAMP);
	destroy(&a);
}

static void test_a_full_registered_memfd_block_collapses(void **state)
{
	struct arena a;

	(void)state;
	make_memfd(&a, HUGE, 0, MODE_BOTH);
	memset(a.alias, STAMP, HUGE);
	assert_int_equal(continue_range(&a, 0, HUGE), 0);
	assert_int_equal(advise(a.area, HUGE, MADV_COLLAPSE), 0);
	assert_int_equal(huge_kib(&a), HUGE / 1024);
	assert_int_equal(touch(a.area + HUGE - 1), STAMP);
	destroy(&a);
}

/* A block that is half bytes and half something else. */
static int collapse_half(struct arena *a, bool zero_pages, bool registered)
{
	assert_int_equal(copy(a, 0, HUGE / 2), 0);
	if (zero_pages)
		assert_int_equal(zeropage(a, HUGE / 2, HUGE / 2), 0);
	if (!registered)
		assert_int_equal(unregister(a), 0);
	return advise(a->area, HUGE, MADV_COLLAPSE);
}

#define COLLAPSE_HALF(name, make, zero_pages, registered, expected)                                \
	static void test_collapse_of_##name(void **state)                                          \
	{                                                                                          \
		struct arena a;                                                                    \
		(void)state;                                                                       \
		make;                                                                              \
		int result = collapse_half(&a, zero_pages, registered);                            \
		assert_int_equal(huge_kib(&a), result ? 0 : HUGE / 1024);                          \
		assert_int_equal(result, expected);                                                \
		if (!(a.alias && result))                                                          \
			assert_int_equal(touch(a.area), STAMP);                                    \
		if (zero_pages || !registered)                                                     \
			assert_int_equal(touch(a.area + HUGE - 1), 0);                             \
		destroy(&a);                                                                       \
	}
COLLAPSE_HALF(an_anonymous_block_with_zero_pages_while_registered, make_anonymous(&a, HUGE), true,
	      true, -EBUSY)
COLLAPSE_HALF(an_anonymous_block_with_zero_pages_after_unregister, make_anonymous(&a, HUGE), true,
	      false, 0)
COLLAPSE_HALF(an_anonymous_block_with_a_hole_while_registered, make_anonymous(&a, HUGE), false,
	      true, -EBUSY)
COLLAPSE_HALF(an_anonymous_block_with_a_hole_after_unregister, make_anonymous(&a, HUGE), false,
	      false, 0)
COLLAPSE_HALF(a_memfd_block_with_zero_pages_while_registered, make_memfd(&a, HUGE, 0, MODE_BOTH),
	      true, true, 0)
COLLAPSE_HALF(a_memfd_block_with_zero_pages_after_unregister, make_memfd(&a, HUGE, 0, MODE_BOTH),
	      true, false, 0)
COLLAPSE_HALF(a_memfd_block_with_a_hole_while_registered, make_memfd(&a, HUGE, 0, MODE_BOTH), false,
	      true, -EBUSY)
COLLAPSE_HALF(a_memfd_block_with_a_hole_after_unregister, make_memfd(&a, HUGE, 0, MODE_BOTH), false,
	      false, 0)

static void test_a_refused_collapse_of_a_memfd_makes_present_pages_fault_minor(void **state)
{
	struct arena a;
	struct actor actor;

	(void)state;
	make_memfd(&a, HUGE, 0, MODE_BOTH);
	assert_int_equal(collapse_half(&a, false, true), -EBUSY);
	start(&actor, touch, a.area);
	struct uffd_msg m = expect_message(&a, UFFD_EVENT_PAGEFAULT);
	assert_true(m.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR);
	assert_int_equal(continue_range(&a, 0, PAGE), 0);
	assert_int_equal(finish(&actor), STAMP);
	destroy(&a);
}

static int collapse_on_poison(struct arena *a, enum arena_kind kind)
{
	make_poisoned(a, kind);
	assert_int_equal(copy(a, PAGE, HUGE - PAGE), 0);
	assert_int_equal(unregister(a), 0);
	return advise(a->area, HUGE, MADV_COLLAPSE);
}

static void test_collapse_refuses_poison_of_anonymous_memory(void **state)
{
	struct arena a;

	(void)state;
	assert_int_equal(collapse_on_poison(&a, ANONYMOUS), -EINVAL);
	assert_int_equal(touch(a.area), SIGNALLED + SIGBUS);
	destroy(&a);
}

/* The trap: khugepaged does the same, unasked, to memory that was advised. */
static void test_collapse_of_an_unregistered_memfd_turns_poison_into_zeros(void **state)
{
	struct arena a;

	(void)state;
	assert_int_equal(collapse_on_poison(&a, MEMFD), 0);
	assert_int_equal(touch(a.area), 0);
	destroy(&a);
}

static void test_nohugepage_keeps_poison_of_a_memfd_from_being_collapsed(void **state)
{
	struct arena a;

	(void)state;
	make_poisoned(&a, MEMFD);
	assert_int_equal(copy(&a, PAGE, HUGE - PAGE), 0);
	assert_int_equal(advise(a.area, HUGE, MADV_NOHUGEPAGE), 0);
	assert_int_equal(unregister(&a), 0);
	assert_int_equal(advise(a.area, HUGE, MADV_COLLAPSE), -EINVAL);
	assert_int_equal(touch(a.area), SIGNALLED + SIGBUS);
	destroy(&a);
}

static void test_a_registered_memfd_with_poison_does_not_collapse(void **state)
{
	struct arena a;

	(void)state;
	make_poisoned(&a, MEMFD);
	assert_int_equal(copy(&a, PAGE, HUGE - PAGE), 0);
	assert_int_equal(advise(a.area, HUGE, MADV_COLLAPSE), -EBUSY);
	assert_int_equal(touch(a.area), SIGNALLED + SIGBUS);
	destroy(&a);
}

/* ---- one more mapping ---------------------------------------------------------- */

static void continue_of_a_private_mapping(unsigned flags, size_t page)
{
	struct arena a;

	make_memfd(&a, 2 * HUGE, flags, MODE_BOTH);
	assert_int_equal(unregister(&a), 0);
	assert_ptr_equal(
		mmap(a.area, a.length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, a.memfd, 0),
		a.area);
	assert_int_equal(register_range(&a, MODE_BOTH), 0);
	memset(a.alias, STAMP, page);
	assert_int_equal(continue_range(&a, 0, page), 0);
	assert_int_equal(touch(a.area), STAMP);
	a.alias[0] = STAMP + 1; /* shared as long as it is clean */
	assert_int_equal(touch(a.area), STAMP + 1);
	a.area[0] = STAMP + 2;
	assert_int_equal(a.alias[0], STAMP + 1);
	assert_false(readable(&a, 0));
	destroy(&a);
}

static void test_continue_maps_a_private_mapping_of_a_memfd(void **state)
{
	(void)state;
	continue_of_a_private_mapping(0, PAGE);
}

static void test_continue_maps_a_private_mapping_of_hugetlb(void **state)
{
	(void)state;
	continue_of_a_private_mapping(MFD_HUGETLB, HUGE);
}

/* The kernel makes one mapping of the two, which is registered no more. */
static void test_a_mapping_moved_beside_its_neighbour_takes_the_registration_from_both(void **state)
{
	unsigned char *place, *moved;
	struct arena a;

	(void)state;
	make_memfd(&a, 2 * HUGE, 0, MODE_BOTH);
	a.alias[0] = STAMP;
	place = map_aligned(4 * HUGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	assert_ptr_not_equal(place, MAP_FAILED);
	moved = mremap(a.area, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	assert_ptr_equal(moved, place);
	moved = mremap(a.area + HUGE, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, place + HUGE);
	assert_ptr_equal(moved, place + HUGE);
	assert_int_equal(touch(place + PAGE), 0);
	assert_int_equal(touch(place + HUGE), 0);
	assert_false(readable(&a, 0));
	munmap(place, 4 * HUGE);
	destroy(&a);
}

/* ---- which pages were written --------------------------------------------------- */

struct page_region {
	uint64_t start, end, categories;
};

struct scan {
	uint64_t size, flags, start, end, walk_end, regions, region_count, most_pages;
	uint64_t inverted, all_of, any_of, returned;
};

#define SCAN _IOWR('f', 16, struct scan)
#define IS_WRITTEN (UINT64_C(1) << 1)
#define IS_PRESENT (UINT64_C(1) << 3)
#define IS_SWAPPED (UINT64_C(1) << 4)
#define IS_ZERO_PAGE (UINT64_C(1) << 5)
#define PROTECT_AND_CHECK UINT64_C(3)
#define MODE_TRACKED (UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP)
#define NOT_WRITTEN UINT64_MAX

/* The categories of a page that counts as written, which it does no more afterwards. */
static uint64_t written(struct arena *a, size_t page)
{
	struct page_region found = {.categories = NOT_WRITTEN};
	struct scan scan = {
		.size = sizeof(scan),
		.flags = PROTECT_AND_CHECK,
		.start = (uintptr_t)a->area + page,
		.end = (uintptr_t)a->area + page + PAGE,
		.regions = (uintptr_t)&found,
		.region_count = 1,
		.all_of = IS_WRITTEN,
		.returned = IS_PRESENT | IS_SWAPPED | IS_ZERO_PAGE,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(ioctl(fd, SCAN, &scan) >= 0);
	close(fd);
	return found.categories;
}

static void make_tracked(struct arena *a, bool shared)
{
	uint64_t mode = MODE_TRACKED | (shared ? UFFDIO_REGISTER_MODE_MINOR : 0);

	if (shared)
		make_memfd(a, HUGE, 0, MODE_BOTH);
	else
		make_anonymous(a, HUGE);
	assert_int_equal(unregister(a), 0);
	close(a->uffd);
	a->uffd = open_with(FEATURES | UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			    UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_UNPOPULATED |
			    UFFD_FEATURE_WP_ASYNC);
	if (a->uffd < 0)
		skip();
	assert_int_equal(register_range(a, mode), 0);
}

static void copy_protected_is_written_when_it_is(bool shared)
{
	struct arena a;

	make_tracked(&a, shared);
	assert_int_equal(copy_mode(&a, 0, PAGE, UFFDIO_COPY_MODE_WP), 0);
	assert_int_equal(touch(a.area), STAMP);
	assert_true(written(&a, 0) == NOT_WRITTEN);
	a.area[0] = 1;
	assert_true(written(&a, 0) == IS_PRESENT);
	assert_true(written(&a, 0) == NOT_WRITTEN);
	a.area[0] = 2;
	assert_true(written(&a, 0) == IS_PRESENT);
	assert_false(readable(&a, 0));
	destroy(&a);
}

static void test_anonymous_memory_copied_protected_is_written_when_it_is(void **state)
{
	(void)state;
	copy_protected_is_written_when_it_is(false);
}

static void test_a_memfd_copied_protected_is_written_when_it_is(void **state)
{
	(void)state;
	copy_protected_is_written_when_it_is(true);
}

static void test_a_zero_page_counts_as_written_and_is_told_apart(void **state)
{
	struct arena a;

	(void)state;
	make_tracked(&a, false);
	assert_int_equal(zeropage(&a, 0, PAGE), 0);
	assert_true(written(&a, 0) == (IS_PRESENT | IS_ZERO_PAGE));
	destroy(&a);
}

static void test_what_is_not_mapped_counts_as_written_until_it_is_protected(void **state)
{
	struct arena a;

	(void)state;
	make_tracked(&a, true);
	assert_true(written(&a, 0) == 0);
	assert_true(written(&a, 0) == NOT_WRITTEN);
	destroy(&a);
}

static void test_poison_counts_as_written_and_swapped_and_stays(void **state)
{
	struct arena a;

	(void)state;
	make_tracked(&a, false);
	assert_int_equal(poison(&a, 0, PAGE), 0);
	assert_true(written(&a, 0) == IS_SWAPPED);
	assert_int_equal(touch(a.area), SIGNALLED + SIGBUS);
	destroy(&a);
}

static void test_a_protected_hole_refuses_poison_until_it_is_allowed(void **state)
{
	struct uffdio_writeprotect allow;
	struct arena a;

	(void)state;
	make_tracked(&a, true);
	assert_true(written(&a, 0) == 0);
	assert_int_equal(poison(&a, 0, PAGE), -EEXIST);
	allow = (struct uffdio_writeprotect){.range = {(uintptr_t)a.area, PAGE}};
	assert_int_equal(verb(&a, UFFDIO_WRITEPROTECT, &allow), 0);
	assert_int_equal(poison(&a, 0, PAGE), 0);
	assert_int_equal(touch(a.area), SIGNALLED + SIGBUS);
	destroy(&a);
}

#define FACT(name) cmocka_unit_test(test_##name)

int main(void)
{
	static const struct CMUnitTest anywhere[] = {
		FACT(copy_onto_a_present_page_is_refused_and_wakes_nobody),
		FACT(copy_says_eagain_while_a_remove_event_is_unread),
		FACT(two_threads_on_one_page_send_two_messages),
		FACT(zeropage_resolves_an_anonymous_fault),
		FACT(zeropage_resolves_a_memfd_fault),
		FACT(copy_onto_a_memfd_page_in_the_cache_says_eexist),
		FACT(regular_files_cannot_be_registered),
		FACT(dontneed_sleeps_until_its_event_is_read),
		FACT(a_page_given_back_faults_again_and_takes_a_copy),
		FACT(dontneed_on_a_memfd_keeps_the_data_and_faults_minor),
		FACT(madv_remove_on_a_memfd_sends_a_remove_event_and_drops_the_data),
		FACT(a_punched_memfd_page_sends_no_event_and_faults_missing_again),
		FACT(a_memfd_fault_ends_by_alias_and_continue),
		FACT(continue_without_a_page_in_the_cache_is_refused),
		FACT(minor_alone_fills_holes_with_zeros_without_a_message),
		FACT(unregister_with_a_page_missing_reads_zeros),
		FACT(close_with_a_page_missing_reads_zeros),
		FACT(poison_raises_sigbus_in_a_thread_that_waits),
		FACT(poison_makes_a_system_call_fail_with_efault),
		FACT(a_copy_heals_a_poisoned_page),
		FACT(a_continue_heals_a_poisoned_memfd_page),
		FACT(zeropage_does_not_heal_anonymous_memory_but_a_copy_of_zeros_would),
		FACT(zeropage_heals_a_poisoned_memfd_page),
		FACT(poison_of_a_poisoned_page_is_refused),
		FACT(poison_leaves_a_present_page_alone),
		FACT(poison_survives_unregister_of_anonymous_memory),
		FACT(poison_survives_unregister_of_a_memfd),
		FACT(poison_survives_close_on_anonymous_memory),
		FACT(poison_survives_close_on_a_memfd),
		FACT(dontneed_clears_poison_of_anonymous_memory),
		FACT(dontneed_clears_poison_of_a_memfd),
		FACT(punching_a_memfd_keeps_poison),
		FACT(a_full_registered_anonymous_block_collapses),
		FACT(a_full_registered_memfd_block_collapses),
		FACT(collapse_of_an_anonymous_block_with_zero_pages_while_registered),
		FACT(collapse_of_an_anonymous_block_with_zero_pages_after_unregister),
		FACT(collapse_of_an_anonymous_block_with_a_hole_while_registered),
		FACT(collapse_of_an_anonymous_block_with_a_hole_after_unregister),
		FACT(collapse_of_a_memfd_block_with_zero_pages_while_registered),
		FACT(collapse_of_a_memfd_block_with_zero_pages_after_unregister),
		FACT(collapse_of_a_memfd_block_with_a_hole_while_registered),
		FACT(collapse_of_a_memfd_block_with_a_hole_after_unregister),
		FACT(a_refused_collapse_of_a_memfd_makes_present_pages_fault_minor),
		FACT(collapse_refuses_poison_of_anonymous_memory),
		FACT(collapse_of_an_unregistered_memfd_turns_poison_into_zeros),
		FACT(nohugepage_keeps_poison_of_a_memfd_from_being_collapsed),
		FACT(a_registered_memfd_with_poison_does_not_collapse),
		FACT(continue_maps_a_private_mapping_of_a_memfd),
		FACT(a_mapping_moved_beside_its_neighbour_takes_the_registration_from_both),
		FACT(anonymous_memory_copied_protected_is_written_when_it_is),
		FACT(a_memfd_copied_protected_is_written_when_it_is),
		FACT(a_zero_page_counts_as_written_and_is_told_apart),
		FACT(what_is_not_mapped_counts_as_written_until_it_is_protected),
		FACT(poison_counts_as_written_and_swapped_and_stays),
		FACT(a_protected_hole_refuses_poison_until_it_is_allowed),
	};
	static const struct CMUnitTest hugetlb[] = {
		FACT(zeropage_is_refused_on_hugetlb),
		FACT(a_punched_hugetlb_page_sends_no_event_and_faults_missing_again),
		FACT(a_hugetlb_fault_ends_by_alias_and_continue),
		FACT(a_continue_heals_a_poisoned_hugetlb_page),
		FACT(poison_survives_unregister_of_hugetlb),
		FACT(poison_survives_close_on_hugetlb),
		FACT(dontneed_clears_poison_of_hugetlb),
		FACT(punching_hugetlb_clears_poison),
		FACT(continue_maps_a_private_mapping_of_hugetlb),
	};
	int probe = open_userfaultfd();

	if (probe < 0) {
		printf("skipped: no userfaultfd: %s\n", strerror(errno));
		return 77;
	}
	close(probe);
	alarm(280);
	int failed = cmocka_run_group_tests(anywhere, NULL, NULL);

	void *page = mmap(NULL, HUGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (21 << 26), -1, 0);
	if (page == MAP_FAILED) {
		printf("skipped: no 2 MiB hugetlb page is free: %s\n", strerror(errno));
		return failed ? failed : 77;
	}
	munmap(page, HUGE);
	return failed + cmocka_run_group_tests(hugetlb, NULL, NULL);
}
