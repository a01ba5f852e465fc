/* SPDX-License-Identifier: MIT
 *
 * One process serves, once: who first maps a memory puts its number on the
 * board. What it filled cannot be told from what the program wrote, so nobody
 * can go on after it. Nothing is taken apart at its end, because threads of the program
 * may run on until the kernel ends them; only the trace is written, and, where that
 * is asked for, what is missing populated.
 *
 * A forked child has the memory of this library, but neither the threads nor the
 * views. `here` tells: it is a page that the kernel wipes in children, however
 * they were made.
 */
#include "serve.h"
#include "complain.h"
#include "descriptors.h"
#include "lock.h"
#include "memories.h"
#include "prefetch.h"
#include "reporter.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FAULT_AHEAD ((size_t)8 << 20)
#define RETRIES 5 /* as the library does by itself */

static _Atomic bool *here; /* NULL: nobody has served in this process or its parents */
static struct run_opened *opened;
static struct lazymem_memory *guest_memory;
static struct lazymem_handler *handler;
static struct lazymem_attachment *attachment;

bool run_memory_of(int fd, size_t *ret_index)
{
	const struct run_settings *settings = run_the_settings();
	const int saved = errno;
	struct stat stat;

	if (settings == NULL || fd < 0)
		return false;
	if (fstat(fd, &stat) != 0) {
		errno = saved;
		return false;
	}
	for (size_t i = 0; i < settings->memory_count; i++) {
		if (stat.st_ino != settings->memories[i].inode ||
		    stat.st_dev != settings->memories[i].device)
			continue;
		*ret_index = i;
		return true;
	}
	return false;
}

/* Somebody put another file in its place, which nobody fills: it would read false zeros. Once
 * there is a view, it is the program's own business. */
bool run_is_in_place_of_memory(int fd)
{
	const struct run_settings *settings = run_the_settings();
	const int saved = errno;
	struct stat file, named;
	bool found = false;

	if (settings == NULL || fd < 0 || atomic_load(&run_the_board()->owner) != 0 ||
	    fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) {
		errno = saved;
		return false;
	}
	for (size_t i = 0; !found && i < settings->memory_count; i++) {
		const struct run_memory *memory = &settings->memories[i];

		found = stat(memory->path, &named) == 0 && named.st_dev == file.st_dev &&
			named.st_ino == file.st_ino &&
			(named.st_dev != memory->device || named.st_ino != memory->inode);
		if (found)
			complain("%s: is another file than when the program was started",
				 memory->path);
	}
	errno = saved;
	return found;
}

bool run_is_serving(void)
{
	return here != NULL && atomic_load(here);
}

struct lazymem_attachment *run_attachment(void)
{
	return attachment;
}

struct lazymem_memory *run_guest_memory(void)
{
	return guest_memory;
}

int run_memory_descriptor(size_t index)
{
	return opened[index].fd;
}

/* ---- claim ------------------------------------------------------------------- */

static enum lazymem_verdict on_failure(void *unused, const struct lazymem_failure *failure)
{
	(void)unused;
	if (failure->attempts <= RETRIES)
		return LAZYMEM_RETRY;
	if (failure->demand)
		complain("page 0x%" PRIx64 " could not be read from %s at offset %" PRIu64
			 ": %s; the program gets SIGBUS where it touches it",
			 failure->address.value, failure->backing, failure->backing_offset,
			 strerror(-failure->error));
	return LAZYMEM_POISON;
}

/* 0, or an errno value after a message. */
static int make_here(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *made = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (made == MAP_FAILED || madvise(made, page, MADV_WIPEONFORK) != 0) {
		const int error = errno;

		complain("a page that is wiped in children: %s", strerror(error));
		return error;
	}
	here = made;
	return 0;
}

static int attach(const struct run_settings *settings)
{
	const struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = settings->record != NULL ? LAZYMEM_ATTACH_RECORD : 0,
		.on_failure = on_failure,
	};
	/* A recording is of the pages that were asked for, and no others. */
	const struct lazymem_handler_options how = {
		.size = sizeof(how),
		.fault_ahead = settings->record != NULL ? 0 : FAULT_AHEAD,
	};
	int error = lazymem_handler_create(&how, &handler);

	if (error == 0)
		error = lazymem_handler_attach(handler, guest_memory, &options, &attachment);
	if (error != 0)
		complain("%s", lazymem_error_message());
	return -error;
}

static void undo(const struct run_settings *settings)
{
	if (attachment != NULL)
		lazymem_attachment_abort(attachment);
	(void)lazymem_handler_destroy(handler);
	lazymem_memory_unref(guest_memory);
	run_memories_close(settings, opened);
	attachment = NULL;
	handler = NULL;
	guest_memory = NULL;
	opened = NULL;
}

static int start(const struct run_settings *settings)
{
	int error = here == NULL ? make_here() : 0;

	if (error == 0)
		error = run_memories_open(settings, &opened, &guest_memory);
	if (error == 0)
		error = attach(settings);
	if (error == 0)
		error = run_reporter_start(run_the_board(), attachment);
	if (error != 0) {
		undo(settings);
		return error;
	}
	atomic_store(here, true);
	return 0;
}

static int complain_of(const struct run_memory *memory, int32_t owner)
{
	complain("%s is served in process %d%s; it cannot be mapped in %d as well", memory->path,
		 (int)owner, kill(owner, 0) == 0 || errno == EPERM ? "" : ", which has ended",
		 (int)getpid());
	return EBUSY;
}

int run_claim(size_t index)
{
	const struct run_settings *settings = run_the_settings();
	struct run_board *board = run_the_board();
	int32_t owner = 0;
	int error;

	if (run_is_serving())
		return 0;
	if (!atomic_compare_exchange_strong(&board->owner, &owner, (int32_t)getpid()))
		return complain_of(&settings->memories[index], owner);
	run_descriptors_begin();
	error = start(settings);
	run_descriptors_end();
	if (error != 0)
		atomic_store(&board->owner, 0);
	else
		run_disinherit();
	return error;
}

void run_prefetch_once(void)
{
	static bool done;

	if (!done)
		run_the_board()->not_traced =
			(uint64_t)run_prefetch_start(run_the_settings(), opened, attachment);
	done = true;
}

/* ---- end --------------------------------------------------------------------- */

static void write_trace(const char *path)
{
	struct lazymem_trace *trace = NULL;
	int error = lazymem_attachment_trace(attachment, &trace);

	if (error == 0)
		error = lazymem_trace_save(trace, path);
	if (error != 0)
		complain("the trace is not written: %s", lazymem_error_message());
	lazymem_trace_destroy(trace);
}

/* While it is counted. Where this fails, finishing says so. */
static void fetch_rest(const struct run_settings *settings)
{
	if (run_prefetch_all(settings, opened, attachment) == 0)
		(void)lazymem_attachment_wait(attachment, UINT64_MAX);
}

/* A hole of the image stays one of the file. */
static void complete(void)
{
	run_lock();
	if (lazymem_attachment_finish(attachment) == 0)
		atomic_store(here, false);
	else
		complain("the memory is not complete: %s", lazymem_error_message());
	run_unlock();
}

/* After the handlers of atexit(3), which may use the memory. */
__attribute__((destructor)) static void end(void)
{
	const struct run_settings *settings;

	if (!run_is_serving())
		return;
	settings = run_the_settings();
	if (settings->record != NULL)
		write_trace(settings->record);
	if (settings->complete)
		fetch_rest(settings);
	run_reporter_end(RUN_ENDED);
	if (settings->complete)
		complete();
}
