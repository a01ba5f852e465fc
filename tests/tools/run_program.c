/* SPDX-License-Identifier: MIT
 *
 * run_program - see run_program.h.
 *
 *   run_program make PATH LENGTH SEED [LAYER LAYERS]   make an image, or fill a file
 *   run_program child STATUS [DESCRIPTORS]             is this process a clean child?
 */
#include "run_program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct target *second_target;

static const struct {
	const char *name;
	run_case *run;
} cases[] = {
	{"shared", shared_view},
	{"private", private_view},
	{"read-only", read_only},
	{"reservation", reservation},
	{"fixed-over", fixed_over},
	{"populate", populate_flag},
	{"locked", locked},
	{"part", part_of_file},
	{"beyond", beyond_file},
	{"other-paths", other_paths},
	{"large-file-names", large_file_names},
	{"protection", protection},
	{"some-pages", some_pages},
	{"other-flags", other_flags},
	{"many-views", many_views},
	{"unmap", unmap},
	{"shrink", shrink},
	{"grow", grow},
	{"move", move},
	{"duplicate", duplicate},
	{"keep-old", keep_old},
	{"dontneed", dontneed},
	{"remove", remove_pages},
	{"punch", punch},
	{"punch-edges", punch_edges},
	{"allocate", allocate},
	{"truncate", truncate_file},
	{"populate-advice", populate_advice},
	{"spanning-advice", spanning_advice},
	{"do-fork", do_fork},
	{"several", several_views},
	{"hammer", hammer},
	{"system-calls", system_calls},
	{"two-files", two_files},
	{"hold", hold},
	{"refused", refused},
	{"image-gone", image_gone},
	{"fork-exec", fork_exec},
	{"fork-alone", fork_alone},
	{"fork-and-map", fork_and_map},
	{"fork-then-map", fork_then_map},
	{"fork-while-mapping", fork_while_mapping},
	{"spawn", spawn},
	{"signals-untouched", signals_untouched},
	{"signal-storm", signal_storm},
	{"calls-in-handler", calls_in_handler},
	{"interruption", interruption},
	{"status", ends_with_status},
	{"killed", ends_by_signal},
	{"wait", waits_for_signal},
	{"error-numbers", error_numbers},
	{"other-memory", other_memory},
	{"closed-output", closed_output},
	{"close-each", close_each},
	{"close-all", close_all_at_once},
	{"replace-each", replace_each},
	{"without-standard", without_standard},
	{"without-stderr", without_stderr},
	{"lock-before", lock_before},
	{"map-only", map_only},
	{"child-stays", child_stays},
	{"cancelled", cancelled},
	{"other-order", pages_in_other_order},
	{"random", random_calls},
	{"random-threads", random_threads},
};

static int run_named(const char *name, struct target *target)
{
	for (size_t i = 0; i < COUNT(cases); i++) {
		if (strcmp(cases[i].name, name) == 0) {
			cases[i].run(target);
			return 0;
		}
	}
	die(__FILE__, __LINE__, "there is no case %s", name);
}

static int make(int argc, char **argv)
{
	const struct target target = {.path = argv[2],
				      .length = strtoull(argv[3], NULL, 0),
				      .seed = strtoull(argv[4], NULL, 0)};
	const bool layered = argc == 7;

	make_image(&target, layered ? (unsigned)atoi(argv[5]) : 0,
		   layered ? (unsigned)atoi(argv[6]) : 1);
	return 0;
}

int main(int argc, char **argv)
{
	struct target target;
	struct target other;

	if (argc >= 3 && strcmp(argv[1], "child") == 0)
		return examined_child(argc, argv);
	if (argc < 5)
		die(__FILE__, __LINE__, "usage: run_program CASE PATH LENGTH SEED");
	if (strcmp(argv[1], "make") == 0)
		return make(argc, argv);
	target = open_target(argv[2], argv[3], argv[4]);
	if (argc == 8) {
		other = open_target(argv[5], argv[6], argv[7]);
		second_target = &other;
	}
	return run_named(argv[1], &target);
}
