/* SPDX-License-Identifier: MIT
 *
 * overlay_test.c - a guest that runs on a snapshot with an overlay over it: what it
 * has synced is there when it is restored again, however it ended, and the snapshot
 * is as it was.
 *
 * The one that is killed is this program with arguments: a process of its own.
 */
#include <fcntl.h>
#include <lazymem/bytes.h>
#include <lazymem/overlay.h>
#include <lazymem/snapshot_write.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/image.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 8u

extern char **environ;

/* ---- a snapshot and an overlay -------------------------------------------- */

struct world {
	struct image image;
	char *base, *overlay;
	size_t page;
	enum memory_kind kind;
	unsigned char *base_bytes;
	size_t base_length;
};

static unsigned char *read_file(const char *path, size_t *ret_length)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	unsigned char *bytes;

	assert_int_equal(fstat(fd, &status), 0);
	*ret_length = (size_t)status.st_size;
	bytes = malloc(*ret_length);
	assert_int_equal(read(fd, bytes, *ret_length), *ret_length);
	close(fd);
	return bytes;
}

static void write_snapshot(struct world *world)
{
	struct lazymem_snapshot_plan plan = {.size = sizeof(plan)};

	assert_ok(lazymem_bytes_create(world->image.bytes, world->image.length, NULL, NULL,
				       &plan.source));
	assert_ok(lazymem_snapshot_write(world->base, &plan));
	lazymem_backing_unref(plan.source);
	world->base_bytes = read_file(world->base, &world->base_length);
}

static void world_begin(struct world *world, void **state)
{
	*world = (struct world){.kind = kind_of(state), .page = page_size_of(kind_of(state))};
	world->base = strdup(scratch_path("base"));
	world->overlay = strdup(scratch_path("overlay"));
	(void)unlink(world->overlay);
	image_create(&world->image, PAGES * world->page, "ddzd", 17);
	write_snapshot(world);
}

static void world_end(struct world *world)
{
	size_t length;
	unsigned char *bytes = read_file(world->base, &length);

	assert_int_equal(length, world->base_length);
	assert_memory_equal(bytes, world->base_bytes, length);
	free(bytes);
	free(world->base_bytes);
	free(world->base);
	free(world->overlay);
	image_destroy(&world->image);
}

/* ---- a guest on it -------------------------------------------------------- */

static void guest_restore(struct guest *guest, enum memory_kind kind, const char *base,
			  const char *overlay)
{
	const struct lazymem_attach_options options = {.size = sizeof(options),
						       .flags = LAZYMEM_ATTACH_WRITE_BACK};
	struct lazymem_snapshot *snapshot;
	struct lazymem_backing *memory;

	assert_ok(lazymem_snapshot_open(base, NULL, &snapshot));
	assert_ok(lazymem_overlay_open(overlay, lazymem_snapshot_backing(snapshot), NULL, &memory));
	guest_map(guest, kind, PAGES * page_size_of(kind), 0, memory);
	guest_attach(guest, NULL, &options);
	lazymem_backing_unref(memory);
	lazymem_snapshot_unref(snapshot);
}

static void restore(struct guest *guest, const struct world *world)
{
	guest_restore(guest, world->kind, world->base, world->overlay);
}

static unsigned char *page_at(const struct guest *guest, size_t page)
{
	return guest->host + page * guest->page;
}

static void sync_all(const struct guest *guest)
{
	assert_ok(lazymem_memory_sync(guest->memory, guest_address(0), guest->length));
}

static void discard(const struct guest *guest, size_t page, size_t count)
{
	assert_ok(lazymem_mapping_discard(guest->mapping, page * guest->page, count * guest->page));
}

static void expect_stamp(struct world *world, size_t page)
{
	world->image.bytes[page * world->page] = STAMP;
}

static void expect_zeros(struct world *world, size_t page, size_t count)
{
	memset(world->image.bytes + page * world->page, 0, count * world->page);
}

static void assert_guest_has_it(const struct world *world, const struct guest *guest)
{
	for (size_t page = 0; page < PAGES; page++)
		if (memcmp(page_at(guest, page), world->image.bytes + page * world->page,
			   world->page) != 0)
			fail_msg("page %zu is not what was synced", page);
}

static void assert_is_restored(const struct world *world)
{
	struct guest guest;

	restore(&guest, world);
	assert_guest_has_it(world, &guest);
	guest_end(&guest);
}

/* ---- tests ---------------------------------------------------------------- */

static void test_a_guest_goes_on_where_it_was_synced(void **state)
{
	struct world world;
	struct guest guest;

	world_begin(&world, state);
	restore(&guest, &world);
	stamp(page_at(&guest, 1));
	stamp(page_at(&guest, 5));
	discard(&guest, 3, 2);
	sync_all(&guest);
	guest_end(&guest);
	expect_stamp(&world, 1);
	expect_stamp(&world, 5);
	expect_zeros(&world, 3, 2);
	assert_is_restored(&world);

	restore(&guest, &world);
	stamp(page_at(&guest, 4)); /* was discarded */
	discard(&guest, 5, 1);     /* was written */
	sync_all(&guest);
	assert_ok(lazymem_attachment_finish(guest.attachment));
	guest.attachment = NULL;
	guest_end(&guest);
	expect_stamp(&world, 4);
	expect_zeros(&world, 5, 1);
	assert_is_restored(&world);
	world_end(&world);
}

/* What the process does that is killed. */
static int run_and_die(char **arguments)
{
	struct guest guest;

	guest_restore(&guest, (enum memory_kind)atoi(arguments[0]), arguments[1], arguments[2]);
	stamp(page_at(&guest, 1));
	discard(&guest, 2, 2);
	stamp(page_at(&guest, 3));
	sync_all(&guest);
	stamp(page_at(&guest, 6));
	discard(&guest, 7, 1);
	raise(SIGKILL);
	return 1;
}

static void run_until_it_is_killed(const struct world *world)
{
	char kind[8];
	char *arguments[] = {"overlay_test", kind, world->base, world->overlay, NULL};
	pid_t child;
	int status;

	snprintf(kind, sizeof(kind), "%d", (int)world->kind);
	assert_int_equal(posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_what_was_synced_is_there_after_a_kill_and_nothing_else(void **state)
{
	struct world world;

	world_begin(&world, state);
	run_until_it_is_killed(&world);
	expect_stamp(&world, 1);
	expect_zeros(&world, 2, 2);
	expect_stamp(&world, 3);
	assert_is_restored(&world);
	run_until_it_is_killed(&world);
	assert_is_restored(&world);
	world_end(&world);
}

static void test_what_a_guest_has_synced_becomes_a_layer(void **state)
{
	struct lazymem_snapshot_plan plan = {.size = sizeof(plan), .parent_path = "base"};
	struct lazymem_snapshot *parent, *layer;
	struct world world;
	struct guest guest;
	char *path;

	world_begin(&world, state);
	restore(&guest, &world);
	stamp(page_at(&guest, 2));
	discard(&guest, 0, 1);
	sync_all(&guest);
	guest_end(&guest);
	expect_stamp(&world, 2);
	expect_zeros(&world, 0, 1);

	path = strdup(scratch_path("layer"));
	assert_ok(lazymem_snapshot_open(world.base, NULL, &parent));
	assert_ok(lazymem_overlay_open(world.overlay, lazymem_snapshot_backing(parent), NULL,
				       &plan.source));
	plan.parent = parent;
	assert_ok(lazymem_snapshot_write(path, &plan));
	lazymem_backing_unref(plan.source);
	lazymem_snapshot_unref(parent);
	assert_ok(lazymem_snapshot_open(path, NULL, &layer));
	guest_start(&guest, world.kind, PAGES * world.page, lazymem_snapshot_backing(layer));
	assert_guest_has_it(&world, &guest);
	guest_end(&guest);
	lazymem_snapshot_unref(layer);
	free(path);
	world_end(&world);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_a_guest_goes_on_where_it_was_synced),
		TEST_EACH_KIND(test_what_was_synced_is_there_after_a_kill_and_nothing_else),
		TEST_EACH_KIND(test_what_a_guest_has_synced_becomes_a_layer),
	};

	require_faults();
	if (argc == 4)
		return run_and_die(argv + 1);
	require_hugetlb(BLOCK, PAGES);
	return run_group(tests);
}
