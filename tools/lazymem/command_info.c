/* SPDX-License-Identifier: MIT */
#include "commands.h"
#include "complain.h"
#include "describe.h"
#include "parent_names.h"
#include "source.h"
#include "traces.h"

#include <lazymem/common.h>
#include <lazymem/overlay.h>
#include <stdio.h>

static const struct option long_options[] = {
	{"json", no_argument, NULL, OPTION_JSON},
	{"parent", required_argument, NULL, OPTION_PARENT},
	OPTION_TABLE_END,
};

static const struct option trace_options[] = {
	{"json", no_argument, NULL, OPTION_JSON},
	OPTION_TABLE_END,
};

struct info {
	bool json;
	struct parent_names parents;
};

static void take(void *context, int option, const char *value)
{
	struct info *info = context;

	if (option == OPTION_PARENT)
		parent_names_take(&info->parents, value);
	else
		info->json = true;
}

/* Bytes that an image has as data, and so not as holes. 0, or -1 after a message. */
static int count_data(struct lazymem_backing *backing, uint64_t *ret_data)
{
	const uint64_t length = lazymem_backing_length(backing);
	uint64_t data = 0;
	struct lazymem_extent extent;

	for (uint64_t at = 0; at < length; at += extent.length) {
		if (lazymem_backing_extent(backing, at, length - at, &extent) != 0) {
			complain("%s", lazymem_error_message());
			return -1;
		}
		if (extent.kind == LAZYMEM_EXTENT_DATA)
			data += extent.length;
	}
	*ret_data = data;
	return 0;
}

static void print_image(const struct source *source, uint64_t data)
{
	describe_line("format", "%s", image_format_names[source->format]);
	describe_bytes("memory", lazymem_backing_length(source->backing));
	describe_bytes("data", data);
	describe_regions(source->regions, source->region_count);
	if (source->snapshot != NULL)
		describe_snapshot(source->snapshot);
}

static void put_image(const char *path, const struct source *source, uint64_t data)
{
	struct json json = {.file = stdout};

	json_open(&json, NULL, '{');
	json_string(&json, "file", path);
	json_string(&json, "format", image_format_names[source->format]);
	json_number(&json, "memory_bytes", lazymem_backing_length(source->backing));
	json_number(&json, "data_bytes", data);
	describe_regions_json(source->regions, source->region_count, &json);
	if (source->snapshot != NULL)
		describe_snapshot_json(source->snapshot, &json);
	json_close(&json, '}');
}

static int describe_image(const char *path, const struct info *info)
{
	const struct source_request request = {
		.path = path, .format = FORMAT_DETECT, .parents = &info->parents};
	struct source source = {0};
	int status = EXIT_RUN_FAILED;
	uint64_t data;

	if (source_open(&request, &source) == 0 && count_data(source.backing, &data) == 0) {
		if (info->json)
			put_image(path, &source, data);
		else
			print_image(&source, data);
		status = EXIT_SUCCESS;
	}
	source_close(&source);
	return status;
}

static int describe_trace_file(const char *path, bool as_json)
{
	struct lazymem_trace *trace = traces_load(path);
	struct json json = {.file = stdout};

	if (trace == NULL)
		return EXIT_RUN_FAILED;
	if (as_json) {
		json_open(&json, NULL, '{');
		json_string(&json, "file", path);
		json_string(&json, "format", "trace");
		describe_trace_json(trace, &json);
		json_close(&json, '}');
	} else {
		describe_line("format", "trace");
		describe_trace(trace);
	}
	lazymem_trace_destroy(trace);
	return EXIT_SUCCESS;
}

static int describe_overlay_file(const char *path, bool as_json)
{
	struct lazymem_overlay_description overlay = {.size = sizeof(overlay)};
	struct json json = {.file = stdout};

	if (lazymem_overlay_describe(path, &overlay) != 0) {
		complain("%s", lazymem_error_message());
		return EXIT_RUN_FAILED;
	}
	if (as_json) {
		json_open(&json, NULL, '{');
		json_string(&json, "file", path);
		json_string(&json, "format", "overlay");
		describe_overlay_json(&overlay, &json);
		json_close(&json, '}');
	} else {
		describe_line("format", "overlay");
		describe_overlay(&overlay);
	}
	return EXIT_SUCCESS;
}

/* Several files are layers. 0, or -1 after a message. */
static int detect(const char *path, enum image_format *ret_format)
{
	char **paths = source_paths(path);
	const bool is_one = paths != NULL && paths[0] != NULL && paths[1] == NULL;

	source_free_paths(paths);
	*ret_format = FORMAT_RAW;
	return is_one ? source_detect(path, ret_format) : 0;
}

static int run_info(const struct command *command, int argc, char **argv)
{
	struct info info = {0};
	const char *path =
		argv[arguments_parse(command, argc, argv, long_options, take, &info, 1, 1)];
	enum image_format format;

	if (detect(path, &format) != 0)
		return EXIT_RUN_FAILED;
	if (format == FORMAT_TRACE && info.parents.count == 0)
		return describe_trace_file(path, info.json);
	if (format == FORMAT_OVERLAY && info.parents.count == 0)
		return describe_overlay_file(path, info.json);
	return describe_image(path, &info);
}

static int run_trace_info(const struct command *command, int argc, char **argv)
{
	struct info info = {0};
	const char *path =
		argv[arguments_parse(command, argc, argv, trace_options, take, &info, 1, 1)];

	return describe_trace_file(path, info.json);
}

const struct command command_info = {
	.name = "info",
	.usage = "[--json] [--parent FILE ...] FILE",
	.help = "Print what FILE is and holds: a snapshot, an overlay, a trace, a raw image, raw "
		"layers,\n"
		"an ELF core, or a migration file of QEMU with mapped-ram.\n"
		"\n"
		"  --json              as one JSON object\n" PARENT_NAMES_HELP "  --help\n",
	.run = run_info,
};

const struct command command_trace_info = {
	.name = "trace info",
	.usage = "[--json] FILE",
	.help = "Print how much FILE, a trace or a snapshot that has one, says was touched.\n"
		"\n"
		"  --json              as one JSON object\n"
		"  --help\n",
	.run = run_trace_info,
};
