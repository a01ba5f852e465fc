/* SPDX-License-Identifier: MIT
 *
 * nbd_absent.c - what a library that was built without libnbd says of NBD exports.
 */
#include <lazymem/nbd.h>

#include "core/error.h"

#include <errno.h>

int lazymem_nbd_open(const char *uri, const struct lazymem_nbd_options *options,
		     struct lazymem_backing **ret_backing)
{
	(void)options;
	(void)ret_backing;
	return lm_error(-EPROTONOSUPPORT, "%s: this library was built without libnbd",
			uri != NULL ? uri : "NBD");
}

/* No object can be one of these. */
static int refuse(const struct lazymem_backing *backing)
{
	return lm_error(-EINVAL, "%s is no NBD export", lazymem_backing_name(backing));
}

int lazymem_nbd_update_extents(struct lazymem_backing *backing)
{
	return refuse(backing);
}

int lazymem_nbd_give_up(struct lazymem_backing *backing)
{
	return refuse(backing);
}

int lazymem_nbd_get_statistics(struct lazymem_backing *backing,
			       struct lazymem_nbd_statistics *ret_statistics)
{
	(void)ret_statistics;
	return refuse(backing);
}
