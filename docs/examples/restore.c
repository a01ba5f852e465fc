/* SPDX-License-Identifier: MIT
 *
 * restore.c - restore the memory of a guest on demand, and check it.
 *
 *   restore [--memfd] [--record TRACE | --replay TRACE] IMAGE
 *   restore --check
 *
 * The image becomes guest memory in two regions, as on a PC: one from guest
 * address 0 on, and one above 4 GiB. One page in eight is touched in a random
 * order while nothing but faults brings pages in, as a guest that has just
 * been resumed would do; then the rest is populated and the handler let go.
 * Every page is compared with what a plain read of the file gives: the touched
 * ones when they arrive, and all of them at the end.
 *
 * --record keeps the order of first touches, --replay populates those pages
 * ahead of the guest. --check only asks whether faults can be served here, and
 * ends with 77 when they cannot.
 */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <lazymem/file.h>
#include <lazymem/handler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define UPPER_BASE (UINT64_C(4) << 30)

struct restore {
	const char *path;
	const char *record;
	const char *replay;
	bool memfd;

	int fd;             /* of the image, to compare with */
	uint64_t length;    /* bytes of guest memory, whole pages */
	uint64_t lower;     /* of these, in the lower region */
	uint64_t image_end; /* bytes in the file */
	struct lazymem_backing *image;
	struct lazymem_memory *memory;
	struct lazymem_handler *handler;
	struct lazymem_attachment *attachment;
};

static int complain(const char *what)
{
	fprintf(stderr, "restore: %s: %s\n", what, lazymem_error_message());
	return -1;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Where byte `offset` of the image is in the guest's address space. */
static lazymem_guest_address address_of(const struct restore *restore, uint64_t offset)
{
	lazymem_guest_address address = {offset};

	if (offset >= restore->lower)
		address.value = offset - restore->lower + UPPER_BASE;
	return address;
}

/* One region of `length` bytes, filled from `offset` on in the image. */
static int create_region(struct restore *restore, uint64_t offset, uint64_t length,
			 struct lazymem_region **ret_region)
{
	const struct lazymem_mapping_options options = {
		.size = sizeof(options),
		.name = "restored guest",
		.flags = LAZYMEM_MAPPING_HUGEPAGES,
	};
	struct lazymem_mapping *mapping;
	int error;

	if (restore->memfd)
		error = lazymem_mapping_create_memfd(length, &options, &mapping);
	else
		error = lazymem_mapping_create_anonymous(length, &options, &mapping);
	if (error)
		return error;
	error = lazymem_region_create(mapping, address_of(restore, offset), restore->image, offset,
				      ret_region);
	lazymem_mapping_unref(mapping); /* the region has a reference */
	return error;
}

static int create_memory(struct restore *restore)
{
	struct lazymem_region *regions[2] = {NULL, NULL};
	int error;

	error = create_region(restore, 0, restore->lower, &regions[0]);
	if (!error)
		error = create_region(restore, restore->lower, restore->length - restore->lower,
				      &regions[1]);
	if (!error)
		error = lazymem_memory_create(regions, 2, &restore->memory);
	lazymem_region_unref(regions[0]);
	lazymem_region_unref(regions[1]);
	return error ? complain("cannot make the guest memory") : 0;
}

static int open_image(struct restore *restore)
{
	if (lazymem_file_open(restore->path, NULL, &restore->image))
		return complain("cannot open the image");
	restore->fd = open(restore->path, O_RDONLY | O_CLOEXEC);
	if (restore->fd < 0) {
		perror(restore->path);
		return -1;
	}
	restore->image_end = lazymem_backing_length(restore->image);
	restore->length = (restore->image_end + PAGE - 1) / PAGE * PAGE;
	restore->lower = restore->length / PAGE / 2 * PAGE;
	if (restore->lower == 0 || restore->lower > UPPER_BASE) {
		fprintf(stderr, "restore: %s: must have 2 pages or more, and 8 GiB or less\n",
			restore->path);
		return -1;
	}
	return 0;
}

static int attach(struct restore *restore)
{
	const struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = restore->record ? LAZYMEM_ATTACH_RECORD : 0,
	};

	if (lazymem_handler_create(NULL, &restore->handler))
		return complain("cannot start the handler");
	if (lazymem_handler_attach(restore->handler, restore->memory, &options,
				   &restore->attachment))
		return complain("cannot attach the guest memory");
	return 0;
}

/* Queue the pages of a recorded run; the guest starts at once. */
static int replay(struct restore *restore)
{
	struct lazymem_prefetch prefetch = {.size = sizeof(prefetch)};
	struct lazymem_trace *trace;
	int error;

	if (lazymem_trace_load(restore->replay, &trace))
		return complain("cannot load the trace");
	prefetch.trace = trace;
	error = lazymem_attachment_prefetch(restore->attachment, &prefetch);
	printf("  prefetching %" PRIu64 " pages in %zu ranges of %s\n",
	       lazymem_trace_length(trace) / PAGE, lazymem_trace_count(trace), restore->replay);
	lazymem_trace_destroy(trace);
	return error ? complain("cannot prefetch") : 0;
}

static int record(struct restore *restore)
{
	struct lazymem_trace *trace;
	int error;

	if (lazymem_attachment_trace(restore->attachment, &trace))
		return complain("cannot get the trace");
	error = lazymem_trace_save(trace, restore->record);
	printf("  recorded %" PRIu64 " pages in %zu ranges to %s\n",
	       lazymem_trace_length(trace) / PAGE, lazymem_trace_count(trace), restore->record);
	lazymem_trace_destroy(trace);
	return error ? complain("cannot save the trace") : 0;
}

/* The page of the file at `offset`; zeros past its end. */
static int read_expected(const struct restore *restore, uint64_t offset, unsigned char *page)
{
	size_t have = 0;

	memset(page, 0, PAGE);
	while (have < PAGE && offset + have < restore->image_end) {
		ssize_t got = pread(restore->fd, page + have, PAGE - have, (off_t)(offset + have));

		if (got <= 0) {
			perror(restore->path);
			return -1;
		}
		have += (size_t)got;
	}
	return 0;
}

/* Read one page as the guest would, and compare. */
static int check_page(const struct restore *restore, uint64_t offset)
{
	unsigned char expected[PAGE];
	unsigned char found[PAGE];

	if (lazymem_memory_read(restore->memory, address_of(restore, offset), found, PAGE))
		return complain("cannot read guest memory");
	if (read_expected(restore, offset, expected))
		return -1;
	if (memcmp(expected, found, PAGE) != 0) {
		fprintf(stderr, "restore: the page at 0x%" PRIx64 " differs from the image\n",
			offset);
		return -1;
	}
	return 0;
}

/* An order of touches that no read-ahead can guess: a step without a common
 * divisor with the number of pages visits each of them once. */
static uint64_t scattering_step(uint64_t pages)
{
	uint64_t step = 2654435761u % pages;

	for (;; step++) {
		uint64_t a = pages;
		uint64_t b = step;

		while (b != 0) {
			uint64_t rest = a % b;

			a = b;
			b = rest;
		}
		if (a == 1)
			return step;
	}
}

static int touch(const struct restore *restore)
{
	const uint64_t pages = restore->length / PAGE;
	const uint64_t touches = pages < 8 ? pages : pages / 8;
	const uint64_t step = scattering_step(pages);
	const double start = seconds();
	uint64_t page = 0;

	for (uint64_t i = 0; i < touches; i++) {
		if (check_page(restore, page * PAGE))
			return -1;
		page = (page + step) % pages;
	}
	printf("  touched %" PRIu64 " of %" PRIu64 " pages in %.3f s: each as in the image\n",
	       touches, pages, seconds() - start);
	return 0;
}

static int print_statistics(struct restore *restore)
{
	struct lazymem_statistics statistics = {.size = sizeof(statistics)};

	if (lazymem_attachment_statistics(restore->attachment, &statistics))
		return complain("cannot get the statistics");
	printf("  faults %" PRIu64 ": from the image %" PRIu64 ", zeros without I/O %" PRIu64
	       ", other %" PRIu64 "\n",
	       statistics.faults, statistics.copied + statistics.continued + statistics.moved,
	       statistics.zeroed,
	       statistics.coalesced + statistics.already_present + statistics.failed);
	printf("  latency of a fault: p50 %.1f us, p99 %.1f us\n",
	       (double)lazymem_statistics_quantile(&statistics, 0.50) / 1e3,
	       (double)lazymem_statistics_quantile(&statistics, 0.99) / 1e3);
	printf("  read %.1f MiB in %" PRIu64 " reads; %" PRIu64 " of %" PRIu64 " pages there\n",
	       (double)statistics.bytes_read / (1 << 20), statistics.reads,
	       statistics.pages_populated, statistics.pages_total);
	return 0;
}

static int finish(struct restore *restore)
{
	const double start = seconds();

	if (lazymem_attachment_finish(restore->attachment))
		return complain("cannot finish");
	restore->attachment = NULL;
	printf("  populated the rest and let go in %.3f s\n", seconds() - start);
	for (uint64_t offset = 0; offset < restore->length; offset += PAGE) {
		if (check_page(restore, offset))
			return -1;
	}
	printf("  every page is as in the image\n");
	return 0;
}

static int run(struct restore *restore)
{
	if (open_image(restore) || create_memory(restore) || attach(restore))
		return -1;
	if (restore->replay && replay(restore))
		return -1;
	if (touch(restore) || print_statistics(restore))
		return -1;
	if (restore->record && record(restore))
		return -1;
	return finish(restore);
}

static void release(struct restore *restore)
{
	if (restore->attachment)
		lazymem_attachment_abort(restore->attachment);
	if (lazymem_handler_destroy(restore->handler))
		complain("cannot stop the handler");
	lazymem_memory_unref(restore->memory);
	lazymem_backing_unref(restore->image);
	if (restore->fd >= 0)
		close(restore->fd);
}

static int check_permission(void)
{
	if (lazymem_handler_check() == 0)
		return 0;
	fprintf(stderr, "restore: %s\n", lazymem_error_message());
	return 77;
}

static void usage(FILE *out)
{
	fprintf(out, "usage: restore [--memfd] [--record TRACE | --replay TRACE] IMAGE\n"
		     "       restore --check\n");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"check", no_argument, NULL, 'c'},        {"help", no_argument, NULL, 'h'},
		{"memfd", no_argument, NULL, 'm'},        {"record", required_argument, NULL, 'r'},
		{"replay", required_argument, NULL, 'p'}, {NULL, 0, NULL, 0},
	};
	struct restore restore = {.fd = -1};
	int option;
	int error;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'c')
			return check_permission();
		else if (option == 'm')
			restore.memfd = true;
		else if (option == 'r')
			restore.record = optarg;
		else if (option == 'p')
			restore.replay = optarg;
		else {
			usage(option == 'h' ? stdout : stderr);
			return option == 'h' ? 0 : 2;
		}
	}
	if (optind + 1 != argc || (restore.record && restore.replay)) {
		usage(stderr);
		return 2;
	}
	restore.path = argv[optind];
	error = run(&restore);
	release(&restore);
	return error ? 1 : 0;
}
