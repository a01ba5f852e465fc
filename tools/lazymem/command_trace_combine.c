/* SPDX-License-Identifier: MIT */
#include "commands.h"
#include "complain.h"
#include "interrupt.h"
#include "output_file.h"
#include "trace_set.h"
#include "traces.h"
#include "writing.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

typedef int (*combination)(struct lazymem_trace *const *traces, size_t count,
			   struct lazymem_trace **ret_trace);

/* Traces of different images do not go together; one that is bound to nothing
 * goes with any. 0, or -1 after a message. */
static int common_identity(struct lazymem_trace *const *traces, char *const *paths, size_t count,
			   struct lazymem_identity *ret_identity)
{
	size_t bound = count;

	*ret_identity = (struct lazymem_identity){{0}};
	for (size_t i = 0; i < count; i++) {
		const struct lazymem_identity identity = lazymem_trace_identity(traces[i]);

		if (identity_is_none(&identity))
			continue;
		if (bound < count && !identity_equal(&identity, ret_identity)) {
			complain("%s and %s are bound to different images, %s and %s", paths[bound],
				 paths[i], identity_format(ret_identity).text,
				 identity_format(&identity).text);
			return -1;
		}
		bound = i;
		*ret_identity = identity;
	}
	return 0;
}

static int combine_and_save(struct lazymem_trace *const *traces, char *const *paths, size_t count,
			    combination combine, const char *output)
{
	struct lazymem_identity identity;
	struct lazymem_trace *result = NULL;
	int error;

	if (common_identity(traces, paths, count, &identity) != 0)
		return EXIT_RUN_FAILED;
	error = combine(traces, count, &result);
	if (error == 0) {
		lazymem_trace_bind(result, &identity);
		interrupt_defer(); /* from here on there is a temporary file */
		error = lazymem_trace_save(result, output);
	}
	if (error != 0)
		complain("%s: %s", output,
			 result != NULL ? lazymem_error_message() : strerror(-error));
	lazymem_trace_destroy(result);
	return error == 0 ? EXIT_SUCCESS : EXIT_RUN_FAILED;
}

/* A trace may be its own output, because it has been read by then, and is
 * replaced by another trace; a snapshot may not. */
static int check_output(char *const *paths, size_t count, const char *output)
{
	if (output_file_check(output) != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		enum image_format format;

		if (source_detect(paths[i], &format) != 0)
			return -1;
		if (format == FORMAT_SNAPSHOT && writing_check_distinct(output, paths[i]) != 0)
			return -1;
	}
	return 0;
}

/* Operands are the traces, and then the output. */
static int combine_operands(char *const *operands, size_t count, combination combine)
{
	struct lazymem_trace **traces = calloc(count, sizeof(struct lazymem_trace *));
	int status = EXIT_RUN_FAILED;
	size_t loaded = 0;

	if (traces == NULL) {
		complain("no memory for %zu traces", count);
		return status;
	}
	while (loaded < count && (traces[loaded] = traces_load(operands[loaded])) != NULL)
		loaded++;
	if (loaded == count && check_output(operands, count, operands[count]) == 0)
		status = combine_and_save(traces, operands, count, combine, operands[count]);
	for (size_t i = 0; i < loaded; i++)
		lazymem_trace_destroy(traces[i]);
	free(traces);
	return status;
}

static int parse_and_combine(const struct command *command, int argc, char **argv,
			     combination combine)
{
	static const struct option long_options[] = {OPTION_TABLE_END};
	const int operand =
		arguments_parse(command, argc, argv, long_options, NULL, NULL, 3, INT_MAX);

	return combine_operands(argv + operand, (size_t)(argc - operand - 1), combine);
}

static int run_union(const struct command *command, int argc, char **argv)
{
	return parse_and_combine(command, argc, argv, trace_set_union);
}

static int run_intersect(const struct command *command, int argc, char **argv)
{
	return parse_and_combine(command, argc, argv, trace_set_intersect);
}

const struct command command_trace_union = {
	.name = "trace union",
	.usage = "FILE FILE... OUTPUT",
	.help = "Write the trace of the pages that are in any of the files, traces or snapshots\n"
		"that have one: those of the first one in its order, then what the second one has\n"
		"besides, and so on.\n"
		"\n"
		"  --help\n",
	.run = run_union,
};

const struct command command_trace_intersect = {
	.name = "trace intersect",
	.usage = "FILE FILE... OUTPUT",
	.help = "Write the trace of the pages that are in all of the files, traces or snapshots\n"
		"that have one, in the order of the first one.\n"
		"\n"
		"  --help\n",
	.run = run_intersect,
};
