/* SPDX-License-Identifier: MIT
 *
 * What happens before the program starts. Whatever can be refused is refused
 * here, in an order in which the files that the program maps come last: until
 * then nothing has been made or changed.
 */
#include "commands.h"
#include "complain.h"
#include "run.h"
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	OPTION_MEMORY = OPTION_REST,
	OPTION_CREATE,
	OPTION_RECORD,
	OPTION_REPLAY,
	OPTION_PREFETCH,
	OPTION_COMPLETE,
	OPTION_STATS,
};

static const struct option long_options[] = {
	{"memory", required_argument, NULL, OPTION_MEMORY},
	{"create", no_argument, NULL, OPTION_CREATE},
	{"record", required_argument, NULL, OPTION_RECORD},
	{"replay", required_argument, NULL, OPTION_REPLAY},
	{"prefetch", required_argument, NULL, OPTION_PREFETCH},
	{"complete", no_argument, NULL, OPTION_COMPLETE},
	{"stats", no_argument, NULL, OPTION_STATS},
	OPTION_TABLE_END,
};

/* ---- command line --------------------------------------------------------------- */

/* Does not return without one. */
static char *absolute_path(const char *option, const char *path)
{
	char *absolute;

	if (path[0] == '\0')
		REFUSE("--%s: a file name is empty", option);
	absolute = run_absolute_path(path);
	if (absolute == NULL)
		exit(EXIT_RUN_FAILED);
	return absolute;
}

/* IMAGE[,DIFF...], each name absolute. A name that has a comma in it can only be
 * that of a single file. */
static char *absolute_images(const char *text)
{
	char **paths = source_paths(text);
	char *joined = NULL;

	for (size_t i = 0; paths != NULL && paths[i] != NULL; i++) {
		char *path = absolute_path("memory", paths[i]);
		char *longer = NULL;

		if (paths[1] != NULL && strchr(path, ',') != NULL)
			REFUSE("--memory: %s: the name of a layer must have no comma", path);
		if (asprintf(&longer, "%s%s%s", i > 0 ? joined : "", i > 0 ? "," : "", path) < 0)
			longer = NULL;
		free(path);
		free(joined);
		joined = longer;
		if (joined == NULL)
			break;
	}
	source_free_paths(paths);
	if (joined == NULL)
		REFUSE("--memory: no memory for the name %s", text);
	return joined;
}

static void add_file(struct run_request *request, const char *text)
{
	const size_t length = strcspn(text, "=");
	char *path;

	if (length == 0 || text[length] == '\0' || text[length + 1] == '\0')
		REFUSE("--memory %s is not PATH=IMAGE", text);
	if (request->file_count == RUN_MEMORIES_MOST)
		REFUSE("--memory %s: more than %d memories", text, RUN_MEMORIES_MOST);
	path = strndup(text, length);
	if (path == NULL)
		REFUSE("--memory: no memory for the name %s", text);
	request->files[request->file_count++] = (struct run_file){
		.path = absolute_path("memory", path), .image = absolute_images(text + length + 1)};
	free(path);
}

static void set_path(char **path, const char *option, const char *text)
{
	free(*path);
	*path = absolute_path(option, text);
}

static void take(void *context, int option, const char *value)
{
	static const char *const prefetches[] = {"none", "trace", "all", NULL};
	struct run_request *request = context;

	switch (option) {
	case OPTION_MEMORY:
		add_file(request, value);
		break;
	case OPTION_CREATE:
		request->create = true;
		break;
	case OPTION_RECORD:
		set_path(&request->record, "record", value);
		break;
	case OPTION_REPLAY:
		set_path(&request->replay, "replay", value);
		break;
	case OPTION_PREFETCH:
		request->prefetch =
			(enum run_prefetch)arguments_word("prefetch", value, prefetches);
		break;
	case OPTION_COMPLETE:
		request->complete = true;
		break;
	default:
		request->stats = true;
		break;
	}
}

static void parse(const struct command *command, int argc, char **argv, struct run_request *request)
{
	const int operand =
		arguments_parse_program(command, argc, argv, long_options, take, request);

	request->arguments = argv + operand;
	if (request->file_count == 0)
		REFUSE("run needs --memory PATH=IMAGE; see lazymem run --help");
}

static void free_request(struct run_request *request)
{
	for (size_t i = 0; i < request->file_count; i++) {
		free(request->files[i].path);
		free(request->files[i].image);
	}
	free(request->record);
	free(request->replay);
}

/* ---- the run --------------------------------------------------------------------- */

static int execute(const char *path, char **arguments)
{
	execv(path, arguments);
	complain("%s: cannot be executed: %s", path, strerror(errno));
	return EXIT_RUN_FAILED;
}

/* Everything is checked. */
static int start(const struct run_request *request, struct run_memory *memories, const char *path)
{
	const struct run_settings settings = {.memories = memories,
					      .memory_count = request->file_count,
					      .record = request->record,
					      .replay = request->replay,
					      .prefetch = request->prefetch,
					      .complete = request->complete};
	int fd, status;

	if (run_settings_store(&settings, &fd) != 0)
		return EXIT_RUN_FAILED;
	status = run_set_environment(fd);
	if (status != 0)
		return status;
	return request->stats ? run_supervise(path, request->arguments, fd)
			      : execute(path, request->arguments);
}

static int check_and_start(struct run_request *request)
{
	struct run_memory memories[RUN_MEMORIES_MOST];
	uint64_t lengths[RUN_MEMORIES_MOST];
	char *path = NULL;
	int status = run_check_environment();

	if (status == 0)
		status = run_check_permission();
	if (status == 0)
		status = run_check_program(request->arguments[0], &path);
	if (status == 0)
		status = run_check_images(request, lengths);
	if (status == 0)
		status = run_check_record(request);
	if (status == 0) {
		run_check_replay(request);
		status = run_prepare_files(request, lengths, memories);
	}
	if (status == 0)
		status = start(request, memories, path);
	free(path);
	return status;
}

/* Where a standard descriptor is closed, a file that we open would take its
 * place, and get our messages. The program finds it closed. */
static void occupy_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static int run(const struct command *command, int argc, char **argv)
{
	struct run_request request = {.prefetch = RUN_PREFETCH_TRACE};
	int status = EXIT_RUN_FAILED;

	occupy_standard_descriptors();
	parse(command, argc, argv, &request);
	if (RUN_IS_BUILT)
		status = check_and_start(&request);
	else
		complain("this build has no lazymem run");
	free_request(&request);
	return status;
}

const struct command command_run = {
	.name = "run",
	.usage = "--memory PATH=IMAGE[,DIFF...] [--create] [--record TRACE] [--replay TRACE]\n"
		 "[--prefetch none|trace|all] [--complete] [--stats] [--] PROGRAM [ARGUMENT...]",
	.help = "Run PROGRAM, and where it maps the file PATH, fill that mapping lazily from\n"
		"IMAGE: a raw image, raw layers (BASE,DIFF,...), or a snapshot. PATH is an empty\n"
		"file on tmpfs or hugetlbfs, as long as the image.\n"
		"\n"
		"  --memory PATH=IMAGE[,DIFF...]  may be given several times\n"
		"  --create            make PATH, or empty it\n"
		"  --record TRACE      write what was touched, in its order, to TRACE\n"
		"  --replay TRACE      load what is in TRACE first (default: the working set of\n"
		"                      the snapshot, if it has one)\n"
		"  --prefetch WHAT     none, trace (the default), or all: the trace, then the "
		"rest\n"
		"  --complete          at exit, load the rest, so that PATH is whole\n"
		"  --stats             print a summary at the end, and at each SIGUSR1\n"
		"  --help\n",
	.exit = "that of PROGRAM, or, if it was not started, 1 failure,\n"
		"2 wrong command line, 77 no permission for userfaultfd",
	.run = run,
};
