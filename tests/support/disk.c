/* SPDX-License-Identifier: MIT */
#include "disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void disk_read(void *object, struct lazymem_read *read)
{
	struct disk *disk = object;
	int error = 0;

	pthread_mutex_lock(&disk->lock);
	if (disk->fails_reads)
		error = -EIO;
	else
		memcpy(read->buffer, disk->bytes + read->offset, read->length);
	pthread_mutex_unlock(&disk->lock);
	lazymem_read_complete(read, error);
}

/* The guest may write at the same time: then either byte will do. */
static void copy_racing(unsigned char *to, const unsigned char *from, size_t length)
{
	size_t i = 0;

	for (; i + sizeof(uint64_t) <= length; i += sizeof(uint64_t)) {
		const uint64_t word = __atomic_load_n((const uint64_t *)(const void *)(from + i),
						      __ATOMIC_RELAXED);

		memcpy(to + i, &word, sizeof(word));
	}
	for (; i < length; i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

static void disk_write(void *object, struct lazymem_write *write)
{
	struct disk *disk = object;
	unsigned char *copy = malloc(write->length);
	int error = 0;

	/* Without the lock: a page that was discarded meanwhile faults, and who serves
	 * that fault may be reading here. */
	assert_non_null(copy);
	copy_racing(copy, write->buffer, write->length);
	pthread_mutex_lock(&disk->lock);
	if (disk->fails_writes) {
		error = -EIO;
	} else {
		memcpy(disk->bytes + write->offset, copy, write->length);
		disk->written += write->length;
	}
	pthread_mutex_unlock(&disk->lock);
	free(copy);
	lazymem_write_complete(write, error);
}

static void disk_flush(void *object, struct lazymem_write *flush)
{
	struct disk *disk = object;
	int error = 0;

	pthread_mutex_lock(&disk->lock);
	disk->flushes++;
	if (disk->fails_flushes) {
		error = -EIO;
		memcpy(disk->bytes, disk->durable, disk->length); /* dropped */
	} else {
		memcpy(disk->durable, disk->bytes, disk->length);
	}
	pthread_mutex_unlock(&disk->lock);
	lazymem_write_complete(flush, error);
}

static int disk_discard(void *object, uint64_t offset, uint64_t length)
{
	struct disk *disk = object;

	pthread_mutex_lock(&disk->lock);
	memset(disk->bytes + offset, 0, length);
	pthread_mutex_unlock(&disk->lock);
	return 0;
}

void disk_create(struct disk *disk, const struct image *image, bool has_holes)
{
	struct lazymem_backing_operations operations = {
		.size = sizeof(operations),
		.read = disk_read,
		.write = disk_write,
		.flush = disk_flush,
		.discard = has_holes ? disk_discard : NULL,
	};

	*disk = (struct disk){.length = image->length, .has_holes = has_holes};
	pthread_mutex_init(&disk->lock, NULL);
	disk->bytes = malloc(image->length);
	disk->durable = malloc(image->length);
	assert_non_null(disk->bytes);
	assert_non_null(disk->durable);
	memcpy(disk->bytes, image->bytes, image->length);
	memcpy(disk->durable, image->bytes, image->length);
	assert_ok(lazymem_backing_create(&operations, disk, image->length, "disk", &disk->backing));
}

void disk_destroy(struct disk *disk)
{
	lazymem_backing_unref(disk->backing);
	free(disk->bytes);
	free(disk->durable);
	pthread_mutex_destroy(&disk->lock);
}
