/* SPDX-License-Identifier: MIT
 *
 * version.c - the version of the library, from the header it was built with.
 */
#include <lazymem/common.h>

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

const char *lazymem_version(void)
{
	return TEXT(LAZYMEM_VERSION_MAJOR) "." TEXT(LAZYMEM_VERSION_MINOR) "." TEXT(
		LAZYMEM_VERSION_PATCH);
}
