/* SPDX-License-Identifier: MIT
 *
 * file.c - opens a regular file or a block device as a backing object.
 *
 * The object has an open file description of its own wherever it may: that of
 * the caller has an offset, which looking for holes moves, and status flags,
 * O_NONBLOCK and O_DIRECT among them, which change what a read does. It is
 * opened again through /proc/self/fd; where that is refused (no /proc, no
 * permission any more) the descriptor is duplicated, and its offset put back.
 *
 * What it is, is asked before anything is opened again: opening a FIFO can
 * block and opening a device can do anything.
 *
 * An image may have more bytes than anybody wants to read in order to know it
 * again. A regular file is known by its size and the time of its last change:
 * whoever writes an image anew changes them, and a copy that keeps its time is
 * the same image at another place, which inode and path would deny. One that is
 * writable is asked each time, since it is written through the object itself.
 */
#include <lazymem/file.h>

#include "backing/file_object.h"
#include "backing/page_cache.h"
#include "core/checked.h"
#include "core/error.h"
#include "core/identity.h"
#include "core/options.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define KNOWN_FLAGS                                                                                \
	(LAZYMEM_FILE_DIRECT | LAZYMEM_FILE_NO_HOLES | LAZYMEM_FILE_CACHED_OR_DIRECT |             \
	 LAZYMEM_FILE_WRITABLE)

/* Of direct reads where nobody says: no disk in use has larger blocks. */
#define DEFAULT_ALIGNMENT 4096

/* The kernel reads ahead no more at a time than the window of the disk, which is
 * 128 KiB where nobody has set it; what is beyond these pieces, it passes over. */
#define READAHEAD_PIECE (UINT64_C(128) << 10)

/* And no more in one go than disks take without letting the caller wait. */
#define READAHEAD_LIMIT (UINT64_C(8) << 20)

struct measures {
	uint64_t size;
	struct timespec modified;
	bool is_regular;
};

static int copy_options(const struct lazymem_file_options *options, const char *name,
			struct lazymem_file_options *ret_known)
{
	int error = lm_options_copy(options, ret_known, sizeof(*ret_known),
				    "struct lazymem_file_options");

	if (error != 0)
		return error;
	if ((ret_known->flags & ~KNOWN_FLAGS) != 0)
		return lm_error(-EINVAL, "%s: unknown flag in %#x", name, ret_known->flags);
	return 0;
}

/* The kind and length of the file; refuses what cannot be guest memory. */
static int measure(int fd, const char *name, struct measures *ret_measures)
{
	struct stat status;
	uint64_t size;

	if (fstat(fd, &status) != 0)
		return lm_error_errno(-errno, "cannot look at %s", name);
	if (S_ISDIR(status.st_mode))
		return lm_error(-EISDIR, "%s is a directory", name);
	if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
		return lm_error(-EINVAL, "%s is neither a regular file nor a block device", name);
	size = (uint64_t)status.st_size;
	if (S_ISBLK(status.st_mode) && ioctl(fd, BLKGETSIZE64, &size) != 0)
		return lm_error_errno(-errno, "cannot tell the size of %s", name);
	if (size == 0)
		return lm_error(-ENODATA, "%s is empty", name);
	*ret_measures = (struct measures){
		.size = size, .modified = status.st_mtim, .is_regular = S_ISREG(status.st_mode)};
	return 0;
}

/* The bytes of the file that are the object. */
static int choose_window(const struct lazymem_file_options *options, const char *name,
			 uint64_t size, uint64_t *ret_length)
{
	if (options->start >= size)
		return lm_error(-ERANGE, "%s has %" PRIu64 " bytes, too few to begin at %" PRIu64,
				name, size, options->start);
	if (!lm_fits(options->start, options->length, size))
		return lm_error(-ERANGE,
				"%s has %" PRIu64 " bytes, too few for %" PRIu64 " from %" PRIu64
				" on",
				name, size, options->length, options->start);
	*ret_length = options->length != 0 ? options->length : size - options->start;
	return 0;
}

/* Which bytes will be wanted is known here, and not to the kernel: it would take
 * the reads of a working set for a row that goes on, and read far beyond its
 * end. Only for a description of our own. */
static void refuse_readahead(int fd)
{
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
}

static int access_mode(const struct lazymem_file_options *options)
{
	return (options->flags & LAZYMEM_FILE_WRITABLE) != 0 ? O_RDWR : O_RDONLY;
}

static int open_again(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_CLOEXEC | flags);
}

static int sector_size(int fd)
{
	int size;

	return ioctl(fd, BLKSSZGET, &size) == 0 && size > 0 ? size : DEFAULT_ALIGNMENT;
}

/* What O_DIRECT wants aligned, and how far. -EOPNOTSUPP when the file system
 * would read this file through its cache all the same. */
static int find_alignment(struct lm_file *file, const char *name, bool is_regular)
{
	file->memory_alignment = DEFAULT_ALIGNMENT;
	file->offset_alignment = DEFAULT_ALIGNMENT;
#ifdef STATX_DIOALIGN
	struct statx status;

	if (statx(file->direct_fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 &&
	    (status.stx_mask & STATX_DIOALIGN) != 0) {
		if (!lm_is_power_of_two(status.stx_dio_mem_align) ||
		    !lm_is_power_of_two(status.stx_dio_offset_align))
			return lm_error(-EOPNOTSUPP, "%s cannot be read with O_DIRECT", name);
		file->memory_alignment = status.stx_dio_mem_align;
		file->offset_alignment = status.stx_dio_offset_align;
		return 0;
	}
#endif
	if (!is_regular) {
		file->offset_alignment = (uint64_t)sector_size(file->direct_fd);
		file->memory_alignment = file->offset_alignment;
	}
	return 0;
}

static int open_direct(struct lm_file *file, const char *name, bool is_regular)
{
	int error;

	file->direct_fd = open_again(file->fd, O_DIRECT | (file->is_writable ? O_RDWR : O_RDONLY));
	if (file->direct_fd < 0)
		return lm_error_errno(-errno, "cannot open %s with O_DIRECT", name);
	error = find_alignment(file, name, is_regular);
	/* blocks of an aligned buffer are aligned too */
	if (file->is_writable && file->offset_alignment < file->memory_alignment)
		file->offset_alignment = file->memory_alignment;
	return error;
}

/* O_DIRECT where the cache has nothing, if both can be had; else buffered. */
static void open_beside_cache(struct lm_file *file, const char *name, bool is_regular)
{
	if (lm_page_cache_has(file->fd, 0, 1) < 0)
		return;
	file->asks_cache = open_direct(file, name, is_regular) == 0;
	if (!file->asks_cache && file->direct_fd >= 0) {
		close(file->direct_fd);
		file->direct_fd = -1;
	}
}

/* Build the extent map. The file is measured again after it: past the end of
 * one that shrank meanwhile there are no holes, but bytes that were lost. */
static int find_holes(struct lm_file *file, const char *name)
{
	const off_t position = lseek(file->fd, 0, SEEK_CUR);
	struct measures measures;
	int error;

	lm_extent_map_init(&file->extents, file->length);
	file->has_extents = true;
	error = lm_extent_map_scan(&file->extents, file->fd, file->start);
	if (error == 0 && file->is_writable) {
		error = lm_block_map_create(&file->blocks, &file->extents);
		lm_extent_map_destroy(&file->extents);
	}
	(void)lseek(file->fd, position, SEEK_SET);
	if (error != 0)
		return lm_error(error, "%s: %s", name, lazymem_error_message());
	error = measure(file->fd, name, &measures);
	if (error != 0)
		return error;
	if (!lm_fits(file->start, file->length, measures.size))
		return lm_error(-ENODATA, "%s shrank to %" PRIu64 " bytes while it was opened",
				name, measures.size);
	return 0;
}

/* What the bytes of a regular file are known by. */
static struct lazymem_identity identify(const struct lm_file *file, const struct measures *measures)
{
	struct lazymem_identity known = {{0}}, *identity = &known;

	if (!measures->is_regular)
		return known;
	lm_identity_fold_number(identity, measures->size);
	lm_identity_fold_number(identity, (uint64_t)measures->modified.tv_sec);
	lm_identity_fold_number(identity, (uint64_t)measures->modified.tv_nsec);
	lm_identity_fold_number(identity, file->start);
	lm_identity_fold_number(identity, file->length);
	return known;
}

static int file_identity(void *object, struct lazymem_identity *ret_identity)
{
	const struct lm_file *file = object;
	struct measures measures = {.size = 0};
	int error;

	if (!file->is_writable) {
		*ret_identity = file->identity;
		return 0;
	}
	error = measure(file->fd, "the file", &measures);
	if (error == 0)
		*ret_identity = identify(file, &measures);
	return error;
}

static void file_readahead(void *object, uint64_t offset, uint64_t length)
{
	const struct lm_file *file = object;
	uint64_t left = lm_min(length, READAHEAD_LIMIT);
	uint64_t position = file->start + offset;

	if (file->direct_fd >= 0)
		return; /* reads go past the cache */
	while (left != 0) {
		const uint64_t piece = lm_min(left, READAHEAD_PIECE);

		(void)posix_fadvise(file->fd, (off_t)position, (off_t)piece, POSIX_FADV_WILLNEED);
		position += piece;
		left -= piece;
	}
}

static int file_extent(void *object, uint64_t offset, uint64_t length,
		       struct lazymem_extent *ret_extent)
{
	const struct lm_file *file = object;

	if (file->is_writable)
		lm_block_map_find(&file->blocks, offset, length, ret_extent);
	else
		lm_extent_map_find(&file->extents, offset, length, ret_extent);
	return 0;
}

static void file_close(void *object)
{
	struct lm_file *file = object;

	close(file->fd);
	if (file->direct_fd >= 0)
		close(file->direct_fd);
	lm_extent_map_destroy(&file->extents);
	lm_block_map_destroy(&file->blocks);
	pthread_mutex_destroy(&file->bounce_lock);
	lm_parts_destroy(&file->parts);
	free(file);
}

static void read_parts(void *object, struct lazymem_read *read)
{
	struct lm_file *file = object;

	lm_parts_submit(&file->parts, read);
}

/* Each fault asks for the extent of its page: where there are no holes, and none
 * can come, or they are not looked for, the dispatch knows the answer. */
static bool can_have_holes(const struct lm_file *file)
{
	struct lazymem_extent first;

	if (!file->has_extents || file->is_writable)
		return file->has_extents;
	lm_extent_map_find(&file->extents, 0, file->length, &first);
	return first.kind != LAZYMEM_EXTENT_DATA || first.length != file->length;
}

static int publish(struct lm_file *file, const char *name, struct lazymem_backing **ret_backing)
{
	struct lazymem_backing_operations operations = {
		.size = sizeof(operations),
		.read = lm_file_read,
		.read_parts = read_parts,
		.identity = file_identity,
		.readahead = file_readahead,
		.close = file_close,
	};

	if (can_have_holes(file))
		operations.extent = file_extent;
	if (file->is_writable) {
		operations.write = lm_file_write;
		operations.flush = lm_file_flush;
		operations.discard = lm_file_discard;
	}
	return lazymem_backing_create(&operations, file, file->length, name, ret_backing);
}

/* Can all of it be written, as far as is known before it is tried? */
static int check_writable(const struct lm_file *file, const char *name)
{
	const int seals = fcntl(file->fd, F_GET_SEALS); /* fails for what cannot have any */

	if (seals > 0 && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0)
		return lm_error(-EPERM, "%s is sealed against writing", name);
	if (file->direct_fd >= 0 && !file->asks_cache &&
	    !(lm_is_aligned(file->start, file->offset_alignment) &&
	      lm_is_aligned(file->length, file->offset_alignment)))
		return lm_error(-EINVAL,
				"%s cannot be written with O_DIRECT: %" PRIu64
				" bytes from %" PRIu64 " on are not whole blocks of %" PRIu64,
				name, file->length, file->start, file->offset_alignment);
	return 0;
}

/* Make the object of a descriptor, which is the object's own from now on. */
static int create(int fd, const char *name, const struct lazymem_file_options *options,
		  struct lazymem_backing **ret_backing)
{
	struct lm_file *file = calloc(1, sizeof(*file));
	struct measures measures;
	int error;

	if (file == NULL) {
		close(fd);
		return lm_error(-ENOMEM, "no memory for %s", name);
	}
	file->fd = fd;
	file->direct_fd = -1;
	lm_parts_create(&file->parts);
	pthread_mutex_init(&file->bounce_lock, NULL);
	file->start = options->start;
	file->is_writable = (options->flags & LAZYMEM_FILE_WRITABLE) != 0;
	error = measure(fd, name, &measures);
	if (error == 0)
		error = choose_window(options, name, measures.size, &file->length);
	if (error == 0)
		file->identity = identify(file, &measures);
	if (error == 0 && (options->flags & LAZYMEM_FILE_DIRECT) != 0)
		error = open_direct(file, name, measures.is_regular);
	else if (error == 0 && (options->flags & LAZYMEM_FILE_CACHED_OR_DIRECT) != 0)
		open_beside_cache(file, name, measures.is_regular);
	if (error == 0 && measures.is_regular && (options->flags & LAZYMEM_FILE_NO_HOLES) == 0)
		error = find_holes(file, name);
	if (error == 0 && file->is_writable)
		error = check_writable(file, name);
	if (error == 0)
		error = publish(file, name, ret_backing);
	if (error != 0)
		file_close(file);
	return error;
}

int lazymem_file_open(const char *path, const struct lazymem_file_options *options,
		      struct lazymem_backing **ret_backing)
{
	struct lazymem_file_options known;
	int error, fd;

	if (path == NULL)
		return lm_error(-EINVAL, "no path of a file");
	error = copy_options(options, path, &known);
	if (error != 0)
		return error;
	/* not to wait for the writer of a FIFO; regular files must not keep the flag */
	fd = open(path, access_mode(&known) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return lm_error_errno(-errno, "cannot open %s", path);
	if (fcntl(fd, F_SETFL, 0) != 0) {
		error = lm_error_errno(-errno, "cannot open %s", path);
		close(fd);
		return error;
	}
	refuse_readahead(fd);
	return create(fd, path, &known, ret_backing);
}

/* Is fd open, and for what is asked for? */
static int check_descriptor(int fd, const char *name, const struct lazymem_file_options *options)
{
	const int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return lm_error(-EBADF, "%s: descriptor %d is not open", name, fd);
	if ((flags & O_PATH) != 0 || (flags & O_ACCMODE) == O_WRONLY)
		return lm_error(-EBADF, "%s: descriptor %d is not open for reading", name, fd);
	if (access_mode(options) == O_RDWR && (flags & O_ACCMODE) != O_RDWR)
		return lm_error(-EBADF, "%s: descriptor %d is not open for writing", name, fd);
	return 0;
}

/* A description of our own, or where that is refused the caller's: not for one
 * that is written, for the caller may have it append, and an error of writing is
 * told once to each description. */
static int duplicate(int fd, const struct lazymem_file_options *options)
{
	const int own = open_again(fd, access_mode(options));

	if (own >= 0)
		refuse_readahead(own);
	else if (access_mode(options) == O_RDONLY)
		return fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return own;
}

int lazymem_file_from_fd(int fd, const char *name, const struct lazymem_file_options *options,
			 struct lazymem_backing **ret_backing)
{
	struct lazymem_file_options known;
	struct measures measures;
	int error, own;

	if (name == NULL)
		name = "unnamed";
	error = copy_options(options, name, &known);
	if (error == 0)
		error = check_descriptor(fd, name, &known);
	if (error == 0)
		error = measure(fd, name, &measures);
	if (error != 0)
		return error;
	own = duplicate(fd, &known);
	if (own < 0)
		return lm_error_errno(-errno, "%s: cannot duplicate descriptor %d", name, fd);
	return create(own, name, &known, ret_backing);
}
