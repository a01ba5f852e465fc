/* SPDX-License-Identifier: MIT
 *
 * inject_fixture.h - 64 KiB of sample bytes to wrap.
 */
#ifndef INJECT_FIXTURE_H
#define INJECT_FIXTURE_H

#include "sample.h"

#include <errno.h>
#include <lazymem/bytes.h>
#include <lazymem/inject.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#define LENGTH 65536

static const struct lazymem_inject_range everything = {0};

static unsigned char sample[LENGTH];
static unsigned char buffer[LENGTH];
static struct lazymem_backing *inner;
static atomic_bool inner_closed;

static inline void note_close(void *context)
{
	(void)context;
	inner_closed = true;
}

static inline int set_up(void **state)
{
	(void)state;
	inner_closed = false;
	sample_fill(sample, 0, LENGTH);
	memset(buffer, 0, LENGTH);
	return lazymem_bytes_create(sample, LENGTH, note_close, NULL, &inner);
}

/* What is held up for so long is as good as lost; no machine is as slow. */
#define HOUR (UINT64_C(3600) * 1000000000)

static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Every wrapper lets go of the inner object, some on a thread of their own. */
static inline int tear_down(void **state)
{
	const uint64_t deadline = now_ns() + HOUR / 20;

	(void)state;
	lazymem_backing_unref(inner);
	while (!inner_closed && now_ns() < deadline)
		sched_yield();
	return inner_closed ? 0 : -1;
}

static inline void assert_reads(struct lazymem_backing *backing, uint64_t offset, size_t length)
{
	memset(buffer, 0, length);
	assert_int_equal(lazymem_backing_read(backing, offset, buffer, length), 0);
	assert_true(sample_matches(buffer, offset, length));
}

#endif
