/* SPDX-License-Identifier: MIT
 *
 * seed_trace.c - sound traces for a fuzzer to begin with.
 *
 *   seed_trace DIRECTORY
 */
#include <lazymem/trace.h>
#include <stdio.h>

/* A trace of `count` ranges, a few pages each, in an order that joins none. */
static int save(const char *directory, const char *name, size_t page_size, unsigned count)
{
	struct lazymem_trace *trace;
	char path[4096];

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory, name) >= sizeof(path))
		return -1;
	if (lazymem_trace_create(page_size, &trace))
		return -1;
	for (unsigned i = 0; i < count; i++) {
		const struct lazymem_guest_range range = {
			.start = {(uint64_t)((i * 7919u) % 4096u) * 16u * page_size},
			.length = (1u + i % 5u) * page_size,
		};

		if (lazymem_trace_append(trace, range))
			return -1;
	}
	if (lazymem_trace_save(trace, path))
		return -1;
	lazymem_trace_destroy(trace);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: seed_trace DIRECTORY\n");
		return 2;
	}
	if (save(argv[1], "empty", 4096, 0) || save(argv[1], "one", 4096, 1) ||
	    save(argv[1], "many", 4096, 100) || save(argv[1], "huge-pages", 2u << 20, 9)) {
		fprintf(stderr, "seed_trace: %s\n", lazymem_error_message());
		return 1;
	}
	return 0;
}
