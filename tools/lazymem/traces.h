/* SPDX-License-Identifier: MIT
 *
 * traces.h - traces out of files: a trace file, or a snapshot that has one.
 */
#ifndef LAZYMEM_TOOL_TRACES_H
#define LAZYMEM_TOOL_TRACES_H

#include <lazymem/snapshot.h>

/* NULL after a message. */
struct lazymem_trace *traces_load(const char *path);

/* The same, for one of these images (NULL ones are passed over): a trace that
 * is bound to something else is refused. */
struct lazymem_trace *traces_load_for(const char *path, struct lazymem_backing *const *images,
				      size_t count);

bool identity_is_none(const struct lazymem_identity *identity);
bool identity_equal(const struct lazymem_identity *a, const struct lazymem_identity *b);

/* 64 digits. */
struct identity_text {
	char text[65];
};
struct identity_text identity_format(const struct lazymem_identity *identity);

/* The identity of the file that was opened. */
struct lazymem_identity snapshot_identity(const struct lazymem_snapshot *snapshot);

#endif
