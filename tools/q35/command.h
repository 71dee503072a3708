/* SPDX-License-Identifier: MIT */
/* What the subcommands of q35 share: each is a function that returns the exit status. */
#ifndef COMMAND_H
#define COMMAND_H

#include <jansson.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>

enum exit_status {
	DONE = 0,
	FAILED = 1,
	USAGE = 2,
};

int command_quantize(int argc, char **argv);
int command_generate(int argc, char **argv);
int command_perplexity(int argc, char **argv);
int command_info(int argc, char **argv);
int command_dump(int argc, char **argv);
int command_project(int argc, char **argv);

/* One line on stderr, "q35: " in front; returns FAILED. */
int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for a wrong command line: says where help is, returns USAGE. */
int usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A number from the command line, all of it; false if it is none or outside the bounds. */
int parse_count(const char *text, uint64_t least, uint64_t most, uint64_t *value);
int parse_real(const char *text, double least, double most, double *value);

/* Prints json and a newline to stdout and drops the reference. */
int print_json(json_t *json);

/*
 * From then on SIGINT, SIGTERM and SIGHUP only set interrupted, so that there is time to clean up;
 * a second one kills.
 */
extern volatile sig_atomic_t interrupted;
void catch_interrupts(void);

double now(void); /* seconds of CLOCK_MONOTONIC */

/* "1.2 MB": decimal units. The result is one of a few static strings in turn. */
const char *human_bytes(uint64_t bytes);

#endif /* COMMAND_H */
