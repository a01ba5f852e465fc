/* SPDX-License-Identifier: MIT
 *
 * file_holes.c - how fine the holes of a file system are. Most keep blocks of
 * a page; two are known that say "data" for much more than was written: tmpfs
 * with huge pages, for a whole huge page, and ZFS, for a whole record.
 */
#include "backing/file_object.h"

#include "core/backing_object.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define ZFS_MAGIC 0x2fc12fc1 /* ZFS_SUPER_MAGIC, OpenZFS include/sys/zfs_vfsops_os.h */

bool lm_file_has_coarse_holes(const struct lazymem_backing *backing)
{
	const struct lm_file *file = lm_backing_object(backing, lm_file_read);
	struct statfs system;
	struct stat status;

	if (file == NULL || !file->has_extents || fstatfs(file->fd, &system) != 0)
		return false;
	if (system.f_type == ZFS_MAGIC)
		return true;
	/* The block size of a tmpfs file is a huge page where it may have some. */
	return system.f_type == TMPFS_MAGIC && fstat(file->fd, &status) == 0 &&
	       status.st_blksize > sysconf(_SC_PAGESIZE);
}
