/* SPDX-License-Identifier: MIT */
#include "traces.h"
#include "complain.h"
#include "source.h"

#include <stdio.h>
#include <string.h>

bool identity_is_none(const struct lazymem_identity *identity)
{
	const struct lazymem_identity none = {{0}};

	return identity_equal(identity, &none);
}

bool identity_equal(const struct lazymem_identity *a, const struct lazymem_identity *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

struct identity_text identity_format(const struct lazymem_identity *identity)
{
	struct identity_text text;

	for (size_t i = 0; i < sizeof(identity->bytes); i++)
		snprintf(text.text + 2 * i, 3, "%02x", identity->bytes[i]);
	return text;
}

struct lazymem_identity snapshot_identity(const struct lazymem_snapshot *snapshot)
{
	struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};

	if (lazymem_snapshot_layer_at(snapshot, 0, &layer) != 0)
		return (struct lazymem_identity){{0}};
	return layer.identity;
}

/* NULL after a message. */
static struct lazymem_trace *copy_trace(const struct lazymem_trace *trace)
{
	const struct lazymem_identity identity = lazymem_trace_identity(trace);
	struct lazymem_trace *copy = NULL;
	int error = lazymem_trace_create(lazymem_trace_page_size(trace), &copy);

	for (size_t i = 0; error == 0 && i < lazymem_trace_count(trace); i++)
		error = lazymem_trace_append(copy, lazymem_trace_range(trace, i));
	if (error != 0) {
		complain("%s", lazymem_error_message());
		lazymem_trace_destroy(copy);
		return NULL;
	}
	lazymem_trace_bind(copy, &identity);
	return copy;
}

static struct lazymem_trace *load_from_snapshot(const char *path)
{
	struct lazymem_snapshot *snapshot = NULL;
	struct lazymem_trace *trace = NULL;

	if (source_open_snapshot(path, NULL, &snapshot) != 0)
		return NULL;
	if (lazymem_snapshot_trace(snapshot) == NULL)
		complain("%s: this snapshot has no trace", path);
	else
		trace = copy_trace(lazymem_snapshot_trace(snapshot));
	lazymem_snapshot_unref(snapshot);
	return trace;
}

struct lazymem_trace *traces_load(const char *path)
{
	struct lazymem_trace *trace = NULL;
	enum image_format format;

	if (source_detect(path, &format) != 0)
		return NULL;
	if (format == FORMAT_SNAPSHOT)
		return load_from_snapshot(path);
	if (lazymem_trace_load(path, &trace) != 0)
		complain("%s", lazymem_error_message());
	return trace;
}

static bool is_for(const struct lazymem_trace *trace, struct lazymem_backing *image)
{
	const struct lazymem_identity bound = lazymem_trace_identity(trace);
	struct lazymem_identity identity;

	return lazymem_backing_identity(image, &identity) == 0 && identity_equal(&bound, &identity);
}

struct lazymem_trace *traces_load_for(const char *path, struct lazymem_backing *const *images,
				      size_t count)
{
	struct lazymem_trace *trace = traces_load(path);
	struct lazymem_identity bound;

	if (trace == NULL)
		return NULL;
	bound = lazymem_trace_identity(trace);
	if (identity_is_none(&bound))
		return trace;
	for (size_t i = 0; i < count; i++) {
		if (images[i] != NULL && is_for(trace, images[i]))
			return trace;
	}
	complain("%s: this trace is bound to another image, %s", path,
		 identity_format(&bound).text);
	lazymem_trace_destroy(trace);
	return NULL;
}
