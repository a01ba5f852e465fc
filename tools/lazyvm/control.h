/* SPDX-License-Identifier: MIT
 *
 * control.h - the control socket of a running machine: a unix socket, one line
 * a command, one line an answer: `ok ...`, or `error` and a sentence.
 *
 * Every connection has a thread, so that a command that takes long holds up no
 * other. What a verb may do is up to its own locks (monitor.h).
 */
#ifndef LAZYVM_CONTROL_H
#define LAZYVM_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#define CONTROL_LINE_MAX 4096 /* bytes of a command and of an answer, with its newline */
#define CONTROL_WORDS_MAX 16
#define CONTROL_CONNECTIONS_MAX 16

struct monitor;

/* What a verb answers. It begins as an empty `ok`. */
struct control_answer {
	bool is_error;
	char text[CONTROL_LINE_MAX - 16];
	int connection; /* to see whether who asked is still there; never written to by a verb */
};

/* What a command does: a file of its own, verb_NAME.c. words[0] is its name. */
struct control_verb {
	const char *name;
	const char *usage;  /* what follows the name */
	size_t words_least; /* with its name */
	size_t words_most;
	void (*run)(struct monitor *monitor, char *const *words, size_t count,
		    struct control_answer *answer);
};

/* All of them, in control_verbs.c; NULL ends them. */
extern const struct control_verb *const control_verbs[];

void control_ok(struct control_answer *answer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void control_error(struct control_answer *answer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The server. Its socket is made (a stale one is replaced, another one is refused) and
 * served by threads of its own. 0, or -1 and a sentence in fault_message(). */
struct control;
int control_start(const char *path, struct monitor *monitor, struct control **ret_control);

/* Close, remove the socket, and wait for verbs that run. NULL is allowed. */
void control_stop(struct control *control);

/* The client: send one command, wait for its answer, and print what follows `ok`, or
 * complain of the error. Returns the exit status of the process. */
int control_ask(const char *path, char *const *words, size_t count);

#endif
