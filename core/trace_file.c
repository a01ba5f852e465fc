/* SPDX-License-Identifier: MIT
 *
 * trace_file.c - a trace to and from its file. It is small, so it is put
 * together and taken apart in memory, and read and written in one go.
 */
#include "core/error.h"
#include "core/replace_file.h"
#include "core/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(const char *path, const char *step)
{
	return lm_error_errno(-errno, "trace %s: %s", path, step);
}

/* The message there is, with the file before it. */
static int name_file(const char *path, int error)
{
	return lm_error(error, "%s: %s", path, lazymem_error_message());
}

static int replace(const char *path, const void *bytes, size_t size)
{
	struct lm_replacement replacement;
	int error = lm_replace_begin("trace", path, &replacement);

	if (error != 0)
		return error;
	error = lm_replace_write(&replacement, bytes, size, 0);
	if (error != 0) {
		lm_replace_abandon(&replacement);
		return error;
	}
	return lm_replace_commit(&replacement);
}

int lazymem_trace_save(const struct lazymem_trace *trace, const char *path)
{
	void *bytes = NULL;
	size_t size = 0;
	int error = lm_trace_serialise(trace, &bytes, &size);

	if (error != 0)
		return name_file(path, error);
	error = replace(path, bytes, size);
	free(bytes);
	return error;
}

static int read_all(const char *path, int fd, char *bytes, size_t size)
{
	for (size_t used = 0; used < size;) {
		const ssize_t delivered = pread(fd, bytes + used, size - used, (off_t)used);

		if (delivered < 0 && errno == EINTR)
			continue;
		if (delivered < 0)
			return failed(path, "reading");
		if (delivered == 0)
			return lm_error(-EBADMSG, "trace %s: it ends after %zu of %zu bytes", path,
					used, size);
		used += (size_t)delivered;
	}
	return 0;
}

/* Compare the size of the file with what its header says. */
static int find_size(const char *path, int fd, size_t *ret_size)
{
	char header[LM_TRACE_HEADER_SIZE];
	struct stat status;
	uint64_t expected = 0;
	int error;

	if (fstat(fd, &status) != 0)
		return failed(path, "fstat");
	if (S_ISDIR(status.st_mode))
		return lm_error(-EISDIR, "trace %s: it is a directory", path);
	if (!S_ISREG(status.st_mode))
		return lm_error(-EBADMSG, "trace %s: it is no regular file", path);
	error = read_all(path, fd, header, sizeof(header));
	if (error != 0)
		return error;
	error = lm_trace_parse_header(header, &expected);
	if (error != 0)
		return name_file(path, error);
	if (expected != (uint64_t)status.st_size)
		return lm_error(-EBADMSG,
				"trace %s: its header speaks of %" PRIu64 " bytes, it has %" PRIu64,
				path, expected, (uint64_t)status.st_size);
	*ret_size = (size_t)expected;
	return 0;
}

static int load(const char *path, int fd, struct lazymem_trace **ret_trace)
{
	size_t size = 0;
	char *bytes;
	int error = find_size(path, fd, &size);

	if (error != 0)
		return error;
	bytes = malloc(size);
	if (bytes == NULL)
		return lm_error(-ENOMEM, "trace %s: no memory for its %zu bytes", path, size);
	error = read_all(path, fd, bytes, size);
	if (error == 0) {
		error = lm_trace_parse(bytes, size, ret_trace);
		if (error != 0)
			error = name_file(path, error);
	}
	free(bytes);
	return error;
}

int lazymem_trace_load(const char *path, struct lazymem_trace **ret_trace)
{
	/* O_NONBLOCK: a pipe must not hold up what will refuse it */
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int error;

	if (fd < 0)
		return failed(path, "opening");
	error = load(path, fd, ret_trace);
	close(fd);
	return error;
}
