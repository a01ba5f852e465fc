/* SPDX-License-Identifier: MIT */
#include "lazy_guest.h"
#include "complain.h"
#include "pattern_source.h"

#include <inttypes.h>

int lazy_guest_failed(const struct lazy_guest *guest)
{
	complain("%s: %s", guest->name, lazymem_error_message());
	return -1;
}

static int create_memory(const struct lazy_guest_plan *plan, struct lazy_guest *guest)
{
	struct lazymem_backing *backing = NULL;
	int error = 0;

	if (plan->backing != NULL)
		backing = lazymem_backing_ref(plan->backing);
	else
		error = pattern_source_create(plan->length, &backing);
	if (error == 0)
		error = plan->memfd
				? lazymem_mapping_create_memfd(plan->length, NULL, &guest->mapping)
				: lazymem_mapping_create_anonymous(plan->length, NULL,
								   &guest->mapping);
	if (error == 0)
		error = lazymem_region_create(guest->mapping, (lazymem_guest_address){0}, backing,
					      0, &guest->region);
	if (error == 0)
		error = lazymem_memory_create(&guest->region, 1, &guest->memory);
	lazymem_backing_unref(backing);
	return error;
}

static int attach(const struct lazy_guest_plan *plan, struct lazy_guest *guest)
{
	const struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = plan->flags,
		.tracking_most = plan->most,
	};
	const struct lazymem_handler_options handler_options = {
		.size = sizeof(handler_options),
		.prefetch_piece = plan->prefetch_piece,
	};
	int error = lazymem_handler_create(&handler_options, &guest->handler);

	if (error == 0)
		error = lazymem_handler_attach(guest->handler, guest->memory, &options,
					       &guest->attachment);
	return error;
}

int lazy_guest_populate(const struct lazy_guest *guest)
{
	struct lazymem_statistics statistics = {.size = sizeof(statistics)};
	int error = lazymem_attachment_prefetch(guest->attachment, NULL);

	if (error == 0)
		error = lazymem_attachment_wait(guest->attachment, UINT64_MAX);
	if (error == 0)
		error = lazymem_attachment_statistics(guest->attachment, &statistics);
	if (error != 0)
		return lazy_guest_failed(guest);
	if (statistics.pages_populated == statistics.pages_total)
		return 0;
	complain("%s: only %" PRIu64 " of %" PRIu64 " pages could be populated", guest->name,
		 statistics.pages_populated, statistics.pages_total);
	return -1;
}

int lazy_guest_open(const struct lazy_guest_plan *plan, struct lazy_guest *ret_guest)
{
	struct lazy_guest guest = {.name = plan->name};
	int error = create_memory(plan, &guest);

	if (error == 0)
		error = attach(plan, &guest);
	if (error != 0)
		error = lazy_guest_failed(&guest);
	else if (!plan->missing)
		error = lazy_guest_populate(&guest);
	if (error != 0) {
		lazy_guest_close(&guest);
		return -1;
	}
	guest.host = lazymem_mapping_span(guest.mapping).host;
	*ret_guest = guest;
	return 0;
}

int lazy_guest_close(struct lazy_guest *guest)
{
	int error = 0;

	if (guest->attachment != NULL)
		lazymem_attachment_abort(guest->attachment);
	if (guest->handler != NULL && lazymem_handler_destroy(guest->handler) != 0)
		error = lazy_guest_failed(guest);
	lazymem_memory_unref(guest->memory);
	lazymem_region_unref(guest->region);
	lazymem_mapping_unref(guest->mapping);
	*guest = (struct lazy_guest){.name = guest->name};
	return error;
}
