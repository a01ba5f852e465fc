/* SPDX-License-Identifier: MIT
 *
 * crash.h - whoever replaces a file is made to fail, or is killed, at each of
 * its system calls in turn; afterwards the file must be the old one or the new
 * one, byte for byte. For test programs that begin with
 * "wrap: open openat pwrite fsync close renameat unlinkat".
 */
#ifndef CRASH_H
#define CRASH_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the calls ----------------------------------------------------------- */

int __real_open(const char *name, int flags, mode_t mode);
int __wrap_open(const char *name, int flags, mode_t mode);
int __real_openat(int directory, const char *name, int flags, mode_t mode);
int __wrap_openat(int directory, const char *name, int flags, mode_t mode);
ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_renameat(int from_directory, const char *from, int to_directory, const char *to);
int __wrap_renameat(int from_directory, const char *from, int to_directory, const char *to);
int __real_unlinkat(int directory, const char *name, int flags);
int __wrap_unlinkat(int directory, const char *name, int flags);

/* What happens at call number `target`, counted from 1 while it is armed. */
enum crash { CRASH_NOT, CRASH_FAIL, CRASH_KILL_BEFORE, CRASH_KILL_AFTER };

struct crash_call {
	const char *name;
	int fd; /* that it is about, or that it gave */
};

static struct {
	bool armed;
	enum crash kind;
	size_t target;
	int error;
	size_t count;
	struct crash_call calls[8192];
	size_t write_limit; /* bytes that one pwrite takes; 0: all */
	bool interrupts;    /* every other pwrite ends with EINTR */
	bool stuck;         /* a pwrite takes nothing */
} crash;

static inline void arm(enum crash kind, size_t target, int error)
{
	crash.armed = true;
	crash.kind = kind;
	crash.target = target;
	crash.error = error;
	crash.count = 0;
}

/* True: the call fails here, with errno set. */
static inline bool enter_call(const char *name, int fd)
{
	if (!crash.armed)
		return false;
	assert_true(crash.count < sizeof(crash.calls) / sizeof(crash.calls[0]));
	crash.calls[crash.count++] = (struct crash_call){name, fd};
	if (crash.count != crash.target)
		return false;
	if (crash.kind == CRASH_KILL_BEFORE)
		raise(SIGKILL);
	if (crash.kind != CRASH_FAIL)
		return false;
	errno = crash.error;
	return true;
}

static inline void leave_call(int fd)
{
	const int error = errno;

	if (!crash.armed)
		return;
	crash.calls[crash.count - 1].fd = fd;
	if (crash.count == crash.target && crash.kind == CRASH_KILL_AFTER)
		raise(SIGKILL);
	errno = error;
}

int __wrap_open(const char *name, int flags, mode_t mode)
{
	int fd;

	if (enter_call("open", -1))
		return -1;
	fd = __real_open(name, flags, mode);
	leave_call(fd);
	return fd;
}

int __wrap_openat(int at, const char *name, int flags, mode_t mode)
{
	int fd;

	if (enter_call("openat", -1))
		return -1;
	fd = __real_openat(at, name, flags, mode);
	leave_call(fd);
	return fd;
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	ssize_t written;

	if (enter_call("pwrite", fd))
		return -1;
	if (crash.armed && crash.interrupts && crash.count % 2 != 0) {
		errno = EINTR;
		return -1;
	}
	if (crash.stuck)
		return 0;
	if (crash.armed && crash.write_limit != 0 && size > crash.write_limit)
		size = crash.write_limit;
	written = __real_pwrite(fd, bytes, size, offset);
	leave_call(fd);
	return written;
}

int __wrap_fsync(int fd)
{
	int result;

	if (enter_call("fsync", fd))
		return -1;
	result = __real_fsync(fd);
	leave_call(fd);
	return result;
}

/* One that fails has closed all the same, as on Linux. */
int __wrap_close(int fd)
{
	const bool fails = enter_call("close", fd);
	const int result = __real_close(fd);

	if (fails) {
		errno = crash.error;
		return -1;
	}
	leave_call(fd);
	return result;
}

int __wrap_renameat(int from_directory, const char *from, int to_directory, const char *to)
{
	int result;

	if (enter_call("renameat", from_directory))
		return -1;
	result = __real_renameat(from_directory, from, to_directory, to);
	leave_call(from_directory);
	return result;
}

int __wrap_unlinkat(int at, const char *name, int flags)
{
	int result;

	if (enter_call("unlinkat", at))
		return -1;
	result = __real_unlinkat(at, name, flags);
	leave_call(at);
	return result;
}

/* The number of the call of this name and descriptor (-1: any) that comes
 * first or last; from 1 on, 0: there is none. */
static inline size_t first_call(const char *name, int fd)
{
	for (size_t i = 0; i < crash.count; i++)
		if (strcmp(crash.calls[i].name, name) == 0 && (fd < 0 || crash.calls[i].fd == fd))
			return i + 1;
	return 0;
}

static inline size_t last_call(const char *name, int fd)
{
	for (size_t i = crash.count; i > 0; i--)
		if (strcmp(crash.calls[i - 1].name, name) == 0 &&
		    (fd < 0 || crash.calls[i - 1].fd == fd))
			return i;
	return 0;
}

/* ---- files --------------------------------------------------------------- */

struct contents {
	unsigned char *bytes;
	size_t length;
};

static inline struct contents contents_of(const char *path)
{
	struct contents contents = {0};
	FILE *file = fopen(path, "re");
	long length;

	assert_non_null(file);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	length = ftell(file);
	assert_true(length > 0);
	rewind(file);
	contents.length = (size_t)length;
	contents.bytes = malloc(contents.length);
	assert_non_null(contents.bytes);
	assert_int_equal(fread(contents.bytes, 1, contents.length, file), contents.length);
	fclose(file);
	return contents;
}

static inline bool file_is(const char *path, const struct contents *expected)
{
	struct contents contents = contents_of(path);
	const bool same = contents.length == expected->length &&
			  memcmp(contents.bytes, expected->bytes, contents.length) == 0;

	free(contents.bytes);
	return same;
}

/* ---- the one who replaces a file ----------------------------------------- */

/* `replace` writes the new file at `path`, which is alone in its directory;
 * `old_file` and `new_file` are what is there before and after it. */
struct subject {
	const char *directory;
	const char *path;
	int (*replace)(const char *path);
	struct contents old_file;
	struct contents new_file;
};

/* The directory as it was: the old file in an inode of its own, nothing else. */
static inline void put_old_file(const struct subject *subject)
{
	DIR *stream = opendir(subject->directory);
	const struct dirent *entry;
	FILE *file;

	assert_non_null(stream);
	while ((entry = readdir(stream)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			assert_int_equal(unlinkat(dirfd(stream), entry->d_name, 0), 0);
	closedir(stream);
	file = fopen(subject->path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(subject->old_file.bytes, 1, subject->old_file.length, file),
			 subject->old_file.length);
	assert_int_equal(fclose(file), 0);
}

static inline size_t files_beside(const struct subject *subject)
{
	DIR *stream = opendir(subject->directory);
	size_t count = 0;

	assert_non_null(stream);
	while (readdir(stream) != NULL)
		count++;
	closedir(stream);
	return count - 3; /* ".", ".." and the file itself */
}

/* Without a failure; the calls are in crash.calls afterwards. */
static inline void replace_undisturbed(const struct subject *subject)
{
	put_old_file(subject);
	arm(CRASH_NOT, 0, 0);
	assert_int_equal(subject->replace(subject->path), 0);
	crash.armed = false;
}

/* Learn from a run without failures what the new file is. */
static inline void learn(struct subject *subject)
{
	subject->old_file = contents_of(subject->path);
	replace_undisturbed(subject);
	subject->new_file = contents_of(subject->path);
	assert_int_equal(files_beside(subject), 0);
	assert_false(file_is(subject->path, &subject->old_file));
}

static inline void forget(struct subject *subject)
{
	free(subject->old_file.bytes);
	free(subject->new_file.bytes);
}

/* Each call in turn fails: up to the rename the old file is there, and from then
 * on the new one; never is a temporary one left. */
static inline void assert_survives_failures(const struct subject *subject)
{
	static const int errors[] = {EIO, ENOSPC};
	size_t rename_call, calls;

	replace_undisturbed(subject);
	rename_call = first_call("renameat", -1);
	calls = crash.count;
	for (size_t n = 1; n <= calls; n++) {
		for (size_t i = 0; i < 2; i++) {
			int error;

			put_old_file(subject);
			arm(CRASH_FAIL, n, errors[i]);
			error = subject->replace(subject->path);
			crash.armed = false;
			if (error != -errors[i] && !(n == calls && error == 0))
				fail_msg("call %zu of %zu, %s: %d", n, calls,
					 crash.calls[n - 1].name, error);
			if (!file_is(subject->path,
				     n <= rename_call ? &subject->old_file : &subject->new_file))
				fail_msg("call %zu of %zu, %s: another file is there", n, calls,
					 crash.calls[n - 1].name);
			assert_int_equal(files_beside(subject), 0);
		}
	}
}

/* In a child, which is killed at call `n`. */
static inline void replace_and_die(const struct subject *subject, enum crash kind, size_t n)
{
	int status;
	const pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		arm(kind, n, 0);
		subject->replace(subject->path);
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Killed before and after each call: the old file up to the rename, then the
 * new one; at worst the temporary one is beside it. */
static inline void assert_survives_death(const struct subject *subject)
{
	size_t rename_call, calls;

	replace_undisturbed(subject);
	rename_call = first_call("renameat", -1);
	calls = crash.count;
	for (size_t n = 1; n <= calls; n++) {
		for (enum crash kind = CRASH_KILL_BEFORE; kind <= CRASH_KILL_AFTER; kind++) {
			const bool is_renamed =
				n > rename_call || (n == rename_call && kind == CRASH_KILL_AFTER);

			put_old_file(subject);
			replace_and_die(subject, kind, n);
			if (!file_is(subject->path,
				     is_renamed ? &subject->new_file : &subject->old_file))
				fail_msg("call %zu of %zu: another file is there", n, calls);
			assert_in_range(files_beside(subject), 0, is_renamed ? 0 : 1);
		}
	}
}

/* What a loss of power leaves depends on the order alone: nothing is written
 * after the fsync, nothing is renamed before it, and the name is made durable
 * too. */
static inline void assert_durable_before_named(const struct subject *subject)
{
	replace_undisturbed(subject);
	const size_t open_call = last_call("openat", -1);
	const int fd = crash.calls[open_call - 1].fd;
	const size_t rename_call = last_call("renameat", -1);
	const int directory = crash.calls[rename_call - 1].fd;

	assert_int_equal(first_call("renameat", -1), rename_call);
	assert_int_equal(first_call("pwrite", fd), first_call("pwrite", -1));
	assert_true(first_call("pwrite", fd) > open_call);
	assert_true(last_call("fsync", fd) > last_call("pwrite", -1));
	assert_true(rename_call > last_call("fsync", fd));
	assert_true(last_call("fsync", directory) > rename_call);
	assert_true(last_call("pwrite", -1) < rename_call);
}

/* Writes that take a part only, and those that a signal interrupts, are
 * continued. */
static inline void assert_continues_writes(const struct subject *subject, size_t limit)
{
	put_old_file(subject);
	arm(CRASH_NOT, 0, 0);
	crash.write_limit = limit;
	crash.interrupts = true;
	assert_int_equal(subject->replace(subject->path), 0);
	crash.armed = crash.interrupts = false;
	crash.write_limit = 0;
	assert_true(first_call("pwrite", -1) != last_call("pwrite", -1));
	assert_true(file_is(subject->path, &subject->new_file));
}

#endif
