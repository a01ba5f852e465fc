/* SPDX-License-Identifier: MIT
 *
 * The loop polls one descriptor only, as the programs it stands for do; a
 * second one to stop it by would make every comparator slower. Instead the
 * registered range is one page longer than the guest memory, and a touch of
 * that page asks the loop to end.
 *
 * When serving fails, the thread unregisters the range. The kernel then fills
 * what is missing with zeros, so that nobody waits for ever; the run is
 * reported as failed, and its pages would not match either.
 */
#include "fault_loop.h"
#include "complain.h"
#include "pattern.h"
#include "pin.h"
#include "raw_userfaultfd.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const unsigned char zeros[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));

int fault_loop_install(struct fault_loop *loop, size_t offset, const void *page)
{
	return raw_userfaultfd_copy(loop->fd, loop->memory + offset, page, PAGE_BYTES, true);
}

/* One turn; *ret_stop is set when the page past the end was touched. */
static int serve_next(struct fault_loop *loop, bool *ret_stop)
{
	struct pollfd waiting = {.fd = loop->fd, .events = POLLIN};
	uint64_t address;
	size_t offset;
	int error;

	if (poll(&waiting, 1, -1) < 0)
		return errno == EINTR ? 0 : -errno;
	error = raw_userfaultfd_read(loop->fd, &address);
	if (error != 0)
		return error == -EAGAIN ? 0 : error;
	offset = (size_t)(address - (uintptr_t)loop->memory) & ~(size_t)(PAGE_BYTES - 1);
	if (offset == loop->length) {
		*ret_stop = true;
		return fault_loop_install(loop, offset, zeros);
	}
	loop->faults++;
	return loop->serve(loop, offset);
}

static void *serve_all(void *argument)
{
	struct fault_loop *loop = argument;
	bool stop = false;

	if (loop->begin != NULL)
		loop->error = loop->begin(loop);
	while (!stop && loop->error == 0)
		loop->error = serve_next(loop, &stop);
	if (loop->error != 0)
		raw_userfaultfd_unregister(loop->fd, loop->memory, loop->length + PAGE_BYTES);
	return NULL;
}

static int start_thread(struct fault_loop *loop)
{
	pthread_attr_t attributes;
	int error;

	pthread_attr_init(&attributes);
	pin_attributes(&attributes, loop->cpu);
	error = pthread_create(&loop->thread, &attributes, serve_all, loop);
	pthread_attr_destroy(&attributes);
	return -error;
}

int fault_loop_start(struct fault_loop *loop)
{
	size_t length = loop->length + PAGE_BYTES;
	void *memory;
	int error = raw_userfaultfd_open(&loop->fd);

	if (error != 0) {
		raw_userfaultfd_explain(error);
		return -1;
	}
	loop->error = 0;
	loop->faults = 0;
	memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	error = memory == MAP_FAILED ? -errno : 0;
	if (error == 0) {
		loop->memory = memory;
		error = raw_userfaultfd_register(loop->fd, memory, length);
		if (error == 0)
			error = start_thread(loop);
		if (error == 0)
			return 0;
		munmap(memory, length);
	}
	close(loop->fd);
	complain("engine %s cannot start: %s", loop->name, strerror(-error));
	return -1;
}

int fault_loop_stop(struct fault_loop *loop)
{
	(void)*(volatile unsigned char *)(loop->memory + loop->length);
	pthread_join(loop->thread, NULL);
	munmap(loop->memory, loop->length + PAGE_BYTES);
	close(loop->fd);
	if (loop->error == 0)
		return 0;
	complain("engine %s failed to serve a fault: %s", loop->name, strerror(-loop->error));
	return -1;
}
