/* SPDX-License-Identifier: MIT */
#include "control_verbs.h"
#include "monitor.h"

static void run(struct monitor *monitor, char *const *words, size_t count,
		struct control_answer *answer)
{
	(void)words;
	(void)count;
	(void)answer;
	monitor_quit(monitor);
}

const struct control_verb verb_quit = {
	.name = "quit",
	.usage = "",
	.words_least = 1,
	.words_most = 1,
	.run = run,
};
