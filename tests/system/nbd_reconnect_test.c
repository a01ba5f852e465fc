/* SPDX-License-Identifier: MIT
 *
 * nbd_reconnect_test.c - an NBD server that goes away: whoever reads sees a delay
 * and no error, until the object gives up; and whatever happens, closing ends.
 */
#include <errno.h>
#include <lazymem/nbd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <support/guest.h>
#include <support/image.h>
#include <support/nbd_server.h>
#include <support/process.h>
#include <unistd.h>

#define LENGTH (8 * MIB)
#define IMPATIENT MILLISECONDS(200) /* long enough for a handshake, mostly */
#define STATES 4

static struct image image;
static struct nbd_server server;
static char path[200];
static struct lazymem_backing *backing;

/* What on_state has told. */
static struct {
	pthread_mutex_t lock;
	unsigned count[STATES];
	char sentence[STATES][1000];
} told = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void note_state(void *context, enum lazymem_nbd_state state, const char *sentence)
{
	(void)context;
	pthread_mutex_lock(&told.lock);
	told.count[state]++;
	snprintf(told.sentence[state], sizeof(told.sentence[state]), "%s", sentence);
	pthread_mutex_unlock(&told.lock);
}

static unsigned times_told(enum lazymem_nbd_state state)
{
	unsigned count;

	pthread_mutex_lock(&told.lock);
	count = told.count[state];
	pthread_mutex_unlock(&told.lock);
	return count;
}

static bool was_told(enum lazymem_nbd_state state, const char *part)
{
	bool found;

	pthread_mutex_lock(&told.lock);
	found = strstr(told.sentence[state], part) != NULL;
	pthread_mutex_unlock(&told.lock);
	return found;
}

static bool is_told(void *argument)
{
	return times_told(*(enum lazymem_nbd_state *)argument) > 0;
}

static void assert_told(enum lazymem_nbd_state state)
{
	assert_true(await(is_told, &state));
}

static void serve(void)
{
	NBD_SERVER_START(&server, "file", path);
}

/* A busy machine may take longer for a handshake than the timeout. */
static bool is_opened(void *options)
{
	const int error = lazymem_nbd_open(server.uri, options, &backing);

	if (error != -ETIMEDOUT)
		assert_ok(error);
	return error == 0;
}

static void open_with(struct lazymem_nbd_options options)
{
	options.size = sizeof(options);
	options.on_state = note_state;
	assert_true(holds_once(is_opened, &options));
}

static void begin(struct lazymem_nbd_options options)
{
	pthread_mutex_lock(&told.lock);
	memset(told.count, 0, sizeof(told.count));
	memset(told.sentence, 0, sizeof(told.sentence));
	pthread_mutex_unlock(&told.lock);
	image_create(&image, LENGTH, "ddddh", 5);
	snprintf(path, sizeof(path), "%s", image_write(&image, "image.raw"));
	nbd_server_init(&server, "nbd");
	serve();
	open_with(options);
}

/* Of a server with these arguments, that end with NULL. */
static void begin_at(struct lazymem_nbd_options options, const char *const *arguments)
{
	begin((struct lazymem_nbd_options){.timeout_ns = 0});
	lazymem_backing_unref(backing);
	nbd_server_kill(&server);
	nbd_server_start(&server, arguments);
	open_with(options);
}
#define BEGIN_AT(options, ...) begin_at((options), (const char *const[]){__VA_ARGS__, NULL})

static void end(void)
{
	lazymem_backing_unref(backing);
	nbd_server_kill(&server);
	image_destroy(&image);
}

static struct lazymem_nbd_statistics statistics(void)
{
	struct lazymem_nbd_statistics s = {.size = sizeof(s)};

	assert_ok(lazymem_nbd_get_statistics(backing, &s));
	return s;
}

/* ---- reads in flight --------------------------------------------------------------- */

struct awaited {
	struct lazymem_read read;
	unsigned char buffer[8 * PAGE];
	_Atomic int result; /* 1: not over */
};

static void note(struct lazymem_read *read, int error)
{
	((struct awaited *)read->context)->result = error;
}

static bool is_over(void *argument)
{
	return ((struct awaited *)argument)->result != 1;
}

static struct awaited *submit(uint64_t offset, unsigned flags)
{
	struct awaited *awaited = calloc(1, sizeof(*awaited));

	assert_non_null(awaited);
	awaited->result = 1;
	awaited->read = (struct lazymem_read){.offset = offset,
					      .length = sizeof(awaited->buffer),
					      .buffer = awaited->buffer,
					      .complete = note,
					      .context = awaited,
					      .flags = flags};
	lazymem_backing_submit(backing, &awaited->read);
	return awaited;
}

/* What it ended with; its bytes are right if that is 0. */
static int end_read(struct awaited *awaited)
{
	int result;

	assert_true(await(is_over, awaited));
	result = awaited->result;
	if (result == 0)
		assert_true(image_matches(&image, awaited->read.offset, awaited->buffer,
					  sizeof(awaited->buffer)));
	free(awaited);
	return result;
}

static bool is_read(void *unused)
{
	(void)unused;
	return end_read(submit(0, 0)) == 0;
}

/* ---- tests --------------------------------------------------------------------------- */

/* The server has been asked for bytes, as its log says. */
static bool has_been_asked(void *log)
{
	FILE *file = fopen(log, "re");
	char line[256];
	bool found = false;

	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
		found = strstr(line, " Read ") != NULL;
	if (file != NULL)
		fclose(file);
	return found;
}

static void test_what_was_asked_is_asked_again(void **state)
{
	struct awaited *reads[64];
	char log[200], to_log[220];

	(void)state;
	snprintf(log, sizeof(log), "%s", scratch_path("requests"));
	snprintf(to_log, sizeof(to_log), "logfile=%s", log);
	BEGIN_AT((struct lazymem_nbd_options){.timeout_ns = 0}, "--filter=log", "--filter=delay",
		 "file", path, "rdelay=3600", to_log);
	for (size_t i = 0; i < 64; i++)
		reads[i] = submit(i * 16 * PAGE, i % 2 ? LAZYMEM_READ_BACKGROUND : 0);
	assert_true(await(has_been_asked, log));
	nbd_server_kill(&server);
	assert_told(LAZYMEM_NBD_LOST);
	serve();
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(end_read(reads[i]), 0);
	assert_told(LAZYMEM_NBD_CONNECTED);
	struct lazymem_nbd_statistics s = statistics();
	assert_true(s.repeated_requests > 0);
	assert_true(s.reconnects > 0);
	assert_int_equal(s.failed_requests, 0);
	end();
}

/* Go through guest memory; 0 when all of it is right. */
static void *go_through(void *argument)
{
	const struct guest *guest = argument;
	uintptr_t wrong = 0;

	for (size_t at = 0; at < LENGTH; at += PAGE)
		wrong += memcmp(guest->host + at, image.bytes + at, PAGE) != 0;
	return (void *)wrong;
}

static void test_a_guest_is_restored_while_its_server_comes_and_goes(void **state)
{
	struct guest guest;
	pthread_t thread;
	void *wrong;

	begin((struct lazymem_nbd_options){.bytes_per_second = 20 * MIB});
	guest_start(&guest, kind_of(state), LENGTH, backing);
	assert_int_equal(pthread_create(&thread, NULL, go_through, &guest), 0);
	for (int i = 0; i < 3; i++) {
		usleep(10000);
		nbd_server_kill(&server);
		usleep(10000);
		serve();
	}
	pthread_join(thread, &wrong);
	assert_null(wrong);
	guest_finish(&guest);
	assert_true(image_matches(&image, 0, guest.host, LENGTH));
	guest_end(&guest);
	end();
}

static void test_reads_wait_for_a_server_that_is_away(void **state)
{
	struct awaited *read;

	(void)state;
	begin((struct lazymem_nbd_options){.timeout_ns = 0});
	nbd_server_kill(&server);
	assert_told(LAZYMEM_NBD_LOST);
	read = submit(0, 0);
	usleep(QUIET_MS * 1000);
	assert_int_equal(read->result, 1);
	serve();
	assert_int_equal(end_read(read), 0);
	end();
}

static void test_a_silent_server_is_lost_and_asked_again(void **state)
{
	struct awaited *read;

	(void)state;
	begin((struct lazymem_nbd_options){.timeout_ns = IMPATIENT});
	nbd_server_freeze(&server);
	read = submit(0, 0);
	assert_told(LAZYMEM_NBD_LOST);
	assert_true(was_told(LAZYMEM_NBD_LOST, "no answer"));
	nbd_server_thaw(&server);
	assert_int_equal(end_read(read), 0);
	end();
}

static bool is_read_repeatedly(void *unused)
{
	(void)unused;
	assert_int_equal(end_read(submit(0, 0)), 0);
	return statistics().repeated_requests > 0;
}

/* Each answer takes longer than the timeout: it comes in the end all the same. */
static void test_a_slow_server_is_waited_for(void **state)
{
	(void)state;
	BEGIN_AT((struct lazymem_nbd_options){.timeout_ns = IMPATIENT}, "--filter=delay", "file",
		 path, "rdelay=600ms");
	assert_true(holds_once(is_read_repeatedly, NULL));
	end();
}

/* The same of the holes, which opening waits for. */
static void test_a_server_that_is_slow_to_tell_its_holes_is_opened(void **state)
{
	struct lazymem_extent extent;

	(void)state;
	BEGIN_AT((struct lazymem_nbd_options){.timeout_ns = IMPATIENT}, "--filter=delay", "file",
		 path, "delay-extents=500ms");
	assert_ok(lazymem_backing_extent(backing, 4 * PAGE, PAGE, &extent));
	assert_int_equal(extent.kind, LAZYMEM_EXTENT_ZERO); /* they were told */
	end();
}

static void test_it_gives_up_and_a_later_retry_heals(void **state)
{
	struct awaited *before;

	(void)state;
	begin((struct lazymem_nbd_options){.give_up_ns = MILLISECONDS(100)});
	nbd_server_kill(&server);
	before = submit(0, LAZYMEM_READ_BACKGROUND);
	assert_int_equal(end_read(before), -ENOTCONN);
	assert_told(LAZYMEM_NBD_GAVE_UP);
	assert_int_equal(end_read(submit(0, 0)), -ENOTCONN);
	assert_refused(lazymem_nbd_update_extents(backing), -ENOTCONN, server.uri);
	serve();
	assert_told(LAZYMEM_NBD_CONNECTED);
	assert_true(await(is_read, NULL));
	end();
}

/* Its connections come up, and are not lost all at once: that is no answer. */
static void open_with_delay(const char *delay, unsigned flags)
{
	BEGIN_AT(((struct lazymem_nbd_options){.flags = flags,
					       .give_up_ns = MILLISECONDS(1000),
					       .timeout_ns = IMPATIENT}),
		 "--filter=delay", "file", path, delay);
}

static void test_a_server_that_lets_in_and_never_answers_is_given_up(void **state)
{
	struct awaited *demand, *background;

	(void)state;
	open_with_delay("rdelay=3600", 0);
	demand = submit(0, 0);
	background = submit(MIB, LAZYMEM_READ_BACKGROUND);
	assert_int_equal(end_read(demand), -ENOTCONN);
	assert_int_equal(end_read(background), -ENOTCONN);
	assert_told(LAZYMEM_NBD_GAVE_UP);
	assert_true(was_told(LAZYMEM_NBD_GAVE_UP, "no server has answered"));
	end();
}

static void test_holes_that_are_never_told_are_given_up(void **state)
{
	(void)state;
	open_with_delay("delay-extents=3600", LAZYMEM_NBD_LAZY_EXTENTS);
	assert_refused(lazymem_nbd_update_extents(backing), -ENOTCONN, server.uri);
	assert_told(LAZYMEM_NBD_GAVE_UP);
	assert_told(LAZYMEM_NBD_CONNECTED);
	assert_true(await(is_read, NULL));
	end();
}

static _Atomic(struct lazymem_backing *) published;
static _Atomic int own_thread_answer;

static void update_on_own_thread(void *context, enum lazymem_nbd_state state, const char *sentence)
{
	(void)context;
	(void)sentence;
	if (state == LAZYMEM_NBD_LOST)
		own_thread_answer = lazymem_nbd_update_extents(published);
}

static bool is_answered(void *argument)
{
	(void)argument;
	return own_thread_answer != 0;
}

static void test_holes_are_not_asked_for_on_the_thread_that_would_ask(void **state)
{
	(void)state;
	begin((struct lazymem_nbd_options){.timeout_ns = 0});
	lazymem_backing_unref(backing);
	assert_ok(lazymem_nbd_open(
		server.uri,
		&(struct lazymem_nbd_options){.size = sizeof(struct lazymem_nbd_options),
					      .on_state = update_on_own_thread},
		&backing));
	published = backing;
	nbd_server_kill(&server);
	assert_true(await(is_answered, NULL));
	assert_int_equal(own_thread_answer, -EDEADLK);
	end();
}

static void test_another_size_is_another_export(void **state)
{
	(void)state;
	begin((struct lazymem_nbd_options){.timeout_ns = 0});
	nbd_server_kill(&server);
	assert_int_equal(truncate(path, LENGTH + PAGE), 0);
	assert_told(LAZYMEM_NBD_LOST);
	serve();
	assert_told(LAZYMEM_NBD_STALE);
	assert_true(was_told(LAZYMEM_NBD_STALE, "8388608"));
	assert_int_equal(end_read(submit(0, 0)), -ESTALE);
	nbd_server_kill(&server);
	assert_int_equal(truncate(path, LENGTH), 0);
	serve();
	assert_int_equal(end_read(submit(0, 0)), -ESTALE);
	assert_int_equal(lazymem_nbd_update_extents(backing), -ESTALE);
	end();
}

static void test_giving_up_ends_what_is_in_flight_for_good(void **state)
{
	struct awaited *reads[4];

	(void)state;
	begin((struct lazymem_nbd_options){.timeout_ns = 0});
	nbd_server_freeze(&server);
	for (size_t i = 0; i < 4; i++)
		reads[i] = submit(i * MIB, i % 2 ? LAZYMEM_READ_BACKGROUND : 0);
	assert_ok(lazymem_nbd_give_up(backing));
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(end_read(reads[i]), -ENOTCONN);
	nbd_server_thaw(&server);
	assert_int_equal(end_read(submit(0, 0)), -ENOTCONN);
	end();
}

static void test_an_abort_ends_once_the_object_was_given_up(void **state)
{
	struct guest guest;

	begin((struct lazymem_nbd_options){.timeout_ns = 0});
	nbd_server_freeze(&server);
	guest_start(&guest, kind_of(state), LENGTH, backing);
	assert_ok(lazymem_mapping_prefetch(guest.mapping, 0, LENGTH));
	assert_ok(lazymem_nbd_give_up(backing));
	guest_end(&guest);
	end();
}

static void test_closing_ends_while_the_server_is_away(void **state)
{
	struct residue before;

	(void)state;
	begin((struct lazymem_nbd_options){.timeout_ns = 0});
	lazymem_backing_unref(backing);
	before = residue_now();
	assert_ok(lazymem_nbd_open(server.uri, NULL, &backing));
	nbd_server_kill(&server);
	lazymem_backing_unref(backing);
	backing = NULL;
	assert_nothing_left(before);
	end();
}

static void test_closing_ends_while_the_server_is_silent(void **state)
{
	(void)state;
	begin((struct lazymem_nbd_options){.timeout_ns = 0});
	nbd_server_freeze(&server);
	end();
}

static void test_a_server_that_never_answers_is_not_opened(void **state)
{
	const struct lazymem_nbd_options options = {.size = sizeof(options),
						    .timeout_ns = MILLISECONDS(50)};
	struct lazymem_backing *other = NULL;

	(void)state;
	begin((struct lazymem_nbd_options){.timeout_ns = 0});
	nbd_server_freeze(&server);
	assert_refused(lazymem_nbd_open(server.uri, &options, &other), -ETIMEDOUT, server.uri);
	assert_null(other);
	end();
}

/* One that lets in one client only is used over that one connection. */
static void test_one_connection_is_enough(void **state)
{
	struct awaited *background;

	(void)state;
	BEGIN_AT((struct lazymem_nbd_options){.timeout_ns = 0}, "--filter=limit", "file", path,
		 "limit=1");
	background = submit(0, LAZYMEM_READ_BACKGROUND);
	assert_int_equal(end_read(submit(MIB, 0)), 0);
	assert_int_equal(end_read(background), 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_was_asked_is_asked_again),
		TEST_EACH_KIND(test_a_guest_is_restored_while_its_server_comes_and_goes),
		TEST(test_reads_wait_for_a_server_that_is_away),
		TEST(test_a_silent_server_is_lost_and_asked_again),
		TEST(test_a_slow_server_is_waited_for),
		TEST(test_a_server_that_is_slow_to_tell_its_holes_is_opened),
		TEST(test_it_gives_up_and_a_later_retry_heals),
		TEST(test_a_server_that_lets_in_and_never_answers_is_given_up),
		TEST(test_holes_that_are_never_told_are_given_up),
		TEST(test_holes_are_not_asked_for_on_the_thread_that_would_ask),
		TEST(test_another_size_is_another_export),
		TEST(test_giving_up_ends_what_is_in_flight_for_good),
		TEST(test_an_abort_ends_once_the_object_was_given_up),
		TEST(test_closing_ends_while_the_server_is_away),
		TEST(test_closing_ends_while_the_server_is_silent),
		TEST(test_a_server_that_never_answers_is_not_opened),
		TEST(test_one_connection_is_enough),
	};

	require_nbd();
	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
