/* SPDX-License-Identifier: MIT */
#include "clock.h"
#include "commands.h"
#include "machine_arguments.h"
#include "receive.h"

enum {
	OPTION_LISTEN = OPTION_MACHINE_END,
	OPTION_MEMORY,
	OPTION_VCPUS,
	OPTION_TIMEOUT,
	OPTION_GIVE_UP,
	OPTION_PSK,
	OPTION_CERTIFICATES,
};

#define SECONDS_MOST 86400

static const struct option long_options[] = {
	MACHINE_ARGUMENTS,
	{"listen", required_argument, NULL, OPTION_LISTEN},
	{"memory", required_argument, NULL, OPTION_MEMORY},
	{"vcpus", required_argument, NULL, OPTION_VCPUS},
	{"timeout", required_argument, NULL, OPTION_TIMEOUT},
	{"give-up", required_argument, NULL, OPTION_GIVE_UP},
	{"tls-psk", required_argument, NULL, OPTION_PSK},
	{"tls-certificates", required_argument, NULL, OPTION_CERTIFICATES},
	OPTION_TABLE_END,
};

struct request {
	struct machine_arguments machine;
	struct receive_options receive;
};

static void take_security(struct receive_options *receive, enum wire_security kind,
			  const char *path)
{
	if (receive->security.kind != WIRE_PLAIN)
		REFUSE("--tls-psk and --tls-certificates: give one of them");
	receive->security = (struct link_security){kind, path};
}

static void take(void *context, int option, const char *value)
{
	struct request *request = context;
	struct receive_options *receive = &request->receive;

	if (machine_arguments_take(&request->machine, option, value))
		return;
	if (option == OPTION_LISTEN)
		receive->address = value;
	else if (option == OPTION_MEMORY)
		receive->expected_memory = arguments_size("memory", value);
	else if (option == OPTION_VCPUS)
		receive->expected_vcpus =
			(unsigned)arguments_integer("vcpus", value, 1, MACHINE_VCPUS_MAX);
	else if (option == OPTION_TIMEOUT)
		receive->patience_ms =
			1000 * (unsigned)arguments_integer("timeout", value, 1, SECONDS_MOST);
	else if (option == OPTION_GIVE_UP)
		receive->give_up_ms =
			1000 * (unsigned)arguments_integer("give-up", value, 1, SECONDS_MOST);
	else if (option == OPTION_PSK)
		take_security(receive, WIRE_PSK, value);
	else
		take_security(receive, WIRE_CERTIFICATES, value);
}

static int run(const struct command *command, int argc, char **argv)
{
	struct request request = {
		.receive = {.patience_ms = RECEIVE_PATIENCE_MS, .give_up_ms = RECEIVE_GIVE_UP_MS},
	};
	struct monitor_options monitor = {.began = clock_ns()};

	arguments_parse(command, argc, argv, long_options, take, &request, 0, 0);
	machine_arguments_check(&request.machine);
	if (request.receive.address == NULL)
		REFUSE("receive needs --listen ADDRESS:PORT");
	if (request.machine.paused)
		REFUSE("--paused: a guest that arrives runs");
	request.receive.memory = request.machine.memory;
	request.receive.serial = request.machine.serial;
	monitor.control = request.machine.control;
	return receive_run(&request.receive, &monitor);
}

const struct command command_receive = {
	.name = "receive",
	.usage = MACHINE_USAGE " [--memory SIZE] [--vcpus N]\n"
			       "[--timeout SECONDS] [--give-up SECONDS]\n"
			       "[--tls-psk FILE | --tls-certificates DIRECTORY] --listen "
			       "ADDRESS:PORT",
	.help = "Wait for a guest that `lazyvm migrate` sends, and run it. Says the port that it "
		"listens on.\n"
		"\n" MACHINE_HELP "  --listen ADDRESS:PORT  where; port 0: any that is free\n"
		"  --memory SIZE     turn away guests with more or less memory\n"
		"  --vcpus N         and with more or fewer vCPUs\n"
		"  --timeout SECONDS  that the source may be silent before it counts as lost; "
		"default 5\n"
		"  --give-up SECONDS  that it may be lost before the guest is given up; default "
		"60\n"
		"  --tls-psk FILE    let in only who has the key in FILE, and keep all secret\n"
		"  --tls-certificates DIRECTORY  the same with certificates\n"
		"  --help\n",
	.run = run,
};
