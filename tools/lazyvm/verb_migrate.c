/* SPDX-License-Identifier: MIT
 *
 * verb_migrate.c - `migrate` and `cancel`. The first answers when the guest has
 * gone and needs nothing of this process any more, or when it stays.
 */
#include "control_verbs.h"
#include "fault.h"
#include "migrate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What follows NAME= in a word; NULL: it is another. */
static const char *value_of(const char *word, const char *name)
{
	size_t length = strlen(name);

	return strncmp(word, name, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

static int take_number(const char *text, uint64_t most, uint64_t *ret_number)
{
	char *end;

	errno = 0;
	*ret_number = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || *ret_number > most)
		return fault("%.64s: is no number, or too large", text);
	return 0;
}

static int take_security(struct migrate_options *options, enum wire_security kind, const char *path)
{
	if (options->security.kind != WIRE_PLAIN)
		return fault("tls-psk and tls-certificates: give one of them");
	options->security = (struct link_security){kind, path};
	return 0;
}

static int take_word(struct migrate_options *options, const char *word)
{
	const char *value;
	uint64_t number = 0;
	int result = 0;

	if ((value = value_of(word, "rounds")) != NULL) {
		result = take_number(value, MIGRATE_ROUNDS_MOST, &number);
		options->rounds = (unsigned)number;
	} else if ((value = value_of(word, "bandwidth")) != NULL) {
		result = take_number(value, UINT64_MAX, &options->bytes_per_second);
	} else if ((value = value_of(word, "timeout-ms")) != NULL) {
		result = take_number(value, MIGRATE_PATIENCE_MOST_MS, &number);
		options->patience_ms = (unsigned)number;
	} else if (strcmp(word, "stop-and-copy") == 0) {
		options->stops_first = true;
	} else if ((value = value_of(word, "tls-psk")) != NULL) {
		result = take_security(options, WIRE_PSK, value);
	} else if ((value = value_of(word, "tls-certificates")) != NULL) {
		result = take_security(options, WIRE_CERTIFICATES, value);
	} else {
		result = fault("unknown: %.64s", word);
	}
	return result;
}

static int take_words(struct migrate_options *options, char *const *words, size_t count)
{
	options->address = words[1];
	for (size_t i = 2; i < count; i++)
		if (take_word(options, words[i]) != 0)
			return -1;
	/* One round is everything, and nothing is written after it. */
	if (options->stops_first && options->rounds > 0)
		return fault("stop-and-copy: there are no rounds while the guest runs");
	if (options->stops_first)
		options->rounds = 1;
	if (options->patience_ms == 0)
		return fault("timeout-ms=0: nothing can be waited for");
	return 0;
}

static void report(const struct migrate_report *report, const char *address,
		   struct control_answer *answer)
{
	control_ok(answer,
		   "migrated to %s pause-us=%" PRIu64 " total-ms=%" PRIu64 " received=%" PRIu64
		   " state=%" PRIu64 " faults=%" PRIu64 " rounds=%u reconnects=%u",
		   address, report->pause_ns / 1000, report->total_ns / 1000000,
		   report->progress.received, report->state_length, report->progress.faults,
		   report->rounds, report->reconnects);
}

static void migrate(struct monitor *monitor, const struct migrate_options *options,
		    struct control_answer *answer)
{
	struct migrate_report done;

	if (migrate_is_paused(monitor))
		control_error(answer, "the guest is paused, and would run at %s: resume it first",
			      options->address);
	else if (migrate_run(monitor, options, &done) != 0)
		control_error(answer, "%s", fault_message());
	else
		report(&done, options->address, answer);
}

static void run_migrate(struct monitor *monitor, char *const *words, size_t count,
			struct control_answer *answer)
{
	struct migrate_options options = {.patience_ms = MIGRATE_PATIENCE_MS};

	if (take_words(&options, words, count) != 0) {
		control_error(answer, "%s", fault_message());
		return;
	}
	if (pthread_mutex_trylock(&monitor->job) != 0) {
		control_error(answer, "another snapshot, migration or discard is under way");
		return;
	}
	migrate(monitor, &options, answer);
	pthread_mutex_unlock(&monitor->job);
}

static void run_cancel(struct monitor *monitor, char *const *words, size_t count,
		       struct control_answer *answer)
{
	(void)monitor;
	if (count == 2 && strcmp(words[1], "force") != 0)
		control_error(answer, "unknown: %.64s", words[1]);
	else if (migrate_cancel(count == 2) != 0)
		control_error(answer, "%s", fault_message());
}

const struct control_verb verb_migrate = {
	.name = "migrate",
	.usage = "ADDRESS:PORT [rounds=N] [stop-and-copy] [bandwidth=BYTES] [timeout-ms=N] "
		 "[tls-psk=FILE] "
		 "[tls-certificates=DIRECTORY]",
	.words_least = 2,
	.words_most = 8,
	.run = run_migrate,
};

const struct control_verb verb_cancel = {
	.name = "cancel",
	.usage = "[force]",
	.words_least = 1,
	.words_most = 2,
	.run = run_cancel,
};
