/* SPDX-License-Identifier: MIT */
#include "complain.h"
#include "parent_names.h"
#include "traces.h"
#include "writing.h"

#include <stdlib.h>

static const struct option long_options[] = {
	WRITING_OPTIONS,
	{"parent", required_argument, NULL, OPTION_PARENT},
	OPTION_TABLE_END,
};

struct merge_request {
	struct writing_options writing;
	struct parent_names parents;
};

static void take(void *context, int option, const char *value)
{
	struct merge_request *request = context;

	if (!writing_take(&request->writing, option, value))
		parent_names_take(&request->parents, value);
}

static int merge(const struct source *source, const struct writing_options *writing,
		 const char *output)
{
	const struct lazymem_identity identity = snapshot_identity(source->snapshot);
	struct blob_list blobs = {0};
	struct lazymem_snapshot_plan plan = {
		.size = sizeof(plan),
		.source = source->backing,
		.regions = source->regions,
		.region_count = source->region_count,
		.trace = lazymem_snapshot_trace(source->snapshot),
		.identity = &identity,
	};
	int status = EXIT_RUN_FAILED;

	writing_apply(writing, source->snapshot, &plan);
	if (blob_list_add_all(&blobs, source->snapshot) == 0) {
		plan.blobs = blobs.blobs;
		plan.blob_count = blobs.count;
		status = writing_run(output, &plan);
	}
	blob_list_free(&blobs);
	return status;
}

/* FILE itself may be replaced, since what comes out has the same bytes and the
 * same identity; a parent of it may not. */
static int run(const struct command *command, int argc, char **argv)
{
	struct merge_request own = {0};
	const int operand = arguments_parse(command, argc, argv, long_options, take, &own, 2, 2);
	const struct source_request request = {
		.path = argv[operand], .format = FORMAT_SNAPSHOT, .parents = &own.parents};
	struct source source = {0};
	int status = EXIT_RUN_FAILED;

	if (source_open(&request, &source) == 0 &&
	    writing_check_layers(argv[operand + 1], source.snapshot, 1) == 0)
		status = merge(&source, &own.writing, argv[operand + 1]);
	source_close(&source);
	return status;
}

const struct command command_merge = {
	.name = "merge",
	.usage = WRITING_USAGE "\n[--parent FILE ...] FILE OUTPUT",
	.help = "Write what the snapshot FILE and its parents hold to one snapshot, OUTPUT, that\n"
		"needs no parent. It keeps the identity, the working set and the blobs of FILE, "
		"so\n"
		"that layers over FILE can be served from OUTPUT.\n"
		"\n" WRITING_HELP " (default: as FILE)\n" WRITING_HELP_REST PARENT_NAMES_HELP
		"  --help\n",
	.run = run,
};
