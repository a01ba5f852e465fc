/* SPDX-License-Identifier: MIT
 *
 * run_program_unmap.c - views that go, move, shrink and grow.
 */
#include "run_program.h"

#include <signal.h>
#include <string.h>

void unmap(struct target *t)
{
	const size_t part = t->size / 8;
	char *at = map_whole(t);

	expect(t, at, 0, part / 2, IMAGE);
	fill(t, at + part, part, part, WRITTEN);
	/* The middle, of a page that was touched and of one that was not. */
	CHECK(munmap(at + part, 2 * part) == 0);
	CHECK(signal_of_read(at + part) == SIGSEGV);
	CHECK(signal_of_read(at + 3 * part - 1) == SIGSEGV);
	expect(t, at, 0, part, IMAGE);
	expect(t, at + 3 * part, 3 * part, part, IMAGE);
	/* The tail, the head, and what is in pieces by then. */
	CHECK(munmap(at + 6 * part, t->size - 6 * part) == 0);
	expect(t, at + 5 * part, 5 * part, part, IMAGE);
	CHECK(signal_of_read(at + 6 * part) == SIGSEGV);
	CHECK(munmap(at, t->page) == 0);
	CHECK(munmap(at, t->size) == 0);
	CHECK(signal_of_read(at + 5 * part) == SIGSEGV);
	/* Again, in the same place. */
	CHECK(mmap(at, t->size, BOTH, MAP_SHARED | MAP_FIXED, t->fd, 0) == at);
	expect(t, at, 0, part, IMAGE);
	expect(t, at + part, part, part, WRITTEN);
	expect(t, at + 2 * part, 2 * part, t->size - 2 * part, IMAGE);
	for (int i = 0; i < 50; i++) {
		CHECK(munmap(at, t->size) == 0);
		at = map(t, 0, t->size, BOTH, i % 2 == 0 ? MAP_SHARED : MAP_PRIVATE);
		expect(t, at + 4 * part, 4 * part, t->page, IMAGE);
	}
}

void shrink(struct target *t)
{
	const size_t half = t->size / 2 / t->page * t->page;
	char *at = map_whole(t);

	expect(t, at + half, half, t->page, IMAGE);
	CHECK(mremap(at, t->size, half, 0) == at);
	CHECK(signal_of_read(at + half) == SIGSEGV);
	expect(t, at, 0, half, IMAGE);
	CHECK(mremap(at, half, t->page, MREMAP_MAYMOVE) == at);
	CHECK(signal_of_read(at + t->page) == SIGSEGV);
	expect(t, at, 0, t->page, IMAGE);
	expect(t, map_whole(t), 0, t->size, IMAGE);
}

/* Room for a view, with nothing behind its first `length` bytes. */
static char *with_room(const struct target *t, size_t length, int flags)
{
	char *room = reserve(t->size + 16 * t->page);

	CHECK(mmap(room, length, BOTH, flags | MAP_FIXED, t->fd, 0) == room);
	CHECK(munmap(room + length, t->size + 16 * t->page - length) == 0);
	return room;
}

static void grow_in_place(const struct target *t, int flags)
{
	const size_t part = t->size / 8;
	char *at = with_room(t, part, flags);

	fill(t, at, 0, t->page, WRITTEN);
	CHECK(mremap(at, part, 2 * part, 0) == at);
	expect(t, at + part, part, part, IMAGE);
	fill(t, at + part, part, t->page, WRITTEN);
	CHECK(mremap(at, 2 * part, t->size + t->page, 0) == at);
	expect(t, at + 2 * part, 2 * part, t->size - 2 * part, IMAGE);
	CHECK(signal_of_read(at + t->size) == SIGBUS);
	expect(t, at, 0, t->page, WRITTEN);
	expect(t, at + t->page, t->page, part - t->page, IMAGE);
	expect(t, at + part, part, t->page, WRITTEN);
	fill(t, at, 0, t->page, IMAGE);
	fill(t, at + part, part, t->page, IMAGE);
	CHECK(munmap(at, t->size + t->page) == 0);
}

void grow(struct target *t)
{
	const size_t part = t->size / 8;
	char *at;

	grow_in_place(t, MAP_PRIVATE);
	grow_in_place(t, MAP_SHARED);
	/* Where there is no room, it moves or stays as it was. */
	at = reserve(t->size);
	CHECK(mmap(at, part, PROT_READ, MAP_SHARED | MAP_FIXED, t->fd, (off_t)part) == at);
	CHECK(mremap(at, part, 2 * part, 0) == MAP_FAILED && errno == ENOMEM);
	expect(t, at, part, part, IMAGE);
	at = mremap(at, part, 4 * part, MREMAP_MAYMOVE);
	CHECK(at != MAP_FAILED);
	expect(t, at, part, 4 * part, IMAGE);
	CHECK(signal_of_write(at) == SIGSEGV && signal_of_write(at + 2 * part) == SIGSEGV);
}

/* A private view and a shared one behind it at once, which not every kernel
 * moves. */
static void move_several(const struct target *t, char *from, char *to)
{
	const size_t part = t->size / 8;
	char *at = mremap(from, 2 * part, 2 * part, MREMAP_MAYMOVE | MREMAP_FIXED, to);

	if (at == MAP_FAILED) {
		CHECK(errno == EFAULT);
		at = from;
	} else {
		CHECK(at == to && signal_of_read(from) == SIGSEGV);
	}
	expect(t, at, 0, part, IMAGE);
	expect(t, at + part, 4 * part, part, IMAGE);
}

void move(struct target *t)
{
	const size_t part = t->size / 8;
	char *at = map_whole(t);
	char *target = reserve(t->size);
	char *private;

	expect(t, at, 0, part / 2, IMAGE);
	CHECK(mremap(at, t->size, t->size, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
	CHECK(signal_of_read(at) == SIGSEGV && signal_of_read(at + t->size - 1) == SIGSEGV);
	expect(t, target, 0, 2 * part, IMAGE);
	at = reserve(t->size);
	if (t->page > 4096)
		return; /* Linux 6.18 loses count of private huge pages that move */
	/* A part of it, over another view. */
	private = map(t, 0, t->size, BOTH, MAP_PRIVATE);
	fill(t, private + 2 * part, 2 * part, part, WRITTEN);
	CHECK(mremap(target + 4 * part, part, part, MREMAP_MAYMOVE | MREMAP_FIXED,
		     private + part) == private + part);
	CHECK(signal_of_read(target + 4 * part) == SIGSEGV);
	expect(t, private + part, 4 * part, part, IMAGE);
	expect(t, private + 2 * part, 2 * part, part, WRITTEN);
	expect(t, target + 5 * part, 5 * part, part, IMAGE);
	/* What is private is taken along; it shrinks on the way. */
	fill(t, private + 6 * part, 6 * part, t->page, WRITTEN);
	CHECK(mremap(private + 6 * part, 2 * part, part, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at);
	CHECK(signal_of_read(private + 7 * part) == SIGSEGV);
	CHECK(signal_of_read(private + 6 * part) == SIGSEGV);
	expect(t, at, 6 * part, t->page, WRITTEN);
	expect(t, at + t->page, 6 * part + t->page, part - t->page, IMAGE);
	move_several(t, private, at + 4 * part);
	expect(t, target + 6 * part, 6 * part, part, IMAGE);
}

void duplicate(struct target *t)
{
	const size_t part = t->size / 8;
	char *at = map_whole(t);
	char *again;

	expect(t, at + part, part, part / 2, IMAGE);
	again = mremap(at + part, 0, 2 * part, MREMAP_MAYMOVE);
	CHECK(again != MAP_FAILED && again != at + part);
	expect(t, again, part, 2 * part, IMAGE);
	fill(t, again, part, t->page, WRITTEN);
	expect(t, at + part, part, t->page, WRITTEN);
	expect(t, at, 0, part, IMAGE);
	expect(t, at + 3 * part, 3 * part, t->size - 3 * part, IMAGE);
}

void keep_old(struct target *t)
{
	const size_t part = t->size / 8;
	char *at = map_whole(t);
	char *moved = mremap(at, 2 * part, 2 * part, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	char *private = map(t, 0, t->size, BOTH, MAP_PRIVATE);

	CHECK(moved != MAP_FAILED && moved != at);
	expect(t, at, 0, part, IMAGE);
	expect(t, moved, 0, 2 * part, IMAGE);
	fill(t, moved, 0, t->page, WRITTEN);
	expect(t, at, 0, t->page, WRITTEN);
	fill(t, private + 2 * part, 2 * part, t->page, WRITTEN);
	moved = mremap(private + 2 * part, part, part, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	CHECK(moved != MAP_FAILED);
	expect(t, moved, 2 * part, t->page, WRITTEN);
	expect(t, moved + t->page, 2 * part + t->page, part - t->page, IMAGE);
	expect(t, private + 2 * part, 2 * part, part, IMAGE);
	expect(t, at + 2 * part, 2 * part, t->size - 2 * part, IMAGE);
}
