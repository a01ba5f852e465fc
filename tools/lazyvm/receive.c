/* SPDX-License-Identifier: MIT
 *
 * A destination: it waits for a guest, takes it in, and runs it.
 *
 *             HELLO                 SWITCH              everything is there
 *   waiting ---------> arriving ---------------> running -----------------> running
 *      ^                  |                         (source needed)       (source let go)
 *      +------------------+
 *        refused, failed, cancelled, gone for too long
 *
 * One thread, the talker, speaks with the source; the main thread waits until
 * there is a machine to be run, and then is its monitor. Whatever waits for the source is a job on
 * a thread of its own, so that the talker never falls silent.
 *
 * Only here it is decided whether a guest that was switched over runs (migrate.c says
 * why). The decision is `runs` or the token in `given_up`, never both: an arrival that ends
 * without having run has its token noted before anybody is told, and from then on
 * whoever returns with it hears FAILED. Who returns with a token that was never
 * heard of is refused, which decides nothing. So tokens are not forgotten but
 * for GIVEN_UP_MOST later ones.
 *
 * A source that is lost while the guest arrives may return, or another may come in
 * its place: a source that resumed its guest does not return. While the guest runs, the
 * NBD objects look for the source's memory by themselves, and the source looks for us
 * to hear that it may end. When memory cannot be had any more the machine ends
 * as failed, with what it has, and can be looked at.
 */
#include "receive_parts.h"

#include "complain.h"
#include "fault.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 250u
#define FIRST_RUN_NS (200 * 1000)

/* ---- running -------------------------------------------------------------------------------- */

/* The main thread runs it. Has it begun? If not, it never has. */
static int let_run(struct receiver *receiver)
{
	const struct timespec moment = {0, FIRST_RUN_NS};
	bool has_ended = false;

	pthread_mutex_lock(&receiver->lock);
	receiver->may_run = true;
	pthread_cond_broadcast(&receiver->changed);
	pthread_mutex_unlock(&receiver->lock);
	while (machine_first_run(receiver->arrival->machine) == 0 && !has_ended) {
		nanosleep(&moment, NULL);
		pthread_mutex_lock(&receiver->lock);
		has_ended = receiver->has_ended;
		pthread_mutex_unlock(&receiver->lock);
	}
	if (machine_first_run(receiver->arrival->machine) != 0)
		return 0;
	return fault("the machine could not be run");
}

static enum link_result switch_over(struct receiver *receiver, const struct wire_message *message)
{
	unsigned char payload[WIRE_SMALL_MOST];
	struct arrival *arrival = receiver->arrival;

	if (arrival_switch(arrival, message) != 0)
		return LINK_NONSENSE;
	atomic_store(&arrival->runs, true);
	arrival->began = link_now();
	if (let_run(receiver) != 0) {
		atomic_store(&arrival->runs, false);
		return LINK_NONSENSE;
	}
	if (arrival_start_job(arrival, JOB_FILL) != 0)
		machine_end(arrival->machine, MACHINE_FAILED, EXIT_RUN_FAILED, "%s",
			    fault_message());
	/* When it cannot be told now, it is when the source returns. */
	if (link_send(&receiver->link, WIRE_RUNNING, payload, wire_put_number(payload, 0)) !=
	    LINK_OK)
		receiver_lose(receiver);
	return LINK_OK;
}

/* ---- what the source says --------------------------------------------------------------------- */

/* LINK_NONSENSE: what it says makes no sense, or cannot be done. */
static enum link_result hear_arriving(struct receiver *receiver, const struct wire_message *message)
{
	struct arrival *arrival = receiver->arrival;
	char sentence[WIRE_SENTENCE_MOST + 1];
	int result = 0;

	switch (message->type) {
	case WIRE_ALIVE:
		break;
	case WIRE_EXPORT:
		result = arrival_take_export(arrival, message);
		if (result == 0)
			result = arrival_start_job(arrival, JOB_OPEN);
		break;
	case WIRE_ROUND:
	case WIRE_LAST:
		result = arrival_take_round(arrival, message);
		break;
	case WIRE_RANGES:
	case WIRE_ZEROS:
		result = arrival_take_ranges(arrival, message);
		break;
	case WIRE_STATE:
		result = arrival_take_state(arrival, message);
		break;
	case WIRE_SWITCH:
		return switch_over(receiver, message);
	case WIRE_CANCEL:
		wire_get_sentence(message, sentence);
		fault("the source has cancelled: %s", sentence);
		return LINK_NONSENSE;
	default:
		fault("the source said %s out of turn", wire_type_name(message->type));
		return LINK_NONSENSE;
	}
	if (result == 0 &&
	    (message->type == WIRE_ROUND || message->type == WIRE_RANGES ||
	     message->type == WIRE_ZEROS) &&
	    !arrival->has_last && arrival_has_ranges(arrival))
		result = arrival_start_job(arrival, JOB_PULL);
	return result == 0 ? LINK_OK : LINK_NONSENSE;
}

static enum link_result hear_running(struct receiver *receiver, const struct wire_message *message)
{
	if (message->type == WIRE_FAREWELL && atomic_load(&receiver->arrival->stops))
		receiver->is_told = true;
	else if (message->type != WIRE_ALIVE) {
		fault("the source said %s out of turn", wire_type_name(message->type));
		return LINK_NONSENSE;
	}
	return LINK_OK;
}

static void hear(struct receiver *receiver)
{
	struct wire_message message;
	enum link_result result = link_receive(&receiver->link, TICK_MS, &message);

	if (result == LINK_STOPPED) /* somebody has rung */
		return;
	if (result == LINK_QUIET)
		result = LINK_OK;
	else if (result == LINK_OK && receiver_is_running(receiver))
		result = hear_running(receiver, &message);
	else if (result == LINK_OK)
		result = hear_arriving(receiver, &message);
	if (result == LINK_OK && link_is_silent(&receiver->link, TICK_MS))
		result = receiver_send_progress(receiver, WIRE_PROGRESS);
	if (result == LINK_OK)
		return;
	if (result == LINK_NONSENSE && !receiver_is_running(receiver))
		receiver_give_up(receiver, WIRE_FAILED);
	else
		receiver_lose(receiver);
}

/* ---- what the jobs say --------------------------------------------------------------------------- */

static void note_whole(struct receiver *receiver)
{
	struct arrival *arrival = receiver->arrival;
	struct wire_progress progress;

	atomic_store(&arrival->stops, true);
	arrival_progress(arrival, &progress);
	complain("the guest has all of its memory: %" PRIu64 " bytes came in %" PRIu64
		 " ms, %" PRIu64 " faults",
		 progress.received, link_now() - arrival->began, progress.faults);
	arrival_give_up(arrival);
	if (receiver->link.fd >= 0 && receiver_send_progress(receiver, WIRE_COMPLETE) != LINK_OK)
		receiver_lose(receiver);
}

static enum link_result answer_job(struct receiver *receiver, enum arrival_job job)
{
	unsigned char payload[WIRE_SMALL_MOST];

	if (receiver->link.fd < 0)
		return LINK_OK;
	if (job == JOB_OPEN)
		return link_send(&receiver->link, WIRE_READY, NULL, 0);
	return link_send(&receiver->link, WIRE_ROUND_DONE, payload,
			 wire_put_number(payload, receiver->arrival->round.number));
}

static void take_job(struct receiver *receiver)
{
	int result = 0;
	enum arrival_job job;

	if (receiver->arrival == NULL)
		return;
	job = arrival_take_job(receiver->arrival, &result);
	if (job == JOB_NONE)
		return;
	if (job == JOB_FILL && result == 0)
		note_whole(receiver);
	else if (job == JOB_FILL)
		machine_end(receiver->arrival->machine, MACHINE_FAILED, EXIT_RUN_FAILED, "%s",
			    fault_message());
	else if (result != 0)
		receiver_give_up(receiver, WIRE_FAILED);
	else if (answer_job(receiver, job) != LINK_OK)
		receiver_lose(receiver);
}

/* ---- the talker ----------------------------------------------------------------------------------- */

/* A guest that has ended by itself, or by somebody's will, needs no memory. */
static void check_end(struct receiver *receiver)
{
	enum machine_end end = machine_get_end(receiver->arrival->machine, NULL, NULL);

	if ((end == MACHINE_EXITED || end == MACHINE_LEFT) &&
	    !atomic_load(&receiver->arrival->stops)) {
		atomic_store(&receiver->arrival->stops, true);
		arrival_give_up(receiver->arrival);
		if (receiver->link.fd >= 0 &&
		    receiver_send_progress(receiver, WIRE_COMPLETE) != LINK_OK)
			receiver_lose(receiver);
	}
}

static void check_lost(struct receiver *receiver)
{
	if (receiver->lost_ms == 0 || receiver_is_running(receiver) ||
	    link_now() - receiver->lost_ms < receiver->options->give_up_ms)
		return;
	fault("the source did not come back in %u ms", receiver->options->give_up_ms);
	receiver_give_up(receiver, WIRE_FAILED);
}

static void wait_for_ring(struct receiver *receiver)
{
	struct pollfd polled = {.fd = receiver->wake_fd, .events = POLLIN};

	poll(&polled, 1, (int)TICK_MS);
}

static void step(struct receiver *receiver)
{
	uint64_t rings;

	if (receiver->link.fd >= 0)
		hear(receiver);
	else
		wait_for_ring(receiver);
	while (read(receiver->wake_fd, &rings, sizeof(rings)) < 0 && errno == EINTR)
		continue;
	receiver_take_visitors(receiver);
	take_job(receiver);
	if (receiver_is_running(receiver))
		check_end(receiver);
	check_lost(receiver);
}

/* Nothing more to be said? A source that does not come to hear it is waited for no
 * longer than the guest runs, and a little. */
static bool is_over(struct receiver *receiver, uint64_t *ended_ms)
{
	bool has_ended;

	pthread_mutex_lock(&receiver->lock);
	has_ended = receiver->has_ended;
	pthread_mutex_unlock(&receiver->lock);
	if (receiver->is_told)
		return true;
	if (!has_ended)
		return false;
	/* It could not be run, or there is nothing that the source can be told. */
	if (receiver->arrival == NULL)
		return true;
	if (machine_get_end(receiver->arrival->machine, NULL, NULL) == MACHINE_FAILED)
		return true;
	if (*ended_ms == 0)
		*ended_ms = link_now();
	return link_now() - *ended_ms >= receiver->options->patience_ms;
}

static void *talk(void *context)
{
	struct receiver *receiver = context;
	uint64_t ended_ms = 0;

	while (!is_over(receiver, &ended_ms))
		step(receiver);
	link_close(&receiver->link);
	door_close(receiver->door);
	receiver->door = NULL;
	return NULL;
}

/* ---- the main thread --------------------------------------------------------------------------------- */

static void run_machine(struct receiver *receiver)
{
	pthread_mutex_lock(&receiver->lock);
	while (!receiver->may_run)
		pthread_cond_wait(&receiver->changed, &receiver->lock);
	pthread_mutex_unlock(&receiver->lock);
	receiver->status = monitor_run(receiver->arrival->machine, receiver->monitor);
	pthread_mutex_lock(&receiver->lock);
	receiver->has_ended = true;
	pthread_mutex_unlock(&receiver->lock);
}

static int start_threads(struct receiver *receiver, pthread_t *ret_talker)
{
	int error;

	if (door_open(receiver->options, receiver->wake_fd, &receiver->door) != 0)
		return -1;
	/* Where the kernel has chosen the port, somebody must be told. */
	printf("listening on port %u\n", door_port(receiver->door));
	fflush(stdout);
	error = pthread_create(ret_talker, NULL, talk, receiver);
	return error == 0 ? 0 : fault("no thread: %s", strerror(error));
}

static int receive(struct receiver *receiver)
{
	pthread_t talker;
	sigset_t all, before;
	int result;

	receiver->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (receiver->wake_fd < 0)
		return fault("eventfd: %s", strerror(errno));
	/* Signals are the main thread's: the threads made by these have none either. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = start_threads(receiver, &talker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result != 0)
		return -1;
	run_machine(receiver);
	pthread_join(talker, NULL);
	return 0;
}

int receive_run(const struct receive_options *options, const struct monitor_options *monitor)
{
	struct receiver receiver = {
		.options = options,
		.monitor = monitor,
		.wake_fd = -1,
		.status = EXIT_RUN_FAILED,
	};

	link_init(&receiver.link, -1, options->patience_ms);
	pthread_mutex_init(&receiver.lock, NULL);
	pthread_cond_init(&receiver.changed, NULL);
	if (link_check_security(&options->security) != 0 || receive(&receiver) != 0)
		complain("%s", fault_message());
	door_close(receiver.door);
	receiver_await_undertaker(&receiver);
	arrival_destroy(receiver.arrival);
	if (receiver.wake_fd >= 0)
		close(receiver.wake_fd);
	pthread_cond_destroy(&receiver.changed);
	pthread_mutex_destroy(&receiver.lock);
	return receiver.status;
}
