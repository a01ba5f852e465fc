/* SPDX-License-Identifier: MIT */
#include "commands.h"
#include "fault.h"
#include "restore_source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct option long_options[] = {OPTION_TABLE_END};

static void take(void *context, int option, const char *value)
{
	(void)context;
	(void)option;
	(void)value;
}

/* Written over itself, the snapshot would lose the memory. */
static int check_path(const struct lazymem_snapshot *snapshot, const char *path)
{
	struct stat there;
	struct stat file;

	if (stat(path, &there) != 0)
		return 0;
	for (size_t i = 0; i < lazymem_snapshot_layer_count(snapshot); i++) {
		struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};

		if (lazymem_snapshot_layer_at(snapshot, i, &layer) == 0 &&
		    stat(layer.path, &file) == 0 && file.st_dev == there.st_dev &&
		    file.st_ino == there.st_ino)
			return fault("%s: is the snapshot, or a parent of it", path);
	}
	return 0;
}

static int write_file(const char *path, const struct machine_state *state)
{
	FILE *file = fopen(path, "we");
	size_t written;

	if (file == NULL)
		return fault("%s: %s", path, strerror(errno));
	written = fwrite(state->bytes, 1, state->length, file);
	if (fclose(file) != 0 || written != state->length)
		return fault("%s: %s", path, strerror(errno));
	return 0;
}

static int run(const struct command *command, int argc, char **argv)
{
	const int operand = arguments_parse(command, argc, argv, long_options, take, NULL, 2, 1025);
	const char *path = argv[argc - 1];
	struct restore_source source = {0};
	int result =
		restore_source_open_snapshot(&source, argv + operand, (size_t)(argc - 1 - operand));

	if (result == 0)
		result = check_path(source.snapshot, path);
	if (result == 0)
		result = write_file(path, &source.state);
	if (result != 0)
		complain("%s", fault_message());
	restore_source_close(&source);
	return result == 0 ? EXIT_SUCCESS : EXIT_RUN_FAILED;
}

const struct command command_state = {
	.name = "state",
	.usage = "SNAPSHOT [PARENT ...] FILE",
	.help = "Write the state of the machine in SNAPSHOT to FILE, for a restore from a raw "
		"image,\n"
		"which `lazymem export` makes of the memory. SNAPSHOT and its parents are named as "
		"for\n"
		"`lazyvm restore`.\n"
		"\n"
		"  --help\n",
	.run = run,
};
