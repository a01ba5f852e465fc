/* SPDX-License-Identifier: MIT
 *
 * What becomes of a guest that was switched over: the destination says it, or a
 * person does. A connection that is lost is made again, as often as it takes.
 */
#include "clock.h"
#include "fault.h"
#include "migrate.h"

#include "complain.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define PAUSE_LEAST_MS 100
#define PAUSE_MOST_MS 1000

enum fate {
	FATE_COMPLETE,  /* it runs there and has everything */
	FATE_NEVER_RAN, /* and never will: resume here */
	FATE_FORCED,    /* a person wants it back */
	FATE_ENDED,     /* a person wants no guest any more */
	FATE_UNKNOWN,   /* ask again */
};

static void note_running(struct migration *migration)
{
	if (migration->report.pause_ns == 0)
		migration->report.pause_ns = clock_ns() - migration->paused_ns;
	migrate_set_phase(MIGRATE_FILLING, false);
}

static enum fate note_complete(struct migration *migration, const struct wire_message *message)
{
	if (migrate_note_progress(migration, message) != 0)
		return FATE_UNKNOWN;
	note_running(migration);
	link_send(&migration->link, WIRE_FAREWELL, NULL, 0);
	return FATE_COMPLETE;
}

static enum fate note_never_ran(struct migration *migration, const struct wire_message *message)
{
	char sentence[WIRE_SENTENCE_MOST + 1];

	wire_get_sentence(message, sentence);
	fault("%s: %s", migration->options->address, sentence);
	return FATE_NEVER_RAN;
}

/* It decides nothing, but a person may want to know. */
static enum fate note_other(struct migration *migration, const struct wire_message *message)
{
	char sentence[WIRE_SENTENCE_MOST + 1];

	if (message->type == WIRE_REFUSE) {
		wire_get_sentence(message, sentence);
		fault("%s: %s", migration->options->address, sentence);
	} else {
		fault("%s said %s out of turn", migration->options->address,
		      wire_type_name(message->type));
	}
	return FATE_UNKNOWN;
}

/* STANDING, after a RETURN. */
static enum link_result take_standing(struct migration *migration,
				      const struct wire_message *message)
{
	enum wire_standing standing;
	enum link_result result;

	if (wire_get_standing(message, &standing) != 0)
		return LINK_NONSENSE;
	if (standing == WIRE_STANDS_RUNNING) {
		note_running(migration);
		return LINK_OK;
	}
	result = migrate_send_last(migration);
	return result == LINK_OK ? migrate_send_switch(migration) : result;
}

/* Until the destination has said what there is to say, or is not to be understood. */
static enum fate listen_to(struct migration *migration)
{
	for (;;) {
		struct wire_message message;

		if (migrate_await(migration, &message) != LINK_OK)
			return FATE_UNKNOWN;
		switch (message.type) {
		case WIRE_RUNNING:
			note_running(migration);
			break;
		case WIRE_STANDING:
			if (take_standing(migration, &message) != LINK_OK)
				return FATE_UNKNOWN;
			break;
		case WIRE_COMPLETE:
			return note_complete(migration, &message);
		case WIRE_FAILED:
			return note_never_ran(migration, &message);
		default:
			return note_other(migration, &message);
		}
	}
}

static void send_return(struct migration *migration)
{
	unsigned char payload[WIRE_SMALL_MOST];

	if (migrate_connect(migration) == LINK_OK)
		link_send(&migration->link, WIRE_RETURN, payload,
			  wire_put_return(payload, migration->token));
}

static enum fate ask_again(struct migration *migration)
{
	send_return(migration);
	if (migration->link.fd < 0)
		return FATE_UNKNOWN;
	migration->report.reconnects++;
	return listen_to(migration);
}

/* Somebody of this side has decided. */
static enum fate own_decision(struct migration *migration)
{
	if (migrate_is_forced())
		return FATE_FORCED;
	return migrate_check_guest(migration) == LINK_OK ? FATE_UNKNOWN : FATE_ENDED;
}

/* Why there is no connection; once, until it is for another reason. */
static void tell_loss(char told[WIRE_SENTENCE_MOST + 1])
{
	if (strncmp(told, fault_message(), WIRE_SENTENCE_MOST) == 0)
		return;
	snprintf(told, WIRE_SENTENCE_MOST + 1, "%s", fault_message());
	complain("%s", told);
}

/* As long as it takes. */
static enum fate await_fate(struct migration *migration)
{
	struct pollfd stopped = {.fd = migration->link.stop_fd, .events = POLLIN};
	enum fate fate = listen_to(migration);
	char told[WIRE_SENTENCE_MOST + 1] = "";
	int pause_ms = PAUSE_LEAST_MS;

	while (fate == FATE_UNKNOWN && (fate = own_decision(migration)) == FATE_UNKNOWN) {
		enum migrate_phase phase =
			migration->report.pause_ns != 0 ? MIGRATE_FILLING : MIGRATE_SWITCHING;
		unsigned reconnects = migration->report.reconnects;

		tell_loss(told);
		migrate_set_phase(phase, true);
		link_close(&migration->link);
		poll(&stopped, 1, pause_ms);
		pause_ms = pause_ms * 2 < PAUSE_MOST_MS ? pause_ms * 2 : PAUSE_MOST_MS;
		if (!migrate_is_forced())
			fate = ask_again(migration);
		if (migration->report.reconnects != reconnects)
			pause_ms = PAUSE_LEAST_MS;
	}
	return fate;
}

/* What follows from it here. */
static int settle(struct migration *migration, enum fate fate)
{
	struct machine *machine = migration->monitor->machine;

	switch (fate) {
	case FATE_COMPLETE:
		machine_end(machine, MACHINE_LEFT, 0, "migrated to %s",
			    migration->options->address);
		return 0;
	case FATE_NEVER_RAN:
		migrate_take_back();
		migrate_resume_guest(migration);
		return -1;
	case FATE_FORCED:
		migrate_take_back();
		migrate_resume_guest(migration);
		return fault("the guest was taken back by force; it may run at %s as well",
			     migration->options->address);
	default:
		return fault("the guest has ended here, and may run at %s without all of its "
			     "memory",
			     migration->options->address);
	}
}

int migrate_await_fate(struct migration *migration)
{
	return settle(migration, await_fate(migration));
}
