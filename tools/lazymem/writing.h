/* SPDX-License-Identifier: MIT
 *
 * writing.h - what the commands that write a snapshot share.
 */
#ifndef LAZYMEM_TOOL_WRITING_H
#define LAZYMEM_TOOL_WRITING_H

#include "commands.h"
#include "source.h"

#include <lazymem/snapshot_write.h>

/* ---- options: --compress, --level, --chunk ------------------------------------ */

#define WRITING_OPTIONS                                                                            \
	{"compress", required_argument, NULL, OPTION_COMPRESS},                                    \
		{"level", required_argument, NULL, OPTION_LEVEL},                                  \
	{                                                                                          \
		"chunk", required_argument, NULL, OPTION_CHUNK                                     \
	}

#define WRITING_USAGE "[--compress zstd|lz4|none] [--level N] [--chunk SIZE]"

#define WRITING_HELP "  --compress HOW      zstd, lz4 or none"

#define WRITING_HELP_REST                                                                          \
	"  --level N           as the compression has it\n"                                        \
	"  --chunk SIZE        bytes that are compressed together: a power of two from 4K to\n"    \
	"                      256K (default 16K)\n"

struct writing_options {
	bool compression_given;
	enum lazymem_chunk_kind compression;
	int level;
	size_t chunk_size;
};

/* Is it one of these? Then it is taken. */
bool writing_take(struct writing_options *options, int option, const char *value);

/* Put them into the plan. Without --compress, `like` is looked at, when it is
 * not NULL: its compression is kept. */
void writing_apply(const struct writing_options *options, const struct lazymem_snapshot *like,
		   struct lazymem_snapshot_plan *plan);

/* ---- what a rewritten snapshot keeps ------------------------------------------- */

struct blob_list {
	struct lazymem_snapshot_blob_source *blobs;
	size_t count;
};

/* The blobs of a snapshot, or one file. 0, or -1 after a message. */
int blob_list_add_all(struct blob_list *list, const struct lazymem_snapshot *snapshot);
int blob_list_add_file(struct blob_list *list, const char *name, const char *path);
void blob_list_free(struct blob_list *list);

/* ---- writing ------------------------------------------------------------------ */

/* `output` is not one of the files that `path` names, "FILE" or "BASE,DIFF,...";
 * 0, or -1 after a message. */
int writing_check_distinct(const char *output, const char *path);

/* The same for every file of the stack from layer `first` on. */
int writing_check_layers(const char *output, const struct lazymem_snapshot *snapshot, size_t first);

/* Write it, with a bar on a terminal; the exit status. A signal ends the process
 * when the temporary file is gone. */
int writing_run(const char *output, const struct lazymem_snapshot_plan *plan);

#endif
