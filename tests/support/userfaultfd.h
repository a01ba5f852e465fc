/* SPDX-License-Identifier: MIT
 *
 * userfaultfd.h - a userfaultfd that a monitor has opened itself.
 */
#ifndef TEST_USERFAULTFD_H
#define TEST_USERFAULTFD_H

#include "harness.h"

/* Open, O_NONBLOCK, UFFDIO_API done with EVENT_REMOVE and what shared memory
 * and hugetlb need; with `all_features` everything this kernel offers that
 * does not change who is told of what. Fails the test when that cannot be. */
int userfaultfd_open(bool all_features);

/* Open, but UFFDIO_API not done. */
int userfaultfd_open_raw(void);

/* Register for missing pages. */
void userfaultfd_register(int fd, void *start, size_t length, bool minor);

/* Install pages that no fault has asked for. */
void userfaultfd_copy(int fd, void *to, const void *from, size_t length);

#endif
