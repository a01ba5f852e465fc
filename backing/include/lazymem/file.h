/* SPDX-License-Identifier: MIT
 *
 * file.h - a regular file or a block device as a backing object, read, and where
 * it is asked for written, through io_uring. Holes are found once, when it is
 * opened (SEEK_DATA, SEEK_HOLE); what is written and discarded through the object
 * is kept account of.
 */
#ifndef LAZYMEM_FILE_H
#define LAZYMEM_FILE_H

#include <lazymem/backing.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of struct lazymem_file_options. */
#define LAZYMEM_FILE_DIRECT (1u << 0)   /* O_DIRECT; what cannot be aligned is read buffered */
#define LAZYMEM_FILE_NO_HOLES (1u << 1) /* do not look for holes: everything is data */
#define LAZYMEM_FILE_CACHED_OR_DIRECT                                                              \
	(1u                                                                                        \
	 << 2) /* O_DIRECT for what is not in the page cache, whole reads at a time. Faster than
		   * filling the cache, which it leaves as it is: for images that are restored
		   * once. Where the kernel cannot tell (before 6.5), as if it were not given */

/* To be written too, see backing.h. Writes go through the page cache, or all
 * past it with LAZYMEM_FILE_DIRECT, of which start and length must then be whole
 * blocks, and what is not aligned waits on the calling thread. A flush is
 * fdatasync(2), a discard makes a hole. */
#define LAZYMEM_FILE_WRITABLE (1u << 3)

/* How a file is opened. NULL in place of a pointer to it means the defaults.
 * Since 0.1. */
struct lazymem_file_options {
	size_t size;     /* sizeof(struct lazymem_file_options) */
	unsigned flags;  /* LAZYMEM_FILE_* */
	uint64_t start;  /* the object begins at this byte of the file */
	uint64_t length; /* and has this many; 0: up to the end of the file */
};

/* The file at `path`. Neither its data nor its holes may change while it is
 * open, but through the object when that is writable. A read that the file can no longer satisfy (it shrank) fails with
 * -ENODATA, never with zeros. -EISDIR for a directory, -EINVAL for what is
 * neither a regular file nor a block device, for no path and for an unknown
 * flag, -ENODATA for an empty file, -ERANGE when start + length lies past its
 * end, -E2BIG for an unknown option, -EOPNOTSUPP or -EINVAL where the file
 * system has no O_DIRECT, -EINVAL when it cannot be written with O_DIRECT for its
 * ends, -EPERM when it is sealed, -ENOMEM, any errno of open. The message names
 * the path. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_file_open(const char *path, const struct lazymem_file_options *options,
				     struct lazymem_backing **ret_backing);

/* The same for a descriptor that is open for reading, and stays the caller's.
 * The file is opened again through /proc/self/fd, or, where that is refused
 * and neither LAZYMEM_FILE_DIRECT nor LAZYMEM_FILE_WRITABLE is asked for, the
 * descriptor is duplicated; its offset does not matter and is the same
 * afterwards. To be written it is open for both. `name` is for messages
 * (NULL: "unnamed"). -EBADF, -EMFILE. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_file_from_fd(int fd, const char *name,
					const struct lazymem_file_options *options,
					struct lazymem_backing **ret_backing);

#ifdef __cplusplus
}
#endif
#endif
