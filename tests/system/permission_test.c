/* SPDX-License-Identifier: MIT
 *
 * permission_test.c - without the permission to serve faults there is a clear
 * answer at once, and with a part of it the library finds the way that is left.
 */
#include <errno.h>
#include <lazymem/zero.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <support/actor.h>
#include <support/guest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child found; its exit status. */
enum finding { AS_EXPECTED = 0, WRONG_ANSWER = 1, NO_SETUP = 2 };

static enum finding in_child(enum finding (*look)(void))
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0)
		_exit((int)look());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return (enum finding)WEXITSTATUS(status);
}

static bool become_nobody(void)
{
	return setgid(65534) == 0 && setuid(65534) == 0;
}

/* A /dev of its own, without a userfaultfd in it. */
static bool hide_devices(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", "/dev", "tmpfs", 0, NULL) == 0;
}

static bool says(const char *part)
{
	if (strstr(lazymem_error_message(), part))
		return true;
	fprintf(stderr, "\"%s\" does not say \"%s\"\n", lazymem_error_message(), part);
	return false;
}

static enum finding nobody_is_told_what_is_missing(void)
{
	if (!become_nobody())
		return NO_SETUP;
	return lazymem_handler_check() == -EPERM && says("/dev/userfaultfd") &&
			       says("vm.unprivileged_userfaultfd")
		       ? AS_EXPECTED
		       : WRONG_ANSWER;
}

static enum finding nobody_without_a_device_is_told_too(void)
{
	if (!hide_devices() || !become_nobody())
		return NO_SETUP;
	int error = lazymem_handler_check();
	return (error == -EPERM || error == -ENOENT) && says("/dev/userfaultfd") ? AS_EXPECTED
										 : WRONG_ANSWER;
}

static enum finding attaching_is_refused(void)
{
	struct lazymem_attachment *attachment = NULL;
	struct lazymem_backing *zeros;
	struct guest guest;

	if (!become_nobody())
		return NO_SETUP;
	if (lazymem_zero_create(MIB, &zeros) != 0)
		return NO_SETUP;
	guest_map(&guest, ANONYMOUS, MIB, 0, zeros);
	if (lazymem_handler_create(NULL, &guest.handler) != 0)
		return NO_SETUP;
	int error = lazymem_handler_attach(guest.handler, guest.memory, NULL, &attachment);
	bool right = error == -EPERM && says("userfaultfd") && !attachment;
	guest_end(&guest);
	lazymem_backing_unref(zeros);
	return right ? AS_EXPECTED : WRONG_ANSWER;
}

static enum finding root_without_a_device_uses_the_system_call(void)
{
	struct lazymem_backing *zeros;
	struct guest guest;

	if (!hide_devices())
		return NO_SETUP;
	if (lazymem_handler_check() != 0 || lazymem_zero_create(MIB, &zeros) != 0)
		return WRONG_ANSWER;
	guest_start(&guest, ANONYMOUS, MIB, zeros);
	int result = call_reading(guest.host); /* a fault in the kernel */
	guest_end(&guest);
	lazymem_backing_unref(zeros);
	return result == 0 ? AS_EXPECTED : WRONG_ANSWER;
}

#define FINDING(function)                                                                          \
	static void test_##function(void **state)                                                  \
	{                                                                                          \
		(void)state;                                                                       \
		assert_int_equal(in_child(function), AS_EXPECTED);                                 \
	}
FINDING(nobody_is_told_what_is_missing)
FINDING(nobody_without_a_device_is_told_too)
FINDING(attaching_is_refused)
FINDING(root_without_a_device_uses_the_system_call)

static bool anybody_may(void)
{
	FILE *file = fopen("/proc/sys/vm/unprivileged_userfaultfd", "re");
	int value = 0;

	if (file) {
		if (fscanf(file, "%d", &value) != 1)
			value = 0;
		fclose(file);
	}
	return value != 0;
}

int main(void)
{
	/* Without the watchdog, whose thread a child of fork would lack. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_is_told_what_is_missing),
		cmocka_unit_test(test_nobody_without_a_device_is_told_too),
		cmocka_unit_test(test_attaching_is_refused),
		cmocka_unit_test(test_root_without_a_device_uses_the_system_call),
	};

	if (geteuid() != 0)
		skip_program("only root can give up permissions");
	if (anybody_may())
		skip_program("vm.unprivileged_userfaultfd lets everybody serve faults");
	require_faults();
	return run_group(tests);
}
