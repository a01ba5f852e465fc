/* SPDX-License-Identifier: MIT
 *
 * run.h - the parts of `lazymem run`, in the order in which they are called:
 * what was asked for is checked, the files of the memories are made, the
 * environment is set, and the program is executed or supervised.
 */
#ifndef LAZYMEM_TOOL_RUN_H
#define LAZYMEM_TOOL_RUN_H

#include "run/settings.h"

#define RUN_MEMORIES_MOST 64

/* One --memory PATH=IMAGE[,DIFF...]. */
struct run_file {
	char *path;  /* absolute, to be freed */
	char *image; /* likewise; or several with commas between them */
	bool made;   /* by us: nobody has seen it yet */
};

/* The command line. */
struct run_request {
	struct run_file files[RUN_MEMORIES_MOST];
	size_t file_count;
	bool create;
	bool complete;
	bool stats;
	enum run_prefetch prefetch;
	char *record;     /* absolute, to be freed; or NULL */
	char *replay;     /* likewise */
	char **arguments; /* of the program; the first is its name */
};

/* An absolute name of the same file, to be freed; links are not followed, since
 * the parent of a snapshot is looked for where its name says. NULL after a message. */
char *run_absolute_path(const char *path);

/* Each of these: 0, or the exit status, after a message that names the culprit. */

/* Can this process, and so the program, serve faults? */
int run_check_permission(void);

/* What the program is, and that the library will be loaded into it. The file to
 * execute, to be freed. */
int run_check_program(const char *name, char **ret_path);

/* The images; fills in the length that each has. */
int run_check_images(const struct run_request *request, uint64_t *lengths);

/* Where the trace is to be written; and the trace to be replayed, which is given
 * up, with a message, when it is none or belongs to another image. */
int run_check_record(const struct run_request *request);
void run_check_replay(struct run_request *request);

/* The files that the program maps: make them, if that was asked for, and check
 * them; fills in all of `memories`. After a failure nothing that was made is left. */
int run_prepare_files(struct run_request *request, const uint64_t *lengths,
		      struct run_memory *memories);

/* Have the library loaded into what is executed next, which finds its settings
 * in the descriptor. */
int run_set_environment(int settings_fd);

/* Nothing of another `lazymem run` is in the environment, and our library is where
 * it should be. */
int run_check_environment(void);

/* Execute the program as a child, pass signals on to it, and print a summary at
 * its end, and whenever SIGUSR1 comes. Returns its exit status, or ends as it did. */
int run_supervise(const char *path, char **arguments, int settings_fd);

/* To standard error. */
void run_print_summary(const struct run_board *board, const struct run_settings *settings);

#endif
