/* SPDX-License-Identifier: MIT
 *
 * sync_kill_test.c - a monitor is killed at random moments, and every byte that
 * was synced is in the file.
 *
 * The monitor is this program, started once more. One of its threads writes
 * whole pages, each time with the next generation in every word of the page;
 * another one syncs, or lets the interval sync, and tells through a pipe which generation
 * of each page was complete before that sync began. Then comes the signal. In
 * the file, each word is of the generation that was told last, or of one that
 * was begun after that: nothing older, and nothing else. The next monitor goes
 * on with the file as it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <lazymem/file.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/image.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_PAGES 32u
#define PAGES(kind) ((kind) == HUGETLB ? 4u : MOST_PAGES)
#define ROUNDS (TEST_SANITIZED ? 12u : 100u)
#define INTERVAL_ROUNDS (TEST_SANITIZED ? 6u : 30u)
#define INTERVAL MILLISECONDS(1)

/* Every so many words of a page are written and looked at. A sync reads them while they
 * are written, as it may, and the thread sanitizer thinks long about each of them. */
#ifdef __SANITIZE_THREAD__
#define STRIDE 64u
#else
#define STRIDE 1u
#endif

/* What outlives a monitor, in memory that it shares with the test. */
struct shared {
	char path[512];
	enum memory_kind kind;
	enum lazymem_tracking most;
	bool by_interval;
	unsigned file_flags;
	uint64_t seed;
	_Atomic uint64_t begun[MOST_PAGES]; /* the generation that is, or was, being written */
	uint64_t told[MOST_PAGES];          /* the last one that is durable */
};

/* Generations of all pages; 0: nothing is told of this one. */
struct message {
	uint64_t durable[MOST_PAGES];
};

static size_t words_in(enum memory_kind kind)
{
	return page_size_of(kind) / sizeof(uint64_t);
}

/* ---- the monitor */

struct monitor {
	struct shared *shared;
	struct guest guest;
	int pipe;
	uint64_t seed;
	_Atomic uint64_t complete[MOST_PAGES];
};

static void require(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "monitor: not so: %s (%s)\n", what, lazymem_error_message());
	_exit(2);
}

static void write_generation(struct monitor *monitor, size_t page)
{
	struct shared *shared = monitor->shared;
	const uint64_t generation = atomic_load(&shared->begun[page]) + 1;
	uint64_t *words = (void *)(monitor->guest.host + page * monitor->guest.page);

	atomic_store(&shared->begun[page], generation);
	for (size_t i = 0; i < words_in(shared->kind); i += STRIDE)
		__atomic_store_n(&words[i], generation, __ATOMIC_RELAXED);
	atomic_store(&monitor->complete[page], generation);
}

static int __attribute__((noreturn)) write_for_ever(void *argument)
{
	struct monitor *monitor = argument;
	uint64_t seed = monitor->shared->seed;

	for (;;)
		write_generation(monitor, next_random(&seed) % PAGES(monitor->shared->kind));
}

static uint64_t syncs(const struct monitor *monitor)
{
	struct lazymem_statistics s = {.size = sizeof(s)};

	require(lazymem_attachment_statistics(monitor->guest.attachment, &s) == 0, "statistics");
	return s.syncs;
}

/* The second sync to end from now on has begun after this. */
static void await_two_syncs(const struct monitor *monitor)
{
	const uint64_t before = syncs(monitor);

	while (syncs(monitor) < before + 2)
		usleep(200);
}

static void sync_once(struct monitor *monitor)
{
	const size_t pages = PAGES(monitor->shared->kind), size = monitor->guest.page;
	size_t first = next_random(&monitor->seed) % pages;
	size_t count = 1 + next_random(&monitor->seed) % (pages - first);
	struct message message = {{0}};

	if (monitor->shared->by_interval || next_random(&monitor->seed) % 2 == 0) {
		first = 0;
		count = pages;
	}
	for (size_t page = first; page < first + count; page++)
		message.durable[page] = atomic_load(&monitor->complete[page]);
	if (monitor->shared->by_interval)
		await_two_syncs(monitor);
	else
		require(lazymem_mapping_sync(monitor->guest.mapping, first * size, count * size) ==
				0,
			"sync");
	require(write(monitor->pipe, &message, sizeof(message)) == sizeof(message), "tell");
}

static void attach(struct monitor *monitor)
{
	const struct shared *shared = monitor->shared;
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_WRITE_BACK,
		.tracking_most = shared->most,
		.write_back_interval = shared->by_interval ? INTERVAL : 0,
	};
	struct lazymem_file_options file = {.size = sizeof(file), .flags = shared->file_flags};
	struct lazymem_backing *backing = NULL;
	int error = lazymem_file_open(shared->path, &file, &backing);

	if (error != 0 && (file.flags & LAZYMEM_FILE_DIRECT) != 0) {
		file.flags &= ~LAZYMEM_FILE_DIRECT; /* not on this file system */
		error = lazymem_file_open(shared->path, &file, &backing);
	}
	require(error == 0, "open");
	guest_map(&monitor->guest, shared->kind, PAGES(shared->kind) * page_size_of(shared->kind),
		  0, backing);
	guest_attach(&monitor->guest, NULL, &options);
}

static void __attribute__((noreturn)) run_monitor(int memory, int pipe)
{
	struct monitor monitor = {.pipe = pipe};
	struct actor writer;

	monitor.shared =
		mmap(NULL, sizeof(*monitor.shared), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	require(monitor.shared != MAP_FAILED, "map");
	monitor.seed = ~monitor.shared->seed;
	attach(&monitor);
	actor_start(&writer, write_for_ever, &monitor);
	for (;;)
		sync_once(&monitor);
}

/* ---- the test */

struct trial {
	struct shared *shared;
	uint64_t seed;
	int memory; /* of `shared` */
	int file;   /* a descriptor of the test's own */
	int pipe[2];
	pid_t monitor;
};

static void begin(struct trial *trial, enum memory_kind kind, bool by_interval)
{
	struct image image;

	*trial = (struct trial){.seed = harness_seed()};
	trial->memory = memfd_create("shared", 0);
	assert_int_equal(ftruncate(trial->memory, sizeof(struct shared)), 0);
	trial->shared = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED,
			     trial->memory, 0);
	assert_ptr_not_equal(trial->shared, MAP_FAILED);
	image_create(&image, PAGES(kind) * page_size_of(kind), "z", 1);
	snprintf(trial->shared->path, sizeof(trial->shared->path), "%s",
		 image_write(&image, "generations"));
	image_destroy(&image);
	trial->shared->kind = kind;
	trial->shared->by_interval = by_interval;
	trial->file = open(trial->shared->path, O_RDONLY | O_CLOEXEC);
	assert_true(trial->file >= 0);
}

static void end(struct trial *trial)
{
	close(trial->file);
	close(trial->memory);
	munmap(trial->shared, sizeof(struct shared));
}

static void start_monitor(struct trial *trial)
{
	char memory[16], tell[16];

	assert_int_equal(pipe(trial->pipe), 0);
	snprintf(memory, sizeof(memory), "%d", trial->memory);
	snprintf(tell, sizeof(tell), "%d", trial->pipe[1]);
	trial->monitor = fork();
	assert_true(trial->monitor >= 0);
	if (trial->monitor == 0) {
		close(trial->pipe[0]);
		execl("/proc/self/exe", "monitor", memory, tell, (char *)NULL);
		_exit(127);
	}
	close(trial->pipe[1]);
}

/* False: the pipe is empty, and the monitor gone. */
static bool hear(struct trial *trial)
{
	struct message message;
	const ssize_t size = read(trial->pipe[0], &message, sizeof(message));

	if (size != sizeof(message))
		return false;
	for (size_t page = 0; page < MOST_PAGES; page++)
		if (message.durable[page] > trial->shared->told[page])
			trial->shared->told[page] = message.durable[page];
	return true;
}

static void kill_monitor(struct trial *trial)
{
	int status = 0;

	for (uint64_t left = 1 + next_random(&trial->seed) % 4; left > 0; left--)
		if (!hear(trial))
			break; /* waitpid tells why */
	if (next_random(&trial->seed) % 2 == 0)
		usleep((useconds_t)(next_random(&trial->seed) % 3000));
	kill(trial->monitor, SIGKILL);
	assert_int_equal(waitpid(trial->monitor, &status, 0), trial->monitor);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	while (hear(trial))
		continue;
	close(trial->pipe[0]);
}

static void check_page(const struct trial *trial, size_t page, const uint64_t *words)
{
	const uint64_t least = trial->shared->told[page];
	const uint64_t most = atomic_load(&trial->shared->begun[page]);

	for (size_t i = 0; i < words_in(trial->shared->kind); i += STRIDE)
		if (words[i] < least || words[i] > most)
			fail_msg("word %zu of page %zu is of generation %llu; %llu is durable, "
				 "%llu begun",
				 i, page, (unsigned long long)words[i], (unsigned long long)least,
				 (unsigned long long)most);
}

static void check_file(const struct trial *trial)
{
	const size_t size = page_size_of(trial->shared->kind);
	uint64_t *words = malloc(size);

	for (size_t page = 0; page < PAGES(trial->shared->kind); page++) {
		assert_int_equal(pread(trial->file, words, size, (off_t)(page * size)), size);
		check_page(trial, page, words);
	}
	free(words);
}

static void kill_again_and_again(struct trial *trial, unsigned rounds)
{
	for (unsigned round = 0; round < rounds; round++) {
		trial->shared->most = (enum lazymem_tracking)(1 + round % 3);
		trial->shared->file_flags =
			LAZYMEM_FILE_WRITABLE | (round % 2 != 0 ? LAZYMEM_FILE_DIRECT : 0);
		trial->shared->seed = next_random(&trial->seed);
		start_monitor(trial);
		kill_monitor(trial);
		check_file(trial);
	}
}

static void test_a_kill_loses_nothing_that_was_synced(void **state)
{
	struct trial trial;

	begin(&trial, kind_of(state), false);
	kill_again_and_again(&trial, ROUNDS);
	end(&trial);
}

static void test_a_kill_loses_no_more_than_the_interval(void **state)
{
	struct trial trial;

	begin(&trial, kind_of(state), true);
	kill_again_and_again(&trial, INTERVAL_ROUNDS);
	end(&trial);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_a_kill_loses_nothing_that_was_synced),
		TEST_EACH_KIND(test_a_kill_loses_no_more_than_the_interval),
	};

	if (argc == 3)
		run_monitor(atoi(argv[1]), atoi(argv[2]));
	require_faults();
	require_hugetlb(BLOCK, 2 * PAGES(HUGETLB));
	return run_group(tests);
}
