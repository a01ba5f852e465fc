/* SPDX-License-Identifier: MIT */
#include "pin.h"
#include "complain.h"

static int nth_cpu(const cpu_set_t *allowed, int n)
{
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET((size_t)cpu, allowed) && n-- == 0)
			return cpu;
	}
	return -1;
}

int pin_choose(enum pin pin, struct pin_cpus *ret_cpus)
{
	cpu_set_t allowed;

	*ret_cpus = (struct pin_cpus){-1, -1};
	if (pin == PIN_NONE)
		return 0;
	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
		complain("--pin %s: cannot tell which CPUs may be used", pin_name(pin));
		return -1;
	}
	ret_cpus->toucher = nth_cpu(&allowed, 0);
	ret_cpus->handler = nth_cpu(&allowed, pin == PIN_OTHER ? 1 : 0);
	if (ret_cpus->toucher >= 0 && ret_cpus->handler >= 0)
		return 0;
	complain("--pin %s: this process may use only one CPU", pin_name(pin));
	return -1;
}

const char *pin_name(enum pin pin)
{
	static const char *const names[] = {"none", "same", "other"};

	return names[pin];
}

void pin_attributes(pthread_attr_t *attributes, int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	pthread_attr_setaffinity_np(attributes, sizeof(set), &set);
}

void pin_enter(int cpu, cpu_set_t *ret_before)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	pthread_getaffinity_np(pthread_self(), sizeof(*ret_before), ret_before);
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

void pin_leave(int cpu, const cpu_set_t *before)
{
	if (cpu >= 0)
		pthread_setaffinity_np(pthread_self(), sizeof(*before), before);
}
