/* SPDX-License-Identifier: MIT
 *
 * snapshot_write.c - a snapshot of what a backing object holds.
 *
 *   plan      what is to be written, checked and complete
 *   order     the pages of the trace first, then the rest
 *   pages     reads them, tells them apart, stores what must be stored
 *   index     which page is where, and the checksums
 *   sections  describe it all, after the pages
 *   header    last: the file is no snapshot before
 *
 * All of it goes to a temporary file, which takes the name at the end
 * (replace_file.h). So the file that is there may be the source, and whoever
 * has it open keeps it. What is kept in memory is the index, the checksums, a
 * bit for each page when there is a trace, and buffers.
 */
#include <lazymem/snapshot_write.h>

#include "backing/snapshot_write_pages.h"
#include "backing/snapshot_write_sections.h"

/* The runs of the trace, then what is left between them. */
static int write_pages(const struct lm_write_order *order, struct lm_write_pages *pages)
{
	struct lm_page_run run;
	int error = 0;

	for (size_t i = 0; i < order->run_count && error == 0; i++)
		error = lm_write_pages_run(pages, order->runs[i]);
	if (error != 0)
		return error;
	lm_write_index_end_trace(pages->index);
	for (run = lm_write_order_rest(order, 0); run.count != 0 && error == 0;
	     run = lm_write_order_rest(order, run.page + run.count))
		error = lm_write_pages_run(pages, run);
	return error;
}

static int write_data(const struct lm_write_plan *plan, const struct lm_write_order *order,
		      struct lm_write_index *index, struct lm_write_output *output)
{
	struct lm_write_pages pages;
	int error = lm_write_pages_begin(plan, index, output, &pages);

	if (error != 0)
		return error;
	error = write_pages(order, &pages);
	lm_write_pages_destroy(&pages);
	return error;
}

static int write_header(struct lm_replacement *replacement, const struct lm_snapshot_header *header)
{
	unsigned char bytes[LM_SNAPSHOT_HEADER_SIZE];

	lm_snapshot_put_header(header, bytes);
	return lm_replace_write(replacement, bytes, sizeof(bytes), 0);
}

static int fill(const struct lm_write_plan *plan, const struct lm_write_order *order,
		struct lm_replacement *replacement)
{
	struct lm_write_index index = {0};
	struct lm_write_output output;
	struct lm_snapshot_header header;
	int error = lm_output_begin(replacement, LM_SNAPSHOT_HEADER_SIZE, &output);

	if (error != 0)
		return error;
	error = write_data(plan, order, &index, &output);
	if (error == 0)
		error = lm_write_sections(plan, order, &index, &output, &header);
	lm_output_destroy(&output);
	lm_write_index_destroy(&index);
	return error != 0 ? error : write_header(replacement, &header);
}

static int replace(const struct lm_write_plan *plan, const struct lm_write_order *order)
{
	struct lm_replacement replacement;
	int error = lm_replace_begin("snapshot", plan->path, &replacement);

	if (error != 0)
		return error;
	error = fill(plan, order, &replacement);
	if (error != 0) {
		lm_replace_abandon(&replacement);
		return error;
	}
	return lm_replace_commit(&replacement);
}

int lazymem_snapshot_write(const char *path, const struct lazymem_snapshot_plan *plan)
{
	struct lm_write_plan checked;
	struct lm_write_order order;
	int error = lm_write_plan_check(path, plan, &checked);

	if (error != 0)
		return error;
	error = lm_write_order_create(&checked, &order);
	if (error == 0) {
		error = replace(&checked, &order);
		lm_write_order_destroy(&order);
	}
	lm_write_plan_destroy(&checked);
	return error;
}
