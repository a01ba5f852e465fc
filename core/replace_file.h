/* SPDX-License-Identifier: MIT
 *
 * replace_file.h - a new file in place of an old one, or the old one: never
 * half of each. The bytes go to a temporary name in the same directory, are
 * made durable there, and take the name by rename; then the directory is made
 * durable. The new file has the owner (where allowed) and the permissions of
 * the old one.
 */
#ifndef LM_REPLACE_FILE_H
#define LM_REPLACE_FILE_H

#include <stddef.h>
#include <stdint.h>

/* Where the file is to be, and the temporary one meanwhile. */
struct lm_replacement {
	const char *what; /* "trace", "snapshot": for messages */
	const char *path; /* the caller's, for messages */
	const char *name; /* in the directory; part of path */
	int directory;    /* open, so that all steps mean the same one */
	int fd;           /* of the temporary file, for reading and writing */
	char temporary[64];
};

/* Make the temporary file. `what` and `path` stay where they are until the
 * end. -EISDIR when path names no file, or a directory, -EINVAL when what is
 * there is no regular file, -ENOMEM, any errno of open. */
int lm_replace_begin(const char *what, const char *path, struct lm_replacement *ret_replacement);

/* Write all of it. Any errno of pwrite. */
int lm_replace_write(struct lm_replacement *replacement, const void *bytes, size_t length,
		     uint64_t offset);

/* Flush, rename, flush the directory, close. The temporary file is removed when
 * it fails before the rename; afterwards only the directory's fsync can fail. */
int lm_replace_commit(struct lm_replacement *replacement);

/* Remove the temporary file and close. */
void lm_replace_abandon(struct lm_replacement *replacement);

#endif
