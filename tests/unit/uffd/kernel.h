/* SPDX-License-Identifier: MIT
 *
 * kernel.h - userfaultfd as a script: what each verb answers is set by the
 * test, and every call is kept. A verb without an answer in the script
 * succeeds over its whole range. For programs whose first line wraps ioctl and
 * read.
 *
 * The descriptor UFFD does not exist. What COPY and ZEROPAGE install is
 * written to the memory where it lies, which is never registered, while
 * `installs` is set.
 */
#ifndef TEST_KERNEL_H
#define TEST_KERNEL_H

/* cmocka wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "uffd/uapi.h"
#include "uffd/userfaultfd.h"

#include <errno.h>
#include <lazymem/common.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define UFFD 7654

/* An output field that is not written, as older kernels do. */
#define UNTOUCHED INT64_MIN

enum verb { COPY, ZERO, CONTINUE, POISON, WAKE, REGISTER, UNREGISTER, VERBS };

struct call {
	enum verb verb;
	uint64_t start, length, source, mode;
};

struct answer {
	int error;
	int64_t output;
};

#define MOST_CALLS 8192
#define MOST_ANSWERS 32

static struct {
	struct call calls[MOST_CALLS];
	size_t call_count;
	struct answer script[VERBS][MOST_ANSWERS];
	size_t answered[VERBS], scripted[VERBS];
	int always[VERBS]; /* every call answers this error, untouched, after the script */
	uint64_t ioctls;   /* what UFFDIO_REGISTER answers */
	bool installs;
	void (*on_call)(enum verb verb); /* sees each call before it is answered */

	struct uffd_msg messages[512];
	size_t message_count, message_first;
	int read_errors[4]; /* what the next reads answer first */
	size_t read_error_count;
	size_t reads;

	/* What another descriptor than UFFD answers, and UFFD to UFFDIO_API. */
	int (*other)(int fd, unsigned long request, void *argument);
} kernel;

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
ssize_t __real_read(int fd, void *buffer, size_t size);
ssize_t __wrap_read(int fd, void *buffer, size_t size);

static inline void kernel_reset(void)
{
	memset(&kernel, 0, sizeof(kernel));
	kernel.installs = true;
}

/* The next call of the verb that has no answer yet gets this one. */
static inline void answer(enum verb verb, int error, int64_t output)
{
	assert_true(kernel.scripted[verb] < MOST_ANSWERS);
	kernel.script[verb][kernel.scripted[verb]++] = (struct answer){error, output};
}

static inline size_t count_of(enum verb verb)
{
	size_t count = 0;

	for (size_t i = 0; i < kernel.call_count; i++)
		count += kernel.calls[i].verb == verb;
	return count;
}

/* The call number `index` of a verb. */
static inline const struct call *call_of(enum verb verb, size_t index)
{
	for (size_t i = 0; i < kernel.call_count; i++)
		if (kernel.calls[i].verb == verb && index-- == 0)
			return &kernel.calls[i];
	fail_msg("verb %d was not called that often", (int)verb);
	abort();
}

/* What this call answers: 0, or an errno value; *output is the field. */
static inline int kernel_answer(enum verb verb, uint64_t length, int64_t *output)
{
	struct answer next = {kernel.always[verb], UNTOUCHED};

	if (kernel.answered[verb] < kernel.scripted[verb])
		next = kernel.script[verb][kernel.answered[verb]++];
	else if (next.error == 0)
		next.output = (int64_t)length;
	if (next.output != UNTOUCHED)
		*output = next.output;
	return next.error;
}

static inline int kernel_call(enum verb verb, uint64_t start, uint64_t length, uint64_t source,
			      uint64_t mode, int64_t *output)
{
	int error;

	assert_true(kernel.call_count < MOST_CALLS);
	kernel.calls[kernel.call_count++] = (struct call){verb, start, length, source, mode};
	if (kernel.on_call != NULL)
		kernel.on_call(verb);
	error = kernel_answer(verb, length, output);
	if (kernel.installs && *output > 0 && verb == COPY)
		memcpy((void *)(uintptr_t)start, (const void *)(uintptr_t)source, (size_t)*output);
	if (kernel.installs && *output > 0 && verb == ZERO)
		memset((void *)(uintptr_t)start, 0, (size_t)*output);
	errno = error;
	return error == 0 ? 0 : -1;
}

static inline int kernel_range(enum verb verb, const struct uffdio_range *range)
{
	int64_t output = 0;

	return kernel_call(verb, range->start, range->len, 0, 0, &output);
}

static inline int kernel_ioctl(unsigned long request, void *argument)
{
	struct uffdio_copy *copy = argument;
	struct uffdio_zeropage *zero = argument;
	struct uffdio_continue *resume = argument;
	struct uffdio_poison *poison = argument;
	struct uffdio_register *registration = argument;
	int64_t none = 0, output;
	int result;

	switch (request) {
	case UFFDIO_COPY:
		output = copy->copy;
		result = kernel_call(COPY, copy->dst, copy->len, copy->src, copy->mode, &output);
		copy->copy = output;
		return result;
	case UFFDIO_ZEROPAGE:
		output = zero->zeropage;
		result = kernel_call(ZERO, zero->range.start, zero->range.len, 0, zero->mode,
				     &output);
		zero->zeropage = output;
		return result;
	case UFFDIO_CONTINUE:
		output = resume->mapped;
		result = kernel_call(CONTINUE, resume->range.start, resume->range.len, 0,
				     resume->mode, &output);
		resume->mapped = output;
		return result;
	case UFFDIO_POISON:
		output = poison->updated;
		result = kernel_call(POISON, poison->range.start, poison->range.len, 0,
				     poison->mode, &output);
		poison->updated = output;
		return result;
	case UFFDIO_REGISTER:
		result = kernel_call(REGISTER, registration->range.start, registration->range.len,
				     0, registration->mode, &none);
		registration->ioctls = kernel.ioctls;
		return result;
	case UFFDIO_WAKE:
		return kernel_range(WAKE, argument);
	case UFFDIO_UNREGISTER:
		return kernel_range(UNREGISTER, argument);
	default:
		fail_msg("unexpected request 0x%lx", request);
		return -1;
	}
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (fd == UFFD && request != UFFDIO_API)
		return kernel_ioctl(request, argument);
	return kernel.other != NULL ? kernel.other(fd, request, argument)
				    : __real_ioctl(fd, request, argument);
}

/* ---- messages */

static inline void send_fault(uint64_t address, uint64_t flags)
{
	struct uffd_msg *message = &kernel.messages[kernel.message_count++];

	assert_true(kernel.message_count <= 512);
	memset(message, 0, sizeof(*message));
	message->event = UFFD_EVENT_PAGEFAULT;
	message->arg.pagefault.flags = flags;
	message->arg.pagefault.address = address;
}

static inline void send_remove(uint64_t start, uint64_t end)
{
	struct uffd_msg *message = &kernel.messages[kernel.message_count++];

	assert_true(kernel.message_count <= 512);
	memset(message, 0, sizeof(*message));
	message->event = UFFD_EVENT_REMOVE;
	message->arg.remove.start = start;
	message->arg.remove.end = end;
}

static inline ssize_t kernel_read(void *buffer, size_t size)
{
	size_t left = kernel.message_count - kernel.message_first;
	size_t room = size / sizeof(struct uffd_msg), count = left < room ? left : room;

	kernel.reads++;
	if (kernel.read_error_count > 0) {
		errno = kernel.read_errors[--kernel.read_error_count];
		return -1;
	}
	if (count == 0) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(buffer, &kernel.messages[kernel.message_first], count * sizeof(struct uffd_msg));
	kernel.message_first += count;
	return (ssize_t)(count * sizeof(struct uffd_msg));
}

ssize_t __wrap_read(int fd, void *buffer, size_t size)
{
	return fd == UFFD ? kernel_read(buffer, size) : __real_read(fd, buffer, size);
}

/* The message of the last failure contains `part`. */
static inline void assert_says(const char *part)
{
	if (strstr(lazymem_error_message(), part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, lazymem_error_message());
}

#endif
