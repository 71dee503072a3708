// SPDX-License-Identifier: MIT
/* The q35 command: finds the subcommand and says what all of them say alike. */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command.h"

/* A program of its own, beside this one or, installed, in libexec: it knows the kernels from inside. */
static int command_bench(int argc, char **argv)
{
	static const char *const places[] = {"q35-bench", "../libexec/q35-bench"};
	char self[PATH_MAX], path[PATH_MAX + 32], *directory;
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t i;

	(void)argc;
	if (length < 0)
		return fail("bench: cannot tell where this program is");
	self[length] = '\0';
	directory = dirname(self);
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, places[i]);
		execv(path, argv);
		if (errno != ENOENT)
			return fail("bench: %s: %s", path, strerror(errno));
	}
	return fail("bench: %s: not there; build it with make, or make install", path);
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{"quantize", command_quantize, "quantize a model's weight matrices to 3.5 bits"},
	{"generate", command_generate, "continue a prompt with a quantized model"},
	{"perplexity", command_perplexity, "how well a quantized model predicts a text"},
	{"project", command_project, "what cards of given parameters would make of large models"},
	{"info", command_info, "list what is in a model file, or what a card offers"},
	{"dump", command_dump, "say what the driver recorded of a failure"},
	{"bench", command_bench, "measure quality and speed beside peers, on this machine"},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

void catch_interrupts(void)
{
	struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* One line, whatever the arguments hold: names in files and paths may be hostile. */
static void complain(const char *format, va_list args, const char *end)
{
	char text[1024], *c;

	vsnprintf(text, sizeof(text), format, args);
	for (c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	fflush(stdout);
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr); /* over a progress bar */
	fprintf(stderr, "q35: %s%s\n", text, end);
}

int fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(format, args, "");
	va_end(args);
	return FAILED;
}

int usage(const char *command, const char *format, ...)
{
	char end[64];
	va_list args;

	snprintf(end, sizeof(end), "; see q35 %s%s--help", command, *command ? " " : "");
	va_start(args, format);
	complain(format, args, end);
	va_end(args);
	return USAGE;
}

int parse_count(const char *text, uint64_t least, uint64_t most, uint64_t *value)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || end == text || *end || strchr(text, '-') || v < least || v > most)
		return 0;
	*value = v;
	return 1;
}

int parse_real(const char *text, double least, double most, double *value)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !(v >= least && v <= most))
		return 0;
	*value = v;
	return 1;
}

int print_json(json_t *json)
{
	int ret = json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));

	json_decref(json);
	putchar('\n');
	return ret ? fail("standard output: cannot be written") : DONE;
}

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

const char *human_bytes(uint64_t bytes)
{
	static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB"};
	static char texts[4][32];
	static unsigned int next;
	char *text = texts[next++ % 4];
	double value = (double)bytes;
	int unit = 0;

	while (value >= 999.95) {
		value /= 1000;
		unit++;
	}
	snprintf(text, sizeof(texts[0]), unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return text;
}

static void print_help(void)
{
	size_t i;

	printf("usage: q35 COMMAND [OPTION]...\n\n"
	       "Language models with weights of 3.5 bits, on a Q35 card or, with the same bits in\n"
	       "every result, on the CPU.\n\n");
	for (i = 0; i < COMMANDS; i++)
		printf("  %-12s%s\n", commands[i].name, commands[i].summary);
	printf("\nq35 COMMAND --help says more; q35 --version tells the version.\n"
	       "Exit status: 0 done, 1 failed, 2 wrong usage.\n");
}

static int run(int argc, char **argv)
{
	size_t i;

	if (argc < 2)
		return usage("", "no command");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		print_help();
		return DONE;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("q35 %s\n", Q35_VERSION);
		return DONE;
	}
	for (i = 0; i < COMMANDS; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	return usage("", "%s: no such command", argv[1]);
}

int main(int argc, char **argv)
{
	int status;

	/* So that writes fail and are reported and cleaned up after, where signals would kill. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);

	status = run(argc, argv);
	if (fflush(stdout) || ferror(stdout)) /* what was printed before counts too */
		return status ? status : fail("standard output: cannot be written");
	return status;
}
