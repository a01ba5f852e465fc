/* SPDX-License-Identifier: MIT
 *
 * monitor.c - a machine that runs until it ends.
 *
 * The main thread only waits: for the end of the machine, for `quit`, and for a
 * signal. What is asked on the control socket is done on the threads of its connections
 * (control.c).
 *
 * A guest that failed stays to be looked at, as long as somebody can: where there is a
 * control socket, until `quit`.
 */
#include "monitor.h"
#include "complain.h"
#include "control.h"
#include "fault.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

void monitor_quit(struct monitor *monitor)
{
	const uint64_t one = 1;

	while (write(monitor->quit_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

/* ---- signals --------------------------------------------------------------------- */

/* SIGINT, SIGTERM and SIGHUP, where they are not ignored, as a descriptor. */
static int open_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		struct sigaction action;

		if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&set, numbers[i]);
	}
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	return fd >= 0 ? fd : fault("signalfd: %s", strerror(errno));
}

static void end_by_signal(struct monitor *monitor, int signals)
{
	struct signalfd_siginfo signal;

	if (read(signals, &signal, sizeof(signal)) != sizeof(signal))
		return;
	machine_end(monitor->machine, MACHINE_LEFT, 128 + (int)signal.ssi_signo,
		    "ended by signal %" PRIu32, signal.ssi_signo);
	monitor_quit(monitor);
}

/* ---- waiting ---------------------------------------------------------------------- */

/* A restore says how long it took until the guest ran. */
static void tell_first_run(const struct monitor *monitor)
{
	const uint64_t first = machine_first_run(monitor->machine);

	complain("first instruction after %" PRIu64 " us", (first - monitor->began) / 1000);
}

static void tell_failure(struct monitor *monitor)
{
	char *reason;

	if (machine_get_end(monitor->machine, NULL, &reason) == MACHINE_FAILED)
		complain("%s", reason != NULL ? reason : "the guest failed");
	free(reason);
}

/* The machine has ended: nothing more to wait for? */
static bool is_over(struct monitor *monitor, bool has_control)
{
	tell_failure(monitor);
	return !has_control || machine_get_end(monitor->machine, NULL, NULL) != MACHINE_FAILED;
}

static void wait_for_end(struct monitor *monitor, int signals, bool has_control)
{
	struct pollfd polled[3] = {{.fd = machine_end_fd(monitor->machine), .events = POLLIN},
				   {.fd = monitor->quit_fd, .events = POLLIN},
				   {.fd = signals, .events = POLLIN}};

	for (;;) {
		if (poll(polled, 3, -1) < 0)
			continue;
		if (polled[2].revents != 0)
			end_by_signal(monitor, signals);
		if (polled[0].revents != 0) {
			polled[0].fd = -1; /* it is readable for good */
			if (is_over(monitor, has_control))
				return;
		}
		if (polled[1].revents != 0) {
			machine_end(monitor->machine, MACHINE_LEFT, 0, "ended by quit");
			return;
		}
	}
}

/* ---- a run -------------------------------------------------------------------------- */

static int begin_snapshots(struct monitor *monitor, const struct lazymem_snapshot *parent)
{
	const struct guest_memory_options *memory = &machine_memory(monitor->machine)->options;

	if (parent == NULL)
		return 0;
	return snapshots_begin(&monitor->snapshots, parent, memory->parts, memory->part_count);
}

static int begin(struct monitor *monitor, const struct monitor_options *options,
		 struct control **ret_control)
{
	monitor->quit_fd = eventfd(0, EFD_CLOEXEC);
	if (monitor->quit_fd < 0)
		return fault("eventfd: %s", strerror(errno));
	if (begin_snapshots(monitor, options->parent) != 0)
		return -1;
	if (options->control != NULL && control_start(options->control, monitor, ret_control) != 0)
		return -1;
	return 0;
}

/* Verbs that run are waited for. Who ends a machine does not wait for a server that its memory
 * comes from as well; a guest that has exited leaves them the time that they need. */
static void end_control(struct monitor *monitor, struct control *control)
{
	if (machine_get_end(monitor->machine, NULL, NULL) != MACHINE_EXITED)
		guest_memory_give_up(machine_memory(monitor->machine));
	control_stop(control);
}

static int run(struct monitor *monitor, const struct monitor_options *options)
{
	const int signals = open_signals();
	struct control *control = NULL;
	int status = EXIT_RUN_FAILED;

	if (signals < 0 || begin(monitor, options, &control) != 0) {
		complain("%s", fault_message());
	} else {
		/* Not monitor->is_paused: somebody may have said `pause` or `resume` by now. */
		if (!options->begins_paused)
			machine_resume(monitor->machine);
		wait_for_end(monitor, signals, control != NULL);
		end_control(monitor, control);
		machine_get_end(monitor->machine, &status, NULL);
	}
	if (signals >= 0)
		close(signals);
	return status;
}

int monitor_run(struct machine *machine, const struct monitor_options *options)
{
	struct monitor monitor = {
		.machine = machine,
		.began = options->began,
		.is_paused = options->begins_paused,
		.quit_fd = -1,
	};
	int status;

	pthread_mutex_init(&monitor.job, NULL);
	pthread_mutex_init(&monitor.paused, NULL);
	status = run(&monitor, options);
	if (options->prints_first_run && machine_first_run(machine) != 0)
		tell_first_run(&monitor);
	snapshots_free(&monitor.snapshots);
	if (monitor.quit_fd >= 0)
		close(monitor.quit_fd);
	pthread_mutex_destroy(&monitor.paused);
	pthread_mutex_destroy(&monitor.job);
	return status;
}
