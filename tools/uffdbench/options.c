/* SPDX-License-Identifier: MIT */
#include "options.h"
#include "complain.h"
#include "size.h"

#include <errno.h>
#include <getopt.h>
#include <lazymem/common.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_LIMIT (1ull << 40)
#define THREADS_LIMIT 1024u
#define REPEAT_LIMIT 10000u

enum {
	OPTION_MEMORY = 256,
	OPTION_WORKLOAD,
	OPTION_SOURCE,
	OPTION_THREADS,
	OPTION_PIN,
	OPTION_WRITE,
	OPTION_REPEAT,
	OPTION_JSON,
	OPTION_PLOT,
	OPTION_DIRECTORY,
	OPTION_IMAGE,
	OPTION_GUEST_IMAGE,
	OPTION_MAKE_IMAGE,
	OPTION_MAKE_TRACE,
	OPTION_DIRTY,
	OPTION_POST_COPY,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	{"memory", required_argument, NULL, OPTION_MEMORY},
	{"workload", required_argument, NULL, OPTION_WORKLOAD},
	{"source", required_argument, NULL, OPTION_SOURCE},
	{"threads", required_argument, NULL, OPTION_THREADS},
	{"pin", required_argument, NULL, OPTION_PIN},
	{"write", no_argument, NULL, OPTION_WRITE},
	{"repeat", required_argument, NULL, OPTION_REPEAT},
	{"json", required_argument, NULL, OPTION_JSON},
	{"plot", required_argument, NULL, OPTION_PLOT},
	{"directory", required_argument, NULL, OPTION_DIRECTORY},
	{"image", required_argument, NULL, OPTION_IMAGE},
	{"guest-image", required_argument, NULL, OPTION_GUEST_IMAGE},
	{"make-image", required_argument, NULL, OPTION_MAKE_IMAGE},
	{"make-trace", required_argument, NULL, OPTION_MAKE_TRACE},
	{"dirty", no_argument, NULL, OPTION_DIRTY},
	{"post-copy", no_argument, NULL, OPTION_POST_COPY},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

#define REFUSE(...)                                                                                \
	do {                                                                                       \
		complain(__VA_ARGS__);                                                             \
		exit(EXIT_USAGE);                                                                  \
	} while (0)

static uint64_t parse_size(const char *name, const char *text)
{
	uint64_t size;
	int error = size_parse(text, &size);

	if (error == -EINVAL)
		REFUSE("--%s %s is no size: give bytes, or a number with K, M or G", name, text);
	if (error != 0 || size > MEMORY_LIMIT)
		REFUSE("--%s %s is too large: at most 1024G", name, text);
	if (size == 0 || size % PAGE_BYTES != 0)
		REFUSE("--%s %s is no positive multiple of the page size, %u", name, text,
		       PAGE_BYTES);
	return size;
}

static unsigned parse_count(const char *name, const char *text, unsigned limit)
{
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number == 0 ||
	    number > limit)
		REFUSE("--%s %s is no number from 1 to %u", name, text, limit);
	return (unsigned)number;
}

/* The position of `text` in `words`, which NULL ends. */
static unsigned parse_word(const char *name, const char *text, const char *const *words)
{
	for (unsigned i = 0; words[i] != NULL; i++) {
		if (strcmp(text, words[i]) == 0)
			return i;
	}
	REFUSE("--%s %s: unknown; see --help", name, text);
}

static const char *parse_workload(const char *text)
{
	if (workload_member(text, 0) == NULL)
		REFUSE("unknown workload %s; see --help", text);
	return text;
}

static const char *parse_path(const char *name, const char *text)
{
	if (text[0] == '\0')
		REFUSE("--%s needs a path", name);
	return text;
}

static void take_suite(struct options *options, const struct suite *suite)
{
	if (options->suite != NULL && options->suite != suite)
		REFUSE("--%s and --%s exclude each other", options->suite->option, suite->option);
	options->suite = suite;
}

/* One option; false when it is none of them. */
static bool take(struct options *options, int option, const char *value)
{
	static const char *const sources[] = {"cached", "cold", NULL};
	static const char *const pins[] = {"none", "same", "other", NULL};

	switch (option) {
	case OPTION_MEMORY:
		options->memory = parse_size("memory", value);
		return true;
	case OPTION_WORKLOAD:
		options->workload = parse_workload(value);
		return true;
	case OPTION_SOURCE:
		options->source = (enum source)parse_word("source", value, sources);
		return true;
	case OPTION_THREADS:
		options->threads = parse_count("threads", value, THREADS_LIMIT);
		return true;
	case OPTION_PIN:
		options->pin = (enum pin)parse_word("pin", value, pins);
		return true;
	case OPTION_WRITE:
		options->write = true;
		return true;
	case OPTION_REPEAT:
		options->repeat = parse_count("repeat", value, REPEAT_LIMIT);
		return true;
	case OPTION_JSON:
		options->json = parse_path("json", value);
		return true;
	case OPTION_PLOT:
		options->plot = parse_path("plot", value);
		return true;
	case OPTION_DIRECTORY:
		options->directory = parse_path("directory", value);
		return true;
	case OPTION_IMAGE:
		options->image = parse_path("image", value);
		return true;
	case OPTION_GUEST_IMAGE:
		options->guest_image = parse_path("guest-image", value);
		return true;
	case OPTION_MAKE_IMAGE:
		options->make_image = parse_path("make-image", value);
		return true;
	case OPTION_MAKE_TRACE:
		options->make_trace = parse_path("make-trace", value);
		return true;
	case OPTION_DIRTY:
		take_suite(options, &suite_dirty);
		return true;
	case OPTION_POST_COPY:
		take_suite(options, &suite_post_copy);
		return true;
	default:
		return false;
	}
}

static void print_and_exit(int option)
{
	if (option == OPTION_HELP)
		options_help();
	else
		printf("uffdbench %s\n", lazymem_version());
	exit(fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_RUN_FAILED);
}

static void add_engine(struct options *options, const struct engine *engine)
{
	for (unsigned i = 0; i < options->engine_count; i++) {
		if (options->engines[i] == engine)
			REFUSE("engine %s is named twice", engine->name);
	}
	options->engines[options->engine_count++] = engine;
}

static void take_engines(struct options *options, int count, char **names)
{
	for (int i = 0; i < count; i++) {
		const struct engine *engine = engine_find(names[i]);

		if (engine == NULL)
			REFUSE("unknown engine %s; see --help", names[i]);
		add_engine(options, engine);
	}
	if (options->engine_count > 0)
		return;
	for (size_t i = 0; engine_at(i) != NULL; i++) {
		if (engine_is_default(engine_at(i)))
			add_engine(options, engine_at(i));
	}
}

static void add_measurement(struct options *options, const struct measurement *measurement)
{
	for (unsigned i = 0; i < options->measurement_count; i++) {
		if (options->measurements[i] == measurement)
			REFUSE("measurement %s is named twice", measurement->name);
	}
	options->measurements[options->measurement_count++] = measurement;
}

static void take_measurements(struct options *options, int count, char **names)
{
	const struct measurement *measurement;

	for (int i = 0; i < count; i++) {
		measurement = suite_find(options->suite, names[i]);
		if (measurement == NULL)
			REFUSE("unknown measurement %s; see --help", names[i]);
		add_measurement(options, measurement);
	}
	for (size_t i = 0; count == 0 && options->suite->measurements[i] != NULL; i++)
		add_measurement(options, options->suite->measurements[i]);
}

/* Is this an option that says something about a suite, too? */
static bool fits_suite(int option)
{
	return option == OPTION_DIRTY || option == OPTION_POST_COPY || option == OPTION_MEMORY ||
	       option == OPTION_REPEAT || option == OPTION_JSON || option == OPTION_DIRECTORY;
}

static const char *option_name(int option)
{
	const struct option *known = long_options;

	while (known->val != option)
		known++;
	return known->name;
}

/* Each of them says what the image is, or that none is needed. */
static void check_combination(const struct options *options)
{
	const struct {
		const char *name;
		const char *value;
	} exclusive[] = {
		{"make-image", options->make_image},
		{"make-trace", options->make_trace},
		{"guest-image", options->guest_image},
		{"image", options->image},
	};
	const char *given = NULL;

	for (size_t i = 0; i < sizeof(exclusive) / sizeof(exclusive[0]); i++) {
		if (exclusive[i].value == NULL)
			continue;
		if (given != NULL)
			REFUSE("--%s and --%s exclude each other", given, exclusive[i].name);
		given = exclusive[i].name;
	}
}

static void check_suite(const struct options *options, const char *not_suite)
{
	const struct suite *suite = options->suite;

	if (not_suite != NULL)
		REFUSE("--%s and --%s exclude each other", suite->option, not_suite);
	if (options->memory != 0 && options->memory < suite->least_bytes)
		REFUSE("--%s needs a --memory of %s at least", suite->option, suite->least);
}

void options_parse(int argc, char **argv, struct options *ret_options)
{
	struct options options = {.workload = "random", .threads = 1, .repeat = 3};
	const char *not_suite = NULL;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		if (option == OPTION_HELP || option == OPTION_VERSION)
			print_and_exit(option);
		if (option == ':')
			REFUSE("option %s needs a value", argv[optind - 1]);
		if (!take(&options, option, optarg))
			REFUSE("unknown option %s; see --help", argv[optind - 1]);
		if (!fits_suite(option))
			not_suite = option_name(option);
	}
	if (options.suite != NULL)
		check_suite(&options, not_suite);
	if (options.suite != NULL)
		take_measurements(&options, argc - optind, argv + optind);
	else
		take_engines(&options, argc - optind, argv + optind);
	check_combination(&options);
	*ret_options = options;
}
