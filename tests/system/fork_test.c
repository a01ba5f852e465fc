/* SPDX-License-Identifier: MIT
 *
 * fork_test.c - a child made by fork has no lazy memory: an access ends it,
 * and never reads a false zero. The parent goes on.
 */
#include <signal.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH (4 * MIB)

static int touch_in_child(unsigned char *at)
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(touch(at) == SIGNALLED + SIGSEGV ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_a_child_faults_on_lazy_memory_and_the_parent_goes_on(void **state)
{
	struct image image;
	struct source source;
	struct guest guest;

	image_create(&image, LENGTH, "d", 22);
	source_create(&source, &image);
	guest_start(&guest, kind_of(state), LENGTH, source.backing);
	touch(guest.host);
	assert_int_equal(touch_in_child(guest.host), 0);
	assert_int_equal(touch_in_child(guest.host + LENGTH - 1), 0);
	assert_true(image_matches(&image, 0, guest.host, LENGTH));
	guest_finish(&guest);
	guest_end(&guest);
	source_destroy(&source);
	image_destroy(&image);
}

/* Copy-on-write after a fork must not get in the way of populating. */
static void test_faults_after_a_fork_are_served(void **state)
{
	struct image image;
	struct source source;
	struct guest guest;
	int ends[2], status;

	image_create(&image, LENGTH, "d", 23);
	source_create(&source, &image);
	guest_start(&guest, kind_of(state), LENGTH, source.backing);
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		char byte;

		close(ends[1]);
		_exit(read(ends[0], &byte, 1) == 0 ? 0 : 1); /* lives as long as the test looks */
	}
	assert_true(image_matches(&image, 0, guest.host, LENGTH));
	guest_finish(&guest);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	guest_end(&guest);
	source_destroy(&source);
	image_destroy(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_a_child_faults_on_lazy_memory_and_the_parent_goes_on),
		TEST_EACH_KIND(test_faults_after_a_fork_are_served),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
