/* SPDX-License-Identifier: MIT */
#include "control_verbs.h"
#include "fault.h"
#include "monitor.h"

#include <inttypes.h>

static void run(struct monitor *monitor, char *const *words, size_t count,
		struct control_answer *answer)
{
	struct snapshot_result result;

	(void)count;
	if (pthread_mutex_trylock(&monitor->job) != 0) {
		control_error(answer, "another snapshot, migration or discard is under way");
		return;
	}
	if (snapshots_write(&monitor->snapshots, monitor->machine, words[1], &result) != 0)
		control_error(answer, "%s", fault_message());
	else
		control_ok(answer,
			   "%s pause-us=%" PRIu64 " copied-in-pause=%" PRIu64 " written=%" PRIu64,
			   result.is_layer ? "layer" : "whole", result.pause_ns / 1000,
			   result.bytes_paused, result.bytes);
	pthread_mutex_unlock(&monitor->job);
}

const struct control_verb verb_snapshot = {
	.name = "snapshot",
	.usage = "PATH",
	.words_least = 2,
	.words_most = 2,
	.run = run,
};
