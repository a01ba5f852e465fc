/* SPDX-License-Identifier: MIT */
#include "post_copy_guest.h"
#include "complain.h"
#include "pattern.h"

#include <lazymem/nbd.h>
#include <stdlib.h>
#include <sys/mman.h>

/* What is populated in one go: the less it is, the less a fault waits behind it. */
#define PIECE ((size_t)128 << 10)

/* A server that is gone does not come back. */
#define GIVE_UP_NS UINT64_C(2000000000)

/* The host of a virtual machine hands out memory slowly the first time: touch, and
 * give back, as much as the guest has. */
static void touch_ballast(uint64_t length)
{
	void *ballast = mmap(NULL, length, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (ballast != MAP_FAILED)
		munmap(ballast, length);
}

int post_copy_prepare(const struct measurement *measurement,
		      const struct measurement_setting *setting, void **ret_state)
{
	struct post_copy_export *export = malloc(sizeof(*export));

	(void)measurement;
	if (export == NULL) {
		complain("no memory");
		return -1;
	}
	if (post_copy_export_start(setting->memory, setting->directory, export) != 0) {
		free(export);
		return -1;
	}
	touch_ballast(setting->memory);
	*ret_state = export;
	return 0;
}

void post_copy_release(void *state)
{
	post_copy_export_stop(state);
	free(state);
}

int post_copy_guest_open(const struct post_copy_export *export, const char *name, bool memfd,
			 uint64_t length, struct lazy_guest *ret_guest)
{
	struct lazy_guest_plan plan = {
		.name = name,
		.length = length,
		.memfd = memfd,
		.missing = true,
		.prefetch_piece = PIECE,
	};
	const struct lazymem_nbd_options options = {.size = sizeof(options),
						    .give_up_ns = GIVE_UP_NS};
	struct lazy_guest guest = {.name = name};
	int result;

	if (lazymem_nbd_open(export->uri, &options, &plan.backing) != 0)
		return lazy_guest_failed(&guest);
	result = lazy_guest_open(&plan, ret_guest);
	lazymem_backing_unref(plan.backing);
	return result;
}

int post_copy_guest_stream(const struct lazy_guest *guest)
{
	return lazymem_attachment_prefetch(guest->attachment, NULL) == 0 ? 0
									 : lazy_guest_failed(guest);
}

int post_copy_guest_wait(const struct lazy_guest *guest)
{
	return lazymem_attachment_wait(guest->attachment, UINT64_MAX) == 0
		       ? 0
		       : lazy_guest_failed(guest);
}

uint64_t post_copy_count_wrong(const void *memory, uint64_t length)
{
	const char *bytes = memory;
	uint64_t wrong = 0;

	for (uint64_t at = 0; at < length; at += PAGE_BYTES)
		wrong += !pattern_matches(PATTERN_DATA, at,
					  (const uint64_t *)(const void *)(bytes + at), false);
	return wrong;
}
