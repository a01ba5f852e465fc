/* SPDX-License-Identifier: MIT
 *
 * The library gets into the program through LD_PRELOAD, which is the business of
 * the dynamic loader. So it must have one; it must be that of our library; and
 * it must not run with more rights than we do, because then it ignores the
 * variable. Of a script, that is asked of its interpreter. What the program
 * executes in its turn cannot be known.
 */
#include "complain.h"
#include "program_elf.h"
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define OWN_FILE "/proc/self/exe"

/* How many interpreters of interpreters the kernel follows. */
#define SCRIPT_DEPTH 4

/* A whole file, mapped. */
struct program_file {
	const char *path;
	struct stat stat;
	void *bytes;
	size_t length;
};

/* -1 after a message. */
static int open_file(const char *path, struct program_file *ret_file)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct program_file file = {.path = path, .bytes = MAP_FAILED};

	if (fd >= 0 && fstat(fd, &file.stat) == 0) {
		file.length = (size_t)file.stat.st_size;
		if (!S_ISREG(file.stat.st_mode))
			errno = EACCES;
		else if (file.length == 0)
			errno = ENOEXEC;
		else
			file.bytes = mmap(NULL, file.length, PROT_READ, MAP_PRIVATE, fd, 0);
	}
	if (file.bytes == MAP_FAILED)
		complain("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	*ret_file = file;
	return file.bytes != MAP_FAILED ? 0 : -1;
}

static void close_file(struct program_file *file)
{
	munmap(file->bytes, file->length);
}

static int parse_file(const struct program_file *file, struct program_elf *ret_program)
{
	struct parse_fault fault;

	if (program_elf_parse(file->bytes, file->length, ret_program, &fault) == 0)
		return 0;
	complain("%s: %s", file->path, fault.text);
	return -1;
}

/* ---- more rights than ours ------------------------------------------------------- */

static bool is_setuid_ignored(const char *path)
{
	struct statvfs file_system;

	return statvfs(path, &file_system) == 0 && (file_system.f_flag & ST_NOSUID) != 0;
}

static const char *more_rights(const struct program_file *file)
{
	const mode_t mode = file->stat.st_mode;

	if (is_setuid_ignored(file->path))
		return NULL;
	if ((mode & S_ISUID) != 0 && file->stat.st_uid != getuid())
		return "is setuid";
	if ((mode & S_ISGID) != 0 && (mode & S_IXGRP) != 0 && file->stat.st_gid != getgid())
		return "is setgid";
	if (getuid() != 0 && getxattr(file->path, "security.capability", NULL, 0) > 0)
		return "has file capabilities";
	return NULL;
}

static int check_rights(const struct program_file *file)
{
	const char *rights = more_rights(file);

	if (rights == NULL)
		return 0;
	complain("%s: %s, so no library can be loaded into it", file->path, rights);
	return -1;
}

/* ---- one file ------------------------------------------------------------------- */

static int check_elf(const struct program_file *file)
{
	struct program_file own_file;
	struct program_elf program, own;
	struct parse_fault fault;
	int result = -1;

	if (check_rights(file) != 0 || parse_file(file, &program) != 0 ||
	    open_file(OWN_FILE, &own_file) != 0)
		return -1;
	if (parse_file(&own_file, &own) == 0) {
		result = program_elf_check(&program, &own, &fault);
		if (result != 0)
			complain("%s: %s", file->path, fault.text);
		else if (access(program.loader, X_OK) != 0) {
			complain("%s: its loader, %s: %s", file->path, program.loader,
				 strerror(errno));
			result = -1;
		}
	}
	close_file(&own_file);
	return result == 0 ? 0 : -1;
}

static int check_file(const char *path, int depth);

static int check_script(const struct program_file *file, int depth)
{
	const char *name;
	size_t length;
	char *interpreter;
	int result;

	if (!program_script_interpreter(file->bytes, file->length, &name, &length)) {
		complain("%s: is neither an ELF program nor a script that names its interpreter",
			 file->path);
		return -1;
	}
	if (depth == SCRIPT_DEPTH) {
		complain("%s: is the script of too many scripts", file->path);
		return -1;
	}
	interpreter = strndup(name, length);
	if (interpreter == NULL) {
		complain("%s: no memory for the name of its interpreter", file->path);
		return -1;
	}
	result = check_file(interpreter, depth + 1);
	if (result != 0)
		complain("%s: its interpreter, %s, cannot be used", file->path, interpreter);
	free(interpreter);
	return result;
}

static int check_file(const char *path, int depth)
{
	struct program_file file;
	int result;

	if (access(path, X_OK) != 0) {
		complain("%s: %s", path, strerror(errno));
		return -1;
	}
	if (open_file(path, &file) != 0)
		return -1;
	if (program_is_elf(file.bytes, file.length))
		result = check_elf(&file);
	else
		result = check_script(&file, depth);
	close_file(&file);
	return result;
}

/* ---- the name ------------------------------------------------------------------- */

static bool is_program(const char *path)
{
	struct stat stat_buffer;

	if (stat(path, &stat_buffer) != 0 || access(path, X_OK) != 0)
		return false;
	if (S_ISREG(stat_buffer.st_mode))
		return true;
	errno = EACCES;
	return false;
}

/* DIRECTORY/NAME; an empty directory is the current one. */
static char *join(const char *directory, size_t length, const char *name)
{
	char *path;

	if (length == 0)
		return strdup(name);
	return asprintf(&path, "%.*s/%s", (int)length, directory, name) >= 0 ? path : NULL;
}

/* As execvp(3) looks for it: one that may not be executed counts only when there
 * is no other. Afterwards errno says why there is none. */
static char *find_in_path(const char *name)
{
	const char *directories = getenv("PATH");
	int error = ENOENT;

	if (directories == NULL)
		directories = "/bin:/usr/bin";
	for (;;) {
		const size_t length = strcspn(directories, ":");
		char *path = join(directories, length, name);

		if (path == NULL || is_program(path))
			return path;
		if (errno != ENOENT && errno != ENOTDIR)
			error = errno;
		free(path);
		if (directories[length] == '\0')
			break;
		directories += length + 1;
	}
	errno = error;
	return NULL;
}

int run_check_program(const char *name, char **ret_path)
{
	char *path = strchr(name, '/') != NULL ? strdup(name) : find_in_path(name);

	if (path == NULL) {
		complain("%s: %s", name,
			 errno == ENOENT ? "there is no such program" : strerror(errno));
		return EXIT_RUN_FAILED;
	}
	if (check_file(path, 0) != 0) {
		free(path);
		return EXIT_RUN_FAILED;
	}
	*ret_path = path;
	return 0;
}
