/* embed.c - guest memory that is filled from an image as it is touched. */
#include <lazymem/file.h>
#include <lazymem/handler.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	struct lazymem_backing *image;
	struct lazymem_mapping *mapping;
	struct lazymem_region *region;
	struct lazymem_memory *memory;
	struct lazymem_handler *handler;
	struct lazymem_attachment *attachment;
	const lazymem_guest_address base = {0};
	const size_t length = 64 << 20; /* of the guest memory; the image has as much */
	uint32_t word;

	if (lazymem_file_open(argc > 1 ? argv[1] : "memory.img", NULL, &image) ||
	    lazymem_mapping_create_anonymous(length, NULL, &mapping) ||
	    lazymem_region_create(mapping, base, image, 0, &region) ||
	    lazymem_memory_create(&region, 1, &memory) || lazymem_handler_create(NULL, &handler) ||
	    lazymem_handler_attach(handler, memory, NULL, &attachment) ||
	    lazymem_memory_load_u32(memory, base, &word) || /* the first touch: one page is read */
	    lazymem_attachment_finish(attachment) ||        /* now every page is there */
	    lazymem_handler_destroy(handler)) {
		fprintf(stderr, "embed: %s\n", lazymem_error_message());
		return 1;
	}
	printf("the guest memory begins with 0x%08x\n", (unsigned)word);
	lazymem_memory_unref(memory);
	lazymem_region_unref(region);
	lazymem_mapping_unref(mapping);
	lazymem_backing_unref(image);
	return 0;
}
