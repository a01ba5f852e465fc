/* SPDX-License-Identifier: MIT */
#include "file_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <lazymem/file.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static int map_eagerly(const struct file_memory *f, const struct part *part, int protection,
		       struct lazymem_mapping **ret_mapping, struct lazymem_region **ret_region)
{
	const struct lazymem_mapping_options options = {.size = sizeof(options),
							.protection = protection};
	const int fd = open(f->path, (f->is_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	int error;

	assert_true(fd >= 0);
	error = lazymem_mapping_create_file(fd, part->offset, part->length, true, &options,
					    ret_mapping);
	close(fd);
	return error != 0 ? error
			  : lazymem_region_create(*ret_mapping, guest_address(part->address), NULL,
						  0, ret_region);
}

static int map_lazily(const struct file_memory *f, const struct part *part, int protection,
		      struct lazymem_mapping **ret_mapping, struct lazymem_region **ret_region)
{
	const struct lazymem_mapping_options options = {.size = sizeof(options),
							.protection = protection};
	struct lazymem_file_options file = {.size = sizeof(file),
					    .flags = f->is_read_only ? 0 : LAZYMEM_FILE_WRITABLE};
	const enum memory_kind kind = memory_of(f->state);
	struct lazymem_backing *backing = NULL;
	int error = lazymem_file_open(f->path, &file, &backing);

	if (error == 0 && kind == ANONYMOUS)
		error = lazymem_mapping_create_anonymous(part->length, &options, ret_mapping);
	else if (error == 0 && kind == MEMFD)
		error = lazymem_mapping_create_memfd(part->length, &options, ret_mapping);
	else if (error == 0)
		error = lazymem_mapping_create_hugetlb(part->length, f->page, &options,
						       ret_mapping);
	if (error == 0)
		error = lazymem_region_create(*ret_mapping, guest_address(part->address), backing,
					      part->offset, ret_region);
	lazymem_backing_unref(backing);
	return error;
}

static int attach(struct file_memory *f)
{
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_WRITE_BACK,
		.tracking_most = tracking_of(f->state),
	};

	assert_ok(lazymem_handler_create(NULL, &f->handler));
	return lazymem_handler_attach(f->handler, f->memory, &options, &f->attachment);
}

int file_memory_try_map(struct file_memory *f, const struct part *parts, size_t count,
			int protection)
{
	struct lazymem_region *regions[2] = {NULL, NULL};
	int error = 0;

	for (size_t i = 0; error == 0 && i < count; i++)
		error = (IS_EAGER(f->state) ? map_eagerly : map_lazily)(
			f, &parts[i], protection, &f->mappings[i], &regions[i]);
	if (error == 0)
		error = lazymem_memory_create(regions, count, &f->memory);
	for (size_t i = 0; i < count; i++)
		lazymem_region_unref(regions[i]);
	if (error != 0)
		return error;
	f->host = lazymem_mapping_span(f->mappings[0]).host;
	return IS_EAGER(f->state) ? 0 : attach(f);
}

void file_memory_map(struct file_memory *f)
{
	const struct part all = {.length = f->pages * f->page};

	assert_ok(file_memory_try_map(f, &all, 1, PROT_READ | PROT_WRITE));
}

void file_memory_unmap(struct file_memory *f)
{
	if (f->attachment != NULL)
		lazymem_attachment_abort(f->attachment);
	assert_ok(lazymem_handler_destroy(f->handler));
	lazymem_memory_unref(f->memory);
	for (size_t i = 0; i < 2; i++) {
		lazymem_mapping_unref(f->mappings[i]);
		f->mappings[i] = NULL;
	}
	f->attachment = NULL;
	f->handler = NULL;
	f->memory = NULL;
}

void file_memory_create(struct file_memory *f, void **state, size_t pages, uint64_t cut_off)
{
	*f = (struct file_memory){.state = state,
				  .page = page_size_of(memory_of(state)),
				  .pages = memory_of(state) == HUGETLB ? 4 : pages};
	image_create(&f->image, f->pages * f->page - cut_off, "ddz", 37);
	snprintf(f->path, sizeof(f->path), "%s", image_write(&f->image, "memory"));
	f->file = open(f->path, O_RDONLY | O_CLOEXEC);
	assert_true(f->file >= 0);
}

void file_memory_begin(struct file_memory *f, void **state)
{
	file_memory_create(f, state, 8, 0);
	file_memory_map(f);
}

void file_memory_end(struct file_memory *f)
{
	file_memory_unmap(f);
	close(f->file);
	image_destroy(&f->image);
}
