/* SPDX-License-Identifier: MIT
 *
 * A snapshot with the same bytes, and so the same identity: what changes is
 * where in the file they are, and how they are compressed.
 */
#include "complain.h"
#include "parent_path.h"
#include "traces.h"
#include "writing.h"

#include <stdlib.h>
#include <string.h>

static const struct option long_options[] = {
	WRITING_OPTIONS,
	{"trace", required_argument, NULL, OPTION_TRACE},
	OPTION_TABLE_END,
};

struct optimize {
	struct writing_options writing;
	const char *trace_path;
	const char *path;
	const char *output;
	struct source source;
	struct source parent;
	char *parent_path;
	struct lazymem_trace *trace; /* of trace_path */
	struct blob_list blobs;
};

static void take(void *context, int option, const char *value)
{
	struct optimize *optimize = context;

	if (!writing_take(&optimize->writing, option, value) && option == OPTION_TRACE)
		optimize->trace_path = value;
}

/* The parent is where the file says, unless OUTPUT may be in another directory. */
static int open_parent(struct optimize *optimize)
{
	struct lazymem_snapshot_layer own = {.size = sizeof(own)};
	struct lazymem_snapshot_layer above = {.size = sizeof(above)};
	struct source_request request = {.format = FORMAT_SNAPSHOT};

	if (lazymem_snapshot_layer_count(optimize->source.snapshot) == 1)
		return 0;
	if (lazymem_snapshot_layer_at(optimize->source.snapshot, 0, &own) != 0 ||
	    lazymem_snapshot_layer_at(optimize->source.snapshot, 1, &above) != 0) {
		complain("%s", lazymem_error_message());
		return -1;
	}
	request.path = above.path;
	if (source_open(&request, &optimize->parent) != 0)
		return -1;
	if (own.parent_path[0] == '/' || strcmp(optimize->path, optimize->output) == 0)
		optimize->parent_path = strdup(own.parent_path);
	else
		optimize->parent_path = parent_path_from(optimize->output, above.path);
	return optimize->parent_path != NULL ? 0 : -1;
}

/* 0, or -1 after a message. */
static int choose_trace(struct optimize *optimize)
{
	const struct lazymem_snapshot *snapshot = optimize->source.snapshot;

	if (optimize->trace_path != NULL) {
		optimize->trace =
			traces_load_for(optimize->trace_path, &optimize->source.backing, 1);
		return optimize->trace != NULL ? 0 : -1;
	}
	if (lazymem_snapshot_trace(snapshot) != NULL || optimize->writing.compression_given)
		return 0;
	complain("%s: has no working set to put first; give one with --trace", optimize->path);
	return -1;
}

static int rewrite(struct optimize *optimize)
{
	const struct source *source = &optimize->source;
	const struct lazymem_identity identity = snapshot_identity(source->snapshot);
	const struct lazymem_snapshot_plan fixed = {
		.size = sizeof(fixed),
		.source = source->backing,
		.regions = source->regions,
		.region_count = source->region_count,
		.parent = optimize->parent.snapshot,
		.parent_path = optimize->parent_path,
		.trace = optimize->trace != NULL ? optimize->trace
						 : lazymem_snapshot_trace(source->snapshot),
		.blobs = optimize->blobs.blobs,
		.blob_count = optimize->blobs.count,
		.identity = &identity,
	};
	struct lazymem_snapshot_plan plan = fixed;

	writing_apply(&optimize->writing, source->snapshot, &plan);
	return writing_run(optimize->output, &plan);
}

static int open_inputs(struct optimize *optimize)
{
	const struct source_request request = {.path = optimize->path, .format = FORMAT_SNAPSHOT};

	if (source_open(&request, &optimize->source) != 0 || open_parent(optimize) != 0 ||
	    choose_trace(optimize) != 0)
		return -1;
	if (optimize->trace_path != NULL &&
	    writing_check_distinct(optimize->output, optimize->trace_path) != 0)
		return -1;
	if (writing_check_layers(optimize->output, optimize->source.snapshot, 1) != 0)
		return -1;
	return blob_list_add_all(&optimize->blobs, optimize->source.snapshot);
}

static int run(const struct command *command, int argc, char **argv)
{
	struct optimize optimize = {.output = NULL};
	int status = EXIT_RUN_FAILED;
	int operand;

	operand = arguments_parse(command, argc, argv, long_options, take, &optimize, 1, 2);
	optimize.path = argv[operand];
	optimize.output = operand + 1 < argc ? argv[operand + 1] : optimize.path;
	if (open_inputs(&optimize) == 0)
		status = rewrite(&optimize);
	source_close(&optimize.source);
	source_close(&optimize.parent);
	free(optimize.parent_path);
	lazymem_trace_destroy(optimize.trace);
	blob_list_free(&optimize.blobs);
	return status;
}

const struct command command_optimize = {
	.name = "optimize",
	.usage = "[--trace FILE] " WRITING_USAGE "\nFILE [OUTPUT]",
	.help = "Rewrite the snapshot FILE, in place or as OUTPUT, with its working set first and "
		"in\n"
		"the order of first touch, so that replaying it is one sequential read. Identity,\n"
		"parent, regions and blobs are kept.\n"
		"\n"
		"  --trace FILE        the working set: a trace, or a snapshot that has one\n"
		"                      (default: that of FILE)\n" WRITING_HELP
		" (default: as FILE)\n" WRITING_HELP_REST "  --help\n",
	.run = run,
};
