/* SPDX-License-Identifier: MIT
 *
 * command_migrate.c - `migrate` and `cancel`, said to the machine that is to go.
 */
#include "commands.h"
#include "control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	OPTION_SOCKET = OPTION_OWN,
	OPTION_ROUNDS,
	OPTION_STOP_AND_COPY,
	OPTION_BANDWIDTH,
	OPTION_TIMEOUT,
	OPTION_PSK,
	OPTION_CERTIFICATES,
	OPTION_FORCE,
};

#define ROUNDS_MOST 1000
#define SECONDS_MOST 3600

static const struct option migrate_options[] = {
	{"control", required_argument, NULL, OPTION_SOCKET},
	{"rounds", required_argument, NULL, OPTION_ROUNDS},
	{"stop-and-copy", no_argument, NULL, OPTION_STOP_AND_COPY},
	{"bandwidth", required_argument, NULL, OPTION_BANDWIDTH},
	{"timeout", required_argument, NULL, OPTION_TIMEOUT},
	{"tls-psk", required_argument, NULL, OPTION_PSK},
	{"tls-certificates", required_argument, NULL, OPTION_CERTIFICATES},
	OPTION_TABLE_END,
};

static const struct option cancel_options[] = {
	{"control", required_argument, NULL, OPTION_SOCKET},
	{"force", no_argument, NULL, OPTION_FORCE},
	OPTION_TABLE_END,
};

struct request {
	const char *socket;
	char *words[CONTROL_WORDS_MAX];
	size_t count;
};

__attribute__((format(printf, 2, 3))) static void add_word(struct request *request,
							   const char *format, ...)
{
	va_list arguments;

	if (request->count == CONTROL_WORDS_MAX)
		REFUSE("too many options");
	va_start(arguments, format);
	if (vasprintf(&request->words[request->count++], format, arguments) < 0)
		REFUSE("no memory");
	va_end(arguments);
}

/* The machine's process may be in another directory than we are. */
static void add_path(struct request *request, const char *name, const char *path)
{
	char *absolute = realpath(path, NULL);

	if (absolute == NULL)
		REFUSE("%s: %s", path, strerror(errno));
	add_word(request, "%s=%s", name, absolute);
	free(absolute);
}

static void take(void *context, int option, const char *value)
{
	struct request *request = context;

	switch (option) {
	case OPTION_SOCKET:
		request->socket = value;
		break;
	case OPTION_ROUNDS:
		add_word(request, "rounds=%d", arguments_integer("rounds", value, 0, ROUNDS_MOST));
		break;
	case OPTION_STOP_AND_COPY:
		add_word(request, "stop-and-copy");
		break;
	case OPTION_BANDWIDTH:
		add_word(request, "bandwidth=%" PRIu64, arguments_size("bandwidth", value));
		break;
	case OPTION_TIMEOUT:
		add_word(request, "timeout-ms=%d",
			 1000 * arguments_integer("timeout", value, 1, SECONDS_MOST));
		break;
	case OPTION_PSK:
		add_path(request, "tls-psk", value);
		break;
	case OPTION_CERTIFICATES:
		add_path(request, "tls-certificates", value);
		break;
	default:
		add_word(request, "force");
	}
}

/* words[0] is the name of the command. */
static int ask(struct request *request, const char *name)
{
	int status;

	if (request->socket == NULL)
		REFUSE("%s needs --control SOCKET", name);
	status = control_ask(request->socket, request->words, request->count);
	for (size_t i = 0; i < request->count; i++)
		free(request->words[i]);
	return status;
}

static int run_migrate(const struct command *command, int argc, char **argv)
{
	struct request options = {0};
	struct request request = {0};
	int operand = arguments_parse(command, argc, argv, migrate_options, take, &options, 1, 1);

	add_word(&request, "migrate");
	add_word(&request, "%s", argv[operand]);
	request.socket = options.socket;
	for (size_t i = 0; i < options.count; i++) {
		add_word(&request, "%s", options.words[i]);
		free(options.words[i]);
	}
	return ask(&request, "migrate");
}

static int run_cancel(const struct command *command, int argc, char **argv)
{
	struct request request = {0};

	add_word(&request, "cancel");
	arguments_parse(command, argc, argv, cancel_options, take, &request, 0, 0);
	return ask(&request, "cancel");
}

const struct command command_migrate = {
	.name = "migrate",
	.usage = "--control SOCKET [--rounds N | --stop-and-copy] [--bandwidth SIZE] [--timeout "
		 "SECONDS]\n"
		 "[--tls-psk FILE | --tls-certificates DIRECTORY] ADDRESS:PORT",
	.help = "Move the guest to a `lazyvm receive` that listens at ADDRESS:PORT. Its memory is "
		"of the\n"
		"kind memfd or hugetlb. Ends when it runs there and needs nothing of this host "
		"any more,\n"
		"with how long it stood still.\n"
		"\n"
		"  --control SOCKET  that the machine listens on\n"
		"  --rounds N        copy memory while the guest still runs here, at most N times\n"
		"  --stop-and-copy   copy all memory while the guest stands still, to compare "
		"with\n"
		"  --bandwidth SIZE  bytes a second of what the guest does not wait for\n"
		"  --timeout SECONDS  that the destination may be silent before it counts as lost; "
		"default 5\n"
		"  --tls-psk FILE    show and ask for the key in FILE, and keep all secret\n"
		"  --tls-certificates DIRECTORY  the same with certificates\n"
		"  --help\n",
	.run = run_migrate,
};

const struct command command_cancel = {
	.name = "cancel",
	.usage = "--control SOCKET [--force]",
	.help = "Give the migration up that is under way; the guest goes on here. Once it was "
		"switched\n"
		"over it may run at the destination, and is taken back only with --force: see to "
		"it first\n"
		"that it does not run there.\n"
		"\n"
		"  --control SOCKET  that the machine listens on\n"
		"  --force           take the guest back\n"
		"  --help\n",
	.run = run_cancel,
};
