/* SPDX-License-Identifier: MIT
 *
 * machine.c - a machine is made, held, and let go of.
 *
 * One lock protects who holds the vCPUs and whether the machine has ended. All of
 * that comes down to one flag, machine->stands, which the vCPUs' threads read
 * without the lock (vcpu.c).
 *
 * A vCPU may wait in the guest for a page that never comes. So nothing waits for
 * vCPUs but who pauses them, and that only until the machine has ended; ending never does, and
 * destroying waits a little, then lets go of the memory, which turns every such wait into an
 * error, and only then for the threads.
 */
#include "fault.h"
#include "machine_parts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 1 /* for vCPUs to leave the guest, when the machine is destroyed */

/* ---- who holds the vCPUs -------------------------------------------------------- */

/* Under the lock. */
static void update_stands(struct machine *machine)
{
	const bool stands =
		machine->pauses > 0 || machine->leaves || machine->end != MACHINE_GOES_ON;

	atomic_store(&machine->stands, stands);
	for (unsigned i = 0; stands && i < machine->shape.vcpu_count; i++)
		vcpu_kick(&machine->vcpus[i]);
	pthread_cond_broadcast(&machine->changed);
}

/* Under the lock. */
static bool has_running(const struct machine *machine)
{
	for (unsigned i = 0; i < machine->shape.vcpu_count; i++) {
		if (machine->vcpus[i].is_running)
			return true;
	}
	return false;
}

void machine_pause(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	machine->pauses++;
	update_stands(machine);
	while (has_running(machine) && machine->end == MACHINE_GOES_ON)
		pthread_cond_wait(&machine->changed, &machine->lock);
	pthread_mutex_unlock(&machine->lock);
}

bool machine_stands_still(struct machine *machine)
{
	bool stands_still;

	pthread_mutex_lock(&machine->lock);
	stands_still = !has_running(machine);
	pthread_mutex_unlock(&machine->lock);
	return stands_still;
}

void machine_resume(struct machine *machine)
{
	pthread_mutex_lock(&machine->lock);
	machine->pauses--;
	update_stands(machine);
	pthread_mutex_unlock(&machine->lock);
}

bool machine_is_paused(struct machine *machine)
{
	bool is_paused;

	pthread_mutex_lock(&machine->lock);
	is_paused = machine->pauses > 0;
	pthread_mutex_unlock(&machine->lock);
	return is_paused;
}

/* ---- end --------------------------------------------------------------------------- */

void machine_end(struct machine *machine, enum machine_end end, int status, const char *format, ...)
{
	const uint64_t one = 1;
	va_list arguments;

	pthread_mutex_lock(&machine->lock);
	if (machine->end == MACHINE_GOES_ON) {
		machine->end = end;
		machine->status = status;
		va_start(arguments, format);
		if (vasprintf(&machine->reason, format, arguments) < 0)
			machine->reason = NULL;
		va_end(arguments);
		update_stands(machine);
		while (write(machine->end_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			continue;
	}
	pthread_mutex_unlock(&machine->lock);
}

enum machine_end machine_get_end(struct machine *machine, int *ret_status, char **ret_reason)
{
	enum machine_end end;

	pthread_mutex_lock(&machine->lock);
	end = machine->end;
	if (ret_status != NULL)
		*ret_status = machine->status;
	if (ret_reason != NULL)
		*ret_reason = strdup(machine->reason != NULL ? machine->reason : "");
	pthread_mutex_unlock(&machine->lock);
	return end;
}

int machine_end_fd(const struct machine *machine)
{
	return machine->end_fd;
}

/* ---- made ---------------------------------------------------------------------------- */

int machine_give_memory(struct machine *machine)
{
	struct lazymem_memory *memory = machine->memory->memory;

	for (size_t i = 0; i < lazymem_memory_region_count(memory); i++) {
		const struct lazymem_region *region = lazymem_memory_region(memory, i);
		const struct lazymem_span span =
			lazymem_mapping_span(lazymem_region_mapping(region));
		const struct kvm_userspace_memory_region slot = {
			.slot = (uint32_t)i,
			.guest_phys_addr = lazymem_region_base(region).value,
			.memory_size = span.length,
			.userspace_addr = (uintptr_t)span.host,
		};

		if (kvm_call(machine->kvm.vm, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
			return -1;
	}
	return 0;
}

static int create_vcpus(struct machine *machine)
{
	for (unsigned i = 0; i < machine->shape.vcpu_count; i++) {
		if (vcpu_create(machine, i) != 0)
			return -1;
	}
	for (unsigned i = 0; i < machine->shape.vcpu_count; i++) {
		if (vcpu_start(&machine->vcpus[i]) != 0)
			return -1;
	}
	return 0;
}

static int begin(struct machine *machine)
{
	machine->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (machine->end_fd < 0)
		return fault("eventfd: %s", strerror(errno));
	return vcpu_prepare_kicks() != 0 ? -1 : kvm_create(&machine->kvm);
}

int machine_begin(struct machine **ret_machine)
{
	struct machine *machine = calloc(1, sizeof(*machine));

	if (machine == NULL)
		return fault("no memory for a machine");
	machine->kvm = (struct kvm){.system = -1, .vm = -1};
	machine->pauses = 1;
	machine->stands = true;
	machine->end_fd = -1;
	machine->devices.serial = -1;
	pthread_mutex_init(&machine->lock, NULL);
	pthread_cond_init(&machine->changed, NULL);
	if (begin(machine) != 0) {
		machine_destroy(machine);
		return -1;
	}
	*ret_machine = machine;
	return 0;
}

int machine_complete(struct machine *machine, const struct machine_options *options)
{
	const unsigned vcpus = options->shape.vcpu_count;

	if (vcpus == 0 || vcpus > MACHINE_VCPUS_MAX)
		return fault("%u vCPUs: there can be 1 to %d", vcpus, MACHINE_VCPUS_MAX);
	machine->shape = options->shape;
	if (devices_create(&machine->devices, options->serial) != 0 ||
	    guest_memory_create(&options->shape.memory, &options->memory, &machine->memory) != 0)
		return -1;
	return create_vcpus(machine);
}

int machine_create(const struct machine_options *options, struct machine **ret_machine)
{
	struct machine *machine;

	if (machine_begin(&machine) != 0)
		return -1;
	if (machine_complete(machine, options) != 0) {
		machine_destroy(machine);
		return -1;
	}
	*ret_machine = machine;
	return 0;
}

static void await_vcpus(struct machine *machine)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&machine->lock);
	machine->leaves = true;
	update_stands(machine);
	while (has_running(machine) &&
	       pthread_cond_timedwait(&machine->changed, &machine->lock, &until) == 0)
		continue;
	pthread_mutex_unlock(&machine->lock);
}

void machine_destroy(struct machine *machine)
{
	if (machine == NULL)
		return;
	await_vcpus(machine);
	if (machine->memory != NULL)
		guest_memory_let_go(machine->memory);
	for (unsigned i = 0; i < machine->shape.vcpu_count; i++)
		vcpu_destroy(&machine->vcpus[i]);
	kvm_close(&machine->kvm);
	guest_memory_destroy(machine->memory);
	devices_destroy(&machine->devices);
	if (machine->end_fd >= 0)
		close(machine->end_fd);
	pthread_cond_destroy(&machine->changed);
	pthread_mutex_destroy(&machine->lock);
	free(machine->reason);
	free(machine);
}

/* ---- looked at ----------------------------------------------------------------------- */

struct guest_memory *machine_memory(struct machine *machine)
{
	return machine->memory;
}

const struct machine_shape *machine_shape(const struct machine *machine)
{
	return &machine->shape;
}

uint64_t machine_first_run(const struct machine *machine)
{
	return atomic_load(&machine->first_run);
}

uint64_t machine_exits(const struct machine *machine)
{
	uint64_t exits = 0;

	for (unsigned i = 0; i < machine->shape.vcpu_count; i++)
		exits += atomic_load(&machine->vcpus[i].exits);
	return exits;
}

uint64_t machine_discarded(const struct machine *machine)
{
	return atomic_load(&machine->devices.discarded);
}
