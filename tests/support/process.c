/* SPDX-License-Identifier: MIT */
#include "process.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t entries(const char *path)
{
	DIR *directory = opendir(path);
	size_t n = 0;

	assert_non_null(directory);
	while (readdir(directory))
		n++;
	closedir(directory);
	return n;
}

static size_t lines(const char *path)
{
	FILE *file = fopen(path, "re");
	size_t n = 0;
	int c;

	assert_non_null(file);
	while ((c = fgetc(file)) != EOF)
		n += c == '\n';
	fclose(file);
	return n;
}

/* A thread that was joined is listed until the kernel has done with it. */
static bool is_exiting(const char *thread)
{
	const unsigned exiting = 4; /* PF_EXITING of <linux/sched.h>, set before it can be joined */
	char path[300], line[512];
	bool found = false;
	unsigned flags = exiting;

	snprintf(path, sizeof(path), "/proc/self/task/%s/stat", thread);
	FILE *file = fopen(path, "re");
	if (file && fgets(line, sizeof(line), file)) {
		const char *after_name = strrchr(line, ')');

		found = after_name &&
			sscanf(after_name, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1;
	}
	if (file)
		fclose(file);
	return !found || (flags & exiting) != 0;
}

static size_t living_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	size_t n = 0;

	assert_non_null(tasks);
	while ((entry = readdir(tasks)) != NULL)
		n += entry->d_name[0] != '.' && !is_exiting(entry->d_name);
	closedir(tasks);
	return n;
}

struct residue residue_now(void)
{
	return (struct residue){
		.descriptors = entries("/proc/self/fd"),
		.threads = living_threads(),
		.mappings = lines("/proc/self/maps"),
	};
}

static bool is_back_to(void *argument)
{
	const struct residue *before = argument;
	struct residue now = residue_now();

	return now.descriptors <= before->descriptors && now.threads <= before->threads &&
	       (TEST_SANITIZED || now.mappings <= before->mappings);
}

void assert_nothing_left(struct residue before)
{
	bool clean = await(is_back_to, &before);
	struct residue now = residue_now();

	if (!clean)
		print_error("descriptors %zu -> %zu, threads %zu -> %zu, mappings %zu -> %zu\n",
			    before.descriptors, now.descriptors, before.threads, now.threads,
			    before.mappings, now.mappings);
	assert_true(clean);
}

static size_t sum_smaps(const void *start, size_t length, const char *field, bool *ret_registered)
{
	uintptr_t low = (uintptr_t)start, high = low + length;
	FILE *file = fopen("/proc/self/smaps", "re");
	char line[512];
	size_t sum = 0;
	bool inside = false;

	assert_non_null(file);
	*ret_registered = false;
	while (fgets(line, sizeof(line), file)) {
		uintptr_t from, to;
		size_t kib;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from < high && low < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			*ret_registered |= strstr(line, " um") || strstr(line, " ui");
		else if (inside && field && strncmp(line, field, strlen(field)) == 0 &&
			 sscanf(line + strlen(field), ": %zu", &kib) == 1)
			sum += kib;
	}
	fclose(file);
	return sum;
}

size_t smaps_kib(const void *start, size_t length, const char *field)
{
	bool registered;

	return sum_smaps(start, length, field, &registered);
}

bool is_registered(const void *start, size_t length)
{
	bool registered;

	sum_smaps(start, length, NULL, &registered);
	return registered;
}

size_t status_kib(const char *field)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	size_t kib = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
			sscanf(line + strlen(field) + 1, "%zu", &kib);
	fclose(file);
	return kib;
}

/* The union of the signals that threads other than the first leave open. */
static uint64_t open_signals_of_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	uint64_t open_signals = 0;
	struct dirent *entry;

	assert_non_null(tasks);
	while ((entry = readdir(tasks)) != NULL) {
		char path[300], line[256];
		unsigned long long blocked;

		if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
		FILE *file = fopen(path, "re");
		while (file && fgets(line, sizeof(line), file))
			if (sscanf(line, "SigBlk: %llx", &blocked) == 1)
				open_signals |= ~blocked;
		if (file)
			fclose(file);
	}
	closedir(tasks);
	return open_signals;
}

void assert_other_threads_take_no_signals(void)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGALRM, SIGUSR1, SIGCHLD, SIGHUP};
	const uint64_t open_signals = open_signals_of_threads();

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		assert_int_equal(open_signals >> (signals[i] - 1) & 1, 0);
}
