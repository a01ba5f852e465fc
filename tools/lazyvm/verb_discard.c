/* SPDX-License-Identifier: MIT
 *
 * verb_discard.c - take memory away from a guest that has no balloon of its own.
 */
#include "control_verbs.h"
#include "fault.h"
#include "monitor.h"
#include "size.h"

static void run(struct monitor *monitor, char *const *words, size_t count,
		struct control_answer *answer)
{
	uint64_t start;
	uint64_t length;

	(void)count;
	if (size_parse(words[1], &start) != 0 || size_parse(words[2], &length) != 0)
		control_error(answer, "%.64s %.64s is no guest address and no length", words[1],
			      words[2]);
	else if (guest_memory_discard(machine_memory(monitor->machine), start, length) != 0)
		control_error(answer, "%s", fault_message());
}

const struct control_verb verb_discard = {
	.name = "discard",
	.usage = "START LENGTH",
	.words_least = 3,
	.words_most = 3,
	.run = run,
};
