/* SPDX-License-Identifier: MIT
 *
 * verb_discard.c - take memory away from a guest that has no balloon of its own.
 */
#include "control_verbs.h"
#include "fault.h"
#include "monitor.h"
#include "size.h"

/* Not beside a snapshot, whose moment must hold still, nor beside a migration: the source's
 * memory is what the destination reads, and a hole in it would be zeros there. */
static void discard(struct monitor *monitor, uint64_t start, uint64_t length,
		    struct control_answer *answer)
{
	if (pthread_mutex_trylock(&monitor->job) != 0) {
		control_error(answer, "another snapshot, migration or discard is under way");
		return;
	}
	if (guest_memory_discard(machine_memory(monitor->machine), start, length) != 0)
		control_error(answer, "%s", fault_message());
	pthread_mutex_unlock(&monitor->job);
}

static void run(struct monitor *monitor, char *const *words, size_t count,
		struct control_answer *answer)
{
	uint64_t start;
	uint64_t length;

	(void)count;
	if (size_parse(words[1], &start) != 0 || size_parse(words[2], &length) != 0)
		control_error(answer, "%.64s %.64s is no guest address and no length", words[1],
			      words[2]);
	else
		discard(monitor, start, length, answer);
}

const struct control_verb verb_discard = {
	.name = "discard",
	.usage = "START LENGTH",
	.words_least = 3,
	.words_most = 3,
	.run = run,
};
