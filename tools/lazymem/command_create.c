/* SPDX-License-Identifier: MIT */
#include "complain.h"
#include "parent_path.h"
#include "traces.h"
#include "writing.h"

#include <stdlib.h>
#include <string.h>

enum {
	OPTION_REGION = OPTION_REST,
	OPTION_BLOB,
	OPTION_FORMAT,
	OPTION_STATE,
	OPTION_BLOCK,
};

static const struct option long_options[] = {
	WRITING_OPTIONS,
	{"region", required_argument, NULL, OPTION_REGION},
	{"parent", required_argument, NULL, OPTION_PARENT},
	{"trace", required_argument, NULL, OPTION_TRACE},
	{"blob", required_argument, NULL, OPTION_BLOB},
	{"format", required_argument, NULL, OPTION_FORMAT},
	{"state", required_argument, NULL, OPTION_STATE},
	{"block", required_argument, NULL, OPTION_BLOCK},
	OPTION_TABLE_END,
};

struct create {
	struct source_request request;
	struct writing_options writing;
	struct lazymem_snapshot_region *regions;
	size_t region_count;
	const char **blobs; /* NAME=FILE */
	size_t blob_count;
	const char *parent;
	const char *trace;
	const char *output;
};

static void *grow(void *array, size_t count, size_t size)
{
	void *grown = reallocarray(array, count, size);

	if (grown != NULL)
		return grown;
	complain("no memory for the command line");
	exit(EXIT_RUN_FAILED);
}

static void add_region(struct create *create, const char *text)
{
	const char *colon = strchr(text, ':');
	char *base;
	struct lazymem_snapshot_region region = {.length = 0};

	if (colon == NULL)
		REFUSE("--region %s is not GPA:SIZE", text);
	base = strndup(text, (size_t)(colon - text));
	if (base != NULL)
		region.base.value = arguments_size("region", base);
	free(base);
	region.length = arguments_size("region", colon + 1);
	if (region.length == 0 || region.length % 4096 != 0 || region.base.value % 4096 != 0)
		REFUSE("--region %s is not in whole pages of 4096 bytes", text);
	create->regions = grow(create->regions, create->region_count + 1, sizeof(region));
	create->regions[create->region_count++] = region;
}

static void add_blob(struct create *create, const char *text)
{
	const char *equals = strchr(text, '=');

	if (equals == NULL || equals == text || equals[1] == '\0')
		REFUSE("--blob %s is not NAME=FILE", text);
	create->blobs = grow(create->blobs, create->blob_count + 1, sizeof(*create->blobs));
	create->blobs[create->blob_count++] = text;
}

static enum image_format parse_format(const char *text)
{
	const enum image_format format =
		(enum image_format)arguments_word("format", text, image_format_names);

	if (format == FORMAT_TRACE || format == FORMAT_OVERLAY)
		REFUSE("--format %s: it is no memory image", text);
	return format;
}

static void take(void *context, int option, const char *value)
{
	struct create *create = context;

	if (writing_take(&create->writing, option, value))
		return;
	switch (option) {
	case OPTION_REGION:
		add_region(create, value);
		break;
	case OPTION_BLOB:
		add_blob(create, value);
		break;
	case OPTION_FORMAT:
		create->request.format = parse_format(value);
		break;
	case OPTION_PARENT:
		create->parent = value;
		break;
	case OPTION_TRACE:
		create->trace = value;
		break;
	case OPTION_STATE:
		create->request.state = value;
		break;
	case OPTION_BLOCK:
		create->request.block = value;
		break;
	}
}

static void check_combination(struct create *create)
{
	struct source_request *request = &create->request;

	if (request->state != NULL && request->format == FORMAT_DETECT)
		request->format = FORMAT_CLOUD_HYPERVISOR;
	if (request->state != NULL && request->format != FORMAT_CLOUD_HYPERVISOR)
		REFUSE("--state goes with --format cloud-hypervisor only");
	if (request->state == NULL && request->format == FORMAT_CLOUD_HYPERVISOR)
		REFUSE("--format cloud-hypervisor needs --state FILE");
	if (request->block != NULL && request->format == FORMAT_DETECT)
		request->format = FORMAT_QEMU;
	if (request->block != NULL && request->format != FORMAT_QEMU)
		REFUSE("--block goes with --format qemu only");
	if (create->region_count > 0 && request->format != FORMAT_DETECT &&
	    request->format != FORMAT_RAW && request->format != FORMAT_QEMU)
		REFUSE("--region does not go with --format %s",
		       image_format_names[request->format]);
	request->regions = create->regions;
	request->region_count = create->region_count;
}

static int read_blobs(const struct create *create, struct blob_list *list)
{
	for (size_t i = 0; i < create->blob_count; i++) {
		const char *equals = strchr(create->blobs[i], '=');
		char *name = strndup(create->blobs[i], (size_t)(equals - create->blobs[i]));
		int result = name != NULL ? blob_list_add_file(list, name, equals + 1) : -1;

		free(name);
		if (result != 0)
			return -1;
	}
	return 0;
}

/* Nothing that is read is written over: every file of the command line, and
 * every parent. */
static int check_distinct(const struct create *create, const struct source *source,
			  const struct lazymem_snapshot *parent)
{
	const char *output = create->output;

	if (writing_check_distinct(output, create->request.path) != 0)
		return -1;
	if (create->trace != NULL && writing_check_distinct(output, create->trace) != 0)
		return -1;
	if (create->request.state != NULL &&
	    writing_check_distinct(output, create->request.state) != 0)
		return -1;
	for (size_t i = 0; i < create->blob_count; i++) {
		if (writing_check_distinct(output, strchr(create->blobs[i], '=') + 1) != 0)
			return -1;
	}
	if (parent != NULL && writing_check_layers(output, parent, 0) != 0)
		return -1;
	return source->snapshot != NULL ? writing_check_layers(output, source->snapshot, 0) : 0;
}

/* Everything that is opened for one run; freed by close_inputs. */
struct inputs {
	struct source source;
	struct source parent;
	char *parent_path;
	struct lazymem_trace *trace;
	struct blob_list blobs;
};

static int open_parent(const struct create *create, struct inputs *inputs)
{
	const struct source_request request = {.path = create->parent, .format = FORMAT_SNAPSHOT};

	if (source_open(&request, &inputs->parent) != 0)
		return -1;
	inputs->parent_path = parent_path_from(create->output, create->parent);
	return inputs->parent_path != NULL ? 0 : -1;
}

/* A trace that is bound is bound to an image that is read here. */
static int open_trace(const struct create *create, struct inputs *inputs)
{
	struct lazymem_backing *images[] = {inputs->source.backing, inputs->parent.backing};

	inputs->trace = traces_load_for(create->trace, images, 2);
	return inputs->trace != NULL ? 0 : -1;
}

static int open_inputs(const struct create *create, struct inputs *inputs)
{
	if (source_open(&create->request, &inputs->source) != 0)
		return -1;
	if (create->parent != NULL && open_parent(create, inputs) != 0)
		return -1;
	if (create->trace != NULL && open_trace(create, inputs) != 0)
		return -1;
	if (read_blobs(create, &inputs->blobs) != 0)
		return -1;
	return check_distinct(create, &inputs->source, inputs->parent.snapshot);
}

static void close_inputs(struct inputs *inputs)
{
	source_close(&inputs->source);
	source_close(&inputs->parent);
	free(inputs->parent_path);
	lazymem_trace_destroy(inputs->trace);
	blob_list_free(&inputs->blobs);
}

/* A layer has its parent's regions, unless something says otherwise: the
 * library then finds that they differ. */
static int write_from(const struct create *create, const struct inputs *inputs)
{
	const struct source *described = inputs->source.regions == NULL && create->parent != NULL
						 ? &inputs->parent
						 : &inputs->source;
	struct lazymem_snapshot_plan plan = {
		.size = sizeof(plan),
		.source = inputs->source.backing,
		.regions = described->regions,
		.region_count = described->region_count,
		.parent = inputs->parent.snapshot,
		.parent_path = inputs->parent_path,
		.trace = inputs->trace,
		.blobs = inputs->blobs.blobs,
		.blob_count = inputs->blobs.count,
	};

	writing_apply(&create->writing, NULL, &plan);
	return writing_run(create->output, &plan);
}

static int run(const struct command *command, int argc, char **argv)
{
	struct create create = {.request.format = FORMAT_DETECT};
	struct inputs inputs = {0};
	int status = EXIT_RUN_FAILED;
	int operand;

	operand = arguments_parse(command, argc, argv, long_options, take, &create, 2, 2);
	check_combination(&create);
	create.request.path = argv[operand];
	create.output = argv[operand + 1];
	if (open_inputs(&create, &inputs) == 0)
		status = write_from(&create, &inputs);
	close_inputs(&inputs);
	free(create.regions);
	free(create.blobs);
	return status;
}

const struct command command_create = {
	.name = "create",
	.usage = "[--region GPA:SIZE]... [--compress zstd|lz4|none] [--level N]\n"
		 "[--chunk SIZE] [--parent FILE] [--trace FILE] [--blob NAME=FILE]...\n"
		 "[--format raw|elf|cloud-hypervisor|qemu|snapshot]\n"
		 "[--state FILE] [--block NAME] IMAGE OUTPUT",
	.help = "Write a snapshot, OUTPUT, of the guest memory in IMAGE: a raw image; raw layers,\n"
		"BASE,DIFF,...; an ELF core; a migration file of QEMU with mapped-ram; the file\n"
		"memory-ranges of Cloud Hypervisor; or a snapshot.\n"
		"\n"
		"  --region GPA:SIZE   the next SIZE bytes of a raw image are at guest address "
		"GPA\n"
		"                      (default: all of it is at 0)\n" WRITING_HELP
		" (default none)\n" WRITING_HELP_REST
		"  --parent FILE       write a layer: what differs from this snapshot\n"
		"  --trace FILE        the working set: kept, and stored first\n"
		"  --blob NAME=FILE    keep this file under this name\n"
		"  --format FORMAT     of IMAGE (default: by its first bytes)\n"
		"  --state FILE        Cloud Hypervisor's state.json\n"
		"  --block NAME        QEMU's RAM block (default pc.ram)\n"
		"  --help\n",
	.run = run,
};
