/* SPDX-License-Identifier: MIT
 *
 * Extents that are known to be zero are not read, and blocks that turn out to
 * be zero are not written: both become holes. Where data begins, a whole buffer
 * is read, because many small reads cost more than a few zeros.
 */
#include "complain.h"
#include "interrupt.h"
#include "output_file.h"
#include "parent_names.h"
#include "progress.h"
#include "writing.h"

#include <lazymem/common.h>
#include <string.h>

#define BLOCK ((size_t)4096)
#define BUFFER ((size_t)4 << 20)

static bool is_zero(const unsigned char *bytes, size_t length)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

static size_t block_at(size_t done, size_t length)
{
	return length - done < BLOCK ? length - done : BLOCK;
}

/* Write each run of blocks that are not zero. */
static int write_data(struct output_file *file, const unsigned char *bytes, size_t length,
		      uint64_t offset)
{
	size_t start = 0;

	while (start < length) {
		size_t end;

		while (start < length && is_zero(bytes + start, block_at(start, length)))
			start += block_at(start, length);
		for (end = start; end < length && !is_zero(bytes + end, block_at(end, length));)
			end += block_at(end, length);
		if (end > start &&
		    output_file_write(file, bytes + start, end - start, offset + start) != 0)
			return -1;
		start = end;
	}
	return 0;
}

/* The next piece, from `offset` on; how long it was, or 0 after a message. */
static uint64_t export_piece(struct lazymem_backing *backing, struct output_file *file,
			     void *buffer, uint64_t offset)
{
	struct lazymem_extent extent;
	uint64_t length = lazymem_backing_length(backing) - offset;

	if (lazymem_backing_extent(backing, offset, length, &extent) != 0) {
		complain("%s", lazymem_error_message());
		return 0;
	}
	if (extent.kind == LAZYMEM_EXTENT_ZERO)
		return extent.length;
	if (length > BUFFER)
		length = BUFFER;
	if (lazymem_backing_read(backing, offset, buffer, (size_t)length) != 0) {
		complain("%s", lazymem_error_message());
		return 0;
	}
	return write_data(file, buffer, (size_t)length, offset) == 0 ? length : 0;
}

static int export_all(struct lazymem_backing *backing, struct output_file *file)
{
	const uint64_t length = lazymem_backing_length(backing);
	void *buffer = malloc(BUFFER);
	uint64_t done = 0;

	if (buffer == NULL)
		complain("no memory for a buffer of %zu bytes", BUFFER);
	else if (output_file_set_length(file, length) == 0) {
		while (done < length && !interrupt_came()) {
			const uint64_t piece = export_piece(backing, file, buffer, done);

			if (piece == 0)
				break;
			done += piece;
			progress_bar("exporting", done, length);
		}
		progress_clear();
	}
	free(buffer);
	return done == length ? 0 : -1;
}

static int export(const struct source *source, const char *output)
{
	struct output_file file;
	int result;

	interrupt_defer();
	result = output_file_begin(output, &file);
	if (result == 0)
		result = export_all(source->backing, &file);
	if (result == 0)
		result = output_file_commit(&file);
	output_file_abandon(&file);
	if (result != 0)
		interrupt_deliver();
	return result == 0 ? EXIT_SUCCESS : EXIT_RUN_FAILED;
}

static const struct option long_options[] = {
	{"parent", required_argument, NULL, OPTION_PARENT},
	OPTION_TABLE_END,
};

static void take(void *context, int option, const char *value)
{
	(void)option;
	parent_names_take(context, value);
}

static int run(const struct command *command, int argc, char **argv)
{
	struct parent_names parents = {0};
	const int operand =
		arguments_parse(command, argc, argv, long_options, take, &parents, 2, 2);
	const struct source_request request = {
		.path = argv[operand], .format = FORMAT_DETECT, .parents = &parents};
	const char *output = argv[operand + 1];
	struct source source = {0};
	int status = EXIT_RUN_FAILED;

	if (source_open(&request, &source) == 0 &&
	    writing_check_distinct(output, request.path) == 0 &&
	    (source.snapshot == NULL || writing_check_layers(output, source.snapshot, 0) == 0))
		status = export(&source, output);
	source_close(&source);
	return status;
}

const struct command command_export = {
	.name = "export",
	.usage = "[--parent FILE ...] FILE OUTPUT",
	.help = "Write the guest memory in FILE to OUTPUT as a raw image: the regions one after "
		"the\n"
		"other, zeros as holes. FILE is a snapshot, raw layers (BASE,DIFF,...), an ELF "
		"core,\n"
		"or a migration file of QEMU with mapped-ram.\n"
		"\n" PARENT_NAMES_HELP "  --help\n",
	.run = run,
};
