/* SPDX-License-Identifier: MIT */
#include "tracked.h"

#include <sys/mman.h>

enum memory_kind memory_of(void **state)
{
	return (enum memory_kind)((unsigned)kind_of(state) & 0xff);
}

enum lazymem_tracking tracking_of(void **state)
{
	return (enum lazymem_tracking)((unsigned)kind_of(state) >> 8);
}

void tracked_begin(struct tracked *f, void **state, size_t pages, const char *layout)
{
	const size_t length = pages * page_size_of(memory_of(state));
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_TRACK,
		.tracking_most = tracking_of(state),
	};

	f->pages = pages;
	image_create(&f->image, length, layout, 83);
	source_create(&f->source, &f->image);
	guest_map(&f->guest, memory_of(state), length, 0, f->source.backing);
	guest_attach(&f->guest, NULL, &options);
	assert_int_equal(lazymem_attachment_tracking(f->guest.attachment), tracking_of(state));
	assert_ok(lazymem_dirty_create(f->guest.memory, &f->dirty));
}

void tracked_end(struct tracked *f)
{
	lazymem_dirty_destroy(f->dirty);
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

unsigned char *tracked_page(const struct tracked *f, size_t page)
{
	return f->guest.host + page * f->guest.page;
}

void expect_told(struct tracked *f, size_t count, const size_t *pages)
{
	lazymem_dirty_clear(f->dirty);
	assert_ok(lazymem_attachment_collect(f->guest.attachment, f->dirty));
	for (size_t i = 0; i < count; i++)
		if (!lazymem_dirty_test(f->dirty, guest_address(pages[i] * f->guest.page)))
			fail_msg("page %zu was written, and is not told", pages[i]);
	assert_int_equal(lazymem_dirty_length(f->dirty), count * f->guest.page);
}

bool is_told(struct tracked *f, size_t page)
{
	lazymem_dirty_clear(f->dirty);
	assert_ok(lazymem_attachment_collect(f->guest.attachment, f->dirty));
	return lazymem_dirty_test(f->dirty, guest_address(page * f->guest.page));
}

unsigned char *map_view(struct tracked *f, unsigned flags)
{
	struct lazymem_view view = {
		.size = sizeof(view),
		.flags = flags,
		.length = f->guest.length,
		.address = guest_address(0),
	};
	uint64_t offset;
	int fd;

	assert_ok(lazymem_mapping_fd(f->guest.mapping, &fd, &offset));
	view.host = mmap(NULL, view.length, PROT_READ | PROT_WRITE,
			 flags & LAZYMEM_VIEW_PRIVATE ? MAP_PRIVATE : MAP_SHARED, fd, 0);
	assert_ptr_not_equal(view.host, MAP_FAILED);
	assert_ok(lazymem_attachment_add_view(f->guest.attachment, &view));
	return view.host;
}

void unmap_view(struct tracked *f, unsigned char *view)
{
	assert_ok(lazymem_attachment_remove_view(f->guest.attachment, view, f->guest.length));
	assert_int_equal(munmap(view, f->guest.length), 0);
}
