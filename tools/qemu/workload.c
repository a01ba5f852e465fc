/* SPDX-License-Identifier: MIT
 *
 * workload.c - what the guest of qemu-guest.sh does: it fills memory, checks
 * every word of it on command, runs the programs that it is asked to run, and
 * beats on its console all the while.
 *
 * The words of a page follow from the seed, its number and its generation. A
 * pass checks all of them and rewrites every sixteenth page in a new
 * generation, so that a guest that runs on differs from what it was, and what
 * is wrong later is seen later. The sum over all words depends on nothing but
 * the seed and how many passes there have been: two guests that were restored
 * from the same snapshot must name the same one.
 *
 * A command is a line on the second serial port, and is answered on the first
 * by one line, "done COMMAND right ..." or "done COMMAND wrong ...":
 *
 *   fill SEED   fill the memory anew
 *   check       one pass
 *   NAME        run /task/NAME, whose output must be that in /right/NAME
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PAGE_WORDS (4096 / sizeof(uint64_t))
#define REWRITTEN 16 /* one of so many pages is, in each pass */
#define LONGEST_LINE 64
#define BEAT_NS (20 * 1000 * 1000)

struct workload {
	uint64_t *words;
	uint32_t *generations;
	size_t pages;
	uint64_t seed;
	uint64_t passes;
};

static int console = -1;

static void __attribute__((format(printf, 1, 2))) print_line(const char *format, ...)
{
	char line[160];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	line[length++] = '\n';
	if (write(console, line, (size_t)length) != length)
		exit(1);
}

/* Raw: bytes go through as they are. */
static int open_serial(const char *path, int flags)
{
	struct termios settings;
	int fd = open(path, flags | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || tcgetattr(fd, &settings)) {
		perror(path);
		exit(1);
	}
	cfmakeraw(&settings);
	cfsetspeed(&settings, B115200);
	tcsetattr(fd, TCSANOW, &settings);
	return fd;
}

static void *beat(void *unused)
{
	const struct timespec pause = {.tv_nsec = BEAT_NS};

	(void)unused;
	for (unsigned long count = 0;; count++) {
		print_line("beat %lu", count);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static uint64_t first_word(const struct workload *workload, size_t page)
{
	uint64_t word = workload->seed * 0x9e3779b97f4a7c15u + page;

	word = (word ^ (word >> 31)) * 0xbf58476d1ce4e5b9u + workload->generations[page];
	word = (word ^ (word >> 29)) * 0x94d049bb133111ebu;
	return word | 1; /* zero would stay zero */
}

static inline uint64_t next_word(uint64_t word)
{
	word ^= word << 13;
	word ^= word >> 7;
	return word ^ word << 17;
}

static void write_page(struct workload *workload, size_t page)
{
	uint64_t *words = workload->words + page * PAGE_WORDS;
	uint64_t word = first_word(workload, page);

	for (size_t i = 0; i < PAGE_WORDS; i++, word = next_word(word))
		words[i] = word;
}

/* How many words are wrong; their sum is added to *sum. */
static size_t check_page(const struct workload *workload, size_t page, uint64_t *sum)
{
	const uint64_t *words = workload->words + page * PAGE_WORDS;
	uint64_t word = first_word(workload, page);
	size_t wrong = 0;

	for (size_t i = 0; i < PAGE_WORDS; i++, word = next_word(word)) {
		wrong += words[i] != word;
		*sum += words[i];
	}
	return wrong;
}

static void fill(struct workload *workload, uint64_t seed)
{
	workload->seed = seed;
	workload->passes = 0;
	memset(workload->generations, 0, workload->pages * sizeof(*workload->generations));
	for (size_t page = 0; page < workload->pages; page++)
		write_page(workload, page);
	print_line("done fill right");
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void check(struct workload *workload)
{
	long start = now_ms();
	size_t wrong = 0, page_of_first = 0;
	uint64_t sum = 0;

	for (size_t page = 0; page < workload->pages; page++) {
		size_t here = check_page(workload, page, &sum);

		if (here && !wrong)
			page_of_first = page;
		wrong += here;
		if (page % REWRITTEN == workload->passes % REWRITTEN) {
			workload->generations[page]++;
			write_page(workload, page);
		}
	}
	workload->passes++;
	if (wrong)
		print_line("done check wrong words=%zu first=page-%zu", wrong, page_of_first);
	else
		print_line("done check right sum=%016lx pass=%lu ms=%ld", (unsigned long)sum,
			   (unsigned long)workload->passes, now_ms() - start);
}

static void run_task(const char *name)
{
	char command[2 * LONGEST_LINE + 64];
	int status;

	snprintf(command, sizeof(command), "/task/%s | cmp - /right/%s >/dev/null 2>&1", name,
		 name);
	status = system(command);
	print_line("done %s %s", name, status == 0 ? "right" : "wrong");
}

static void obey(struct workload *workload, char *line)
{
	line[strcspn(line, "\r\n")] = '\0';
	if (!strncmp(line, "fill ", 5))
		fill(workload, strtoull(line + 5, NULL, 10));
	else if (!strcmp(line, "check"))
		check(workload);
	else
		run_task(line);
}

int main(int argc, char **argv)
{
	struct workload workload = {0};
	char line[LONGEST_LINE];
	pthread_t thread;
	FILE *commands;

	if (argc != 3)
		return 2;
	workload.pages = strtoull(argv[1], NULL, 10) * 256;
	workload.generations = calloc(workload.pages, sizeof(*workload.generations));
	workload.words = mmap(NULL, workload.pages * 4096, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	console = open_serial("/dev/ttyS0", O_WRONLY);
	commands = fdopen(open_serial("/dev/ttyS1", O_RDONLY), "r");
	if (!workload.generations || workload.words == MAP_FAILED || !commands)
		return 1;
	fill(&workload, strtoull(argv[2], NULL, 10));
	print_line("the guest is ready");
	if (pthread_create(&thread, NULL, beat, NULL))
		return 1;
	while (fgets(line, sizeof(line), commands))
		obey(&workload, line);
	return 1;
}
