/* SPDX-License-Identifier: MIT */
#include "format.h"
#include "run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One write, so that what the program says is not in the middle of it. */
struct text {
	char bytes[2048];
	size_t length;
};

static void __attribute__((format(printf, 2, 3)))
put_line(struct text *text, const char *format, ...)
{
	const size_t room = sizeof(text->bytes) - text->length;
	char line[512];
	va_list arguments;
	int length;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	length = snprintf(text->bytes + text->length, room, "lazymem run: %s\n", line);
	if (length > 0)
		text->length += (size_t)length < room ? (size_t)length : room - 1;
}

/* The page size that all memories have; 0: they differ. */
static uint64_t common_page_size(const struct run_settings *settings)
{
	for (size_t i = 1; i < settings->memory_count; i++) {
		if (settings->memories[i].page_size != settings->memories[0].page_size)
			return 0;
	}
	return settings->memories[0].page_size;
}

static void put_faults(struct text *text, const struct run_board *board)
{
	const struct lazymem_statistics *statistics = &board->statistics;
	const double p50 = (double)lazymem_statistics_quantile(statistics, 0.5);
	const double p99 = (double)lazymem_statistics_quantile(statistics, 0.99);
	char first[64] = "";

	if (board->first_ns >= board->start_ns)
		snprintf(first, sizeof(first), "; first after %s",
			 format_ns((double)(board->first_ns - board->start_ns)).text);
	if (statistics->faults == 0)
		put_line(text, "0 faults");
	else
		put_line(text, "%" PRIu64 " faults, p50 %s, p99 %s%s", statistics->faults,
			 format_ns(p50).text, format_ns(p99).text, first);
}

static void put_bytes(struct text *text, const struct run_board *board,
		      const struct run_settings *settings)
{
	const struct lazymem_statistics *statistics = &board->statistics;
	const double page = (double)common_page_size(settings);
	char loaded[128] = "";

	if (page > 0)
		snprintf(loaded, sizeof(loaded), "%s of %s loaded in ",
			 format_bytes((double)statistics->pages_populated * page).text,
			 format_bytes((double)statistics->pages_total * page).text);
	else
		snprintf(loaded, sizeof(loaded), "loaded ");
	put_line(text, "%s%" PRIu64 " pages (%" PRIu64 " of them prefetched), %s read, %s", loaded,
		 statistics->pages_populated, statistics->pages_prefetched,
		 format_bytes((double)statistics->bytes_read).text,
		 format_ns((double)(board->now_ns - board->start_ns)).text);
}

static void put_troubles(struct text *text, const struct run_board *board)
{
	const struct lazymem_statistics *statistics = &board->statistics;

	if (statistics->pages_poisoned > 0)
		put_line(text, "%" PRIu64 " pages could not be read; an access raises SIGBUS",
			 statistics->pages_poisoned);
	if (statistics->retries > 0)
		put_line(text, "%" PRIu64 " reads and populates were tried again",
			 statistics->retries);
	if (board->not_traced != 0)
		put_line(text, "a trace was not replayed: %s", strerror((int)board->not_traced));
}

void run_print_summary(const struct run_board *board, const struct run_settings *settings)
{
	struct run_board copy;
	struct text text = {.length = 0};

	run_board_read(board, &copy);
	if (atomic_load(&copy.phase) == RUN_WAITING)
		put_line(&text, "no memory has been mapped");
	else {
		put_faults(&text, &copy);
		put_bytes(&text, &copy, settings);
		put_troubles(&text, &copy);
	}
	fputs(text.bytes, stderr);
}
