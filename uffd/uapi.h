/* SPDX-License-Identifier: MIT
 *
 * uapi.h - <linux/userfaultfd.h>, and what headers older than the running
 * kernel lack. Included by userfaultfd.c alone.
 *
 * Source of every number: include/uapi/linux/userfaultfd.h and
 * include/uapi/linux/mman.h of Linux 6.18. What the running kernel offers is
 * asked of it (UFFDIO_API, UFFDIO_REGISTER), never taken from here.
 */
#ifndef LM_UAPI_H
#define LM_UAPI_H

#include <linux/ioctl.h>
#include <linux/userfaultfd.h>

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

#ifndef UFFD_FEATURE_POISON
#define UFFD_FEATURE_POISON (1 << 14)
#endif

#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif

#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

#ifndef UFFDIO_CONTINUE_MODE_WP
#define UFFDIO_CONTINUE_MODE_WP ((__u64)1 << 1)
#endif

#ifndef _UFFDIO_POISON
#define _UFFDIO_POISON (0x08)

struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated;
};

#define UFFDIO_POISON _IOWR(UFFDIO, _UFFDIO_POISON, struct uffdio_poison)
#endif

#endif
