/* SPDX-License-Identifier: MIT
 *
 * harness.h - what every system test stands on: CMocka, a watchdog, skips,
 * and time bounds that know about sanitizers.
 */
#ifndef TEST_HARNESS_H
#define TEST_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <lazymem/common.h>

/* gcc says which sanitizer by macro, clang by feature. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
	__has_feature(undefined_behavior_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED 0
#endif

/* Bounds on time are for a noisy machine of two cores; a sanitizer takes its toll. */
#define TIME_SCALE (TEST_SANITIZED ? 10u : 1u)
#define MILLISECONDS(n) ((uint64_t)(n)*1000000u)
#define SECONDS(n) MILLISECONDS((n)*UINT64_C(1000))

/* What must happen happens by then, be the machine ever so busy; what has not
 * happened by QUIET_MS is taken as not happening. */
#define SOON_NS SECONDS(200)
#define QUIET_MS 100

#define PAGE ((size_t)4096)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define BLOCK (2 * MIB)

enum memory_kind { ANONYMOUS, MEMFD, HUGETLB, HUGETLB_1G };

/* What *state points to in a test. */
struct test_case {
	const char *name;
	enum memory_kind kind;
};

int harness_setup(void **state);
int harness_teardown(void **state);

/* Entries of the array for run_group. */
#define TEST_NAMED(function, label, memory_kind)                                                   \
	{                                                                                          \
		label, function, harness_setup, harness_teardown, &(struct test_case)              \
		{                                                                                  \
			label, memory_kind                                                         \
		}                                                                                  \
	}
#define TEST(function) TEST_NAMED(function, #function, ANONYMOUS)
#define TEST_EACH_KIND(function)                                                                   \
	TEST_NAMED(function, #function " (anonymous)", ANONYMOUS),                                 \
		TEST_NAMED(function, #function " (memfd)", MEMFD),                                 \
		TEST_NAMED(function, #function " (hugetlb)", HUGETLB)

static inline enum memory_kind kind_of(void **state)
{
	return ((const struct test_case *)*state)->kind;
}

static inline size_t page_size_of(enum memory_kind kind)
{
	return kind == HUGETLB_1G ? GIB : kind == HUGETLB ? BLOCK : PAGE;
}

#define run_group(tests) cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL)

/* End the program with 77, the reason printed. */
void skip_program(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Skip the program unless faults can be served here. */
void require_faults(void);

/* Skip the program unless `count` hugetlb pages of that size are free. */
void require_hugetlb(size_t page_size, size_t count);

/* Expect 0, or print the library's message. */
#define assert_ok(call) assert_ok_at((call), #call, __FILE__, __LINE__)
void assert_ok_at(int result, const char *what, const char *file, int line);

/* Expect `call` to answer `expected`, and to say a sentence that holds `part`. */
#define assert_refused(call, expected, part)                                                       \
	assert_refused_at((call), (expected), (part), #call, __FILE__, __LINE__)
void assert_refused_at(int result, int expected, const char *part, const char *what,
		       const char *file, int line);

uint64_t now_ns(void);

/* Wait until condition(argument) is true, looking every millisecond, at most
 * SOON_NS; for what sends no event. False when it never became so. */
bool await(bool (*condition)(void *argument), void *argument);

/* Whether condition holds in one of TRIES tries: for a bound on time. What the library
 * takes too long for, it does each time; the machine is not busy each time. */
#define TRIES 8
bool holds_once(bool (*holds)(void *argument), void *argument);

/* A seed: LAZYMEM_TEST_SEED, or a new one; printed, so that a run can be repeated. */
uint64_t harness_seed(void);

/* A stream of numbers. */
uint64_t next_random(uint64_t *state);

/* A path in a directory of this program's own, removed at exit. The result is static. */
const char *scratch_path(const char *name);

#endif
