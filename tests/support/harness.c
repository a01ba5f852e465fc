/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <ftw.h>
#include <lazymem/handler.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WATCHDOG_S 280u /* a little less than ctest waits */

static _Atomic(const char *) running;
static _Atomic uint64_t ends_by; /* of the test that runs; 0: none does */

static void say(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		_exit(2);
}

/* A thread that hangs in a fault can be neither joined nor, under a sanitizer
 * that puts signals off, interrupted: another one says who it is, and ends. */
static void *watch(void *argument)
{
	(void)argument;
	for (;;) {
		uint64_t limit = atomic_load(&ends_by);

		if (limit != 0 && now_ns() > limit) {
			say("\nwatchdog: this test hangs: ");
			say(atomic_load(&running));
			say("\n");
			_exit(1);
		}
		usleep(100000);
	}
	return NULL;
}

static void start_watching(void)
{
	sigset_t all, before;
	pthread_t thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, watch, NULL) != 0)
		abort();
	pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* What the thread sanitizer shall not report: a sync reads memory that the guest writes
 * at the same time. Whatever it reads, the page is dirty again. */
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:lm_write_pieces\n";
}

int harness_setup(void **state)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	setvbuf(stdout, NULL, _IOLBF, 0);
	atomic_store(&running, ((const struct test_case *)*state)->name);
	atomic_store(&ends_by, now_ns() + SECONDS(WATCHDOG_S));
	pthread_once(&once, start_watching);
	return 0;
}

int harness_teardown(void **state)
{
	(void)state;
	atomic_store(&ends_by, 0);
	return 0;
}

void skip_program(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	printf("skipped: ");
	vprintf(format, arguments);
	printf("\n");
	va_end(arguments);
	exit(77);
}

void require_faults(void)
{
	if (lazymem_handler_check() != 0)
		skip_program("%s", lazymem_error_message());
}

static size_t hugetlb_pages(size_t page_size)
{
	char path[100];
	size_t count = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%zukB/nr_hugepages",
		 page_size / 1024);
	file = fopen(path, "re");
	if (file != NULL && fscanf(file, "%zu", &count) != 1)
		count = 0;
	if (file != NULL)
		fclose(file);
	return count;
}

static bool can_reserve(size_t page_size, size_t count)
{
	int shift = __builtin_ctzl(page_size);
	void *pages = mmap(NULL, page_size * count, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (shift << 26), -1, 0);

	if (pages == MAP_FAILED)
		return false;
	munmap(pages, page_size * count);
	return true;
}

/* Whoever had them before may still be ending. */
void require_hugetlb(size_t page_size, size_t count)
{
	const uint64_t deadline = now_ns() + SECONDS(10);

	while (!can_reserve(page_size, count)) {
		if (hugetlb_pages(page_size) < count || now_ns() > deadline)
			skip_program("no %zu hugetlb pages of %zu MiB are free", count,
				     page_size / MIB);
		usleep(1000);
	}
}

void assert_ok_at(int result, const char *what, const char *file, int line)
{
	if (result == 0)
		return;
	print_error("%s:%d: %s: %s: %s\n", file, line, what, strerror(-result),
		    lazymem_error_message());
	_fail(file, line);
}

void assert_refused_at(int result, int expected, const char *part, const char *what,
		       const char *file, int line)
{
	if (result != expected) {
		print_error("%s:%d: %s: %d (%s), not %d (%s): %s\n", file, line, what, result,
			    strerror(-result), expected, strerror(-expected),
			    lazymem_error_message());
		_fail(file, line);
	}
	if (!strstr(lazymem_error_message(), part)) {
		print_error("%s:%d: %s: the message \"%s\" does not say \"%s\"\n", file, line, what,
			    lazymem_error_message(), part);
		_fail(file, line);
	}
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool await(bool (*condition)(void *argument), void *argument)
{
	uint64_t deadline = now_ns() + SOON_NS;

	while (!condition(argument)) {
		if (now_ns() > deadline)
			return false;
		usleep(1000);
	}
	return true;
}

bool holds_once(bool (*holds)(void *argument), void *argument)
{
	for (int i = 0; i < TRIES; i++) {
		if (holds(argument))
			return true;
		print_message("not so at try %d\n", i + 1);
	}
	return false;
}

uint64_t harness_seed(void)
{
	const char *given = getenv("LAZYMEM_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : now_ns() ^ (uint64_t)getpid() << 32;

	print_message("seed: LAZYMEM_TEST_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static char scratch[PATH_MAX];
static pid_t scratch_owner;

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

static void remove_scratch(void)
{
	if (getpid() == scratch_owner) /* not a forked child */
		nftw(scratch, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *scratch_path(const char *name)
{
	static char path[PATH_MAX + 128];

	if (scratch[0] == '\0') {
		const char *base = getenv("TMPDIR");

		snprintf(scratch, sizeof(scratch), "%s/lazymem-test-XXXXXX", base ? base : "/tmp");
		if (!mkdtemp(scratch)) {
			perror(scratch);
			exit(1);
		}
		scratch_owner = getpid();
		atexit(remove_scratch);
	}
	snprintf(path, sizeof(path), "%s/%s", scratch, name);
	return path;
}
