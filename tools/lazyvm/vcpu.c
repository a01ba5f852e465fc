/* SPDX-License-Identifier: MIT
 *
 * vcpu.c - a vCPU and the thread that runs it.
 *
 * The thread is in the guest while machine->stands is false. Whoever wants it out sets
 * that, sets `immediate_exit` in what is shared with the kernel, and sends a signal,
 * all under the machine's lock. The signal gets it out of the guest; if it comes
 * a moment too early, before the thread is there, KVM sees immediate_exit and leaves
 * at once. The thread clears immediate_exit only under the lock, when it may run. So no kick is lost.
 *
 * An access to a port is complete only when the vCPU has entered the kernel
 * once more. So the thread never stops after such an exit, but enters again, and
 * stops when KVM says that it was interrupted: then all that the vCPU is can be
 * read with KVM's calls.
 *
 * Guest memory that is missing is not seen here: the kernel waits in the guest
 * until the page is there.
 */

#include "clock.h"
#include "fault.h"
#include "machine_parts.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define KICK SIGUSR1

/* ---- kicks ------------------------------------------------------------------ */

static void on_kick(int number)
{
	(void)number; /* that it came is enough */
}

int vcpu_prepare_kicks(void)
{
	const struct sigaction action = {.sa_handler = on_kick, .sa_flags = SA_RESTART};

	return sigaction(KICK, &action, NULL) == 0 ? 0 : fault("sigaction: %s", strerror(errno));
}

static void set_immediate_exit(struct vcpu *vcpu, uint8_t value)
{
	__atomic_store_n(&vcpu->run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

void vcpu_kick(struct vcpu *vcpu)
{
	if (!vcpu->is_running)
		return;
	set_immediate_exit(vcpu, 1);
	pthread_kill(vcpu->thread, KICK);
}

/* ---- exits ------------------------------------------------------------------ */

static uint64_t instruction_of(struct vcpu *vcpu)
{
	struct kvm_regs registers = {0};

	ioctl(vcpu->fd, KVM_GET_REGS, &registers);
	return registers.rip;
}

/* `what` happened, and the guest cannot go on. What was said of a page that could not be
 * read is the reason behind it. */
static void fail(struct vcpu *vcpu, const char *what)
{
	const char *failure = guest_memory_failure(vcpu->machine->memory);

	machine_end(vcpu->machine, MACHINE_FAILED, 1, "vCPU %u %s at instruction 0x%" PRIx64 "%s%s",
		    vcpu->index, what, instruction_of(vcpu), failure != NULL ? ": " : "",
		    failure != NULL ? failure : "");
}

/* KVM has no page for what the guest wants: there is no memory there, or the kernel refused
 * to bring the page. */
static void refuse_access(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	struct lazymem_region *region;
	char what[160];
	uint64_t offset;
	const bool is_memory = lazymem_memory_find(vcpu->machine->memory->memory,
						   (lazymem_guest_address){run->mmio.phys_addr},
						   &region, &offset) == 0;

	snprintf(what, sizeof(what), "%s %u bytes at guest address 0x%" PRIx64 ", %s,",
		 run->mmio.is_write ? "wrote" : "read", run->mmio.len,
		 (uint64_t)run->mmio.phys_addr,
		 is_memory ? "which the kernel refused" : "where there is no memory");
	fail(vcpu, what);
}

static void refuse_exit(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	char what[120];

	if (run->exit_reason == KVM_EXIT_SHUTDOWN)
		snprintf(what, sizeof(what), "shut down (a triple fault)");
	else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		snprintf(what, sizeof(what), "came to what KVM cannot do (internal error %u)",
			 run->internal.suberror);
	else
		snprintf(what, sizeof(what),
			 "left the guest for reason %u, which is not known here,",
			 run->exit_reason);
	fail(vcpu, what);
}

/* False: it must not enter again. */
static bool answer_exit(struct vcpu *vcpu)
{
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_IO:
		devices_access(vcpu);
		return true;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return true;
	case KVM_EXIT_MMIO:
		refuse_access(vcpu);
		return false;
	default:
		refuse_exit(vcpu);
		return false;
	}
}

static void refuse_run(struct vcpu *vcpu, int error)
{
	char what[120];

	snprintf(what, sizeof(what), "was refused by KVM (%s)", strerror(error));
	fail(vcpu, what);
}

/* ---- the thread -------------------------------------------------------------- */

static void note_first_run(struct machine *machine)
{
	uint64_t none = 0;

	if (atomic_load_explicit(&machine->first_run, memory_order_relaxed) != 0)
		return;
	atomic_compare_exchange_strong(&machine->first_run, &none, clock_ns());
}

/* In the guest, until it is told to stand, or cannot go on. */
static void run(struct vcpu *vcpu)
{
	note_first_run(vcpu->machine);
	for (;;) {
		if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) {
			atomic_fetch_add_explicit(&vcpu->exits, 1, memory_order_relaxed);
			if (!answer_exit(vcpu))
				return;
		} else if (errno == EINTR || errno == EAGAIN) {
			if (atomic_load(&vcpu->machine->stands))
				return;
		} else {
			refuse_run(vcpu, errno);
			return;
		}
	}
}

/* Signals that are meant for the process are the main thread's. */
static void block_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	sigdelset(&all, KICK);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
}

static void *vcpu_thread(void *context)
{
	struct vcpu *vcpu = context;
	struct machine *machine = vcpu->machine;

	block_signals();
	pthread_mutex_lock(&machine->lock);
	while (!machine->leaves) {
		if (atomic_load(&machine->stands)) {
			pthread_cond_wait(&machine->changed, &machine->lock);
			continue;
		}
		vcpu->is_running = true;
		set_immediate_exit(vcpu, 0);
		pthread_mutex_unlock(&machine->lock);
		run(vcpu);
		pthread_mutex_lock(&machine->lock);
		vcpu->is_running = false;
		pthread_cond_broadcast(&machine->changed);
	}
	pthread_mutex_unlock(&machine->lock);
	return NULL;
}

/* ---- life -------------------------------------------------------------------- */

int vcpu_create(struct machine *machine, unsigned index)
{
	struct vcpu *vcpu = &machine->vcpus[index];
	void *run;

	vcpu->machine = machine;
	vcpu->index = index;
	vcpu->fd = kvm_call(machine->kvm.vm, KVM_CREATE_VCPU, index);
	if (vcpu->fd < 0)
		return -1;
	run = mmap(NULL, machine->kvm.run_length, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return fault("vCPU %u: %s", index, strerror(errno));
	vcpu->run = run;
	return 0;
}

int vcpu_start(struct vcpu *vcpu)
{
	const int error = pthread_create(&vcpu->thread, NULL, vcpu_thread, vcpu);

	if (error != 0)
		return fault("vCPU %u: no thread: %s", vcpu->index, strerror(error));
	vcpu->has_thread = true;
	return 0;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (vcpu->machine == NULL)
		return;
	if (vcpu->has_thread)
		pthread_join(vcpu->thread, NULL);
	if (vcpu->run != NULL)
		munmap(vcpu->run, vcpu->machine->kvm.run_length);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
}
