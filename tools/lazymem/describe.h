/* SPDX-License-Identifier: MIT
 *
 * describe.h - files as text for a person, and as JSON.
 */
#ifndef LAZYMEM_TOOL_DESCRIBE_H
#define LAZYMEM_TOOL_DESCRIBE_H

#include "json.h"

#include <lazymem/overlay.h>
#include <lazymem/snapshot.h>

/* A line of its own: what, then a value. */
void describe_line(const char *what, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "1.61 MiB (1685504 bytes)" */
void describe_bytes(const char *what, uint64_t bytes);

void describe_identity(const char *what, const struct lazymem_identity *identity);

/* Everything but the regions. */
void describe_snapshot(const struct lazymem_snapshot *snapshot);
void describe_snapshot_json(const struct lazymem_snapshot *snapshot, struct json *json);

void describe_overlay(const struct lazymem_overlay_description *overlay);

void describe_trace(const struct lazymem_trace *trace);

/* Members of an object that is open. */
void describe_overlay_json(const struct lazymem_overlay_description *overlay, struct json *json);
void describe_trace_json(const struct lazymem_trace *trace, struct json *json);

void describe_regions(const struct lazymem_snapshot_region *regions, size_t count);
void describe_regions_json(const struct lazymem_snapshot_region *regions, size_t count,
			   struct json *json);

/* A string, or null for no identity. */
void describe_identity_json(const char *key, const struct lazymem_identity *identity,
			    struct json *json);

#endif
