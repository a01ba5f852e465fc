/* wrap: ioctl */
/* SPDX-License-Identifier: MIT
 *
 * tracking_test.c - pages that come between what the kernel tells and what is made of
 * it. The rest of tracking is tested with real guests, in tests/system.
 */
#include <errno.h>
#include <lazymem/bytes.h>
#include <lazymem/handler.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#define PAGE ((size_t)4096)
#define PAGES ((size_t)16)

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument);

static struct lazymem_attachment *attachment;
static bool comes_late; /* all of memory, after the next scan */

static bool is_scan(unsigned long request)
{
	return _IOC_TYPE(request) == 'f' && _IOC_NR(request) == 16;
}

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
	const int answer = __real_ioctl(fd, request, argument);
	const int error = errno;

	if (comes_late && is_scan(request)) {
		comes_late = false;
		assert_int_equal(lazymem_attachment_prefetch(attachment, NULL), 0);
		assert_int_equal(lazymem_attachment_wait(attachment, UINT64_MAX), 0);
	}
	errno = error;
	return answer;
}

static unsigned char bytes[PAGES * PAGE];

static struct lazymem_memory *make_memory(void)
{
	struct lazymem_mapping *mapping = NULL;
	struct lazymem_backing *backing = NULL;
	struct lazymem_region *region = NULL;
	struct lazymem_memory *memory = NULL;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(1 + i / PAGE);
	assert_int_equal(lazymem_bytes_create(bytes, sizeof(bytes), NULL, NULL, &backing), 0);
	assert_int_equal(lazymem_mapping_create_memfd(sizeof(bytes), NULL, &mapping), 0);
	assert_int_equal(
		lazymem_region_create(mapping, (lazymem_guest_address){0}, backing, 0, &region), 0);
	assert_int_equal(lazymem_memory_create(&region, 1, &memory), 0);
	lazymem_region_unref(region);
	lazymem_mapping_unref(mapping);
	lazymem_backing_unref(backing);
	return memory;
}

static void page_that_comes_after_the_scan_is_not_told(void **state)
{
	const struct lazymem_attach_options options = {.size = sizeof(options),
						       .flags = LAZYMEM_ATTACH_TRACK};
	struct lazymem_handler *handler = NULL;
	struct lazymem_dirty *dirty = NULL;
	struct lazymem_memory *memory;

	(void)state;
	if (lazymem_handler_check() != 0)
		skip();
	memory = make_memory();
	assert_int_equal(lazymem_dirty_create(memory, &dirty), 0);
	assert_int_equal(lazymem_handler_create(NULL, &handler), 0);
	assert_int_equal(lazymem_handler_attach(handler, memory, &options, &attachment), 0);
	comes_late = lazymem_attachment_tracking(attachment) == LAZYMEM_TRACKING_KERNEL;
	assert_int_equal(lazymem_attachment_collect(attachment, dirty), 0);
	assert_false(comes_late);
	assert_int_equal(lazymem_dirty_length(dirty), 0);
	assert_int_equal(lazymem_memory_store_u8(memory, (lazymem_guest_address){PAGE}, 9), 0);
	assert_int_equal(lazymem_attachment_collect(attachment, dirty), 0);
	assert_int_equal(lazymem_dirty_length(dirty), PAGE);
	lazymem_attachment_abort(attachment);
	assert_int_equal(lazymem_handler_destroy(handler), 0);
	lazymem_dirty_destroy(dirty);
	lazymem_memory_unref(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(page_that_comes_after_the_scan_is_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
