/* SPDX-License-Identifier: MIT
 *
 * elf_core.c - libFuzzer harness for the parsers of ELF core files.
 *
 * The input is a file, parsed as the importer does it: the header, the section
 * that has the count where the header has not, the table of segments. A second
 * time its length is said to be larger than any file's, since segments speak of
 * lengths that no input has.
 */
#include "tools/lazymem/elf_core.h"

#include "core/checked.h"
#include "tests/fuzz/require.h"

#include <errno.h>
#include <string.h>

/* As much of the file as the parser is given, in memory that ends there. */
static void *copy_of(const uint8_t *bytes, size_t size, uint64_t offset, size_t most,
		     size_t *ret_length)
{
	const size_t length = offset < size ? (size_t)lm_min(most, size - offset) : 0;
	void *copy = malloc(length);

	REQUIRE(copy != NULL);
	if (length > 0)
		memcpy(copy, bytes + offset, length);
	*ret_length = length;
	return copy;
}

static void require_refusal(int error, const struct parse_fault *fault)
{
	REQUIRE(error == -EBADMSG);
	REQUIRE(fault->text[0] != '\0');
}

static int parse_header(const uint8_t *bytes, size_t size, uint64_t file_length,
			struct elf_core *core)
{
	struct parse_fault fault = {""};
	size_t length;
	void *copy = copy_of(bytes, size, 0, ELF_CORE_HEADER_MAX, &length);
	int error = elf_core_parse_header(copy, length, file_length, core, &fault);

	free(copy);
	if (error == 0 && core->count_in_section) {
		copy = copy_of(bytes, size, core->section_offset, ELF_CORE_SECTION_MAX, &length);
		error = elf_core_parse_section(copy, length, file_length, core, &fault);
		free(copy);
	}
	if (error != 0)
		require_refusal(error, &fault);
	return error;
}

static void require_segment(const struct elf_segment *segment, uint64_t file_length)
{
	REQUIRE(segment->length > 0 && segment->length % 4096 == 0);
	REQUIRE(segment->address % 4096 == 0);
	REQUIRE(segment->length - 1 <= UINT64_MAX - segment->address);
	REQUIRE(segment->stored <= segment->length);
	REQUIRE(segment->stored == 0 || lm_fits(segment->offset, segment->stored, file_length));
}

static void parse_segments(const struct elf_core *core, const uint8_t *bytes, size_t size,
			   uint64_t file_length)
{
	struct parse_fault fault = {""};
	struct elf_segment *segments;
	uint64_t total = 0;
	size_t count, length;
	void *table = copy_of(bytes, size, core->table_offset,
			      core->segment_count * core->entry_size, &length);
	const int error =
		elf_core_parse_segments(core, table, file_length, &segments, &count, &fault);

	free(table);
	if (error != 0) {
		require_refusal(error, &fault);
		return;
	}
	REQUIRE(count > 0 && count <= core->segment_count);
	for (size_t i = 0; i < count; i++) {
		require_segment(&segments[i], file_length);
		REQUIRE(lm_add(total, segments[i].length, &total));
	}
	free(segments);
}

static void parse(const uint8_t *bytes, size_t size, uint64_t file_length)
{
	struct elf_core core;

	if (parse_header(bytes, size, file_length, &core) != 0)
		return;
	REQUIRE(core.segment_count > 0);
	REQUIRE(lm_fits(core.table_offset, core.segment_count * core.entry_size, file_length));
	if (lm_fits(core.table_offset, core.segment_count * core.entry_size, size))
		parse_segments(&core, bytes, size, file_length);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	parse(bytes, size, size);
	parse(bytes, size, UINT64_C(1) << 63);
	return 0;
}
