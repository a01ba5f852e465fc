/* SPDX-License-Identifier: MIT
 *
 * Pre-copy: what the guest has written, told to the destination, which reads it.
 *
 * A page belongs to a round when it was written before the round was collected;
 * what is written while the destination reads is in the next one, because the
 * mark of a write is set before the write. So the marks are taken before the
 * destination is told to read, also before the first round, in which it reads
 * everything.
 */
#include "fault.h"
#include "migrate.h"

#include <stdlib.h>

/* So little can be left to post-copy: a few milliseconds of it. */
#define LITTLE ((uint64_t)1 << 20)

static uint64_t count_ranges(const struct lazymem_dirty *set)
{
	struct lazymem_guest_range range = {{0}, 0};
	uint64_t count = 0;

	while (lazymem_dirty_next(set, range.start, &range) == 0) {
		count++;
		if (lazymem_guest_address_add(range.start, range.length, &range.start) != 0)
			break;
	}
	return count;
}

/* RANGES or ZEROS. */
static enum link_result send_ranges(struct link *link, enum wire_type type,
				    const struct lazymem_dirty *set)
{
	struct lazymem_guest_range *ranges = calloc(WIRE_RANGES_MOST, sizeof(*ranges));
	unsigned char *payload = malloc(WIRE_PAYLOAD_MOST);
	struct lazymem_guest_range range = {{0}, 0};
	enum link_result result = LINK_OK;
	size_t count = 0;
	bool more = true;

	if (ranges == NULL || payload == NULL) {
		fault("no memory for what the guest has written");
		result = LINK_STOPPED;
	}
	while (result == LINK_OK && more) {
		more = lazymem_dirty_next(set, range.start, &range) == 0;
		if (more)
			ranges[count++] = range;
		if (count == WIRE_RANGES_MOST || (!more && count > 0)) {
			result = link_send(link, type, payload,
					   wire_put_ranges(payload, ranges, count));
			count = 0;
		}
		if (more && lazymem_guest_address_add(range.start, range.length, &range.start) != 0)
			break; /* no region ends at the end of all addresses */
	}
	free(payload);
	free(ranges);
	return result;
}

enum link_result migrate_send_written(struct migration *migration, enum wire_type type,
				      unsigned number)
{
	bool is_everything = migration->dirty == NULL || number == 1;
	const struct wire_round round = {
		.number = number,
		.is_everything = is_everything,
		.range_count = is_everything ? 0 : count_ranges(migration->dirty),
		.zero_count = count_ranges(migration->zeros),
	};
	unsigned char payload[WIRE_SMALL_MOST];
	struct link *link = &migration->link;
	enum link_result result = link_send(link, type, payload, wire_put_round(payload, &round));

	if (result == LINK_OK && !is_everything)
		result = send_ranges(link, WIRE_RANGES, migration->dirty);
	if (result == LINK_OK && round.zero_count > 0)
		result = send_ranges(link, WIRE_ZEROS, migration->zeros);
	return result;
}

/* Later rounds are of what was written, which is mostly no zeros. */
static int find_round_zeros(struct migration *migration, unsigned number)
{
	if (number == 1)
		return migrate_find_zeros(machine_memory(migration->monitor->machine)->memory,
					  migration->zeros);
	lazymem_dirty_clear(migration->zeros);
	return 0;
}

static enum link_result copy_round(struct migration *migration, unsigned number)
{
	struct guest_memory *memory = machine_memory(migration->monitor->machine);
	struct wire_message message;
	enum link_result result;

	lazymem_dirty_clear(migration->dirty);
	if (lazymem_attachment_collect(memory->attachment, migration->dirty) != 0) {
		fault_of_library("what the guest has written");
		return LINK_STOPPED;
	}
	if (find_round_zeros(migration, number) != 0)
		return LINK_STOPPED;
	result = migrate_send_written(migration, WIRE_ROUND, number);
	if (result == LINK_OK)
		result = migrate_expect(migration, WIRE_ROUND_DONE, &message);
	if (result == LINK_OK)
		migration->report.rounds = number;
	return result;
}

enum link_result migrate_copy_rounds(struct migration *migration)
{
	unsigned most = migration->options->rounds;

	for (unsigned number = 1; number <= most; number++) {
		enum link_result result = copy_round(migration, number);

		if (result != LINK_OK)
			return result;
		if (number > 1 && lazymem_dirty_length(migration->dirty) <= LITTLE)
			break;
	}
	return LINK_OK;
}
