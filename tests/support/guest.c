/* SPDX-License-Identifier: MIT */
#include "guest.h"

lazymem_guest_address guest_address(uint64_t offset)
{
	return (lazymem_guest_address){GUEST_BASE + offset};
}

void guest_map(struct guest *guest, enum memory_kind kind, size_t length, unsigned flags,
	       struct lazymem_backing *backing)
{
	struct lazymem_mapping_options options = {
		.size = sizeof(options), .flags = flags, .name = "test guest"};
	struct lazymem_region *region;

	*guest = (struct guest){.length = length, .page = page_size_of(kind)};
	if (kind == ANONYMOUS)
		assert_ok(lazymem_mapping_create_anonymous(length, &options, &guest->mapping));
	else if (kind == MEMFD)
		assert_ok(lazymem_mapping_create_memfd(length, &options, &guest->mapping));
	else
		assert_ok(lazymem_mapping_create_hugetlb(length, guest->page, &options,
							 &guest->mapping));
	guest->host = lazymem_mapping_span(guest->mapping).host;
	assert_ok(lazymem_region_create(guest->mapping, guest_address(0), backing, 0, &region));
	assert_ok(lazymem_memory_create(&region, 1, &guest->memory));
	lazymem_region_unref(region);
}

void guest_attach(struct guest *guest, const struct lazymem_handler_options *handler_options,
		  const struct lazymem_attach_options *attach_options)
{
	assert_ok(lazymem_handler_create(handler_options, &guest->handler));
	assert_ok(lazymem_handler_attach(guest->handler, guest->memory, attach_options,
					 &guest->attachment));
}

void guest_start(struct guest *guest, enum memory_kind kind, size_t length,
		 struct lazymem_backing *backing)
{
	guest_map(guest, kind, length, 0, backing);
	guest_attach(guest, NULL, NULL);
}

void guest_finish(struct guest *guest)
{
	statistics_at_rest(guest->attachment);
	assert_ok(lazymem_attachment_finish(guest->attachment));
	guest->attachment = NULL;
}

void guest_end(struct guest *guest)
{
	if (guest->attachment) {
		statistics_at_rest(guest->attachment);
		lazymem_attachment_abort(guest->attachment);
	}
	assert_ok(lazymem_handler_destroy(guest->handler));
	lazymem_memory_unref(guest->memory);
	lazymem_mapping_unref(guest->mapping);
	*guest = (struct guest){0};
}

void guest_prefetch(struct guest *guest, uint64_t start, uint64_t length)
{
	struct lazymem_guest_range range = {.start = guest_address(start), .length = length};
	struct lazymem_prefetch prefetch = {
		.size = sizeof(prefetch), .ranges = &range, .range_count = 1};

	assert_ok(lazymem_attachment_prefetch(guest->attachment, length ? &prefetch : NULL));
	assert_ok(lazymem_attachment_wait(guest->attachment, SOON_NS));
}

static struct lazymem_statistics snapshot(struct lazymem_attachment *attachment)
{
	struct lazymem_statistics s = {.size = sizeof(s)};

	assert_ok(lazymem_attachment_statistics(attachment, &s));
	return s;
}

static uint64_t ended(const struct lazymem_statistics *s)
{
	return s->copied + s->zeroed + s->moved + s->continued + s->coalesced + s->already_present +
	       s->failed;
}

static bool is_at_rest(void *argument)
{
	struct lazymem_statistics s = snapshot(argument);

	return s.faults == ended(&s);
}

struct lazymem_statistics statistics_at_rest(struct lazymem_attachment *attachment)
{
	bool rests = await(is_at_rest, attachment);
	struct lazymem_statistics s = snapshot(attachment);
	uint64_t latencies = 0;

	if (!rests)
		print_error("%lu faults = %lu copied + %lu zeroed + %lu moved + %lu continued + "
			    "%lu coalesced + %lu already_present + %lu failed?\n",
			    s.faults, s.copied, s.zeroed, s.moved, s.continued, s.coalesced,
			    s.already_present, s.failed);
	assert_true(rests);
	for (size_t i = 0; i < LAZYMEM_HISTOGRAM_BUCKETS; i++)
		latencies += s.latency[i];
	assert_int_equal(latencies, s.faults);
	assert_true(s.pages_populated <= s.pages_total + s.pages_discarded);
	assert_true(s.pages_prefetched <= s.pages_populated);
	return s;
}
