/* SPDX-License-Identifier: MIT
 *
 * Who comes to a destination, and what becomes of the guest that arrives when another does,
 * or when it cannot go on: receive.c says what that decides.
 */
#include "receive_parts.h"

#include "complain.h"
#include "fault.h"

#include <stdio.h>
#include <string.h>

/* ---- arrivals that did not run -------------------------------------------------------- */

static void note_given_up(struct receiver *receiver)
{
	memcpy(receiver->given_up[receiver->given_up_count++ % GIVEN_UP_MOST],
	       receiver->arrival->hello.token, WIRE_TOKEN);
}

static bool was_given_up(const struct receiver *receiver, const unsigned char token[WIRE_TOKEN])
{
	for (size_t i = 0; i < receiver->given_up_count && i < GIVEN_UP_MOST; i++)
		if (memcmp(receiver->given_up[i], token, WIRE_TOKEN) == 0)
			return true;
	return false;
}

bool receiver_is_running(const struct receiver *receiver)
{
	return receiver->arrival != NULL && atomic_load(&receiver->arrival->runs);
}

static void *bury(void *arrival)
{
	arrival_destroy(arrival);
	return NULL;
}

void receiver_await_undertaker(struct receiver *receiver)
{
	if (receiver->has_undertaker)
		pthread_join(receiver->undertaker, NULL);
	receiver->has_undertaker = false;
}

/* A job of it may wait for a server that is gone, and whoever comes next is not to wait
 * for that. */
static void let_go(struct receiver *receiver)
{
	receiver_await_undertaker(receiver);
	receiver->has_undertaker =
		pthread_create(&receiver->undertaker, NULL, bury, receiver->arrival) == 0;
	if (!receiver->has_undertaker)
		arrival_destroy(receiver->arrival);
	receiver->arrival = NULL;
}

void receiver_give_up(struct receiver *receiver, enum wire_type type)
{
	char sentence[WIRE_SENTENCE_MOST];

	snprintf(sentence, sizeof(sentence), "%s", fault_message());
	complain("no guest from %s: %s", receiver->arrival->host, sentence);
	note_given_up(receiver);
	if (receiver->link.fd >= 0)
		link_send_sentence(&receiver->link, type, sentence);
	link_close(&receiver->link);
	receiver->lost_ms = 0;
	let_go(receiver);
}

/* ---- visitors ------------------------------------------------------------------------------ */

static void turn_away(struct visitor *visitor, enum wire_type type, const char *sentence)
{
	link_send_sentence(&visitor->link, type, sentence);
	link_close(&visitor->link);
}

static bool is_ours(const struct receiver *receiver, const struct visitor *visitor)
{
	return receiver->arrival != NULL &&
	       memcmp(receiver->arrival->hello.token, visitor->hello.token, WIRE_TOKEN) == 0;
}

static enum link_result send_standing(struct receiver *receiver)
{
	unsigned char payload[WIRE_SMALL_MOST];
	enum wire_standing standing =
		receiver_is_running(receiver) ? WIRE_STANDS_RUNNING : WIRE_STANDS_WAITING;

	return link_send(&receiver->link, WIRE_STANDING, payload,
			 wire_put_standing(payload, standing));
}

enum link_result receiver_send_progress(struct receiver *receiver, enum wire_type type)
{
	unsigned char payload[WIRE_SMALL_MOST];
	struct wire_progress progress = {0};

	if (receiver->arrival != NULL)
		arrival_progress(receiver->arrival, &progress);
	return link_send(&receiver->link, type, payload, wire_put_progress(payload, &progress));
}

void receiver_lose(struct receiver *receiver)
{
	link_close(&receiver->link);
	if (receiver->lost_ms == 0)
		receiver->lost_ms = link_now();
}

static void take_link(struct receiver *receiver, struct visitor *visitor)
{
	link_close(&receiver->link);
	receiver->link = visitor->link;
	receiver->lost_ms = 0;
}

static void welcome_back(struct receiver *receiver, struct visitor *visitor)
{
	enum link_result result;

	if (was_given_up(receiver, visitor->hello.token)) {
		turn_away(visitor, WIRE_FAILED,
			  "this migration was given up here; the guest has "
			  "not run and will not");
		return;
	}
	if (!is_ours(receiver, visitor)) {
		turn_away(visitor, WIRE_REFUSE, "nothing is known of this migration here");
		return;
	}
	take_link(receiver, visitor);
	/* What came of a LAST over the link before may be half of it. */
	result = send_standing(receiver);
	if (result == LINK_OK && atomic_load(&receiver->arrival->stops))
		result = receiver_send_progress(receiver, WIRE_COMPLETE);
	if (result != LINK_OK)
		receiver_lose(receiver);
}

static void greet(struct receiver *receiver, struct visitor *visitor)
{
	if (receiver->arrival != NULL && receiver->lost_ms == 0) {
		turn_away(visitor, WIRE_REFUSE, "another guest is arriving here");
		return;
	}
	if (receiver->arrival != NULL) {
		fault("the source was gone, and another has come");
		receiver_give_up(receiver, WIRE_FAILED);
	}
	if (arrival_create(receiver->options, visitor, receiver->wake_fd, &receiver->arrival) !=
	    0) {
		complain("%s was turned away: %s", visitor->link.peer, fault_message());
		turn_away(visitor, WIRE_REFUSE, fault_message());
		return;
	}
	take_link(receiver, visitor);
	if (link_send(&receiver->link, WIRE_ACCEPT, NULL, 0) != LINK_OK)
		receiver_lose(receiver);
}

void receiver_take_visitors(struct receiver *receiver)
{
	struct visitor visitor;

	while (door_take(receiver->door, &visitor)) {
		if (visitor.returns)
			welcome_back(receiver, &visitor);
		else if (receiver_is_running(receiver))
			turn_away(&visitor, WIRE_REFUSE, "a guest runs here already");
		else
			greet(receiver, &visitor);
	}
}
