/* SPDX-License-Identifier: MIT
 *
 * raw_userfaultfd.h - the few verbs of userfaultfd that the comparators need.
 * They do not go through the library, so that it is measured against the bare
 * mechanism. Calls return 0 or a negative errno value.
 */
#ifndef UFFDBENCH_RAW_USERFAULTFD_H
#define UFFDBENCH_RAW_USERFAULTFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Open one that also sees faults of kernel and guest accesses: the device
 * first, then the system call. Non-blocking, handshake done. */
int raw_userfaultfd_open(int *ret_fd);

/* Say on standard error which permission is missing and how to give it, after
 * raw_userfaultfd_open failed with `error`. */
void raw_userfaultfd_explain(int error);

/* Ask for the faults on missing pages of the range; no longer. */
int raw_userfaultfd_register(int fd, void *start, size_t length);
int raw_userfaultfd_unregister(int fd, void *start, size_t length);

/* Read one message. -EAGAIN when there is none, -EPROTO when it is no fault. */
int raw_userfaultfd_read(int fd, uint64_t *ret_address);

/* Install one page. One that is there already is left as it is, and whoever
 * waits for it is woken all the same. `wake` false: leave the waiters asleep. */
int raw_userfaultfd_copy(int fd, void *to, const void *from, size_t length, bool wake);

/* Wake everyone who waits for a page of the range. */
int raw_userfaultfd_wake(int fd, void *start, size_t length);

#endif
