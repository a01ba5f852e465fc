/* SPDX-License-Identifier: MIT
 *
 * A guest leaves.
 *
 *   source                                   destination
 *   HELLO  what I am                    -->
 *                                       <--  ACCEPT, or REFUSE
 *   everything is read that was lazy, nbdkit serves the memory
 *   EXPORT where                        -->  connects to it
 *                                       <--  READY
 *   ROUND, RANGES, ZEROS (--rounds)     -->  reads while the guest runs here
 *                                       <--  ROUND_DONE
 *   the guest stops
 *   LAST, RANGES, ZEROS, STATE ...      -->
 *   SWITCH                              -->  the guest runs there
 *                                       <--  RUNNING
 *                                            reads the rest, what the guest wants first
 *                                       <--  COMPLETE
 *   FAREWELL, and this process ends     -->
 *
 * Who runs? Never both. The guest stops here before LAST is sent, and a guest
 * there cannot run before all of SWITCH has arrived. Until the first byte of SWITCH
 * is given to the kernel, the source decides: whatever goes wrong, it says CANCEL
 * if it still can, and resumes; a destination without SWITCH can never run. From that byte on the
 * source cannot know whether SWITCH arrived (no protocol can make both know), so
 * the decision is the destination's alone: it says RUNNING, or FAILED, which
 * means that it has not run and has forgotten how to. Only FAILED, or a person who
 * says --force, resumes the guest here. A connection that is lost says nothing:
 * the source stands still, keeps serving memory, and asks again. That the
 * destination does not know this migration says nothing either: it may be another
 * process in its place.
 *
 * The source makes every connection, also each new one: it knows where the
 * destination listens. It proves with the token of its HELLO that it is the same one.
 *
 * Who does not run must still end: on COMPLETE the source does. Until then nothing
 * but a person ends it, since it may hold the only copy of a page.
 */
#include "migrate.h"

#include "clock.h"
#include "export.h"
#include "fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define TICK_MS 250u

/* ---- talking ---------------------------------------------------------------------------- */

/* The guest may end by itself, or by somebody's will. */
enum link_result migrate_check_guest(struct migration *migration)
{
	if (machine_get_end(migration->monitor->machine, NULL, NULL) == MACHINE_GOES_ON)
		return LINK_OK;
	fault("the guest has ended meanwhile");
	return LINK_STOPPED;
}

int migrate_note_progress(struct migration *migration, const struct wire_message *message)
{
	if (wire_get_progress(message, &migration->report.progress) != 0)
		return -1;
	migrate_show_progress(&migration->report.progress);
	return 0;
}

enum link_result migrate_await(struct migration *migration, struct wire_message *ret_message)
{
	for (;;) {
		enum link_result result = link_receive(&migration->link, TICK_MS, ret_message);

		if (result == LINK_OK && ret_message->type != WIRE_PROGRESS)
			return LINK_OK;
		if (result == LINK_OK && migrate_note_progress(migration, ret_message) != 0)
			return LINK_NONSENSE;
		if (result == LINK_QUIET)
			result = LINK_OK;
		if (result == LINK_OK && link_is_silent(&migration->link, TICK_MS))
			result = link_send(&migration->link, WIRE_ALIVE, NULL, 0);
		if (result == LINK_OK)
			result = migrate_check_guest(migration);
		if (result != LINK_OK)
			return result;
	}
}

enum link_result migrate_expect(struct migration *migration, enum wire_type type,
				struct wire_message *ret_message)
{
	char sentence[WIRE_SENTENCE_MOST + 1];
	enum link_result result = migrate_await(migration, ret_message);

	if (result != LINK_OK || ret_message->type == type)
		return result;
	if (ret_message->type == WIRE_REFUSE || ret_message->type == WIRE_FAILED) {
		wire_get_sentence(ret_message, sentence);
		fault("%s: %s", migration->options->address, sentence);
	} else {
		fault("%s said %s, where %s was expected", migration->options->address,
		      wire_type_name(ret_message->type), wire_type_name(type));
	}
	return LINK_NONSENSE;
}

enum link_result migrate_connect(struct migration *migration)
{
	enum link_result result = link_connect(&migration->link, migration->options->address);

	if (result == LINK_OK)
		result = link_secure(&migration->link, &migration->options->security, false);
	/* What is not secret is nothing: whoever is there could say that all is well. */
	if (result != LINK_OK)
		link_close(&migration->link);
	return result;
}

/* ---- before the switch-over ---------------------------------------------------------------- */

static enum link_result greet(struct migration *migration)
{
	const struct machine_shape *shape = machine_shape(migration->monitor->machine);
	struct wire_hello hello = {
		.state_version = MACHINE_STATE_VERSION,
		.page_size = (uint32_t)sysconf(_SC_PAGESIZE),
		.vcpu_count = shape->vcpu_count,
		.memory = shape->memory,
	};
	unsigned char payload[WIRE_SMALL_MOST];
	struct wire_message message;
	enum link_result result;

	memcpy(hello.token, migration->token, WIRE_TOKEN);
	result = link_send(&migration->link, WIRE_HELLO, payload, wire_put_hello(payload, &hello));
	return result == LINK_OK ? migrate_expect(migration, WIRE_ACCEPT, &message) : result;
}

static int tick(void *context)
{
	struct migration *migration = context;
	struct wire_message message;
	enum link_result result = link_receive(&migration->link, 0, &message);

	if (result == LINK_OK && message.type != WIRE_PROGRESS)
		return fault("%s said %s, where nothing was expected", migration->options->address,
			     wire_type_name(message.type));
	if (result == LINK_OK || result == LINK_QUIET)
		result = link_send(&migration->link, WIRE_ALIVE, NULL, 0);
	if (result == LINK_OK)
		result = migrate_check_guest(migration);
	return result == LINK_OK ? 0 : -1;
}

static enum link_result offer_memory(struct migration *migration)
{
	struct lazymem_memory *memory = machine_memory(migration->monitor->machine)->memory;
	struct wire_export announcement;
	unsigned char payload[WIRE_SMALL_MOST];
	struct wire_message message;
	enum link_result result;

	if (export_start(memory, &migration->link, &migration->options->security,
			 &migration->export, &announcement) != 0)
		return LINK_STOPPED;
	announcement.has_rounds = migration->options->rounds > 0;
	announcement.bytes_per_second = migration->options->bytes_per_second;
	result = link_send(&migration->link, WIRE_EXPORT, payload,
			   wire_put_export(payload, &announcement));
	if (result == LINK_OK)
		result = migrate_expect(migration, WIRE_READY, &message);
	if (result != LINK_OK)
		export_check(migration->export); /* its sentence is the better one */
	return result;
}

static void halt_guest(struct migration *migration)
{
	if (migration->paused_ns != 0)
		return;
	migration->paused_ns = clock_ns();
	machine_pause(migration->monitor->machine);
}

static int create_sets(struct migration *migration)
{
	struct lazymem_memory *memory = machine_memory(migration->monitor->machine)->memory;

	if (lazymem_dirty_create(memory, &migration->zeros) != 0 ||
	    (migration->options->rounds > 0 &&
	     lazymem_dirty_create(memory, &migration->dirty) != 0))
		return fault_of_library(NULL);
	return 0;
}

static int prepare(struct migration *migration)
{
	if (create_sets(migration) != 0 || migrate_connect(migration) != LINK_OK ||
	    greet(migration) != LINK_OK ||
	    migrate_populate(machine_memory(migration->monitor->machine), tick, migration) != 0 ||
	    offer_memory(migration) != LINK_OK)
		return -1;
	migrate_set_phase(MIGRATE_COPYING, false);
	if (migration->options->stops_first)
		halt_guest(migration);
	return migrate_copy_rounds(migration) == LINK_OK ? 0 : -1;
}

/* ---- the switch-over ---------------------------------------------------------------------- */

static enum link_result send_state(struct migration *migration)
{
	const struct machine_state *state = &migration->state;

	for (size_t at = 0; at < state->length;) {
		size_t length =
			state->length - at < WIRE_STATE_MOST ? state->length - at : WIRE_STATE_MOST;
		enum link_result result =
			link_send(&migration->link, WIRE_STATE, state->bytes + at, length);

		if (result != LINK_OK)
			return result;
		at += length;
	}
	return LINK_OK;
}

/* Everything but the word. It may be said again, over a new connection. */
enum link_result migrate_send_last(struct migration *migration)
{
	enum link_result result = migrate_send_written(migration, WIRE_LAST, 0);

	return result == LINK_OK ? send_state(migration) : result;
}

enum link_result migrate_send_switch(struct migration *migration)
{
	unsigned char payload[WIRE_SMALL_MOST];

	return link_send(&migration->link, WIRE_SWITCH, payload,
			 wire_put_number(payload, migration->state.length));
}

bool migrate_is_paused(struct monitor *monitor)
{
	bool paused;

	pthread_mutex_lock(&monitor->paused);
	paused = monitor->is_paused;
	pthread_mutex_unlock(&monitor->paused);
	return paused;
}

static int say_paused(const struct migration *migration)
{
	return fault("the guest was paused meanwhile, and would run at %s",
		     migration->options->address);
}

/* It may have ended, or been paused, since it was last looked at. */
static int check_goes_on(struct migration *migration)
{
	if (migrate_check_guest(migration) != LINK_OK)
		return -1;
	return migrate_is_paused(migration->monitor) ? say_paused(migration) : 0;
}

/* The guest stands still; what it was when it did is in `migration`. */
static int stop_guest(struct migration *migration)
{
	struct machine *machine = migration->monitor->machine;
	struct guest_memory *memory = machine_memory(machine);

	halt_guest(migration);
	if (check_goes_on(migration) != 0)
		return -1;
	if (machine_save(machine, &migration->state) != 0)
		return -1;
	migration->report.state_length = migration->state.length;
	if (migrate_find_zeros(memory->memory, migration->zeros) != 0)
		return -1;
	if (migration->dirty == NULL)
		return 0;
	lazymem_dirty_clear(migration->dirty);
	if (lazymem_attachment_collect(memory->attachment, migration->dirty) != 0)
		return fault_of_library("what the guest has written");
	return 0;
}

void migrate_resume_guest(struct migration *migration)
{
	if (migration->paused_ns != 0)
		machine_resume(migration->monitor->machine);
	migration->paused_ns = 0;
}

/* ---- all of it --------------------------------------------------------------------------------- */

/* Who has paused the guest until now has his way, and whoever comes later hears that it has
 * left. */
static int commit(struct migration *migration)
{
	struct monitor *monitor = migration->monitor;
	int result;

	pthread_mutex_lock(&monitor->paused);
	result = monitor->is_paused ? say_paused(migration) : migrate_commit();
	pthread_mutex_unlock(&monitor->paused);
	return result;
}

static int switch_over(struct migration *migration)
{
	if (stop_guest(migration) != 0 || export_check(migration->export) != 0 ||
	    migrate_send_last(migration) != LINK_OK || commit(migration) != 0)
		return -1;
	/* Whatever comes of it, it may have arrived. */
	if (migrate_send_switch(migration) != LINK_OK)
		migrate_set_phase(MIGRATE_SWITCHING, true);
	return migrate_await_fate(migration);
}

/* Nothing has been switched over: as if it had never been tried. */
static void give_up(struct migration *migration)
{
	char sentence[WIRE_SENTENCE_MOST];

	snprintf(sentence, sizeof(sentence), "%s", fault_message());
	migrate_resume_guest(migration);
	migration->link.stop_fd = -1;
	migration->link.patience_ms = TICK_MS;
	if (migration->link.fd >= 0)
		link_send_sentence(&migration->link, WIRE_CANCEL, sentence);
	fault("%s", sentence);
}

static int migrate(struct migration *migration)
{
	uint64_t began = clock_ns();
	bool has_begun = prepare(migration) == 0;
	int result = has_begun ? switch_over(migration) : -1;

	if (!migrate_is_committed())
		give_up(migration);
	migration->report.total_ns = clock_ns() - began;
	return result;
}

int migrate_run(struct monitor *monitor, const struct migrate_options *options,
		struct migrate_report *ret_report)
{
	struct migration migration = {.monitor = monitor, .options = options};
	int stop_fd;
	int result;

	if (export_check_memory(machine_memory(monitor->machine)->memory) != 0 ||
	    link_check_security(&options->security) != 0)
		return -1;
	if (getrandom(migration.token, sizeof(migration.token), 0) != sizeof(migration.token))
		return fault("getrandom: %s", strerror(errno));
	if (migrate_begin(options, &stop_fd) != 0)
		return -1;
	link_init(&migration.link, stop_fd, options->patience_ms);
	result = migrate(&migration);
	link_close(&migration.link);
	export_stop(migration.export);
	lazymem_dirty_destroy(migration.dirty);
	lazymem_dirty_destroy(migration.zeros);
	machine_state_free(&migration.state);
	migrate_end();
	*ret_report = migration.report;
	return result;
}
