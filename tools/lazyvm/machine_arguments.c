/* SPDX-License-Identifier: MIT */
#include "machine_arguments.h"

bool machine_arguments_take(struct machine_arguments *arguments, int option, const char *value)
{
	if (option == OPTION_KIND)
		arguments->memory.kind = arguments_word("kind", value, guest_memory_kinds);
	else if (option == OPTION_HUGEPAGES)
		arguments->memory.hugepages = true;
	else if (option == OPTION_CONTROL)
		arguments->control = value;
	else if (option == OPTION_SERIAL)
		arguments->serial = value;
	else if (option == OPTION_PAUSED)
		arguments->paused = true;
	else
		return false;
	return true;
}

void machine_arguments_check(const struct machine_arguments *arguments)
{
	if (arguments->paused && arguments->control == NULL)
		REFUSE("--paused needs --control: nobody could resume the guest");
}
