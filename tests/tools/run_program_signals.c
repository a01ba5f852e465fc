/* SPDX-License-Identifier: MIT
 *
 * run_program_signals.c - handlers, masks, interrupted calls, and how it ends.
 */
#include "run_program.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define THREADS 3u
#define BLOCKED 100

/* ---- dispositions and masks ------------------------------------------------------------- */

struct dispositions {
	struct sigaction actions[65];
	sigset_t mask;
	stack_t stack;
};

static void take_dispositions(struct dispositions *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (int i = 1; i <= 64; i++)
		(void)sigaction(i, NULL, &ret->actions[i]); /* some are the C library's */
	CHECK(sigprocmask(SIG_SETMASK, NULL, &ret->mask) == 0);
	CHECK(sigaltstack(NULL, &ret->stack) == 0);
}

static void print_dispositions(const struct dispositions *all)
{
	for (int i = 1; i <= 64; i++) {
		if (all->actions[i].sa_handler != SIG_DFL)
			printf("signal %d has an action\n", i);
		if (sigismember(&all->mask, i) == 1)
			printf("signal %d is blocked\n", i);
	}
}

/* Of a sigset_t, only the bits of signals are defined. */
static bool same_sets(const sigset_t *a, const sigset_t *b)
{
	for (int i = 1; i <= 64; i++) {
		if (sigismember(a, i) != sigismember(b, i))
			return false;
	}
	return true;
}

static void check_same(const struct dispositions *a, const struct dispositions *b)
{
	for (int i = 1; i <= 64; i++) {
		CHECK(a->actions[i].sa_handler == b->actions[i].sa_handler);
		CHECK(a->actions[i].sa_flags == b->actions[i].sa_flags);
		CHECK(same_sets(&a->actions[i].sa_mask, &b->actions[i].sa_mask));
	}
	CHECK(same_sets(&a->mask, &b->mask));
	CHECK(a->stack.ss_sp == b->stack.ss_sp && a->stack.ss_flags == b->stack.ss_flags);
}

/* Threads that are not of this program have every signal blocked. */
static void check_threads(void)
{
	const uint64_t unblockable = 1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1);
	DIR *directory = opendir("/proc/self/task");
	unsigned long long blocked;
	char line[256];

	CHECK(directory != NULL);
	for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
		FILE *file;

		if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid())
			continue;
		snprintf(line, sizeof(line), "/proc/self/task/%.20s/status", entry->d_name);
		file = fopen(line, "re");
		CHECK(file != NULL);
		while (fgets(line, sizeof(line), file) != NULL) {
			/* Signals 32 and 33 are the C library's own. */
			if (sscanf(line, "SigBlk: %llx", &blocked) == 1)
				CHECK((~blocked & ~unblockable & ~(3ull << 31)) == 0);
		}
		fclose(file);
	}
	closedir(directory);
}

void signals_untouched(struct target *t)
{
	static struct dispositions before, after;
	char *at;

	take_dispositions(&before);
	print_dispositions(&before);
	at = map_whole(t);
	expect(t, at, 0, t->size, IMAGE);
	check_threads();
	CHECK(munmap(at, t->size) == 0);
	take_dispositions(&after);
	check_same(&before, &after);
}

/* ---- a storm ----------------------------------------------------------------------------- */

static _Thread_local bool ours;
static _Atomic unsigned taken;
static _Atomic unsigned strayed;

static void count_signal(int number)
{
	(void)number;
	atomic_fetch_add(ours ? &taken : &strayed, 1);
}

static void set_blocked(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	CHECK(pthread_sigmask(how, &set, NULL) == 0);
}

static void use_pages(size_t number, void *context)
{
	const struct target *t = context;
	char *at = map_whole(t);

	ours = true;
	set_blocked(SIG_UNBLOCK);
	for (size_t page = number; page < t->size / t->page; page += THREADS) {
		expect(t, at + page * t->page, page * t->page, t->page, IMAGE);
		fill(t, at + page * t->page, page * t->page, t->page, WRITTEN);
	}
	expect(t, at + number * t->page, number * t->page, t->page, WRITTEN);
	CHECK(munmap(at, t->size) == 0);
}

/* All threads of this program block it: nobody takes it. */
static void storm_while_blocked(struct target *t)
{
	char *at = map_whole(t);
	sigset_t pending;

	set_blocked(SIG_BLOCK);
	atomic_store(&taken, 0);
	for (int i = 0; i < BLOCKED; i++) {
		CHECK(kill(getpid(), SIGALRM) == 0);
		CHECK(madvise(at, t->page, MADV_REMOVE) == 0);
		expect(t, at, 0, t->page, ZEROS);
	}
	CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGALRM) == 1);
	CHECK(atomic_load(&taken) == 0);
	set_blocked(SIG_UNBLOCK);
	CHECK(atomic_load(&taken) == 1);
}

void signal_storm(struct target *t)
{
	const struct sigaction action = {.sa_handler = count_signal, .sa_flags = SA_RESTART};
	const struct itimerval often = {{0, 300}, {0, 300}};
	const struct itimerval never = {{0, 0}, {0, 0}};

	ours = true;
	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	/* Until a thread is known as ours. */
	set_blocked(SIG_BLOCK);
	run_threads(THREADS, use_pages, t);
	set_blocked(SIG_UNBLOCK);
	while (atomic_load(&taken) < 20)
		usleep(1000);
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	storm_while_blocked(t);
	CHECK(atomic_load(&strayed) == 0);
}

/* ---- calls in a handler ------------------------------------------------------------------ */

static const struct target *mapped_in_handler;

/* Whatever the thread was in the middle of. */
static void map_in_handler(int number)
{
	const struct target *t = mapped_in_handler;
	const int saved = errno;
	char *at = map(t, t->page, t->page, BOTH, MAP_SHARED);

	(void)number;
	expect(t, at, t->page, t->page, IMAGE);
	CHECK(munmap(at, t->page) == 0);
	atomic_fetch_add(&taken, 1);
	errno = saved;
}

static void map_often(size_t number, void *context)
{
	const struct target *t = context;
	uint64_t random = number + t->seed;

	while (atomic_load(&taken) < 100) {
		const size_t offset = draw(&random, t->size / t->page) * t->page;
		char *at = map(t, offset, t->page, BOTH, MAP_SHARED);

		expect(t, at, offset, t->page, IMAGE);
		at = mremap(at, t->page, t->page, MREMAP_MAYMOVE | MREMAP_FIXED, reserve(t->page));
		CHECK(at != MAP_FAILED);
		expect(t, at, offset, t->page, IMAGE);
		CHECK(madvise(at, t->page, MADV_DONTNEED) == 0 && munmap(at, t->page) == 0);
	}
}

void calls_in_handler(struct target *t)
{
	const struct sigaction action = {.sa_handler = map_in_handler, .sa_flags = SA_RESTART};
	const struct itimerval often = {{0, 500}, {0, 500}};
	const struct itimerval never = {{0, 0}, {0, 0}};

	mapped_in_handler = t;
	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
	run_threads(THREADS, map_often, t);
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
}

/* ---- interrupted calls -------------------------------------------------------------------- */

/* Again and again: the first one may come before the call that it is to interrupt. */
static void set_alarms(int flags, int microseconds)
{
	const struct sigaction action = {.sa_handler = count_signal, .sa_flags = flags};
	const struct itimerval often = {{0, microseconds}, {0, microseconds}};

	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
}

static void *write_later(void *context)
{
	const int *fd = context;

	usleep(60000);
	CHECK(write(*fd, "x", 1) == 1);
	return NULL;
}

void interruption(struct target *t)
{
	const struct timespec short_time = {0, 50000000};
	char *at = map_whole(t);
	pthread_t writer;
	int ends[2];
	char byte;

	ours = true;
	expect(t, at, 0, t->size / 2, IMAGE);
	CHECK(pipe(ends) == 0);
	/* A call that is not interrupted sleeps its time. */
	CHECK(nanosleep(&short_time, NULL) == 0);
	set_alarms(0, 10000);
	CHECK(read(ends[0], &byte, 1) == -1 && errno == EINTR);
	/* It goes on where that was asked for; the writer takes no signal. */
	set_blocked(SIG_BLOCK);
	CHECK(pthread_create(&writer, NULL, write_later, &ends[1]) == 0);
	set_blocked(SIG_UNBLOCK);
	set_alarms(SA_RESTART, 10000);
	CHECK(read(ends[0], &byte, 1) == 1);
	set_alarms(SA_RESTART, 0);
	CHECK(pthread_join(writer, NULL) == 0);
	CHECK(atomic_load(&taken) >= 2 && atomic_load(&strayed) == 0);
	expect(t, at, 0, t->size, IMAGE);
}

/* ---- the end --------------------------------------------------------------------------------- */

void ends_with_status(struct target *t)
{
	char *at = map_whole(t);

	expect(t, at, 0, t->page, IMAGE);
	exit(37);
}

void ends_by_signal(struct target *t)
{
	char *at = map_whole(t);

	expect(t, at, 0, t->page, IMAGE);
	raise(SIGKILL);
}

static void end_orderly(int number)
{
	static const char text[] = "got signal 00\n";
	char line[sizeof(text)];

	memcpy(line, text, sizeof(text));
	line[11] = (char)('0' + number / 10);
	line[12] = (char)('0' + number % 10);
	if (write(STDOUT_FILENO, line, sizeof(text) - 1) < 0 || number == SIGTERM)
		_exit(9);
}

/* Says when it waits, and which signals it gets, until SIGTERM. */
void waits_for_signal(struct target *t)
{
	static const int signals[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGWINCH, SIGCONT};
	const struct sigaction action = {.sa_handler = end_orderly};
	char *at = map_whole(t);

	for (size_t i = 0; i < COUNT(signals); i++)
		CHECK(sigaction(signals[i], &action, NULL) == 0);
	expect(t, at, 0, t->size / 8, IMAGE);
	CHECK(write(STDOUT_FILENO, "waiting\n", 8) == 8);
	for (;;)
		pause();
}
