/* wrap: ioctl read open close syscall */
/* SPDX-License-Identifier: MIT
 *
 * userfaultfd_test.c - the verbs, one by one, against every answer that the
 * kernel is known to give; how a descriptor is come by; what a message says.
 */
#include "kernel.h"

#include <fcntl.h>
#include <sys/syscall.h>

#define HOST ((void *)(uintptr_t)0x7f0000000000)
#define SOURCE ((const void *)(uintptr_t)0x600000000000)
#define LENGTH (4 * PAGE)

#define DEVICE 7000     /* what opening the device gives */
#define FIRST_FD 7100   /* what a descriptor from the device, */
#define FIRST_CALL 7200 /* and one from the system call */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_close(int fd);
int __wrap_close(int fd);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

static struct {
	int open_error, device_error, call_error, api_error;
	int device_flags, call_flags; /* as asked for */
	uint64_t offered;
	struct uffdio_api api[4]; /* as they came */
	int api_fd[4];
	unsigned apis, from_device, from_call, left_open;
	int failing_opening; /* this opening of the device fails, counted from 1 */
	int openings;
} machine;

int __wrap_open(const char *path, int flags, ...)
{
	if (strcmp(path, "/dev/userfaultfd") != 0)
		return __real_open(path, flags, 0);
	machine.openings++;
	if (machine.open_error != 0 || machine.openings == machine.failing_opening) {
		errno = machine.open_error != 0 ? machine.open_error : EMFILE;
		return -1;
	}
	machine.left_open++;
	return DEVICE;
}

int __wrap_close(int fd)
{
	if (fd < DEVICE || fd > FIRST_CALL + 99)
		return __real_close(fd);
	machine.left_open--;
	return 0;
}

long __wrap_syscall(long number, ...)
{
	va_list arguments;

	assert_int_equal(number, SYS_userfaultfd);
	va_start(arguments, number);
	machine.call_flags = va_arg(arguments, int);
	va_end(arguments);
	if (machine.call_error != 0) {
		errno = machine.call_error;
		return -1;
	}
	machine.left_open++;
	return FIRST_CALL + (long)machine.from_call++;
}

static int answer_api(int fd, struct uffdio_api *api)
{
	assert_true(machine.apis < 4);
	machine.api_fd[machine.apis] = fd;
	machine.api[machine.apis++] = *api;
	if (machine.api_error != 0 || (api->features & ~machine.offered) != 0) {
		errno = machine.api_error != 0 ? machine.api_error : EINVAL;
		return -1;
	}
	api->features = machine.offered;
	return 0;
}

static int other_ioctl(int fd, unsigned long request, void *argument)
{
	if (request == UFFDIO_API)
		return answer_api(fd, argument);
	assert_int_equal(fd, DEVICE);
	assert_int_equal(request, USERFAULTFD_IOC_NEW);
	machine.device_flags = (int)(intptr_t)argument;
	if (machine.device_error != 0) {
		errno = machine.device_error;
		return -1;
	}
	machine.left_open++;
	return FIRST_FD + (int)machine.from_device++;
}

static int set_up(void **state)
{
	(void)state;
	memset(&machine, 0, sizeof(machine));
	machine.offered = 0x1ffff; /* Linux 6.18 */
	kernel_reset();
	kernel.installs = false;
	kernel.other = other_ioctl;
	return 0;
}

/* ---- the range verbs: one row of the kernel's contract each --------------- */

struct row {
	int error;
	int64_t output;
	struct lm_verb expected;
};

/* The same rows for each verb: `answers` is what its ioctl gives. */
static const struct row rows[] = {
	{0, LENGTH, {0, LENGTH}},          {EEXIST, -EEXIST, {-EEXIST, 0}},
	{EEXIST, PAGE, {-EEXIST, PAGE}},   {EAGAIN, 3 * PAGE, {-EAGAIN, 3 * PAGE}},
	{EAGAIN, -EAGAIN, {-EAGAIN, 0}},   {EAGAIN, 0, {-EAGAIN, 0}},
	{EAGAIN, UNTOUCHED, {-EAGAIN, 0}}, {ENOENT, -ENOENT, {-ENOENT, 0}},
	{ESRCH, -ESRCH, {-ESRCH, 0}},      {ESRCH, UNTOUCHED, {-ESRCH, 0}},
	{ENOSPC, -ENOSPC, {-ENOSPC, 0}},   {ENOMEM, -ENOMEM, {-ENOMEM, 0}},
	{EFAULT, -EFAULT, {-EFAULT, 0}},   {EINVAL, UNTOUCHED, {-EINVAL, 0}},
};

static struct lm_verb call_verb(enum verb verb)
{
	switch (verb) {
	case COPY:
		return lm_userfaultfd_copy(UFFD, HOST, SOURCE, LENGTH, LM_WAKE);
	case ZERO:
		return lm_userfaultfd_zero(UFFD, HOST, LENGTH);
	case CONTINUE:
		return lm_userfaultfd_continue(UFFD, HOST, LENGTH, 0);
	default:
		return lm_userfaultfd_poison(UFFD, HOST, LENGTH);
	}
}

static void assert_rows(enum verb verb)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lm_verb result;

		answer(verb, rows[i].error, rows[i].output);
		result = call_verb(verb);
		if (result.error != rows[i].expected.error || result.done != rows[i].expected.done)
			fail_msg("row %zu: error %d, done %llu", i, result.error,
				 (unsigned long long)result.done);
	}
}

static void copy_tells_every_answer_apart(void **state)
{
	(void)state;
	assert_rows(COPY);
}

static void zero_tells_every_answer_apart(void **state)
{
	(void)state;
	assert_rows(ZERO);
}

static void continue_tells_every_answer_apart(void **state)
{
	(void)state;
	assert_rows(CONTINUE);
}

static void poison_tells_every_answer_apart(void **state)
{
	(void)state;
	assert_rows(POISON);
}

static void copy_passes_its_range_on(void **state)
{
	(void)state;
	lm_userfaultfd_copy(UFFD, HOST, SOURCE, LENGTH, LM_WAKE);
	assert_int_equal(call_of(COPY, 0)->start, (uintptr_t)HOST);
	assert_int_equal(call_of(COPY, 0)->source, (uintptr_t)SOURCE);
	assert_int_equal(call_of(COPY, 0)->length, LENGTH);
	assert_int_equal(call_of(COPY, 0)->mode, 0);
}

static void verbs_wake_who_waits(void **state)
{
	(void)state;
	for (enum verb verb = COPY; verb <= POISON; verb++) {
		call_verb(verb);
		assert_int_equal(call_of(verb, 0)->mode, 0); /* no DONTWAKE */
		assert_int_equal(call_of(verb, 0)->start, (uintptr_t)HOST);
		assert_int_equal(call_of(verb, 0)->length, LENGTH);
	}
}

static void wake_passes_its_range_on(void **state)
{
	(void)state;
	assert_int_equal(lm_userfaultfd_wake(UFFD, HOST, LENGTH), 0);
	assert_int_equal(call_of(WAKE, 0)->start, (uintptr_t)HOST);
	assert_int_equal(call_of(WAKE, 0)->length, LENGTH);
}

static void wake_tells_its_error(void **state)
{
	(void)state;
	answer(WAKE, EINVAL, UNTOUCHED);
	assert_int_equal(lm_userfaultfd_wake(UFFD, HOST, LENGTH), -EINVAL);
}

static void unregister_tells_its_error(void **state)
{
	(void)state;
	answer(UNREGISTER, ENOMEM, UNTOUCHED);
	assert_int_equal(lm_userfaultfd_unregister(UFFD, HOST, LENGTH), -ENOMEM);
	assert_int_equal(lm_userfaultfd_unregister(UFFD, HOST, LENGTH), 0);
}

/* ---- register ------------------------------------------------------------ */

static void register_asks_for_missing_faults(void **state)
{
	unsigned can;

	(void)state;
	assert_int_equal(lm_userfaultfd_register(UFFD, HOST, LENGTH, 0, &can), 0);
	assert_int_equal(call_of(REGISTER, 0)->mode, UFFDIO_REGISTER_MODE_MISSING);
	assert_int_equal(call_of(REGISTER, 0)->start, (uintptr_t)HOST);
	assert_int_equal(call_of(REGISTER, 0)->length, LENGTH);
}

static void register_asks_for_minor_faults_as_well(void **state)
{
	unsigned can;

	(void)state;
	assert_int_equal(lm_userfaultfd_register(UFFD, HOST, LENGTH, LM_FOR_MINOR, &can), 0);
	assert_int_equal(count_of(REGISTER), 1);
	assert_int_equal(call_of(REGISTER, 0)->mode,
			 UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR);
}

static void register_goes_without_minor_faults_where_there_are_none(void **state)
{
	unsigned can;

	(void)state;
	answer(REGISTER, EINVAL, UNTOUCHED);
	assert_int_equal(lm_userfaultfd_register(UFFD, HOST, LENGTH, LM_FOR_MINOR, &can), 0);
	assert_int_equal(call_of(REGISTER, 1)->mode, UFFDIO_REGISTER_MODE_MISSING);
}

static void register_does_not_insist_after_another_error(void **state)
{
	unsigned can = 77;

	(void)state;
	answer(REGISTER, EBUSY, UNTOUCHED);
	assert_int_equal(lm_userfaultfd_register(UFFD, HOST, LENGTH, LM_FOR_MINOR, &can), -EBUSY);
	assert_int_equal(count_of(REGISTER), 1);
	assert_int_equal(can, 77);
}

static void register_names_the_range_that_it_cannot_have(void **state)
{
	unsigned can;

	(void)state;
	kernel.always[REGISTER] = EINVAL;
	assert_int_equal(lm_userfaultfd_register(UFFD, HOST, LENGTH, LM_FOR_MINOR, &can), -EINVAL);
	assert_says("0x7f0000000000+0x4000");
	assert_says("Invalid argument");
}

static void register_tells_what_the_range_can_be_asked(void **state)
{
	static const struct {
		unsigned bit, can;
	} pairs[] = {
		{_UFFDIO_COPY, LM_CAN_COPY},
		{_UFFDIO_ZEROPAGE, LM_CAN_ZERO},
		{_UFFDIO_CONTINUE, LM_CAN_CONTINUE},
		{_UFFDIO_POISON, LM_CAN_POISON},
		{_UFFDIO_WAKE, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		unsigned can = 77;

		kernel.ioctls = UINT64_C(1) << pairs[i].bit;
		assert_int_equal(lm_userfaultfd_register(UFFD, HOST, LENGTH, 0, &can), 0);
		assert_int_equal(can, pairs[i].can);
	}
}

/* ---- open ---------------------------------------------------------------- */

static void open_probes_with_one_descriptor_and_asks_with_another(void **state)
{
	int fd = -1;

	(void)state;
	assert_int_equal(lm_userfaultfd_open(&fd), 0);
	assert_int_equal(machine.apis, 2);
	assert_int_equal(machine.api[0].features, 0);
	assert_int_not_equal(machine.api_fd[0], machine.api_fd[1]);
	assert_int_equal(fd, machine.api_fd[1]);
}

static void open_leaves_only_its_result_open(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(lm_userfaultfd_open(&fd), 0);
	assert_int_equal(machine.left_open, 1);
}

static void open_asks_for_what_the_library_uses(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(lm_userfaultfd_open(&fd), 0);
	assert_int_equal(machine.api[1].features,
			 UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_MISSING_HUGETLBFS |
				 UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS |
				 UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_POISON);
}

static void open_asks_for_nothing_that_the_kernel_lacks(void **state)
{
	int fd;

	(void)state;
	machine.offered = UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_THREAD_ID;
	assert_int_equal(lm_userfaultfd_open(&fd), 0);
	assert_int_equal(machine.api[1].features, UFFD_FEATURE_EVENT_REMOVE);
}

static void open_makes_descriptors_that_do_not_block(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(lm_userfaultfd_open(&fd), 0);
	assert_int_equal(machine.device_flags, O_CLOEXEC | O_NONBLOCK);
}

static void open_prefers_the_device(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(lm_userfaultfd_open(&fd), 0);
	assert_int_equal(machine.from_device, 2);
	assert_int_equal(machine.from_call, 0);
}

static void open_uses_the_system_call_without_the_device(void **state)
{
	int fd;

	(void)state;
	machine.open_error = EACCES;
	assert_int_equal(lm_userfaultfd_open(&fd), 0);
	assert_true(fd >= FIRST_CALL);
	assert_int_equal(machine.call_flags, O_CLOEXEC | O_NONBLOCK); /* and kernel faults too */
}

static void open_uses_the_system_call_when_the_device_refuses(void **state)
{
	int fd;

	(void)state;
	machine.device_error = EINVAL;
	assert_int_equal(lm_userfaultfd_open(&fd), 0);
	assert_true(fd >= FIRST_CALL);
	assert_int_equal(machine.left_open, 1);
}

static void open_leaves_nothing_open_when_features_are_refused(void **state)
{
	int fd = 77;

	(void)state;
	machine.api_error = EINVAL;
	assert_int_equal(lm_userfaultfd_open(&fd), -EINVAL);
	assert_int_equal(machine.left_open, 0);
	assert_int_equal(fd, 77);
	assert_says("UFFDIO_API");
}

static void check_names_the_missing_capability_and_the_sysctl(void **state)
{
	(void)state;
	machine.open_error = EACCES;
	machine.call_error = EPERM;
	assert_int_equal(lm_userfaultfd_check(), -EPERM);
	assert_says("CAP_SYS_PTRACE");
	assert_says("vm.unprivileged_userfaultfd");
}

static void check_names_a_device_without_access(void **state)
{
	(void)state;
	machine.open_error = EACCES;
	machine.call_error = EPERM;
	assert_int_equal(lm_userfaultfd_check(), -EPERM);
	assert_says("/dev/userfaultfd is not accessible");
}

static void check_names_a_device_that_is_missing(void **state)
{
	(void)state;
	machine.open_error = ENOENT;
	machine.call_error = EPERM;
	assert_int_equal(lm_userfaultfd_check(), -EPERM);
	assert_says("/dev/userfaultfd is missing");
}

static void check_names_a_kernel_without_userfaultfd(void **state)
{
	(void)state;
	machine.open_error = ENOENT;
	machine.call_error = ENOSYS;
	assert_int_equal(lm_userfaultfd_check(), -ENOSYS);
	assert_says("CONFIG_USERFAULTFD");
}

static void check_leaves_nothing_open(void **state)
{
	(void)state;
	assert_int_equal(lm_userfaultfd_check(), 0);
	assert_int_equal(machine.left_open, 0);
}

static void open_closes_its_probe_when_descriptors_run_out(void **state)
{
	int fd = 77;

	(void)state;
	machine.failing_opening = 2;
	machine.call_error = EMFILE;
	assert_int_equal(lm_userfaultfd_open(&fd), -EMFILE);
	assert_int_equal(machine.left_open, 0);
	assert_int_equal(fd, 77);
}

static void open_says_that_descriptors_ran_out(void **state)
{
	int fd;

	(void)state;
	machine.open_error = machine.call_error = EMFILE;
	assert_int_equal(lm_userfaultfd_open(&fd), -EMFILE);
	assert_says("Too many open files");
}

/* The system call looks at permissions before it takes a descriptor. */
static void open_tells_of_descriptors_rather_than_of_permission(void **state)
{
	int fd;

	(void)state;
	machine.open_error = EMFILE;
	machine.call_error = EPERM;
	assert_int_equal(lm_userfaultfd_open(&fd), -EMFILE);
	assert_says("Too many open files");
}

static void open_speaks_of_no_permission_when_memory_ran_out(void **state)
{
	int fd;

	(void)state;
	machine.open_error = ENOENT;
	machine.call_error = ENOMEM;
	assert_int_equal(lm_userfaultfd_open(&fd), -ENOMEM);
	assert_says("Cannot allocate memory");
	assert_null(strstr(lazymem_error_message(), "not permitted"));
}

/* ---- messages ------------------------------------------------------------ */

static void read_decodes_a_fault(void **state)
{
	struct lm_message messages[LM_MESSAGE_BATCH];

	(void)state;
	send_fault(0x7f0000001234, UFFD_PAGEFAULT_FLAG_WRITE);
	assert_int_equal(lm_userfaultfd_read(UFFD, messages), 1);
	assert_int_equal(messages[0].kind, LM_MESSAGE_FAULT);
	assert_int_equal(messages[0].start, 0x7f0000001234);
	assert_int_equal(messages[0].length, 0);
	assert_false(messages[0].minor);
}

static void read_tells_minor_faults(void **state)
{
	struct lm_message messages[LM_MESSAGE_BATCH];

	(void)state;
	send_fault(0x7f0000001000, UFFD_PAGEFAULT_FLAG_MINOR | UFFD_PAGEFAULT_FLAG_WRITE);
	assert_int_equal(lm_userfaultfd_read(UFFD, messages), 1);
	assert_true(messages[0].minor);
}

static void read_decodes_a_remove_as_start_and_length(void **state)
{
	struct lm_message messages[LM_MESSAGE_BATCH];

	(void)state;
	send_remove(0x7f0000001000, 0x7f0000005000);
	assert_int_equal(lm_userfaultfd_read(UFFD, messages), 1);
	assert_int_equal(messages[0].kind, LM_MESSAGE_REMOVE);
	assert_int_equal(messages[0].start, 0x7f0000001000);
	assert_int_equal(messages[0].length, 0x4000);
}

static void read_passes_unknown_events_on_as_such(void **state)
{
	struct lm_message messages[LM_MESSAGE_BATCH];

	(void)state;
	send_remove(0x1000, 0x2000);
	kernel.messages[0].event = UFFD_EVENT_FORK;
	send_remove(0x1000, 0x2000);
	kernel.messages[1].event = 0xff;
	assert_int_equal(lm_userfaultfd_read(UFFD, messages), 2);
	assert_int_equal(messages[0].kind, LM_MESSAGE_OTHER);
	assert_int_equal(messages[1].kind, LM_MESSAGE_OTHER);
}

static void read_keeps_the_order_of_messages(void **state)
{
	struct lm_message messages[LM_MESSAGE_BATCH];

	(void)state;
	send_fault(0x5000, 0);
	send_remove(0x1000, 0x2000);
	send_fault(0x3000, 0);
	assert_int_equal(lm_userfaultfd_read(UFFD, messages), 3);
	assert_int_equal(messages[0].start, 0x5000);
	assert_int_equal(messages[1].start, 0x1000);
	assert_int_equal(messages[2].start, 0x3000);
}

static void read_takes_a_batch_at_a_time(void **state)
{
	struct lm_message messages[LM_MESSAGE_BATCH];

	(void)state;
	for (size_t i = 0; i < LM_MESSAGE_BATCH + 3; i++)
		send_fault(i * PAGE, 0);
	assert_int_equal(lm_userfaultfd_read(UFFD, messages), LM_MESSAGE_BATCH);
	assert_int_equal(messages[LM_MESSAGE_BATCH - 1].start, (LM_MESSAGE_BATCH - 1) * PAGE);
	assert_int_equal(lm_userfaultfd_read(UFFD, messages), 3);
	assert_int_equal(messages[0].start, LM_MESSAGE_BATCH * PAGE);
}

static void read_tells_that_no_message_is_left(void **state)
{
	struct lm_message messages[LM_MESSAGE_BATCH];

	(void)state;
	assert_int_equal(lm_userfaultfd_read(UFFD, messages), 0);
	assert_int_equal(kernel.reads, 1);
}

static void read_goes_on_after_a_signal(void **state)
{
	struct lm_message messages[LM_MESSAGE_BATCH];

	(void)state;
	send_fault(0x1000, 0);
	kernel.read_errors[0] = kernel.read_errors[1] = EINTR;
	kernel.read_error_count = 2;
	assert_int_equal(lm_userfaultfd_read(UFFD, messages), 1);
	assert_int_equal(kernel.reads, 3);
}

static void read_tells_its_error(void **state)
{
	struct lm_message messages[LM_MESSAGE_BATCH];

	(void)state;
	kernel.read_errors[0] = EINVAL;
	kernel.read_error_count = 1;
	assert_int_equal(lm_userfaultfd_read(UFFD, messages), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(copy_tells_every_answer_apart, set_up),
		cmocka_unit_test_setup(zero_tells_every_answer_apart, set_up),
		cmocka_unit_test_setup(continue_tells_every_answer_apart, set_up),
		cmocka_unit_test_setup(poison_tells_every_answer_apart, set_up),
		cmocka_unit_test_setup(copy_passes_its_range_on, set_up),
		cmocka_unit_test_setup(verbs_wake_who_waits, set_up),
		cmocka_unit_test_setup(wake_passes_its_range_on, set_up),
		cmocka_unit_test_setup(wake_tells_its_error, set_up),
		cmocka_unit_test_setup(unregister_tells_its_error, set_up),
		cmocka_unit_test_setup(register_asks_for_missing_faults, set_up),
		cmocka_unit_test_setup(register_asks_for_minor_faults_as_well, set_up),
		cmocka_unit_test_setup(register_goes_without_minor_faults_where_there_are_none,
				       set_up),
		cmocka_unit_test_setup(register_does_not_insist_after_another_error, set_up),
		cmocka_unit_test_setup(register_names_the_range_that_it_cannot_have, set_up),
		cmocka_unit_test_setup(register_tells_what_the_range_can_be_asked, set_up),
		cmocka_unit_test_setup(open_probes_with_one_descriptor_and_asks_with_another,
				       set_up),
		cmocka_unit_test_setup(open_leaves_only_its_result_open, set_up),
		cmocka_unit_test_setup(open_asks_for_what_the_library_uses, set_up),
		cmocka_unit_test_setup(open_asks_for_nothing_that_the_kernel_lacks, set_up),
		cmocka_unit_test_setup(open_makes_descriptors_that_do_not_block, set_up),
		cmocka_unit_test_setup(open_prefers_the_device, set_up),
		cmocka_unit_test_setup(open_uses_the_system_call_without_the_device, set_up),
		cmocka_unit_test_setup(open_uses_the_system_call_when_the_device_refuses, set_up),
		cmocka_unit_test_setup(open_leaves_nothing_open_when_features_are_refused, set_up),
		cmocka_unit_test_setup(check_names_the_missing_capability_and_the_sysctl, set_up),
		cmocka_unit_test_setup(check_names_a_device_without_access, set_up),
		cmocka_unit_test_setup(check_names_a_device_that_is_missing, set_up),
		cmocka_unit_test_setup(check_names_a_kernel_without_userfaultfd, set_up),
		cmocka_unit_test_setup(check_leaves_nothing_open, set_up),
		cmocka_unit_test_setup(open_closes_its_probe_when_descriptors_run_out, set_up),
		cmocka_unit_test_setup(open_tells_of_descriptors_rather_than_of_permission, set_up),
		cmocka_unit_test_setup(open_says_that_descriptors_ran_out, set_up),
		cmocka_unit_test_setup(open_speaks_of_no_permission_when_memory_ran_out, set_up),
		cmocka_unit_test_setup(read_decodes_a_fault, set_up),
		cmocka_unit_test_setup(read_tells_minor_faults, set_up),
		cmocka_unit_test_setup(read_decodes_a_remove_as_start_and_length, set_up),
		cmocka_unit_test_setup(read_passes_unknown_events_on_as_such, set_up),
		cmocka_unit_test_setup(read_keeps_the_order_of_messages, set_up),
		cmocka_unit_test_setup(read_takes_a_batch_at_a_time, set_up),
		cmocka_unit_test_setup(read_tells_that_no_message_is_left, set_up),
		cmocka_unit_test_setup(read_goes_on_after_a_signal, set_up),
		cmocka_unit_test_setup(read_tells_its_error, set_up),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
