/* SPDX-License-Identifier: MIT
 *
 * make_overlay - change an overlay over a snapshot, for the tests of the lazymem
 * command.
 *
 *   make_overlay OVERLAY SNAPSHOT [write OFFSET FILE | discard OFFSET LENGTH | hold]...
 *
 * The overlay is made if it is not there. "hold" keeps it open until standard input
 * ends, after a line on standard output.
 */
#include <lazymem/overlay.h>
#include <lazymem/snapshot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "make_overlay: %s\n", what);
	exit(1);
}

static void check(int error)
{
	if (error != 0)
		fail(lazymem_error_message());
}

static void write_file(struct lazymem_backing *overlay, uint64_t offset, const char *path)
{
	static unsigned char bytes[1 << 20];
	FILE *file = fopen(path, "re");
	size_t length;

	if (file == NULL)
		fail(path);
	while ((length = fread(bytes, 1, sizeof(bytes), file)) > 0) {
		check(lazymem_backing_write(overlay, offset, bytes, length));
		offset += length;
	}
	fclose(file);
}

static void hold(void)
{
	puts("open");
	fflush(stdout);
	while (getchar() != EOF)
		;
}

int main(int argc, char **argv)
{
	struct lazymem_snapshot *snapshot;
	struct lazymem_backing *overlay;

	if (argc < 3)
		fail("which overlay?");
	check(lazymem_snapshot_open(argv[2], NULL, &snapshot));
	check(lazymem_overlay_open(argv[1], lazymem_snapshot_backing(snapshot), NULL, &overlay));
	for (int i = 3; i < argc; i++) {
		if (strcmp(argv[i], "hold") == 0) {
			hold();
			continue;
		}
		if (i + 2 >= argc)
			fail(argv[i]);
		if (strcmp(argv[i], "write") == 0)
			write_file(overlay, strtoull(argv[i + 1], NULL, 0), argv[i + 2]);
		else
			check(lazymem_backing_discard(overlay, strtoull(argv[i + 1], NULL, 0),
						      strtoull(argv[i + 2], NULL, 0)));
		i += 2;
	}
	check(lazymem_backing_flush(overlay));
	lazymem_backing_unref(overlay);
	lazymem_snapshot_unref(snapshot);
	return 0;
}
