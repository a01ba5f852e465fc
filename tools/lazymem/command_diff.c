/* SPDX-License-Identifier: MIT
 *
 * A layer over BASE that holds what IMAGE has. When IMAGE is a snapshot, the
 * layer has the same bytes, and so takes over its identity, working set and
 * blobs; but not the identity of BASE itself, because nothing is its own parent.
 */
#include "complain.h"
#include "parent_path.h"
#include "traces.h"
#include "writing.h"

#include <stdlib.h>

static const struct option long_options[] = {WRITING_OPTIONS, OPTION_TABLE_END};

static void take(void *context, int option, const char *value)
{
	writing_take(context, option, value);
}

struct diff {
	struct writing_options writing;
	const char *output;
	struct source base;
	struct source image;
	char *parent_path;
	struct blob_list blobs;
	struct lazymem_identity identity;
};

static int write_layer(struct diff *diff)
{
	const struct lazymem_snapshot *image = diff->image.snapshot;
	const struct source *described = image != NULL ? &diff->image : &diff->base;
	const struct lazymem_identity base = snapshot_identity(diff->base.snapshot);
	struct lazymem_snapshot_plan plan = {
		.size = sizeof(plan),
		.source = diff->image.backing,
		.regions = described->regions,
		.region_count = described->region_count,
		.parent = diff->base.snapshot,
		.parent_path = diff->parent_path,
	};

	writing_apply(&diff->writing, diff->base.snapshot, &plan);
	if (image != NULL) {
		diff->identity = snapshot_identity(image);
		plan.trace = lazymem_snapshot_trace(image);
		plan.identity = identity_equal(&diff->identity, &base) ? NULL : &diff->identity;
		if (blob_list_add_all(&diff->blobs, image) != 0)
			return EXIT_RUN_FAILED;
		plan.blobs = diff->blobs.blobs;
		plan.blob_count = diff->blobs.count;
	}
	return writing_run(diff->output, &plan);
}

/* 0, or -1 after a message. */
static int open_both(struct diff *diff, const char *base_path, const char *image_path)
{
	const struct source_request base = {.path = base_path, .format = FORMAT_SNAPSHOT};
	const struct source_request image = {.path = image_path, .format = FORMAT_DETECT};

	if (source_open(&base, &diff->base) != 0 || source_open(&image, &diff->image) != 0)
		return -1;
	if (diff->image.format != FORMAT_RAW && diff->image.format != FORMAT_SNAPSHOT) {
		complain("%s: is neither a raw image nor a snapshot; see lazymem create --parent",
			 image_path);
		return -1;
	}
	if (writing_check_distinct(diff->output, image_path) != 0 ||
	    writing_check_layers(diff->output, diff->base.snapshot, 0) != 0)
		return -1;
	if (diff->image.snapshot != NULL &&
	    writing_check_layers(diff->output, diff->image.snapshot, 0) != 0)
		return -1;
	diff->parent_path = parent_path_from(diff->output, base_path);
	return diff->parent_path != NULL ? 0 : -1;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct diff diff = {.output = NULL};
	int status = EXIT_RUN_FAILED;
	int operand;

	operand = arguments_parse(command, argc, argv, long_options, take, &diff.writing, 3, 3);
	diff.output = argv[operand + 2];
	if (open_both(&diff, argv[operand], argv[operand + 1]) == 0)
		status = write_layer(&diff);
	source_close(&diff.base);
	source_close(&diff.image);
	free(diff.parent_path);
	blob_list_free(&diff.blobs);
	return status;
}

const struct command command_diff = {
	.name = "diff",
	.usage = WRITING_USAGE "\nBASE IMAGE OUTPUT",
	.help = "Write a layer, OUTPUT, over the snapshot BASE: what IMAGE, a raw image, raw "
		"layers\n"
		"or a snapshot, has and BASE has not. OUTPUT needs BASE, and says where it is.\n"
		"\n" WRITING_HELP " (default: as BASE)\n" WRITING_HELP_REST "  --help\n",
	.run = run,
};
