/* SPDX-License-Identifier: MIT
 *
 * snapshot_bytes.c - the bytes of a snapshot file, wherever they are.
 *
 * Those of a file are read from its descriptor on the calling thread: a restore
 * waits for them. What it is, is asked before it is opened: the path of a parent
 * comes from a file that anybody may have written, and opening a device can do
 * anything. It is opened so that it does not wait all the same (a FIFO has no
 * writer). A file is as long as its header says, or damaged.
 *
 * An object is read as any other is, in pieces. It may be longer than the snapshot:
 * a server rounds the length of an export up, and so does a block device; what lies
 * behind the snapshot is never looked at. The server is not believed either: it may
 * claim any length and answer with zeros that cost it nothing, so memory is not
 * touched before bytes have come for it, and a piece of nothing but zeros ends it.
 */
#include "backing/snapshot_bytes.h"

#include "core/checked.h"
#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lazymem/file.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is fetched before it is known to be needed, in pieces that no kernel cuts off. */
#define LEAST_GUESS (UINT64_C(64) << 10)
#define MOST_GUESS (UINT64_C(1) << 20)
#define ANNOUNCED (UINT64_C(128) << 10)

/* A section of so many bytes is worth a system call for its pages. */
#define MANY_BYTES ((uint64_t)256 << 10)

/* A section of more bytes is looked at for holes. */
#define HOLES_MATTER ((uint64_t)64 << 20)

/* One read of an object. More than there may be between two sections. */
#define PIECE ((size_t)4 << 20)

/* ---- opening ---------------------------------------------------------------- */

static int check_kind(const struct stat *status)
{
	if (S_ISDIR(status->st_mode))
		return lm_error(-EISDIR, "it is a directory");
	if (!S_ISREG(status->st_mode))
		return lm_error(-EINVAL, "it is no regular file");
	return 0;
}

static int check_length(uint64_t length)
{
	if (length < LM_SNAPSHOT_HEADER_SIZE)
		return lm_error(-EBADMSG, "it has %" PRIu64 " bytes, too few for a header", length);
	return 0;
}

/* The path may be one that a file gives for its parent. */
static int open_regular(const char *path, int *ret_fd)
{
	struct stat status;
	int error, fd;

	if (stat(path, &status) != 0)
		return lm_error_errno(-errno, "opening");
	error = check_kind(&status);
	if (error != 0)
		return error;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return lm_error_errno(-errno, "opening");
	*ret_fd = fd;
	return 0;
}

/* It may have become another one since. */
static int measure(struct lm_snapshot_bytes *bytes)
{
	struct stat status;
	int error;

	if (fstat(bytes->fd, &status) != 0)
		return lm_error_errno(-errno, "fstat");
	error = check_kind(&status);
	if (error != 0)
		return error;
	if (fcntl(bytes->fd, F_SETFL, 0) != 0)
		return lm_error_errno(-errno, "fcntl");
	bytes->device = status.st_dev;
	bytes->inode = status.st_ino;
	bytes->length = (uint64_t)status.st_size;
	return check_length(bytes->length);
}

int lm_snapshot_bytes_of_file(const char *path, struct lm_snapshot_bytes *ret_bytes)
{
	struct lm_snapshot_bytes bytes = {.fd = -1};
	int error = open_regular(path, &bytes.fd);

	if (error == 0)
		error = measure(&bytes);
	if (error != 0)
		lm_snapshot_bytes_close(&bytes);
	else
		*ret_bytes = bytes;
	return error;
}

int lm_snapshot_bytes_of_object(struct lazymem_backing *object, struct lm_snapshot_bytes *ret_bytes)
{
	const uint64_t length = lazymem_backing_length(object);
	const int error = check_length(length);

	if (error != 0)
		return error;
	*ret_bytes = (struct lm_snapshot_bytes){
		.object = lazymem_backing_ref(object), .fd = -1, .length = length};
	return 0;
}

void lm_snapshot_bytes_close(struct lm_snapshot_bytes *bytes)
{
	lazymem_backing_unref(bytes->object);
	if (bytes->fd >= 0)
		close(bytes->fd);
	*bytes = (struct lm_snapshot_bytes){.fd = -1};
}

uint64_t lm_snapshot_bytes_extent(const struct lm_snapshot_bytes *bytes, const void *header)
{
	if (bytes->object == NULL)
		return bytes->length;
	return lm_min(bytes->length, lm_snapshot_said_length(header));
}

/* ---- reading ---------------------------------------------------------------- */

/* The kernel shall not take the header for the beginning of a row; but it may
 * fetch the sections while the header is read, so that a cold file costs one
 * wait and not two. They are where the writer puts them, at the end, and mostly
 * checksums, one for each page. A wrong guess costs nothing but the fetching. */
static void announce_to_kernel(int fd, uint64_t file_length)
{
	uint64_t guess = file_length / (LM_SNAPSHOT_PAGE / sizeof(uint32_t)) * 4 / 3;
	uint64_t offset;

	guess = guess < LEAST_GUESS ? LEAST_GUESS : guess;
	guess = lm_min(lm_min(guess, MOST_GUESS), file_length);
	offset = lm_align_down(file_length - guess, ANNOUNCED);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	for (; offset < file_length; offset += ANNOUNCED)
		(void)posix_fadvise(fd, (off_t)offset, (off_t)ANNOUNCED, POSIX_FADV_WILLNEED);
}

void lm_snapshot_bytes_announce(const struct lm_snapshot_bytes *bytes)
{
	if (bytes->object == NULL)
		announce_to_kernel(bytes->fd, bytes->length);
}

static int read_file(int fd, void *buffer, size_t length, uint64_t offset)
{
	for (size_t done = 0; done < length;) {
		const ssize_t result =
			pread(fd, (char *)buffer + done, length - done, (off_t)(offset + done));

		if (result < 0 && errno == EINTR)
			continue;
		if (result < 0)
			return lm_error_errno(-errno, "reading %zu bytes at %" PRIu64, length,
					      offset);
		if (result == 0)
			return lm_error(-EBADMSG, "it ends at byte %" PRIu64 " while it is read",
					offset + done);
		done += (size_t)result;
	}
	return 0;
}

static bool is_zero(const char *bytes, size_t length)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

static int read_object(struct lazymem_backing *object, char *buffer, size_t length, uint64_t offset)
{
	for (size_t done = 0; done < length;) {
		const size_t piece = (size_t)lm_min(length - done, PIECE);
		const int error = lazymem_backing_read(object, offset + done, buffer + done, piece);

		if (error != 0)
			return lm_error_errno(error, "reading %zu bytes at %" PRIu64, piece,
					      offset + done);
		if (piece == PIECE && is_zero(buffer + done, piece))
			return lm_error(-EBADMSG,
					"%zu bytes of zeros at %" PRIu64 ", which no section has",
					piece, offset + done);
		done += piece;
	}
	return 0;
}

int lm_snapshot_bytes_read(const struct lm_snapshot_bytes *bytes, void *buffer, size_t length,
			   uint64_t offset)
{
	return bytes->object == NULL ? read_file(bytes->fd, buffer, length, offset)
				     : read_object(bytes->object, buffer, length, offset);
}

/* Memory whose pages are there already, where it is much: else each of them is a fault
 * while it is read to, which a restore waits for. The index of a snapshot of 4 GiB
 * is 4 MiB. (Huge pages may have to be made by moving others, which takes longer.) */
void *lm_snapshot_bytes_take_memory(const struct lm_snapshot_bytes *bytes, uint64_t length)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t whole;
	void *memory;

	if (bytes->object != NULL || length < MANY_BYTES || !lm_align_up(length, page, &whole))
		return malloc(length);
	memory = aligned_alloc(page, whole);
	if (memory != NULL)
		(void)madvise(memory, whole, MADV_POPULATE_WRITE); /* advice; since Linux 5.14 */
	return memory;
}

/* Holes are zeros, which are neither chunks nor a trace, nor the checksums of any
 * memory. Those of an object are seen when they are read. */
int lm_snapshot_bytes_check_holes(const struct lm_snapshot_bytes *bytes,
				  const struct lm_snapshot_header *header)
{
	for (enum lm_section_type type = LM_SECTION_REGIONS; type < LM_SECTION_TYPES; type++) {
		const struct lm_section *section = &header->sections[type];
		off_t hole;

		if (bytes->object != NULL || section->length <= HOLES_MATTER)
			continue;
		hole = lseek(bytes->fd, (off_t)section->offset, SEEK_HOLE);
		if (hole >= 0 && (uint64_t)hole < section->offset + section->length)
			return lm_error(-EBADMSG, "section %s: a hole at byte %" PRIu64,
					lm_section_name(type), (uint64_t)hole);
	}
	return 0;
}

/* ---- what is left ------------------------------------------------------------ */

int lm_snapshot_bytes_keep(const struct lm_snapshot_bytes *bytes, const char *path, unsigned flags,
			   uint64_t length, struct lazymem_backing **ret_backing)
{
	struct lazymem_file_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_FILE_NO_HOLES,
		.length = length,
	};

	if (bytes->object != NULL) {
		*ret_backing = lazymem_backing_ref(bytes->object);
		return 0;
	}
	if ((flags & LAZYMEM_SNAPSHOT_DIRECT) != 0)
		options.flags |= LAZYMEM_FILE_DIRECT;
	if ((flags & LAZYMEM_SNAPSHOT_CACHED_OR_DIRECT) != 0)
		options.flags |= LAZYMEM_FILE_CACHED_OR_DIRECT;
	return lazymem_file_from_fd(bytes->fd, path, &options, ret_backing);
}
