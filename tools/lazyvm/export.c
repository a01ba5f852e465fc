/* SPDX-License-Identifier: MIT
 *
 * nbdkit, started and watched over.
 *
 * The listening socket is made here and handed over by socket activation: the
 * port is known before nbdkit runs, nobody else can take it, and a connection that
 * comes too early waits. The regions' memory files are handed over as descriptors from
 * FIRST_FILE on, and exported by their numbers: they have no other name. The list
 * of exports is closed, so no other descriptor of nbdkit can be asked for.
 *
 * One thread starts nbdkit and waits for it. When it ends unasked it is started
 * again on the same socket: the destination sees a connection that was lost, and asks
 * again. A migration that has switched over depends on it.
 *
 * It leaves nothing behind: the kernel kills nbdkit when that thread is gone,
 * however this process ends. nbdkit would rather be asked to end, and then waits for
 * clients that say nothing, with the guest's memory in its hands: it is not let. Between fork and exec only calls that are safe there are made,
 * so arguments and environment are put together before.
 */
#include "export.h"

#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LISTENER 3 /* as the convention of socket activation has it */
#define FIRST_FILE 4
#define OUT_OF_THE_WAY 64 /* above all descriptors that the child is to have */
#define THREADS "16"
#define PAUSE_LEAST_MS 50
#define PAUSE_MOST_MS 2000
#define ARGUMENTS_MOST (24 + GUEST_MEMORY_REGIONS_MAX)

struct export
{
	int listener;
	int files[GUEST_MEMORY_REGIONS_MAX]; /* of the library; borrowed */
	size_t file_count;
	struct lazymem_memory *memory;
	char *arguments[ARGUMENTS_MOST + 1];
	size_t argument_count;
	char **environment;
	char listen_pid[32]; /* an entry of it; the child writes its number */

	int stop_fd;
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	pid_t pid;       /* 0: does not run */
	unsigned starts; /* tried so far */
	bool stops;
	char sentence[256]; /* how it last ended; "": it runs */
};

/* ---- what is exported -------------------------------------------------------------- */

static int file_of(struct lazymem_memory *memory, size_t index, int *ret_fd)
{
	struct lazymem_region *region = lazymem_memory_region(memory, index);
	uint64_t offset;

	if (lazymem_mapping_fd(lazymem_region_mapping(region), ret_fd, &offset) != 0)
		return fault("the guest's memory is anonymous: only memory of the kinds memfd "
			     "and hugetlb can be migrated");
	return 0;
}

int export_check_memory(struct lazymem_memory *memory)
{
	int fd;

	for (size_t i = 0; i < lazymem_memory_region_count(memory); i++)
		if (file_of(memory, i, &fd) != 0)
			return -1;
	return 0;
}

static int take_memory(struct export *export, struct lazymem_memory *memory)
{
	export->memory = lazymem_memory_ref(memory);
	export->file_count = lazymem_memory_region_count(memory);
	if (export->file_count > GUEST_MEMORY_REGIONS_MAX)
		return fault("%zu regions cannot be exported", export->file_count);
	for (size_t i = 0; i < export->file_count; i++)
		if (file_of(memory, i, &export->files[i]) != 0)
			return -1;
	return 0;
}

/* ---- arguments and environment -------------------------------------------------------- */

static bool add_argument(struct export *export, const char *before, const char *value)
{
	char **argument = &export->arguments[export->argument_count];

	if (asprintf(argument, "%s%s", before, value) < 0) {
		*argument = NULL;
		return false;
	}
	export->argument_count++;
	return true;
}

static bool add_security(struct export *export, const struct link_security *security)
{
	if (security->kind == WIRE_PLAIN)
		return add_argument(export, "", "--tls=off");
	if (!add_argument(export, "", "--tls=require"))
		return false;
	if (security->kind == WIRE_PSK)
		return add_argument(export, "--tls-psk=", security->path);
	return add_argument(export, "--tls-certificates=", security->path) &&
	       add_argument(export, "", "--tls-verify-peer");
}

static int make_arguments(struct export *export, const struct link_security *security,
			  struct wire_export *announcement)
{
	bool ok = add_argument(export, "", "nbdkit") && add_argument(export, "", "--foreground") &&
		  add_argument(export, "", "--readonly") &&
		  add_argument(export, "--threads=", THREADS) && add_security(export, security) &&
		  add_argument(export, "", "--filter=exportname") &&
		  add_argument(export, "", "file") &&
		  add_argument(export, "dir=", "/proc/self/fd") &&
		  add_argument(export, "", "exportname-strict=true") &&
		  add_argument(export, "", "exportname-list=error") &&
		  add_argument(export, "", "default-export=");

	announcement->security = security->kind;
	announcement->name_count = (uint32_t) export->file_count;
	for (size_t i = 0; i < export->file_count && ok; i++) {
		snprintf(announcement->names[i], sizeof(announcement->names[i]), "%zu",
			 FIRST_FILE + i);
		ok = add_argument(export, "exportname=", announcement->names[i]);
	}
	return ok ? 0 : fault("no memory for the arguments of nbdkit");
}

static bool is_activation(const char *entry)
{
	return strncmp(entry, "LISTEN_", strlen("LISTEN_")) == 0;
}

static int make_environment(struct export *export)
{
	static char listen_fds[] = "LISTEN_FDS=1";
	size_t count = 0;

	while (environ[count] != NULL)
		count++;
	export->environment = calloc(count + 3, sizeof(*export->environment));
	if (export->environment == NULL)
		return fault("no memory for the environment of nbdkit");
	count = 0;
	for (char **entry = environ; *entry != NULL; entry++)
		if (!is_activation(*entry))
			export->environment[count++] = *entry;
	export->environment[count++] = listen_fds;
	export->environment[count] = export->listen_pid;
	return 0;
}

/* ---- the child ---------------------------------------------------------------------------- */

static void write_pid(char *entry, pid_t pid)
{
	static const char name[] = "LISTEN_PID=";
	char digits[16];
	size_t count = 0;

	memcpy(entry, name, sizeof(name) - 1);
	entry += sizeof(name) - 1;
	for (; pid > 0; pid /= 10)
		digits[count++] = (char)('0' + pid % 10);
	while (count > 0)
		*entry++ = digits[--count];
	*entry = '\0';
}

/* Our descriptors at their numbers, and no others. */
static bool place_descriptors(const struct export *export)
{
	int moved[1 + GUEST_MEMORY_REGIONS_MAX];
	size_t count = export->file_count + 1;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (size_t i = 0; i < count; i++) {
		moved[i] = fcntl(i == 0 ? export->listener : export->files[i - 1], F_DUPFD_CLOEXEC,
				 OUT_OF_THE_WAY);
		if (moved[i] < 0)
			return false;
	}
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (dup2(moved[i], LISTENER + (int)i) < 0)
			return false;
	/* The pipe that a failure is told by stays until exec. */
	return true;
}

/* From now on, asking for another signal at our end does nothing. Where the kernel has no such
 * filters, nbdkit has its way. */
static void keep_death_signal(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_PDEATHSIG, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
			&program);
}

_Noreturn static void become_nbdkit(struct export *export, pid_t parent, int errors)
{
	sigset_t none;
	int error;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	/* What is typed at a terminal is for us, and may not take the memory away. */
	setpgid(0, 0);
	errors = fcntl(errors, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent && errors >= 0 &&
	    place_descriptors(export)) {
		keep_death_signal();
		write_pid(export->listen_pid, getpid());
		execvpe(export->arguments[0], export->arguments, export->environment);
	}
	error = errno;
	while (write(errors, &error, sizeof(error)) < 0 && errno == EINTR)
		continue;
	_exit(127);
}

/* ---- the parent ----------------------------------------------------------------------------- */

/* *ret_error: why it could not be run; 0 when it could. */
static pid_t spawn(struct export *export, int *ret_error)
{
	int errors[2];
	pid_t parent = getpid();
	pid_t pid;

	*ret_error = 0;
	if (pipe2(errors, O_CLOEXEC) != 0) {
		*ret_error = errno;
		return -1;
	}
	pid = fork();
	if (pid == 0)
		become_nbdkit(export, parent, errors[1]);
	if (pid < 0)
		*ret_error = errno;
	close(errors[1]);
	while (pid > 0 && read(errors[0], ret_error, sizeof(*ret_error)) < 0 && errno == EINTR)
		continue;
	close(errors[0]);
	return pid;
}

static void note_start(struct export *export, pid_t pid, int error)
{
	pthread_mutex_lock(&export->lock);
	export->starts++;
	export->pid = pid > 0 ? pid : 0;
	snprintf(export->sentence, sizeof(export->sentence), "%s%s",
		 error != 0 ? "nbdkit, which the memory is exported by, cannot be run: " : "",
		 error != 0 ? strerror(error) : "");
	/* It was told to stop before there was anybody to be told. */
	if (export->stops && export->pid != 0)
		kill(export->pid, SIGKILL);
	pthread_cond_broadcast(&export->changed);
	pthread_mutex_unlock(&export->lock);
}

static void note_end(struct export *export, int status)
{
	pthread_mutex_lock(&export->lock);
	export->pid = 0;
	if (export->sentence[0] != '\0')
		; /* it never ran */
	else if (WIFSIGNALED(status))
		snprintf(export->sentence, sizeof(export->sentence),
			 "nbdkit, which the memory is exported by, was killed by signal %d",
			 WTERMSIG(status));
	else
		snprintf(export->sentence, sizeof(export->sentence),
			 "nbdkit, which the memory is exported by, ended with status %d",
			 WEXITSTATUS(status));
	pthread_mutex_unlock(&export->lock);
}

/* Until it has ended; it stays a zombie, so that its number stays its own, until
 * nobody can kill it any more. */
static void await_end(struct export *export, pid_t pid)
{
	siginfo_t information;
	int status = 0;

	while (waitid(P_PID, (id_t)pid, &information, WEXITED | WNOWAIT) != 0 && errno == EINTR)
		continue;
	status = information.si_code == CLD_EXITED ? (information.si_status & 0xff) << 8
						   : information.si_status & 0x7f;
	note_end(export, status);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

static void *supervise(void *context)
{
	struct export *export = context;
	struct pollfd stop = {.fd = export->stop_fd, .events = POLLIN};
	int pause_ms = PAUSE_LEAST_MS;

	do {
		uint64_t began = link_now();
		int error;
		pid_t pid = spawn(export, &error);

		note_start(export, pid, error);
		if (pid > 0)
			await_end(export, pid);
		if (link_now() - began > PAUSE_MOST_MS)
			pause_ms = PAUSE_LEAST_MS;
		else if (pause_ms < PAUSE_MOST_MS)
			pause_ms *= 2;
	} while (poll(&stop, 1, pause_ms) == 0);
	return NULL;
}

int export_check(struct export *export)
{
	int result = 0;

	pthread_mutex_lock(&export->lock);
	if (export->sentence[0] != '\0')
		result = fault("%s", export->sentence);
	pthread_mutex_unlock(&export->lock);
	return result;
}

/* ---- life ------------------------------------------------------------------------------------- */

static int start_thread(struct export *export)
{
	int error;

	export->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (export->stop_fd < 0)
		return fault("eventfd: %s", strerror(errno));
	error = pthread_create(&export->thread, NULL, supervise, export);
	if (error != 0)
		return fault("no thread for nbdkit: %s", strerror(error));
	export->has_thread = true;
	pthread_mutex_lock(&export->lock);
	while (export->starts == 0)
		pthread_cond_wait(&export->changed, &export->lock);
	pthread_mutex_unlock(&export->lock);
	return export_check(export);
}

int export_start(struct lazymem_memory *memory, const struct link *link,
		 const struct link_security *security, struct export **ret_export,
		 struct wire_export *ret_announcement)
{
	struct export *export = calloc(1, sizeof(*export));
	struct wire_export announcement = {0};

	if (export == NULL)
		return fault("no memory for an export");
	export->listener = -1;
	export->stop_fd = -1;
	pthread_mutex_init(&export->lock, NULL);
	pthread_cond_init(&export->changed, NULL);
	if (take_memory(export, memory) != 0 ||
	    make_arguments(export, security, &announcement) != 0 || make_environment(export) != 0 ||
	    link_listen_beside(link, &export->listener, &announcement.port) != 0 ||
	    start_thread(export) != 0) {
		export_stop(export);
		return -1;
	}
	*ret_announcement = announcement;
	*ret_export = export;
	return 0;
}

static void stop_thread(struct export *export)
{
	const uint64_t one = 1;

	while (write(export->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
	pthread_mutex_lock(&export->lock);
	export->stops = true;
	if (export->pid != 0)
		kill(export->pid, SIGKILL);
	pthread_mutex_unlock(&export->lock);
	pthread_join(export->thread, NULL);
}

void export_stop(struct export *export)
{
	if (export == NULL)
		return;
	if (export->has_thread)
		stop_thread(export);
	if (export->stop_fd >= 0)
		close(export->stop_fd);
	if (export->listener >= 0)
		close(export->listener);
	for (size_t i = 0; i < export->argument_count; i++)
		free(export->arguments[i]);
	free(export->environment);
	lazymem_memory_unref(export->memory);
	pthread_cond_destroy(&export->changed);
	pthread_mutex_destroy(&export->lock);
	free(export);
}
