/* SPDX-License-Identifier: MIT */
#include "contract_storage.h"

#include "image.h"
#include <errno.h>
#include <fcntl.h>
#include <lazymem/bytes.h>
#include <lazymem/file.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool is_hit(const struct storage_failure *failure, unsigned operation, uint64_t offset,
		   uint64_t length)
{
	const struct lazymem_inject_range *range = &failure->range;

	if (failure->count == 0 || (range->operations & operation) == 0)
		return false;
	if (range->length == 0 || operation == LAZYMEM_INJECT_FLUSH)
		return true;
	return offset < range->start + range->length && range->start < offset + length;
}

/* 0, or what the operation fails with. */
static int pass(struct storage *storage, unsigned operation, uint64_t offset, uint64_t length)
{
	struct storage_failure *failure =
		operation == LAZYMEM_INJECT_READ ? &storage->reads : &storage->writes;
	bool hit;

	pthread_mutex_lock(&storage->lock);
	hit = is_hit(failure, operation, offset, length);
	if (hit && failure->count != UINT64_MAX)
		failure->count--;
	if (hit && operation != LAZYMEM_INJECT_READ)
		storage->failed_writes++;
	pthread_mutex_unlock(&storage->lock);
	return hit ? -EIO : 0;
}

/* ---- the gate ---------------------------------------------------------------- */

struct read_on {
	struct lazymem_read inner, *outer;
};

static void read_is_over(struct lazymem_read *read, int error)
{
	struct read_on *on = read->context;
	struct lazymem_read *outer = on->outer;

	free(on);
	lazymem_read_complete(outer, error);
}

static void gate_read(void *object, struct lazymem_read *read)
{
	struct storage *storage = object;
	const int error = pass(storage, LAZYMEM_INJECT_READ, read->offset, read->length);
	struct read_on *on = error == 0 ? calloc(1, sizeof(*on)) : NULL;

	if (on == NULL) {
		lazymem_read_complete(read, error != 0 ? error : -ENOMEM);
		return;
	}
	on->outer = read;
	on->inner = (struct lazymem_read){
		.offset = read->offset,
		.length = read->length,
		.buffer = read->buffer,
		.complete = read_is_over,
		.context = on,
		.queue = read->queue,
	};
	lazymem_backing_submit(storage->inner, &on->inner);
}

struct write_on {
	struct lazymem_write inner, *outer;
};

static void write_is_over(struct lazymem_write *write, int error)
{
	struct write_on *on = write->context;
	struct lazymem_write *outer = on->outer;

	free(on);
	lazymem_write_complete(outer, error);
}

/* NULL: it has failed, and completed. */
static struct lazymem_write *pass_write(struct storage *storage, unsigned operation,
					struct lazymem_write *write)
{
	const int error = pass(storage, operation, write->offset, write->length);
	struct write_on *on = error == 0 ? calloc(1, sizeof(*on)) : NULL;

	if (on == NULL) {
		lazymem_write_complete(write, error != 0 ? error : -ENOMEM);
		return NULL;
	}
	on->outer = write;
	on->inner = (struct lazymem_write){
		.offset = write->offset,
		.length = write->length,
		.buffer = write->buffer,
		.complete = write_is_over,
		.context = on,
		.queue = write->queue,
	};
	return &on->inner;
}

static void gate_write(void *object, struct lazymem_write *write)
{
	struct storage *storage = object;
	struct lazymem_write *inner = pass_write(storage, LAZYMEM_INJECT_WRITE, write);

	if (inner != NULL)
		lazymem_backing_submit_write(storage->inner, inner);
}

static void gate_flush(void *object, struct lazymem_write *flush)
{
	struct storage *storage = object;
	struct lazymem_write *inner = pass_write(storage, LAZYMEM_INJECT_FLUSH, flush);

	if (inner != NULL)
		lazymem_backing_submit_flush(storage->inner, inner);
}

static int gate_discard(void *object, uint64_t offset, uint64_t length)
{
	struct storage *storage = object;
	const int error = pass(storage, LAZYMEM_INJECT_DISCARD, offset, length);

	return error != 0 ? error : lazymem_backing_discard(storage->inner, offset, length);
}

static int gate_extent(void *object, uint64_t offset, uint64_t length,
		       struct lazymem_extent *ret_extent)
{
	struct storage *storage = object;

	return lazymem_backing_extent(storage->inner, offset, length, ret_extent);
}

static int gate_identity(void *object, struct lazymem_identity *ret_identity)
{
	struct storage *storage = object;

	return lazymem_backing_identity(storage->inner, ret_identity);
}

static void open_gate(struct storage *storage)
{
	const bool writable = (storage->flags & STORAGE_WRITABLE) != 0;
	const struct lazymem_backing_operations operations = {
		.size = sizeof(operations),
		.read = gate_read,
		.extent = gate_extent,
		.identity = gate_identity,
		.write = writable ? gate_write : NULL,
		.flush = writable ? gate_flush : NULL,
		.discard = (storage->flags & STORAGE_HOLES) != 0 ? gate_discard : NULL,
	};

	assert_ok(lazymem_backing_create(&operations, storage, storage->length, "gate",
					 &storage->backing));
}

/* ---- what is behind it ------------------------------------------------------- */

static struct lazymem_backing *open_survivor(const struct storage *storage)
{
	const bool writable = (storage->flags & STORAGE_WRITABLE) != 0;
	const struct lazymem_file_options options = {.size = sizeof(options),
						     .flags = writable ? LAZYMEM_FILE_WRITABLE : 0};
	struct lazymem_backing *survivor = NULL;

	if (storage->path != NULL)
		assert_ok(lazymem_file_open(storage->path, &options, &survivor));
	else if (writable)
		assert_ok(lazymem_bytes_create_writable(storage->bytes, storage->length, NULL, NULL,
							&survivor));
	else
		assert_ok(lazymem_bytes_create(storage->bytes, storage->length, NULL, NULL,
					       &survivor));
	return survivor;
}

static void open_object(struct storage *storage)
{
	struct lazymem_backing *survivor = open_survivor(storage);

	storage->inner = survivor;
	if ((storage->flags & STORAGE_POWER) != 0) {
		assert_ok(lazymem_inject_power(survivor, &storage->power));
		storage->inner = storage->power;
		lazymem_backing_unref(survivor);
	}
	open_gate(storage);
}

static void close_object(struct storage *storage)
{
	lazymem_backing_unref(storage->backing);
	lazymem_backing_unref(storage->inner);
	storage->backing = storage->inner = storage->power = NULL;
}

void storage_in_memory(void)
{
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 1);
}

static void fill_file(struct storage *storage, const unsigned char *bytes, const char *name)
{
	storage->path = strdup(scratch_path(name));
	assert_non_null(storage->path);
	storage->fd = open(storage->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(storage->fd >= 0);
	assert_int_equal(ftruncate(storage->fd, (off_t)storage->length), 0);
	for (uint64_t at = 0; at < storage->length; at += PAGE) {
		const size_t n = (size_t)smaller(storage->length - at, PAGE);

		if (!all_zero(bytes + at, n))
			assert_int_equal(pwrite(storage->fd, bytes + at, n, (off_t)at), n);
	}
}

void storage_create(struct storage *storage, unsigned flags, const unsigned char *bytes,
		    uint64_t length, const char *name)
{
	*storage = (struct storage){.flags = flags, .length = length, .fd = -1};
	pthread_mutex_init(&storage->lock, NULL);
	if ((flags & STORAGE_FILE) != 0) {
		fill_file(storage, bytes, name);
	} else {
		storage->bytes = malloc(length);
		assert_non_null(storage->bytes);
		memcpy(storage->bytes, bytes, length);
	}
	open_object(storage);
}

void storage_create_over(struct storage *storage, struct lazymem_backing *inner)
{
	*storage = (struct storage){.length = lazymem_backing_length(inner), .fd = -1};
	pthread_mutex_init(&storage->lock, NULL);
	storage->inner = lazymem_backing_ref(inner);
	open_gate(storage);
}

void storage_destroy(struct storage *storage)
{
	close_object(storage);
	if (storage->path != NULL) {
		close(storage->fd);
		unlink(storage->path);
	}
	free(storage->path);
	free(storage->bytes);
	pthread_mutex_destroy(&storage->lock);
}

void storage_reopen(struct storage *storage)
{
	if (storage->path == NULL && storage->bytes == NULL)
		return;
	close_object(storage);
	open_object(storage);
}

void storage_lose_power(struct storage *storage, uint64_t seed)
{
	if (storage->power != NULL)
		assert_ok(lazymem_inject_power_failure(storage->power, seed));
}

void storage_read_durable(struct storage *storage, uint64_t offset, unsigned char *bytes,
			  size_t length)
{
	if (storage->bytes != NULL)
		memcpy(bytes, storage->bytes + offset, length);
	else if (storage->path != NULL)
		assert_int_equal(pread(storage->fd, bytes, length, (off_t)offset), length);
	else
		assert_ok(lazymem_backing_read(storage->inner, offset, bytes, length));
}

bool storage_is_hole(const struct storage *storage, uint64_t offset, uint64_t length)
{
	const off_t data = lseek(storage->fd, (off_t)offset, SEEK_DATA);

	return data < 0 ? errno == ENXIO : (uint64_t)data >= offset + length;
}

/* ---- failures ---------------------------------------------------------------- */

void storage_fail(struct storage *storage, struct storage_failure failure)
{
	pthread_mutex_lock(&storage->lock);
	if (failure.range.operations == LAZYMEM_INJECT_READ)
		storage->reads = failure;
	else
		storage->writes = failure;
	pthread_mutex_unlock(&storage->lock);
}

void storage_heal(struct storage *storage)
{
	pthread_mutex_lock(&storage->lock);
	storage->reads.count = storage->writes.count = 0;
	pthread_mutex_unlock(&storage->lock);
}

bool storage_fails_reads(struct storage *storage, uint64_t offset, uint64_t length)
{
	bool hit;

	pthread_mutex_lock(&storage->lock);
	hit = is_hit(&storage->reads, LAZYMEM_INJECT_READ, offset, length);
	pthread_mutex_unlock(&storage->lock);
	return hit;
}

bool storage_fails_writes(struct storage *storage)
{
	bool fails;

	pthread_mutex_lock(&storage->lock);
	fails = storage->writes.count > 0;
	pthread_mutex_unlock(&storage->lock);
	return fails;
}

uint64_t storage_failed_writes(struct storage *storage)
{
	uint64_t failed;

	pthread_mutex_lock(&storage->lock);
	failed = storage->failed_writes;
	pthread_mutex_unlock(&storage->lock);
	return failed;
}
