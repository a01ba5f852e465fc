/* SPDX-License-Identifier: MIT */
#include "report_file.h"
#include "complain.h"
#include "machine.h"

#include <errno.h>
#include <lazymem/common.h>
#include <stdio.h>
#include <string.h>

void report_machine(struct json *json, const char *directory)
{
	struct machine machine = machine_read(directory);

	json_open(json, "machine", '{');
	json_string(json, "uffdbench", lazymem_version());
	json_string(json, "kernel", machine.kernel);
	json_string(json, "architecture", machine.architecture);
	json_string(json, "cpu", machine.cpu);
	json_number(json, "cpus", machine.cpus);
	json_number(json, "realtime_priority", machine.realtime_priority);
	json_number(json, "memory_bytes", machine.memory_bytes);
	json_string(json, "clock", machine.clock);
	json_string(json, "hugepages", machine.hugepages);
	json_number(json, "filesystem", machine.filesystem);
	json_close(json, '}');
}

int report_file(const char *path, void (*put)(struct json *json, const void *context),
		const void *context)
{
	struct json json = {.file = fopen(path, "we")};
	int failed;

	if (json.file == NULL) {
		complain("--json %s: %s", path, strerror(errno));
		return -1;
	}
	put(&json, context);
	failed = ferror(json.file);
	if (fclose(json.file) == 0 && failed == 0)
		return 0;
	complain("--json %s: %s", path, strerror(errno));
	return -1;
}
