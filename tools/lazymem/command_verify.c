/* SPDX-License-Identifier: MIT */
#include "commands.h"
#include "complain.h"
#include "parent_names.h"
#include "progress.h"
#include "source.h"

#include <errno.h>
#include <inttypes.h>
#include <lazymem/common.h>
#include <stdio.h>
#include <string.h>

#define THREADS_LIMIT 1024

enum { OPTION_THREADS = OPTION_REST };

static const struct option long_options[] = {
	{"threads", required_argument, NULL, OPTION_THREADS},
	{"parent", required_argument, NULL, OPTION_PARENT},
	OPTION_TABLE_END,
};

struct verification {
	const struct lazymem_snapshot *snapshot;
};

struct verify_request {
	unsigned threads;
	struct parent_names parents;
};

static void take(void *context, int option, const char *value)
{
	struct verify_request *request = context;

	if (option == OPTION_PARENT)
		parent_names_take(&request->parents, value);
	else
		request->threads = (unsigned)arguments_integer("threads", value, 1, THREADS_LIMIT);
}

static void show_progress(void *context, uint64_t done, uint64_t total)
{
	(void)context;
	progress_bar("verifying", done, total);
}

static void print_damage(void *context, const struct lazymem_snapshot_damage *damage)
{
	struct verification *verification = context;
	struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};

	progress_clear();
	if (lazymem_snapshot_layer_at(verification->snapshot, damage->layer, &layer) == 0)
		printf("%s: ", layer.path);
	if (damage->blob != NULL)
		printf("blob \"%s\", ", damage->blob);
	else
		printf("guest memory [0x%" PRIx64 "+0x%" PRIx64 "], ", damage->address.value,
		       damage->length);
	printf("at byte %" PRIu64 " of the file: %s\n", damage->file_offset,
	       damage->error == -EBADMSG ? "damaged" : strerror(-damage->error));
}

static int verify(const struct lazymem_snapshot *snapshot, const char *path, unsigned threads)
{
	struct verification verification = {.snapshot = snapshot};
	const struct lazymem_snapshot_verify_options options = {
		.size = sizeof(options),
		.threads = threads,
		.progress = show_progress,
		.damage = print_damage,
		.context = &verification,
	};
	const int error = lazymem_snapshot_verify(snapshot, &options);

	progress_clear();
	if (error == 0) {
		printf("%s: no damage\n", path);
		return EXIT_SUCCESS;
	}
	complain("%s", lazymem_error_message());
	return EXIT_RUN_FAILED;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct lazymem_snapshot *snapshot = NULL;
	enum image_format format;
	struct verify_request request = {0};
	const char *path;
	int status;

	path = argv[arguments_parse(command, argc, argv, long_options, take, &request, 1, 1)];
	if (source_detect(path, &format) != 0)
		return EXIT_RUN_FAILED;
	if (format != FORMAT_SNAPSHOT) {
		complain("%s: is no snapshot (%s), and has no checksums", path,
			 image_format_names[format]);
		return EXIT_RUN_FAILED;
	}
	if (source_open_snapshot(path, &request.parents, &snapshot) != 0)
		return EXIT_RUN_FAILED;
	status = verify(snapshot, path, request.threads);
	lazymem_snapshot_unref(snapshot);
	return status;
}

const struct command command_verify = {
	.name = "verify",
	.usage = "[--threads N] [--parent FILE ...] FILE",
	.help = "Compare every checksum of a snapshot and its parents, and print what is damaged.\n"
		"\n"
		"  --threads N         so many at once (default: one for each CPU, at most "
		"16)\n" PARENT_NAMES_HELP "  --help\n",
	.run = run,
};
