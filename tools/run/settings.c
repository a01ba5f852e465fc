/* SPDX-License-Identifier: MIT
 *
 * The memfd, as one process stores it and another one, the program, loads it:
 *
 *   [0, 4096)    the board
 *   [4096, end)  struct stored, one struct stored_memory for each memory, then
 *                strings that end in NUL: path and image of each memory, record,
 *                replay. An empty string stands for none
 *
 * Its length is sealed, so that the board can be mapped without fear that it is
 * cut off. The settings are copied out before they are checked, and nothing in
 * them is believed: whoever can set the variable can name any descriptor. `size`
 * is that of the board, and so of another version of this file.
 */
#include "settings.h"
#include "complain.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BOARD_BYTES ((size_t)4096)
#define STORED_MAX ((size_t)1 << 20)
#define MEMORY_COUNT_MAX 64
#define PAGE_SIZE_LEAST UINT64_C(4096)
#define PAGE_SIZE_MOST (UINT64_C(1) << 34)
#define LENGTH_MOST (UINT64_C(1) << 56) /* so that 64 of them cannot wrap */
#define BASE_STEP (UINT64_C(1) << 30)
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

/* Out of the way of the descriptors that shells number by hand. */
#define DESCRIPTOR_LEAST 100

/* A writer that is not done after so many looks has died in the middle. */
#define LOOKS 1000
#define LOOK_NS 100000

_Static_assert(sizeof(struct run_board) <= BOARD_BYTES, "the board fits in its page");

static const char magic[8] = "LZMRUN1";

struct stored {
	char magic[8];
	uint64_t size;   /* sizeof(struct run_board) */
	uint64_t length; /* of all that is stored, this included */
	uint32_t memory_count;
	uint32_t prefetch;
	uint32_t complete;
	uint32_t zero;
};

struct stored_memory {
	uint64_t device;
	uint64_t inode;
	uint64_t length;
	uint64_t page_size;
};

uint64_t run_memory_base(const struct run_settings *settings, size_t index)
{
	uint64_t base = 0;

	for (size_t i = 0; i < index; i++)
		base += (settings->memories[i].length + BASE_STEP - 1) & ~(BASE_STEP - 1);
	return base;
}

/* A lock of a program covers other bytes as well. */
bool run_is_locked_by_run(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_start = RUN_LOCKED_BYTE, .l_len = 1};

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid == -1 &&
	       lock.l_start == RUN_LOCKED_BYTE && lock.l_len == 1;
}

/* ---- store ------------------------------------------------------------------ */

static size_t string_size(const char *string)
{
	return string != NULL ? strlen(string) + 1 : 1;
}

static size_t stored_size(const struct run_settings *settings)
{
	size_t size = sizeof(struct stored) +
		      settings->memory_count * sizeof(struct stored_memory) +
		      string_size(settings->record) + string_size(settings->replay);

	for (size_t i = 0; i < settings->memory_count; i++)
		size += string_size(settings->memories[i].path) +
			string_size(settings->memories[i].image);
	return size;
}

static char *put(char *to, const void *bytes, size_t length)
{
	memcpy(to, bytes, length);
	return to + length;
}

static char *put_string(char *to, const char *string)
{
	return put(to, string != NULL ? string : "", string_size(string));
}

static void put_all(const struct run_settings *settings, char *to, size_t length)
{
	struct stored stored = {.size = sizeof(struct run_board),
				.length = length,
				.memory_count = (uint32_t)settings->memory_count,
				.prefetch = settings->prefetch,
				.complete = settings->complete};

	memcpy(stored.magic, magic, sizeof(magic));
	to = put(to, &stored, sizeof(stored));
	for (size_t i = 0; i < settings->memory_count; i++) {
		const struct run_memory *memory = &settings->memories[i];
		const struct stored_memory entry = {memory->device, memory->inode, memory->length,
						    memory->page_size};

		to = put(to, &entry, sizeof(entry));
	}
	for (size_t i = 0; i < settings->memory_count; i++) {
		to = put_string(to, settings->memories[i].path);
		to = put_string(to, settings->memories[i].image);
	}
	to = put_string(to, settings->record);
	put_string(to, settings->replay);
}

static int write_all(int fd, const char *bytes, size_t length)
{
	if (ftruncate(fd, (off_t)(BOARD_BYTES + length)) != 0)
		return -1;
	for (size_t done = 0; done < length;) {
		const ssize_t count =
			pwrite(fd, bytes + done, length - done, (off_t)(BOARD_BYTES + done));

		if (count < 0)
			return -1;
		done += (size_t)count;
	}
	return fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL);
}

/* The one that memfd_create() gave goes, unless there are no others so high. */
static int move_descriptor(int fd)
{
	const int moved = fcntl(fd, F_DUPFD, DESCRIPTOR_LEAST);

	if (moved < 0)
		return fd;
	close(fd);
	return moved;
}

/* -1 after a message. */
static int store_bytes(const char *bytes, size_t length)
{
	const int fd = memfd_create("lazymem-run", MFD_ALLOW_SEALING);

	if (fd < 0) {
		complain("the settings of the program: memfd_create: %s", strerror(errno));
		return -1;
	}
	if (write_all(fd, bytes, length) != 0) {
		complain("the settings of the program: %s", strerror(errno));
		close(fd);
		return -1;
	}
	return move_descriptor(fd);
}

int run_settings_store(const struct run_settings *settings, int *ret_fd)
{
	const size_t length = stored_size(settings);
	char *bytes;
	int fd;

	if (settings->memory_count > MEMORY_COUNT_MAX || length > STORED_MAX) {
		complain("%zu memories with names of %zu bytes are too many; %d and %zu are "
			 "possible",
			 settings->memory_count, length, MEMORY_COUNT_MAX, STORED_MAX);
		return -1;
	}
	bytes = malloc(length);
	if (bytes == NULL) {
		complain("no memory for %zu bytes of settings", length);
		return -1;
	}
	put_all(settings, bytes, length);
	fd = store_bytes(bytes, length);
	free(bytes);
	if (fd < 0)
		return -1;
	*ret_fd = fd;
	return 0;
}

/* ---- load ------------------------------------------------------------------- */

#define REFUSE_SETTINGS(fd, format, ...)                                                           \
	(complain("descriptor %d: " format, (fd), ##__VA_ARGS__), -1)

/* How many bytes of settings there are, where the length cannot change. */
static int check_file(int fd, size_t *ret_length)
{
	const int seals = fcntl(fd, F_GET_SEALS);
	struct stat stat;

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &stat) != 0)
		return REFUSE_SETTINGS(fd, "holds no settings of lazymem run");
	if (stat.st_size < (off_t)(BOARD_BYTES + sizeof(struct stored)) ||
	    stat.st_size > (off_t)(BOARD_BYTES + STORED_MAX))
		return REFUSE_SETTINGS(fd, "settings of %jd bytes are not possible",
				       (intmax_t)stat.st_size);
	*ret_length = (size_t)stat.st_size - BOARD_BYTES;
	return 0;
}

static int check_stored(int fd, const struct stored *stored, size_t length)
{
	if (memcmp(stored->magic, magic, sizeof(magic)) != 0)
		return REFUSE_SETTINGS(fd, "holds no settings of lazymem run");
	if (stored->size != sizeof(struct run_board))
		return REFUSE_SETTINGS(fd,
				       "the settings are of another version of lazymem: a board "
				       "of %" PRIu64 " bytes, not %zu",
				       stored->size, sizeof(struct run_board));
	if (stored->length != length)
		return REFUSE_SETTINGS(fd, "there are %zu bytes of settings, not %" PRIu64, length,
				       stored->length);
	if (stored->memory_count == 0 || stored->memory_count > MEMORY_COUNT_MAX)
		return REFUSE_SETTINGS(fd, "settings of %u memories are not possible",
				       stored->memory_count);
	if (stored->prefetch > RUN_PREFETCH_ALL || stored->complete > 1 || stored->zero != 0)
		return REFUSE_SETTINGS(fd, "the settings have unknown words (%u, %u, %u)",
				       stored->prefetch, stored->complete, stored->zero);
	if ((length - sizeof(*stored)) / sizeof(struct stored_memory) < stored->memory_count)
		return REFUSE_SETTINGS(fd, "the settings are truncated: %u memories in %zu bytes",
				       stored->memory_count, length);
	return 0;
}

static int check_memory(int fd, size_t index, const struct stored_memory *memory)
{
	const uint64_t page = memory->page_size;

	if (page < PAGE_SIZE_LEAST || page > PAGE_SIZE_MOST || (page & (page - 1)) != 0)
		return REFUSE_SETTINGS(
			fd, "memory %zu has pages of %" PRIu64 " bytes, which is not possible",
			index, page);
	if (memory->length == 0 || memory->length > LENGTH_MOST || memory->length % page != 0)
		return REFUSE_SETTINGS(fd,
				       "memory %zu has %" PRIu64
				       " bytes, which is not possible with pages of %" PRIu64,
				       index, memory->length, page);
	return 0;
}

/* The string at *at, which moves behind it; NULL: no NUL before the end. */
static const char *take_string(const char **at, const char *end)
{
	const char *string = *at;
	const char *nul = memchr(string, '\0', (size_t)(end - string));

	if (nul == NULL)
		return NULL;
	*at = nul + 1;
	return string;
}

static const char *take_name(const char **at, const char *end)
{
	const char *name = take_string(at, end);

	return name != NULL && name[0] == '/' ? name : NULL;
}

static int take_strings(int fd, const char *at, const char *end, struct run_settings *settings)
{
	for (size_t i = 0; i < settings->memory_count; i++) {
		struct run_memory *memory = &settings->memories[i];

		memory->path = take_name(&at, end);
		memory->image = memory->path != NULL ? take_name(&at, end) : NULL;
		if (memory->image == NULL)
			return REFUSE_SETTINGS(fd, "memory %zu has a name that is no absolute path",
					       i);
	}
	settings->record = take_string(&at, end);
	settings->replay = settings->record != NULL ? take_string(&at, end) : NULL;
	if (settings->replay == NULL || at != end)
		return REFUSE_SETTINGS(fd, "the settings do not end with their last name");
	for (int i = 0; i < 2; i++) {
		const char **name = i == 0 ? &settings->record : &settings->replay;

		if ((*name)[0] == '\0')
			*name = NULL;
		else if ((*name)[0] != '/')
			return REFUSE_SETTINGS(fd, "the name of a trace, %s, is no absolute path",
					       *name);
	}
	return 0;
}

/* `settings->memories` has room. */
static int parse(int fd, const char *bytes, size_t length, struct run_settings *settings)
{
	const char *at = bytes + sizeof(struct stored);
	struct stored stored;

	memcpy(&stored, bytes, sizeof(stored));
	if (check_stored(fd, &stored, length) != 0)
		return -1;
	settings->memory_count = stored.memory_count;
	settings->prefetch = (enum run_prefetch)stored.prefetch;
	settings->complete = stored.complete != 0;
	for (size_t i = 0; i < settings->memory_count; i++) {
		struct stored_memory entry;

		memcpy(&entry, at, sizeof(entry));
		at += sizeof(entry);
		if (check_memory(fd, i, &entry) != 0)
			return -1;
		settings->memories[i] = (struct run_memory){.device = entry.device,
							    .inode = entry.inode,
							    .length = entry.length,
							    .page_size = entry.page_size};
	}
	return take_strings(fd, at, bytes + length, settings);
}

static int read_all(int fd, char *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		const ssize_t count =
			pread(fd, bytes + done, length - done, (off_t)(BOARD_BYTES + done));

		if (count <= 0)
			return REFUSE_SETTINGS(fd, "%s",
					       count == 0 ? "ends early" : strerror(errno));
		done += (size_t)count;
	}
	return 0;
}

/* In one mapping: the memories, then the bytes that their names are in. */
static int load_settings(int fd, size_t length, struct run_settings *settings)
{
	const size_t table = MEMORY_COUNT_MAX * sizeof(struct run_memory);
	char *bytes = mmap(NULL, table + length, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bytes == MAP_FAILED)
		return REFUSE_SETTINGS(fd, "no memory for %zu bytes of settings", length);
	settings->memories = (struct run_memory *)(void *)bytes;
	if (read_all(fd, bytes + table, length) == 0 &&
	    parse(fd, bytes + table, length, settings) == 0)
		return 0;
	munmap(bytes, table + length);
	return -1;
}

int run_settings_load(int fd, struct run_settings *ret_settings, struct run_board **ret_board)
{
	struct run_settings settings = {0};
	size_t length;
	void *board;

	if (check_file(fd, &length) != 0)
		return -1;
	board = mmap(NULL, BOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (board == MAP_FAILED)
		return REFUSE_SETTINGS(fd, "the board cannot be mapped: %s", strerror(errno));
	if (load_settings(fd, length, &settings) != 0) {
		munmap(board, BOARD_BYTES);
		return -1;
	}
	*ret_settings = settings;
	*ret_board = board;
	return 0;
}

/* ---- the board --------------------------------------------------------------- */

_Static_assert(offsetof(struct run_board, start_ns) % sizeof(uint64_t) == 0 &&
		       sizeof(struct run_board) % sizeof(uint64_t) == 0,
	       "the board can be copied word by word");

/* Each word is acquired, so that the turn is looked at after all of them. */
static void copy_board(const struct run_board *board, struct run_board *ret_copy)
{
	const size_t plain = offsetof(struct run_board, start_ns) / sizeof(uint64_t);
	const uint64_t *from = (const uint64_t *)(const void *)board;
	uint64_t *to = (uint64_t *)(void *)ret_copy;

	atomic_store_explicit(&ret_copy->owner, atomic_load(&board->owner), memory_order_relaxed);
	atomic_store_explicit(&ret_copy->phase, atomic_load(&board->phase), memory_order_relaxed);
	for (size_t i = plain; i < sizeof(*board) / sizeof(uint64_t); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_ACQUIRE);
}

void run_board_read(const struct run_board *board, struct run_board *ret_copy)
{
	const struct timespec pause = {.tv_nsec = LOOK_NS};

	for (int look = 0; look < LOOKS; look++) {
		const uint32_t turn = atomic_load(&board->turn);

		copy_board(board, ret_copy);
		atomic_store_explicit(&ret_copy->turn, turn, memory_order_relaxed);
		if (turn % 2 == 0 && atomic_load(&board->turn) == turn)
			return;
		nanosleep(&pause, NULL);
	}
}
