/* SPDX-License-Identifier: MIT
 *
 * run_program.h - a plain program that maps a file, for the tests of `lazymem
 * run`: it knows nothing of this library, and finds the same with and without it.
 *
 *   run_program CASE PATH LENGTH SEED [PATH LENGTH SEED]
 *
 * Every byte of the file is known from its offset and SEED. LENGTH is the image's,
 * a multiple of 8; PATH may be longer, as far as its page size makes it, with
 * zeros. What is found wrong is said on stderr, with status 1.
 */
#ifndef RUN_PROGRAM_H
#define RUN_PROGRAM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

/* A file and what it holds at first. */
struct target {
	const char *path;
	int fd;
	size_t length; /* of the image */
	size_t size;   /* of the file */
	size_t page;
	uint64_t seed;
};

/* What a range holds: the image, zeros, or what was written at a turn. */
enum { IMAGE, ZEROS, WRITTEN };

/* To be run again. */
#define THIS_PROGRAM "/proc/self/exe"

#define BOTH (PROT_READ | PROT_WRITE)
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

_Noreturn void die(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			die(__FILE__, __LINE__, "not so: %s (errno %d)", #condition, errno);       \
	} while (0)

/* ---- run_program_content.c ------------------------------------------------------- */

/* The word of a content at an offset that is a multiple of 8. */
uint64_t content_word(const struct target *target, uint64_t offset, unsigned content);

/* Write the content of file offset `offset` at `at`. */
void fill(const struct target *target, void *at, uint64_t offset, size_t length, unsigned content);

/* Does `at` hold the content of `offset`? */
bool holds(const struct target *target, const void *at, uint64_t offset, size_t length,
	   unsigned content);

void expect_at(const char *file, int line, const struct target *target, const void *at,
	       uint64_t offset, size_t length, unsigned content);

/* The content is there, or the program ends. */
#define expect(target, at, offset, length, content)                                                \
	expect_at(__FILE__, __LINE__, target, at, offset, length, content)

/* Make the file at target->path: layer `layer` of `layers`. Only the right pages
 * of all layers together are the image. */
void make_image(const struct target *target, unsigned layer, unsigned layers);

/* ---- run_program_access.c ----------------------------------------------------------- */

struct target open_target(const char *path, const char *length, const char *seed);

/* mmap of the target's file, which must succeed. */
char *map(const struct target *target, uint64_t offset, size_t length, int protection, int flags);

/* The whole file, shared, read and write. */
char *map_whole(const struct target *target);

/* Anonymous memory without access, as a place for MAP_FIXED. */
char *reserve(size_t length);

/* The signal that one access raises, or 0. One thread at a time. */
int signal_of_read(const void *at);
int signal_of_write(void *at);

/* Bytes that the file occupies. */
uint64_t occupied(const struct target *target);

/* The next of a row of numbers below `limit`. */
uint64_t draw(uint64_t *state, uint64_t limit);

/* Run `body` in `count` threads, which get their number and `context`, and wait. */
void run_threads(size_t count, void (*body)(size_t number, void *context), void *context);

/* ---- the cases ---------------------------------------------------------------------- */

typedef void run_case(struct target *target);

/* run_program_views.c */
run_case shared_view, private_view, read_only, reservation, fixed_over, populate_flag, locked;
run_case part_of_file, beyond_file, other_paths, large_file_names, protection, some_pages;
run_case other_flags, many_views;

/* run_program_unmap.c */
run_case unmap, shrink, grow, move, duplicate, keep_old;

/* run_program_discard.c */
run_case dontneed, remove_pages, punch, punch_edges, allocate, truncate_file, populate_advice;
run_case spanning_advice, do_fork;

/* run_program_threads.c */
run_case several_views, hammer, system_calls, two_files, hold, refused, image_gone;

/* run_program_children.c */
run_case fork_exec, fork_alone, fork_and_map, fork_then_map, fork_while_mapping, spawn;
int examined_child(int argc, char **argv);

/* run_program_signals.c */
run_case signals_untouched, signal_storm, calls_in_handler, interruption, ends_with_status,
	ends_by_signal;
run_case waits_for_signal;

/* run_program_untouched.c */
run_case error_numbers, other_memory, closed_output;

/* run_program_closing.c */
run_case close_each, close_all_at_once, replace_each, without_standard, without_stderr;
run_case lock_before, map_only, cancelled, pages_in_other_order, child_stays;

/* run_program_random.c */
run_case random_calls, random_threads;

/* The second file of the command line, or NULL. */
extern struct target *second_target;

#endif
