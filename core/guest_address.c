/* SPDX-License-Identifier: MIT
 *
 * guest_address.c - arithmetic on guest addresses that never wraps.
 */
#include <lazymem/common.h>

#include "core/checked.h"
#include "core/error.h"

#include <errno.h>
#include <inttypes.h>

int lazymem_guest_address_add(lazymem_guest_address address, uint64_t length,
			      lazymem_guest_address *ret_sum)
{
	if (!lm_add(address.value, length, &ret_sum->value))
		return lm_error(-EOVERFLOW, "guest address 0x%" PRIx64 " + 0x%" PRIx64 " wraps",
				address.value, length);
	return 0;
}

int lazymem_guest_address_subtract(lazymem_guest_address address, uint64_t length,
				   lazymem_guest_address *ret_difference)
{
	if (length > address.value)
		return lm_error(-EOVERFLOW, "guest address 0x%" PRIx64 " - 0x%" PRIx64 " wraps",
				address.value, length);
	ret_difference->value = address.value - length;
	return 0;
}

int lazymem_guest_address_offset(lazymem_guest_address address, lazymem_guest_address base,
				 uint64_t *ret_offset)
{
	if (address.value < base.value)
		return lm_error(-EOVERFLOW,
				"guest address 0x%" PRIx64 " lies below its base 0x%" PRIx64,
				address.value, base.value);
	*ret_offset = address.value - base.value;
	return 0;
}

static int check_alignment(uint64_t alignment)
{
	if (!lm_is_power_of_two(alignment))
		return lm_error(-EINVAL, "alignment 0x%" PRIx64 " is no power of two", alignment);
	return 0;
}

int lazymem_guest_address_align_up(lazymem_guest_address address, uint64_t alignment,
				   lazymem_guest_address *ret_aligned)
{
	const int error = check_alignment(alignment);

	if (error != 0)
		return error;
	if (!lm_align_up(address.value, alignment, &ret_aligned->value))
		return lm_error(-EOVERFLOW,
				"no multiple of 0x%" PRIx64 " follows guest address 0x%" PRIx64,
				alignment, address.value);
	return 0;
}

int lazymem_guest_address_align_down(lazymem_guest_address address, uint64_t alignment,
				     lazymem_guest_address *ret_aligned)
{
	const int error = check_alignment(alignment);

	if (error != 0)
		return error;
	ret_aligned->value = lm_align_down(address.value, alignment);
	return 0;
}

lazymem_guest_address lazymem_guest_address_mask(lazymem_guest_address address, uint64_t mask)
{
	return (lazymem_guest_address){address.value & mask};
}

int lazymem_guest_address_compare(lazymem_guest_address a, lazymem_guest_address b)
{
	return (a.value > b.value) - (a.value < b.value);
}
