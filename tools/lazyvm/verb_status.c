/* SPDX-License-Identifier: MIT */
#include "control_verbs.h"
#include "migrate.h"
#include "monitor.h"

#include <inttypes.h>
#include <stdlib.h>

static const char *state_name(struct machine *machine, enum machine_end end)
{
	switch (end) {
	case MACHINE_EXITED:
		return "exited";
	case MACHINE_FAILED:
		return "failed";
	case MACHINE_LEFT:
		return "left";
	default:
		return machine_is_paused(machine) ? "paused" : "running";
	}
}

static uint64_t first_run_us(const struct monitor *monitor)
{
	const uint64_t first = machine_first_run(monitor->machine);

	return first > monitor->began ? (first - monitor->began) / 1000 : 0;
}

static void run(struct monitor *monitor, char *const *words, size_t count,
		struct control_answer *answer)
{
	const struct guest_memory *memory = machine_memory(monitor->machine);
	struct lazymem_statistics statistics = {.size = sizeof(statistics)};
	char migration[256];
	enum machine_end end;
	char *reason;

	(void)words;
	(void)count;
	if (lazymem_attachment_statistics(memory->attachment, &statistics) != 0) {
		control_error(answer, "%s", lazymem_error_message());
		return;
	}
	end = machine_get_end(monitor->machine, NULL, &reason);
	migrate_describe(migration, sizeof(migration));
	control_ok(answer,
		   "state=%s vcpus=%u memory=%" PRIu64 " kind=%s pages=%" PRIu64
		   " pages-present=%" PRIu64 " faults=%" PRIu64 " bytes-read=%" PRIu64
		   " exits=%" PRIu64 " discarded=%" PRIu64 " first-run-us=%" PRIu64 "%s%s%s",
		   state_name(monitor->machine, end), machine_shape(monitor->machine)->vcpu_count,
		   guest_memory_length(&memory->shape), guest_memory_kinds[memory->options.kind],
		   statistics.pages_total, statistics.pages_populated, statistics.faults,
		   statistics.bytes_read, machine_exits(monitor->machine),
		   machine_discarded(monitor->machine), first_run_us(monitor), migration,
		   end != MACHINE_GOES_ON ? " reason=" : "",
		   end != MACHINE_GOES_ON && reason != NULL ? reason : "");
	free(reason);
}

const struct control_verb verb_status = {
	.name = "status",
	.usage = "",
	.words_least = 1,
	.words_most = 1,
	.run = run,
};
