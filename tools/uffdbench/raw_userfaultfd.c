/* SPDX-License-Identifier: MIT
 *
 * The only file of uffdbench that knows <linux/userfaultfd.h>.
 *
 * Three things can give permission: access to /dev/userfaultfd, the capability
 * CAP_SYS_PTRACE, or vm.unprivileged_userfaultfd. A descriptor for user-mode
 * faults only needs none of them, but no monitor can use it.
 */
#include "raw_userfaultfd.h"
#include "complain.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEVICE "/dev/userfaultfd"
#define SYSCTL "/proc/sys/vm/unprivileged_userfaultfd"

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

static int open_device(void)
{
	int device = open(DEVICE, O_RDWR | O_CLOEXEC);
	int fd;

	if (device < 0)
		return -errno;
	fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		fd = -errno;
	close(device);
	return fd;
}

static int open_any(void)
{
	int fd = open_device();

	if (fd >= 0)
		return fd;
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int raw_userfaultfd_open(int *ret_fd)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd = open_any();

	if (fd < 0)
		return fd;
	if (ioctl(fd, UFFDIO_API, &api) != 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	*ret_fd = fd;
	return 0;
}

static char read_sysctl(void)
{
	FILE *file = fopen(SYSCTL, "re");
	int digit = file != NULL ? fgetc(file) : EOF;

	if (file != NULL)
		fclose(file);
	return digit == EOF ? '?' : (char)digit;
}

void raw_userfaultfd_explain(int error)
{
	const char *device = access(DEVICE, R_OK | W_OK) == 0 ? "accessible" : strerror(errno);

	if (error == -ENOSYS) {
		complain("this kernel has no userfaultfd (CONFIG_USERFAULTFD)");
		return;
	}
	if (error != -EPERM && error != -EACCES) {
		complain("userfaultfd: %s", strerror(-error));
		return;
	}
	complain("no permission for userfaultfd: " DEVICE ": %s; "
		 "CAP_SYS_PTRACE: missing; vm.unprivileged_userfaultfd: %c",
		 device, read_sysctl());
	complain("give one of them: setfacl -m u:USER:rw " DEVICE
		 ", or setcap cap_sys_ptrace+ep UFFDBENCH, "
		 "or sysctl vm.unprivileged_userfaultfd=1");
}

int raw_userfaultfd_register(int fd, void *start, size_t length)
{
	struct uffdio_register registration = {
		.range = {.start = (uintptr_t)start, .len = length},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return ioctl(fd, UFFDIO_REGISTER, &registration) == 0 ? 0 : -errno;
}

int raw_userfaultfd_unregister(int fd, void *start, size_t length)
{
	struct uffdio_range range = {.start = (uintptr_t)start, .len = length};

	return ioctl(fd, UFFDIO_UNREGISTER, &range) == 0 ? 0 : -errno;
}

int raw_userfaultfd_read(int fd, uint64_t *ret_address)
{
	struct uffd_msg message;
	ssize_t count = read(fd, &message, sizeof(message));

	if (count < 0)
		return -errno;
	if (count != (ssize_t)sizeof(message) || message.event != UFFD_EVENT_PAGEFAULT)
		return -EPROTO;
	*ret_address = message.arg.pagefault.address;
	return 0;
}

int raw_userfaultfd_wake(int fd, void *start, size_t length)
{
	struct uffdio_range range = {.start = (uintptr_t)start, .len = length};

	return ioctl(fd, UFFDIO_WAKE, &range) == 0 ? 0 : -errno;
}

int raw_userfaultfd_copy(int fd, void *to, const void *from, size_t length, bool wake)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)to,
		.src = (uintptr_t)from,
		.len = length,
		.mode = wake ? 0 : UFFDIO_COPY_MODE_DONTWAKE,
	};

	/* EAGAIN: the layout of the address space is changing; with one page at
	 * a time there is no progress to keep. */
	while (ioctl(fd, UFFDIO_COPY, &copy) != 0) {
		if (errno == EEXIST)
			return wake ? raw_userfaultfd_wake(fd, to, length) : 0;
		if (errno != EAGAIN)
			return -errno;
		copy.copy = 0;
	}
	return 0;
}
