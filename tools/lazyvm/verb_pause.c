/* SPDX-License-Identifier: MIT
 *
 * verb_pause.c - `pause` and `resume`: one pause of the machine's count is theirs,
 * however often each is said. A guest that was switched over to another host is none that could be
 * paused here.
 */
#include "control_verbs.h"
#include "fault.h"
#include "migrate.h"
#include "monitor.h"

static bool has_ended(struct monitor *monitor)
{
	return machine_get_end(monitor->machine, NULL, NULL) != MACHINE_GOES_ON;
}

static void pause_here(struct monitor *monitor, struct control_answer *answer)
{
	if (monitor->is_paused)
		control_ok(answer, "was paused already");
	else
		machine_pause(monitor->machine);
	monitor->is_paused = true;
	if (has_ended(monitor))
		control_error(answer, "the guest has ended");
}

static void run_pause(struct monitor *monitor, char *const *words, size_t count,
		      struct control_answer *answer)
{
	(void)words;
	(void)count;
	pthread_mutex_lock(&monitor->paused);
	if (migrate_check_here() != 0)
		control_error(answer, "%s", fault_message());
	else
		pause_here(monitor, answer);
	pthread_mutex_unlock(&monitor->paused);
}

static void run_resume(struct monitor *monitor, char *const *words, size_t count,
		       struct control_answer *answer)
{
	(void)words;
	(void)count;
	pthread_mutex_lock(&monitor->paused);
	if (monitor->is_paused)
		machine_resume(monitor->machine);
	else
		control_ok(answer, "was running already");
	monitor->is_paused = false;
	pthread_mutex_unlock(&monitor->paused);
}

const struct control_verb verb_pause = {
	.name = "pause",
	.usage = "",
	.words_least = 1,
	.words_most = 1,
	.run = run_pause,
};

const struct control_verb verb_resume = {
	.name = "resume",
	.usage = "",
	.words_least = 1,
	.words_most = 1,
	.run = run_resume,
};
