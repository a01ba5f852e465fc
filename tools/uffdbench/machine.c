/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

static void read_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");

	line[0] = '\0';
	if (file == NULL)
		return;
	if (fgets(line, (int)size, file) == NULL)
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	fclose(file);
}

/* "" on architectures whose /proc/cpuinfo has no model name. */
static void read_cpu_model(char *model, size_t size)
{
	static const char key[] = "model name\t: ";
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[256];

	model[0] = '\0';
	if (file == NULL)
		return;
	while (fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, key, strlen(key)) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(model, size, "%.*s", (int)size - 1, line + strlen(key));
		break;
	}
	fclose(file);
}

static unsigned count_cpus(void)
{
	cpu_set_t allowed;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return 1;
	return (unsigned)CPU_COUNT(&allowed);
}

static unsigned read_realtime_priority(void)
{
	struct sched_param parameters;

	if (sched_getparam(0, &parameters) != 0)
		return 0;
	return (unsigned)parameters.sched_priority;
}

struct machine machine_read(const char *directory)
{
	struct machine machine = {
		.cpus = count_cpus(),
		.realtime_priority = read_realtime_priority(),
	};
	struct utsname name;
	struct statfs system;

	if (uname(&name) == 0) {
		snprintf(machine.kernel, sizeof(machine.kernel), "%.31s %.95s", name.sysname,
			 name.release);
		snprintf(machine.architecture, sizeof(machine.architecture), "%.63s", name.machine);
	}
	machine.memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	read_cpu_model(machine.cpu, sizeof(machine.cpu));
	read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", machine.clock,
		  sizeof(machine.clock));
	read_line("/sys/kernel/mm/transparent_hugepage/enabled", machine.hugepages,
		  sizeof(machine.hugepages));
	if (statfs(directory, &system) == 0)
		machine.filesystem = (uint64_t)system.f_type;
	return machine;
}
