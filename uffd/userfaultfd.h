/* SPDX-License-Identifier: MIT
 *
 * userfaultfd.h - the verbs of userfaultfd(2), thin and without policy. What a
 * verb answered is told apart here once; what to do about it is decided in
 * populate.c.
 */
#ifndef LM_USERFAULTFD_H
#define LM_USERFAULTFD_H

#include <lazymem/handler.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a registered range can be asked, as UFFDIO_REGISTER answered. */
#define LM_CAN_COPY (1u << 0)
#define LM_CAN_ZERO (1u << 1)
#define LM_CAN_CONTINUE (1u << 2)
#define LM_CAN_POISON (1u << 3)

/* How far a verb came. error is 0 when the whole range is done; otherwise
 * `done` bytes from its start are, and error says why the rest is not:
 *  -EEXIST  the first page left is there already; nobody was woken for it
 *  -EAGAIN  done > 0: go on from there; done == 0: an event is unread or the
 *           layout of the address space is changing
 *  -ENOENT  the range is no longer registered, or no longer mapped
 *  -ESRCH   the address space is gone
 *  -EFAULT  CONTINUE: no page in the page cache
 *  -ENOMEM, -ENOSPC, -EINVAL, ... */
struct lm_verb {
	int error;
	uint64_t done;
};

enum lm_message_kind {
	LM_MESSAGE_FAULT,
	LM_MESSAGE_REMOVE, /* madvise gives the range back */
	LM_MESSAGE_OTHER,  /* nothing that was asked for */
};

struct lm_message {
	enum lm_message_kind kind;
	uint64_t start;  /* host address of the fault or of the range */
	uint64_t length; /* bytes of the range; 0 for a fault */
	bool minor;      /* the page is in the page cache, and not mapped */
	bool write;      /* the page is there and write-protected, and was written to */
};

#define LM_MESSAGE_BATCH 64

/* Can faults of kernel accesses be served? 0, or a negative errno value with
 * the permission that is missing in the message. */
int lm_userfaultfd_check(void);

/* A non-blocking descriptor with every feature that the kernel has and this
 * library uses. Errors as above, and -EMFILE. */
int lm_userfaultfd_open(int *ret_fd);

/* The same, able to tell written pages: in the best way that the kernel has, at
 * most `most`, which is KERNEL or FAULTS; *ret_tracking is POPULATED where it
 * has none. */
int lm_userfaultfd_open_tracking(enum lazymem_tracking most, int *ret_fd,
				 enum lazymem_tracking *ret_tracking);

/* How to register [host, host + length): always for missing pages. */
#define LM_FOR_MINOR (1u << 0) /* and minor faults, where the kernel can */
#define LM_FOR_WRITE (1u << 1) /* and writes to protected pages */

/* *ret_can is LM_CAN_*. */
int lm_userfaultfd_register(int fd, void *host, size_t length, unsigned modes, unsigned *ret_can);
int lm_userfaultfd_unregister(int fd, void *host, size_t length);

/* How pages are installed. */
#define LM_WAKE                                                                                    \
	(1u << 0)            /* whoever waits for a page of the range goes on; else somebody
			      * has to lm_userfaultfd_wake them */
#define LM_PROTECT (1u << 1) /* write-protected */

struct lm_verb lm_userfaultfd_copy(int fd, void *host, const void *source, size_t length,
				   unsigned how);
struct lm_verb lm_userfaultfd_zero(int fd, void *host, size_t length);
/* Always wakes. */
struct lm_verb lm_userfaultfd_continue(int fd, void *host, size_t length, unsigned how);
struct lm_verb lm_userfaultfd_poison(int fd, void *host, size_t length);
/* Write-protect pages, or no more, which wakes who waits to write. 0 or a
 * negative errno value; -EAGAIN: the layout is changing. */
int lm_userfaultfd_protect(int fd, void *host, size_t length, bool protect);
int lm_userfaultfd_wake(int fd, void *host, size_t length);

/* Up to LM_MESSAGE_BATCH messages. Returns how many; 0 when there are none
 * left; or a negative errno value. */
int lm_userfaultfd_read(int fd, struct lm_message *messages);

#endif
