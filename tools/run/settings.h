/* SPDX-License-Identifier: MIT
 *
 * settings.h - what `lazymem run` tells the library that it preloads into the
 * program, and what that tells it back, both in one memfd which the program
 * inherits as the descriptor named by the variable RUN_ENVIRONMENT.
 *
 *   page 0      the board: counters, shared by both while the program runs
 *   afterwards  the settings: strings that end in NUL, written once
 */
#ifndef RUN_SETTINGS_H
#define RUN_SETTINGS_H

#include <lazymem/handler.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* "FD", or "FD:PRELOADED": what LD_PRELOAD was before, if it was set. */
#define RUN_ENVIRONMENT "LAZYMEM_RUN"

enum run_prefetch { RUN_PREFETCH_NONE, RUN_PREFETCH_TRACE, RUN_PREFETCH_ALL };

/* One --memory PATH=IMAGE[,DIFF...]. Memory i lies at guest addresses from
 * run_memory_base(settings, i) on; with one memory, that is 0, so that an
 * address in a trace is an offset in the file. */
struct run_memory {
	const char *path;  /* absolute: the file that the program maps */
	const char *image; /* absolute path, or paths with commas between them */
	uint64_t device;   /* st_dev, st_ino of the file at path */
	uint64_t inode;
	uint64_t length;    /* bytes of the file */
	uint64_t page_size; /* of its file system: 4 KiB, or that of hugetlbfs */
};

struct run_settings {
	struct run_memory *memories;
	size_t memory_count;
	const char *record; /* write the trace there at the end; or NULL */
	const char *replay; /* this trace; NULL: the snapshot's own, if there is one */
	enum run_prefetch prefetch;
	bool complete; /* at exit, populate the rest, so that the file is whole */
};

/* Where the process that serves stands. */
enum run_phase {
	RUN_WAITING, /* nobody has mapped a memory yet */
	RUN_SERVING,
	RUN_ENDED, /* the last counters, by an orderly exit */
};

/* Who maps a memory first becomes `owner`, by compare and exchange from 0;
 * nobody else may map one. The counters are copied by the owner ten times a
 * second and at its end; `turn` is odd while it writes. */
struct run_board {
	_Atomic uint32_t turn;
	_Atomic int32_t owner; /* process id, or 0 */
	_Atomic uint32_t phase;
	uint64_t start_ns;   /* CLOCK_MONOTONIC of the first mapping */
	uint64_t now_ns;     /* of this copy */
	uint64_t first_ns;   /* of the first fault that was served; 0: none yet */
	uint64_t not_traced; /* errno of a trace that was refused, or 0 */
	struct lazymem_statistics statistics;
};

/* Who serves a file has an open-file-description lock on this byte of it, behind the end of
 * any file. */
#define RUN_LOCKED_BYTE ((off_t)1 << 62)

/* Is the file served by another run than the one that `fd` is of? errno is not kept. */
bool run_is_locked_by_run(int fd);

/* Guest address of memory `index`: the ones before it, each rounded up to 1 GiB. */
uint64_t run_memory_base(const struct run_settings *settings, size_t index);

/* A memfd that holds an empty board and the settings; not close-on-exec. 0, or
 * -1 after a message. */
int run_settings_store(const struct run_settings *settings, int *ret_fd);

/* The board and the settings of a memfd, checked like any input; both stay
 * mapped for ever. NULL in *ret_settings' strings where they are not set. 0, or
 * -1 after a message. */
int run_settings_load(int fd, struct run_settings *ret_settings, struct run_board **ret_board);

/* A copy of the board; consistent, unless its writer died while it wrote. */
void run_board_read(const struct run_board *board, struct run_board *ret_copy);

#endif
