/* SPDX-License-Identifier: MIT
 *
 * source.h - guest memory in whatever file it is: a raw image, raw layers, a
 * snapshot, or a foreign format. Each foreign format has a file import_NAME.c,
 * which reads, and a parser of bytes, which does not.
 */
#ifndef LAZYMEM_TOOL_SOURCE_H
#define LAZYMEM_TOOL_SOURCE_H

#include <lazymem/snapshot.h>

enum image_format {
	FORMAT_RAW,
	FORMAT_ELF,
	FORMAT_CLOUD_HYPERVISOR,
	FORMAT_QEMU,
	FORMAT_SNAPSHOT,
	FORMAT_TRACE,
	FORMAT_OVERLAY,
	FORMAT_DETECT, /* by the first bytes; Cloud Hypervisor's have none */
};

/* As on the command line: "raw", ... NULL ends them; in the order of the enum. */
extern const char *const image_format_names[];

#define SOURCE_MOST_PARENTS 1024

/* The values of --parent. */
struct parent_names {
	const char *names[SOURCE_MOST_PARENTS];
	size_t count;
};

struct source_request {
	const char *path; /* FILE, or BASE,DIFF,... */
	enum image_format format;
	const char *state;                             /* Cloud Hypervisor's state.json */
	const char *block;                             /* QEMU's RAM block; NULL: pc.ram */
	const struct lazymem_snapshot_region *regions; /* as on the command line */
	size_t region_count;
	const struct parent_names *parents; /* of a snapshot; NULL: where its layers say */
};

struct source {
	enum image_format format;
	struct lazymem_backing *backing;
	struct lazymem_snapshot *snapshot;       /* FORMAT_SNAPSHOT, else NULL */
	struct lazymem_snapshot_region *regions; /* NULL: one, at guest address 0 */
	size_t region_count;
};

/* The format of the file, by its first bytes. 0, or -1 after a message. */
int source_detect(const char *path, enum image_format *ret_format);

/* 0, or -1 after a message. */
int source_open(const struct source_request *request, struct source *ret_source);

/* The snapshot alone. As above. */
int source_open_snapshot(const char *path, const struct parent_names *parents,
			 struct lazymem_snapshot **ret_snapshot);

/* Tolerates a source of all zeros. */
void source_close(struct source *source);

/* The files that request->path names: one, or several with commas between
 * them. For the caller to free with source_free_paths. NULL: no memory. */
char **source_paths(const char *path);
void source_free_paths(char **paths);

/* The importers: `file` is the whole file as an object. They fill backing and
 * regions. 0, or -1 after a message. */
int import_elf(struct lazymem_backing *file, struct source *source);
int import_cloud_hypervisor(struct lazymem_backing *file, const char *state, struct source *source);
int import_mapped_ram(struct lazymem_backing *file, const struct source_request *request,
		      struct source *source);

/* Copy the regions of a request to a source. 0, or -1 after a message. */
int source_take_regions(const struct lazymem_snapshot_region *regions, size_t count,
			struct source *source);

#endif
