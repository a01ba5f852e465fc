/* SPDX-License-Identifier: MIT */
#include "writing.h"
#include "complain.h"
#include "interrupt.h"
#include "output_file.h"
#include "progress.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNK_LEAST 4096u
#define CHUNK_MOST (256u * 1024)

/* ---- options -------------------------------------------------------------------- */

static enum lazymem_chunk_kind parse_compression(const char *text)
{
	static const char *const words[] = {"none", "lz4", "zstd", NULL};
	static const enum lazymem_chunk_kind kinds[] = {LAZYMEM_CHUNK_ZERO, LAZYMEM_CHUNK_LZ4,
							LAZYMEM_CHUNK_ZSTD};

	return kinds[arguments_word("compress", text, words)];
}

static size_t parse_chunk_size(const char *text)
{
	const uint64_t size = arguments_size("chunk", text);

	if (size < CHUNK_LEAST || size > CHUNK_MOST || (size & (size - 1)) != 0)
		REFUSE("--chunk %s is no power of two from 4K to 256K", text);
	return (size_t)size;
}

bool writing_take(struct writing_options *options, int option, const char *value)
{
	switch (option) {
	case OPTION_COMPRESS:
		options->compression = parse_compression(value);
		options->compression_given = true;
		return true;
	case OPTION_LEVEL:
		options->level = arguments_integer("level", value, INT_MIN / 2, INT_MAX / 2);
		return true;
	case OPTION_CHUNK:
		options->chunk_size = parse_chunk_size(value);
		return true;
	default:
		return false;
	}
}

/* What most of the compressed pages of the stack are compressed with. */
static enum lazymem_chunk_kind compression_of(const struct lazymem_snapshot *snapshot)
{
	uint64_t pages[LAZYMEM_CHUNK_KINDS] = {0};

	for (size_t i = 0; i < lazymem_snapshot_layer_count(snapshot); i++) {
		struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};

		if (lazymem_snapshot_layer_at(snapshot, i, &layer) != 0)
			continue;
		pages[LAZYMEM_CHUNK_LZ4] += layer.pages[LAZYMEM_CHUNK_LZ4];
		pages[LAZYMEM_CHUNK_ZSTD] += layer.pages[LAZYMEM_CHUNK_ZSTD];
	}
	if (pages[LAZYMEM_CHUNK_LZ4] == 0 && pages[LAZYMEM_CHUNK_ZSTD] == 0)
		return LAZYMEM_CHUNK_ZERO;
	return pages[LAZYMEM_CHUNK_LZ4] > pages[LAZYMEM_CHUNK_ZSTD] ? LAZYMEM_CHUNK_LZ4
								    : LAZYMEM_CHUNK_ZSTD;
}

void writing_apply(const struct writing_options *options, const struct lazymem_snapshot *like,
		   struct lazymem_snapshot_plan *plan)
{
	plan->compression = options->compression;
	if (!options->compression_given && like != NULL)
		plan->compression = compression_of(like);
	plan->level = options->level;
	plan->chunk_size = options->chunk_size;
}

/* ---- never over what is read ------------------------------------------------------ */

static int check_distinct(const char *output, const char *input)
{
	struct stat first;
	struct stat second;

	if (stat(output, &first) != 0 || stat(input, &second) != 0 ||
	    first.st_dev != second.st_dev || first.st_ino != second.st_ino)
		return 0;
	complain("%s would be written over %s, which it is made from", output, input);
	return -1;
}

int writing_check_distinct(const char *output, const char *path)
{
	char **paths = source_paths(path);
	int result = 0;

	if (paths == NULL) {
		complain("no memory for the name %s", path);
		return -1;
	}
	for (char **input = paths; *input != NULL && result == 0; input++)
		result = check_distinct(output, *input);
	source_free_paths(paths);
	return result;
}

int writing_check_layers(const char *output, const struct lazymem_snapshot *snapshot, size_t first)
{
	int result = 0;

	for (size_t i = first; i < lazymem_snapshot_layer_count(snapshot) && result == 0; i++) {
		struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};

		if (lazymem_snapshot_layer_at(snapshot, i, &layer) == 0)
			result = check_distinct(output, layer.path);
	}
	return result;
}

/* ---- writing -------------------------------------------------------------------- */

static int report_progress(void *context, uint64_t done, uint64_t total)
{
	progress_bar(context, done, total);
	return interrupt_came() ? -1 : 0;
}

int writing_run(const char *output, const struct lazymem_snapshot_plan *plan)
{
	struct lazymem_snapshot_plan shown = *plan;
	char what[] = "writing";
	int error;

	if (output_file_check(output) != 0)
		return EXIT_RUN_FAILED;
	shown.progress = report_progress;
	shown.context = what;
	interrupt_defer();
	error = lazymem_snapshot_write(output, &shown);
	progress_clear();
	if (error == 0)
		return EXIT_SUCCESS;
	if (error == -ECANCELED)
		interrupt_deliver();
	complain("%s", lazymem_error_message());
	return EXIT_RUN_FAILED;
}
