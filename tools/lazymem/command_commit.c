/* SPDX-License-Identifier: MIT
 *
 * What was written over a snapshot becomes a layer over it; of the snapshot only what
 * has been written over is read. The overlay is opened to be
 * read, so one that is in use is refused; it stays as it is, and still fits the
 * snapshot only.
 */
#include "changed_pages.h"
#include "complain.h"
#include "parent_path.h"
#include "writing.h"

#include <lazymem/overlay.h>
#include <stdlib.h>

static const struct option long_options[] = {
	WRITING_OPTIONS,
	{"parent", required_argument, NULL, OPTION_PARENT},
	OPTION_TABLE_END,
};

struct commit {
	struct writing_options writing;
	const char *parent_name;
	struct source parent;
	struct lazymem_backing *overlay;
	struct lazymem_dirty *changed;
	char *parent_path;
};

static void take(void *context, int option, const char *value)
{
	struct commit *commit = context;

	if (!writing_take(&commit->writing, option, value) && option == OPTION_PARENT)
		commit->parent_name = value;
}

/* 0, or -1 after a message. */
static int open_both(struct commit *commit, const char *path, const char *output)
{
	const struct source_request request = {.path = commit->parent_name,
					       .format = FORMAT_SNAPSHOT};
	const struct lazymem_overlay_options options = {.size = sizeof(options),
							.flags = LAZYMEM_OVERLAY_READ_ONLY};

	if (source_open(&request, &commit->parent) != 0)
		return -1;
	if (lazymem_overlay_open(path, commit->parent.backing, &options, &commit->overlay) != 0) {
		complain("%s", lazymem_error_message());
		return -1;
	}
	if (writing_check_distinct(output, path) != 0 ||
	    writing_check_layers(output, commit->parent.snapshot, 0) != 0)
		return -1;
	commit->changed =
		changed_pages(commit->overlay, commit->parent.regions, commit->parent.region_count);
	commit->parent_path = parent_path_from(output, commit->parent_name);
	return commit->changed != NULL && commit->parent_path != NULL ? 0 : -1;
}

static int write_layer(const struct commit *commit, const char *output)
{
	struct lazymem_snapshot_plan plan = {
		.size = sizeof(plan),
		.source = commit->overlay,
		.regions = commit->parent.regions,
		.region_count = commit->parent.region_count,
		.parent = commit->parent.snapshot,
		.parent_path = commit->parent_path,
		.changed = commit->changed,
	};

	writing_apply(&commit->writing, commit->parent.snapshot, &plan);
	return writing_run(output, &plan);
}

static int run(const struct command *command, int argc, char **argv)
{
	struct commit commit = {.parent_name = NULL};
	const int operand = arguments_parse(command, argc, argv, long_options, take, &commit, 2, 2);
	int status = EXIT_RUN_FAILED;

	if (commit.parent_name == NULL)
		REFUSE("commit needs --parent FILE, the snapshot that the overlay is over");
	if (open_both(&commit, argv[operand], argv[operand + 1]) == 0)
		status = write_layer(&commit, argv[operand + 1]);
	lazymem_dirty_destroy(commit.changed);
	lazymem_backing_unref(commit.overlay);
	source_close(&commit.parent);
	free(commit.parent_path);
	return status;
}

const struct command command_commit = {
	.name = "commit",
	.usage = "--parent FILE\n" WRITING_USAGE "\nOVERLAY OUTPUT",
	.help = "Write a layer, OUTPUT, over the snapshot FILE: what was written to OVERLAY, "
		"which is\n"
		"over that snapshot. Nobody may have OVERLAY open to write; it stays as it is.\n"
		"\n"
		"  --parent FILE       the snapshot\n" WRITING_HELP
		" (default: as FILE)\n" WRITING_HELP_REST "  --help\n",
	.run = run,
};
