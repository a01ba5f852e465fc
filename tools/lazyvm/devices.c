/* SPDX-License-Identifier: MIT
 *
 * devices.c - the ports of the machine. All are written with OUT, and none
 * raises an interrupt.
 *
 *   0x3f8      serial console: a byte to print; 0x3fd says that it is ready
 *   0x0f4      exit: the status of the process
 *   0x510      balloon: the first page of a range, in pages of 4 KiB (32 bits)
 *   0x514      balloon: the pages of the range (32 bits): they are given back now, and
 *              reading says how it went: 0, or 1 if the range was refused
 *
 * A guest may write anything to any of them at any time.
 */
#include "boot_layout.h"
#include "fault.h"
#include "machine_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define SERIAL_READY 0x60u /* its two registers of a sent byte are empty */
#define PAGE UINT64_C(4096)
#define PATIENCE_MS 1000 /* with whoever reads what is printed, when the vCPUs are to stand */

/* False: nobody takes what is printed, and the vCPUs are to stand. Whoever waits for that does
 * not wait for a reader as well. */
static bool await_room(struct devices *devices, const struct machine *machine)
{
	struct pollfd polled = {.fd = devices->serial, .events = POLLOUT};

	for (;;) {
		const bool stands = atomic_load(&machine->stands);
		const int ready = poll(&polled, 1, stands && devices->is_stuck ? 0 : PATIENCE_MS);

		devices->is_stuck = ready == 0;
		if (ready > 0)
			return true;
		if (ready == 0 && stands)
			return false;
	}
}

static void print(struct devices *devices, const struct machine *machine,
		  const unsigned char *bytes, size_t length)
{
	while (length > 0 && await_room(devices, machine)) {
		/* A pipe that has room has room for so many. */
		const ssize_t count =
			write(devices->serial, bytes, length < PIPE_BUF ? length : PIPE_BUF);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return; /* nobody listens, and the guest need not know */
		bytes += count;
		length -= (size_t)count;
	}
}

static void discard(struct vcpu *vcpu, uint32_t count)
{
	struct devices *devices = &vcpu->machine->devices;
	const uint64_t start = devices->discard_page * PAGE;
	const int result = guest_memory_discard(vcpu->machine->memory, start, count * PAGE);

	devices->discard_result = result == 0 ? 0 : 1;
	if (result == 0)
		devices->discarded += count * PAGE;
}

static void write_port(struct vcpu *vcpu, uint16_t port, const unsigned char *bytes, size_t size)
{
	struct devices *devices = &vcpu->machine->devices;
	uint32_t value = 0;

	memcpy(&value, bytes, size < sizeof(value) ? size : sizeof(value));
	if (port == PORT_EXIT)
		machine_end(vcpu->machine, MACHINE_EXITED, (int)(value & 0xff),
			    "the guest ended with status %u", value & 0xff);
	else if (port == PORT_DISCARD_PAGE)
		devices->discard_page = value;
	else if (port == PORT_DISCARD_COUNT)
		discard(vcpu, value);
}

/* A port where nothing is reads as ones. */
static void read_port(struct vcpu *vcpu, uint16_t port, unsigned char *bytes, size_t size)
{
	const struct devices *devices = &vcpu->machine->devices;
	uint32_t value = UINT32_MAX;

	if (port == PORT_SERIAL_STATUS)
		value = SERIAL_READY;
	else if (port == PORT_DISCARD_COUNT)
		value = devices->discard_result;
	memcpy(bytes, &value, size < sizeof(value) ? size : sizeof(value));
}

void devices_access(struct vcpu *vcpu)
{
	struct devices *devices = &vcpu->machine->devices;
	struct kvm_run *run = vcpu->run;
	unsigned char *bytes = (unsigned char *)run + run->io.data_offset;

	pthread_mutex_lock(&devices->lock);
	if (run->io.direction == KVM_EXIT_IO_OUT && run->io.port == PORT_SERIAL &&
	    run->io.size == 1) {
		print(devices, vcpu->machine, bytes, run->io.count);
	} else {
		for (uint32_t i = 0; i < run->io.count; i++, bytes += run->io.size) {
			if (run->io.direction == KVM_EXIT_IO_OUT)
				write_port(vcpu, run->io.port, bytes, run->io.size);
			else
				read_port(vcpu, run->io.port, bytes, run->io.size);
		}
	}
	pthread_mutex_unlock(&devices->lock);
}

int devices_create(struct devices *devices, const char *serial)
{
	pthread_mutex_init(&devices->lock, NULL);
	devices->serial = STDOUT_FILENO;
	if (serial == NULL)
		return 0;
	devices->serial = open(serial, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (devices->serial < 0)
		return fault("%s: %s", serial, strerror(errno));
	devices->owns_serial = true;
	return 0;
}

void devices_destroy(struct devices *devices)
{
	if (devices->owns_serial)
		close(devices->serial);
	pthread_mutex_destroy(&devices->lock);
}

/* ---- state ------------------------------------------------------------------- */

struct balloon_state {
	uint32_t page;
	uint32_t result;
};

int devices_save(const struct devices *devices, struct machine_state *state)
{
	const struct balloon_state balloon = {devices->discard_page, devices->discard_result};

	return machine_state_add(state, RECORD_DEVICES, 0, &balloon, sizeof(balloon));
}

int devices_restore(struct devices *devices, const struct machine_state *state)
{
	const struct balloon_state *balloon =
		record_of_length(state, RECORD_DEVICES, 0, sizeof(*balloon), "its devices");

	if (balloon == NULL)
		return -1;
	devices->discard_page = balloon->page;
	devices->discard_result = balloon->result;
	return 0;
}
