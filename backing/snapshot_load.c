/* SPDX-License-Identifier: MIT
 *
 * snapshot_load.c - one file of a snapshot: what describes the memory is read
 * and checked, the memory itself is left where it is.
 *
 * A restore waits for this, so it is two reads one after the other: the header,
 * and the sections, which a writer puts side by side. Where they lie apart each
 * one is read for itself. Chunks and checksums stay in the memory that they were
 * read to, and are used there.
 *
 * What it is, is asked before it is opened: the path of a parent comes from a
 * file that anybody may have written, and opening a device can do anything. It
 * is opened so that it does not wait all the same (a FIFO has no writer).
 */
#include "backing/snapshot_object.h"
#include "core/checked.h"
#include "core/error.h"
#include "core/identity.h"
#include "core/trace.h"

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

/* Bytes between sections that are worth reading over. */
#define SECTION_GAPS ((uint64_t)64 << 10)

/* A section of so many bytes is worth a system call for its pages. */
#define MANY_BYTES ((uint64_t)256 << 10)

/* A section of more bytes is looked at for holes. */
#define HOLES_MATTER ((uint64_t)64 << 20)

/* The message there is, with the file before it. */
static int name_file(const char *path, int error)
{
	return lm_error(error, "%s: %s", path, lazymem_error_message());
}

static int read_all(int fd, void *bytes, size_t length, uint64_t offset)
{
	for (size_t done = 0; done < length;) {
		const ssize_t result =
			pread(fd, (char *)bytes + done, length - done, (off_t)(offset + done));

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

/* ---- sections ------------------------------------------------------------- */

/* Where the bytes of each section are in memory; NULL: there are none. */
struct section_bytes {
	void *of[LM_SECTION_TYPES];
};

/* Memory whose pages are there already, where it is much: else each of them is a fault
 * while it is read to, which a restore waits for. The index of a snapshot of 4 GiB
 * is 4 MiB. (Huge pages may have to be made by moving others, which takes longer.) */
static void *create_bytes(uint64_t length)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t whole;
	void *bytes;

	if (length < MANY_BYTES || !lm_align_up(length, page, &whole))
		return malloc(length);
	bytes = aligned_alloc(page, whole);
	if (bytes != NULL)
		(void)madvise(bytes, whole, MADV_POPULATE_WRITE); /* advice; since Linux 5.14 */
	return bytes;
}

/* Read `length` bytes at `offset` into memory that `file` keeps under `type`. */
static int read_section(int fd, struct lm_snapshot_file *file, enum lm_section_type type,
			uint64_t offset, uint64_t length)
{
	file->sections[type] = create_bytes(length);
	if (file->sections[type] == NULL)
		return lm_error(-ENOMEM, "no memory for %" PRIu64 " bytes of its index", length);
	return read_all(fd, file->sections[type], length, offset);
}

/* The stretch of the file that holds all sections. False when it is not worth
 * reading as a whole. */
static bool find_stretch(const struct lm_snapshot_header *header, uint64_t *ret_start,
			 uint64_t *ret_length)
{
	uint64_t start = UINT64_MAX, end = 0, total = SECTION_GAPS;

	for (int type = 0; type < LM_SECTION_TYPES; type++) {
		const struct lm_section *section = &header->sections[type];

		if (section->length == 0)
			continue;
		start = lm_min(start, section->offset);
		if (section->offset + section->length > end)
			end = section->offset + section->length;
		if (!lm_add(total, section->length, &total))
			return false;
	}
	*ret_start = start;
	*ret_length = end - start;
	return end - start <= total;
}

/* A few bytes on the disk can be a file of any length, with a section that takes
 * all memory before its checksum is known to be wrong. Holes are zeros, which are
 * neither chunks nor a trace, nor the checksums of any memory. */
static int check_holes(int fd, const struct lm_snapshot_header *header)
{
	for (enum lm_section_type type = LM_SECTION_REGIONS; type < LM_SECTION_TYPES; type++) {
		const struct lm_section *section = &header->sections[type];
		off_t hole;

		if (section->length <= HOLES_MATTER)
			continue;
		hole = lseek(fd, (off_t)section->offset, SEEK_HOLE);
		if (hole >= 0 && (uint64_t)hole < section->offset + section->length)
			return lm_error(-EBADMSG, "section %s: a hole at byte %" PRIu64,
					lm_section_name(type), (uint64_t)hole);
	}
	return 0;
}

static int read_sections(int fd, struct lm_snapshot_file *file, struct section_bytes *ret_bytes)
{
	uint64_t start = 0, length = 0;
	const bool is_one = find_stretch(&file->header, &start, &length);
	int error = check_holes(fd, &file->header);

	if (error == 0 && is_one)
		error = read_section(fd, file, 0, start, length);
	for (enum lm_section_type type = LM_SECTION_REGIONS; type < LM_SECTION_TYPES; type++) {
		const struct lm_section *section = &file->header.sections[type];

		ret_bytes->of[type] = NULL;
		if (error != 0 || section->length == 0)
			continue;
		if (is_one) {
			ret_bytes->of[type] = (char *)file->sections[0] + (section->offset - start);
			continue;
		}
		error = read_section(fd, file, type, section->offset, section->length);
		ret_bytes->of[type] = file->sections[type];
	}
	return error;
}

static int check_sections(const struct lm_snapshot_header *header,
			  const struct section_bytes *bytes)
{
	int error = 0;

	for (enum lm_section_type type = LM_SECTION_REGIONS; type < LM_SECTION_TYPES; type++)
		if (error == 0 && header->sections[type].present)
			error = lm_snapshot_check_section(header, type, bytes->of[type]);
	return error;
}

static int parse_trace(struct lm_snapshot_file *file, const void *bytes)
{
	const int error =
		lm_trace_parse(bytes, file->header.sections[LM_SECTION_TRACE].length, &file->trace);
	struct lazymem_identity bound;

	if (error != 0)
		return lm_error(error, "section trace: %s", lazymem_error_message());
	bound = lazymem_trace_identity(file->trace);
	if (!lm_identity_equal(&bound, &file->header.identity))
		return lm_error(-EBADMSG, "section trace: it is bound to another image");
	return 0;
}

static int parse_sections(struct lm_snapshot_file *file, const struct section_bytes *bytes)
{
	const struct lm_section *sections = file->header.sections;
	int error = lm_snapshot_parse_regions(&file->header, bytes->of[LM_SECTION_REGIONS],
					      &file->regions, &file->region_count);

	/* The chunks last of the two that are used in place: where a hostile file
	 * has them overlap, what was checked is not written to any more. */
	if (error == 0) {
		file->sums =
			lm_snapshot_parse_checksums(&file->header, bytes->of[LM_SECTION_CHECKSUMS]);
		error = lm_snapshot_parse_chunks(&file->header, bytes->of[LM_SECTION_CHUNKS],
						 &file->chunks, &file->chunk_count);
	}
	if (error == 0 && sections[LM_SECTION_PARENT].present)
		error = lm_snapshot_parse_parent(&file->header, bytes->of[LM_SECTION_PARENT],
						 &file->parent_path);
	if (error == 0 && sections[LM_SECTION_TRACE].present)
		error = parse_trace(file, bytes->of[LM_SECTION_TRACE]);
	if (error == 0 && sections[LM_SECTION_BLOBS].length != 0)
		error = lm_snapshot_parse_blobs(&file->header, bytes->of[LM_SECTION_BLOBS],
						&file->blobs, &file->blob_count);
	return error;
}

/* ---- the file --------------------------------------------------------------- */

static int check_kind(const struct stat *status)
{
	if (S_ISDIR(status->st_mode))
		return lm_error(-EISDIR, "it is a directory");
	if (!S_ISREG(status->st_mode))
		return lm_error(-EINVAL, "it is no regular file");
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
static int measure(int fd, struct lm_snapshot_file *file, uint64_t *ret_length)
{
	struct stat status;
	int error;

	if (fstat(fd, &status) != 0)
		return lm_error_errno(-errno, "fstat");
	error = check_kind(&status);
	if (error != 0)
		return error;
	if (fcntl(fd, F_SETFL, 0) != 0)
		return lm_error_errno(-errno, "fcntl");
	if ((uint64_t)status.st_size < LM_SNAPSHOT_HEADER_SIZE)
		return lm_error(-EBADMSG, "it has %" PRIu64 " bytes, too few for a header",
				(uint64_t)status.st_size);
	file->device = status.st_dev;
	file->inode = status.st_ino;
	*ret_length = (uint64_t)status.st_size;
	return 0;
}

/* The kernel shall not take the header for the beginning of a row; but it may
 * fetch the sections while the header is read, so that a cold file costs one
 * wait and not two. They are where the writer puts them, at the end, and mostly
 * checksums, one for each page. A wrong guess costs nothing but the fetching. */
static void announce_reads(int fd, uint64_t file_length)
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

static int load(int fd, const char *path, unsigned flags, struct lm_snapshot_file *file)
{
	struct lazymem_file_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_FILE_NO_HOLES,
	};
	unsigned char header[LM_SNAPSHOT_HEADER_SIZE];
	struct section_bytes bytes;
	int error = measure(fd, file, &options.length);

	if (error == 0)
		announce_reads(fd, options.length);
	if (error == 0)
		error = read_all(fd, header, sizeof(header), 0);
	if (error == 0)
		error = lm_snapshot_parse_header(header, options.length, &file->header);
	if (error == 0)
		error = read_sections(fd, file, &bytes);
	if (error == 0)
		error = check_sections(&file->header, &bytes);
	if (error == 0)
		error = parse_sections(file, &bytes);
	if (error != 0)
		return error;
	if ((flags & LAZYMEM_SNAPSHOT_DIRECT) != 0)
		options.flags |= LAZYMEM_FILE_DIRECT;
	if ((flags & LAZYMEM_SNAPSHOT_CACHED_OR_DIRECT) != 0)
		options.flags |= LAZYMEM_FILE_CACHED_OR_DIRECT;
	return lazymem_file_from_fd(fd, path, &options, &file->backing);
}

int lm_snapshot_load(const char *path, unsigned flags, struct lm_snapshot_file *ret_file)
{
	struct lm_snapshot_file file = {.path = strdup(path)};
	int error, fd = -1;

	if (file.path == NULL)
		return lm_error(-ENOMEM, "%s: no memory", path);
	error = open_regular(path, &fd);
	if (error == 0) {
		error = load(fd, path, flags, &file);
		close(fd);
	}
	if (error != 0) {
		error = name_file(path, error);
		lm_snapshot_unload(&file);
		return error;
	}
	*ret_file = file;
	return 0;
}

void lm_snapshot_unload(struct lm_snapshot_file *file)
{
	lazymem_backing_unref(file->backing);
	lazymem_trace_destroy(file->trace);
	for (int type = 0; type < LM_SECTION_TYPES; type++)
		free(file->sections[type]);
	free(file->blobs);
	free(file->parent_path);
	free(file->regions);
	free(file->path);
}
