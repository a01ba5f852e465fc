/* SPDX-License-Identifier: MIT */
#include "core/error.h"

#include "model.h"

#include <pthread.h>

static void *check_empty(void *unused)
{
	return lazymem_error_message()[0] == '\0' ? unused : NULL;
}

static void message_is_empty_on_a_thread_without_failures(void **state)
{
	pthread_t thread;
	void *result = NULL;

	lm_error(-EINVAL, "of this thread");
	assert_int_equal(pthread_create(&thread, NULL, check_empty, state), 0);
	pthread_join(thread, &result);
	assert_ptr_equal(result, state);
	assert_string_equal(lazymem_error_message(), "of this thread");
}

static void error_is_returned_as_given(void **state)
{
	(void)state;
	assert_int_equal(lm_error(-ERANGE, "x"), -ERANGE);
	assert_int_equal(lm_error_errno(-ENOSPC, "x"), -ENOSPC);
}

static void errno_text_follows_the_sentence(void **state)
{
	(void)state;
	lm_error_errno(-ENOENT, "file %d", 7);
	assert_string_equal(lazymem_error_message(), "file 7: No such file or directory");
}

static void message_may_quote_the_one_before(void **state)
{
	(void)state;
	lm_error(-EIO, "inner");
	lm_error(-EIO, "outer: %s", lazymem_error_message());
	assert_string_equal(lazymem_error_message(), "outer: inner");
}

static void long_message_is_cut_and_marked(void **state)
{
	char text[5000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	lm_error(-EIO, "%s", text);
	assert_true(strlen(lazymem_error_message()) < sizeof(text) - 1);
	assert_string_equal(lazymem_error_message() + strlen(lazymem_error_message()) - 4, "x...");
}

static void errno_text_never_overflows_a_full_message(void **state)
{
	char text[1025];

	(void)state;
	for (size_t length = 1000; length < sizeof(text); length++) {
		memset(text, 'x', length);
		text[length] = '\0';
		lm_error_errno(-ENOENT, "%s", text);
		assert_true(strlen(lazymem_error_message()) < 1024);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_is_empty_on_a_thread_without_failures),
		cmocka_unit_test(error_is_returned_as_given),
		cmocka_unit_test(errno_text_follows_the_sentence),
		cmocka_unit_test(message_may_quote_the_one_before),
		cmocka_unit_test(long_message_is_cut_and_marked),
		cmocka_unit_test(errno_text_never_overflows_a_full_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
