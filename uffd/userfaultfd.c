/* SPDX-License-Identifier: MIT
 *
 * The verbs of userfaultfd(2).
 *
 * The range verbs share one contract of the kernel (mm/userfaultfd.c): success
 * means the whole range; otherwise the output field holds the bytes done so
 * far, or the negative errno value when there were none, or, with EAGAIN on
 * older kernels, is not written at all. It is preset to 0 for that last case,
 * and the three are folded into struct lm_verb.
 *
 * UFFDIO_API can be done once for each descriptor, so the features are probed
 * with one descriptor and asked for with a second.
 */
#include "uffd/userfaultfd.h"

#include "core/error.h"
#include "uffd/pagemap.h"
#include "uffd/uapi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WANTED_FEATURES                                                                            \
	((uint64_t)UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_MISSING_HUGETLBFS |                    \
	 UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS | UFFD_FEATURE_MINOR_SHMEM |    \
	 UFFD_FEATURE_POISON)

/* What telling written pages by faults takes, and by the kernel alone. */
#define WRITE_FEATURES ((uint64_t)UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM)
#define ASYNC_FEATURES (WRITE_FEATURES | UFFD_FEATURE_WP_UNPOPULATED | UFFD_FEATURE_WP_ASYNC)

static int open_device(void)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd, error;

	if (device < 0)
		return -errno;
	fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	error = -errno;
	close(device);
	return fd < 0 ? error : fd;
}

static int open_system_call(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

static bool is_refused(int error)
{
	return error == -EPERM || error == -EACCES;
}

/* The device needs only its file permissions; the system call needs a
 * capability or a sysctl, and without either it fails (no user-mode-only
 * descriptor is asked for, which would be of no use under KVM). */
static int open_either(void)
{
	int device = open_device(), fd;

	if (device >= 0)
		return device;
	if (device == -EMFILE || device == -ENFILE)
		return lm_error_errno(device, "cannot open /dev/userfaultfd");
	fd = open_system_call();
	if (fd >= 0)
		return fd;
	if (fd == -ENOSYS)
		return lm_error(-ENOSYS, "this kernel has no userfaultfd (CONFIG_USERFAULTFD)");
	if (!is_refused(fd))
		return lm_error_errno(fd, "cannot open a userfaultfd");
	return lm_error(
		-EPERM,
		"userfaultfd is not permitted: /dev/userfaultfd is %s (give access: chmod or "
		"setfacl -m u:USER:rw /dev/userfaultfd), CAP_SYS_PTRACE is missing, and "
		"vm.unprivileged_userfaultfd is 0 (sysctl vm.unprivileged_userfaultfd=1)",
		device == -ENOENT ? "missing" : "not accessible");
}

static int negotiate(int fd, uint64_t wanted, uint64_t *ret_offered)
{
	struct uffdio_api api = {.api = UFFD_API, .features = wanted};

	if (ioctl(fd, UFFDIO_API, &api) != 0)
		return lm_error_errno(-errno, "userfaultfd: UFFDIO_API refused features 0x%llx",
				      (unsigned long long)wanted);
	*ret_offered = api.features;
	return 0;
}

static int probe(uint64_t *ret_offered)
{
	int fd = open_either(), error;

	if (fd < 0)
		return fd;
	error = negotiate(fd, 0, ret_offered);
	close(fd);
	return error;
}

int lm_userfaultfd_check(void)
{
	uint64_t offered = 0;

	return probe(&offered);
}

static int open_with(uint64_t features, int *ret_fd)
{
	uint64_t granted = 0;
	int fd = open_either(), error;

	if (fd < 0)
		return fd;
	error = negotiate(fd, features, &granted);
	if (error != 0) {
		close(fd);
		return error;
	}
	*ret_fd = fd;
	return 0;
}

int lm_userfaultfd_open(int *ret_fd)
{
	uint64_t offered = 0;
	int error = probe(&offered);

	return error != 0 ? error : open_with(offered & WANTED_FEATURES, ret_fd);
}

static bool has_all(uint64_t offered, uint64_t features)
{
	return (offered & features) == features;
}

int lm_userfaultfd_open_tracking(enum lazymem_tracking most, int *ret_fd,
				 enum lazymem_tracking *ret_tracking)
{
	enum lazymem_tracking tracking = LAZYMEM_TRACKING_POPULATED;
	uint64_t offered = 0, features;
	int error = probe(&offered);

	if (error != 0)
		return error;
	features = offered & WANTED_FEATURES;
	if (most == LAZYMEM_TRACKING_KERNEL && has_all(offered, ASYNC_FEATURES) &&
	    lm_pagemap_can_collect()) {
		features |= ASYNC_FEATURES;
		tracking = LAZYMEM_TRACKING_KERNEL;
	} else if (most != LAZYMEM_TRACKING_POPULATED && has_all(offered, WRITE_FEATURES)) {
		features |= WRITE_FEATURES;
		tracking = LAZYMEM_TRACKING_FAULTS;
	}
	error = open_with(features, ret_fd);
	if (error == 0)
		*ret_tracking = tracking;
	return error;
}

static unsigned capabilities(uint64_t ioctls)
{
	unsigned can = 0;

	if (ioctls & (1ull << _UFFDIO_COPY))
		can |= LM_CAN_COPY;
	if (ioctls & (1ull << _UFFDIO_ZEROPAGE))
		can |= LM_CAN_ZERO;
	if (ioctls & (1ull << _UFFDIO_CONTINUE))
		can |= LM_CAN_CONTINUE;
	if (ioctls & (1ull << _UFFDIO_POISON))
		can |= LM_CAN_POISON;
	return can;
}

static int register_mode(int fd, void *host, size_t length, uint64_t mode, unsigned *ret_can)
{
	struct uffdio_register argument = {
		.range = {.start = (uintptr_t)host, .len = length},
		.mode = mode,
	};

	if (ioctl(fd, UFFDIO_REGISTER, &argument) != 0)
		return -errno;
	*ret_can = capabilities(argument.ioctls);
	return 0;
}

int lm_userfaultfd_register(int fd, void *host, size_t length, unsigned modes, unsigned *ret_can)
{
	const uint64_t mode =
		UFFDIO_REGISTER_MODE_MISSING | (modes & LM_FOR_WRITE ? UFFDIO_REGISTER_MODE_WP : 0);
	int error = -EINVAL;

	if (modes & LM_FOR_MINOR)
		error = register_mode(fd, host, length, mode | UFFDIO_REGISTER_MODE_MINOR, ret_can);
	if (error == -EINVAL)
		error = register_mode(fd, host, length, mode, ret_can);
	if (error != 0)
		return lm_error_errno(error, "userfaultfd cannot register %p+0x%zx", host, length);
	return 0;
}

int lm_userfaultfd_unregister(int fd, void *host, size_t length)
{
	struct uffdio_range range = {.start = (uintptr_t)host, .len = length};

	return ioctl(fd, UFFDIO_UNREGISTER, &range) != 0 ? -errno : 0;
}

static struct lm_verb verb_result(int answer, int errno_value, int64_t output, size_t length)
{
	if (answer == 0)
		return (struct lm_verb){.error = 0, .done = length};
	return (struct lm_verb){
		.error = -errno_value,
		.done = output > 0 ? (uint64_t)output : 0,
	};
}

struct lm_verb lm_userfaultfd_copy(int fd, void *host, const void *source, size_t length,
				   unsigned how)
{
	struct uffdio_copy argument = {
		.dst = (uintptr_t)host,
		.src = (uintptr_t)source,
		.len = length,
		.mode = (how & LM_WAKE ? 0 : UFFDIO_COPY_MODE_DONTWAKE) |
			(how & LM_PROTECT ? UFFDIO_COPY_MODE_WP : 0),
	};
	int answer = ioctl(fd, UFFDIO_COPY, &argument);

	return verb_result(answer, errno, argument.copy, length);
}

struct lm_verb lm_userfaultfd_zero(int fd, void *host, size_t length)
{
	struct uffdio_zeropage argument = {.range = {.start = (uintptr_t)host, .len = length}};
	int answer = ioctl(fd, UFFDIO_ZEROPAGE, &argument);

	return verb_result(answer, errno, argument.zeropage, length);
}

struct lm_verb lm_userfaultfd_continue(int fd, void *host, size_t length, unsigned how)
{
	struct uffdio_continue argument = {
		.range = {.start = (uintptr_t)host, .len = length},
		.mode = how & LM_PROTECT ? UFFDIO_CONTINUE_MODE_WP : 0,
	};
	int answer = ioctl(fd, UFFDIO_CONTINUE, &argument);

	return verb_result(answer, errno, argument.mapped, length);
}

struct lm_verb lm_userfaultfd_poison(int fd, void *host, size_t length)
{
	struct uffdio_poison argument = {.range = {.start = (uintptr_t)host, .len = length}};
	int answer = ioctl(fd, UFFDIO_POISON, &argument);

	return verb_result(answer, errno, argument.updated, length);
}

int lm_userfaultfd_protect(int fd, void *host, size_t length, bool protect)
{
	struct uffdio_writeprotect argument = {
		.range = {.start = (uintptr_t)host, .len = length},
		.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return ioctl(fd, UFFDIO_WRITEPROTECT, &argument) != 0 ? -errno : 0;
}

int lm_userfaultfd_wake(int fd, void *host, size_t length)
{
	struct uffdio_range range = {.start = (uintptr_t)host, .len = length};

	return ioctl(fd, UFFDIO_WAKE, &range) != 0 ? -errno : 0;
}

static struct lm_message decode(const struct uffd_msg *message)
{
	switch (message->event) {
	case UFFD_EVENT_PAGEFAULT:
		return (struct lm_message){
			.kind = LM_MESSAGE_FAULT,
			.start = message->arg.pagefault.address,
			.minor = (message->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR) != 0,
			.write = (message->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP) != 0,
		};
	case UFFD_EVENT_REMOVE:
		return (struct lm_message){
			.kind = LM_MESSAGE_REMOVE,
			.start = message->arg.remove.start,
			.length = message->arg.remove.end - message->arg.remove.start,
		};
	default:
		return (struct lm_message){.kind = LM_MESSAGE_OTHER};
	}
}

int lm_userfaultfd_read(int fd, struct lm_message *messages)
{
	struct uffd_msg raw[LM_MESSAGE_BATCH];
	ssize_t size;
	int count;

	do {
		size = read(fd, raw, sizeof(raw));
	} while (size < 0 && errno == EINTR);
	if (size < 0)
		return errno == EAGAIN ? 0 : -errno;
	count = (int)((size_t)size / sizeof(raw[0]));
	for (int i = 0; i < count; i++)
		messages[i] = decode(&raw[i]);
	return count;
}
