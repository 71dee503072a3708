/* SPDX-License-Identifier: MIT */
/*
 * A file that is written whole or not at all. Everything goes to a temporary file in the target's folder,
 * which takes the target's name once it is complete and on the disk; until then nobody sees it, and a
 * failure at any point leaves the target as it was. Where the file system can, the file has no name before,
 * so that not even a killed process leaves it behind.
 *
 * Errors are negative errno values; the caller says of which file.
 */
#ifndef Q35_OUTPUT_H
#define Q35_OUTPUT_H

#include <stdio.h>

struct q35_output {
	FILE *file; /* to write to; NULL: not open */
	char *path, *temp; /* temp NULL: the file has no name */
};

/* -EEXIST: the target is a device, FIFO or the like, which the new file must not replace. */
int q35_output_open(struct q35_output *output, const char *path);
/* Gives the file its name. Whatever it returns, the output is closed. */
int q35_output_finish(struct q35_output *output);
/* Forgets what was written, if it is open. */
void q35_output_discard(struct q35_output *output);
/* A few words on an error of these functions: static, or the C library's. */
const char *q35_output_reason(int error);

#endif /* Q35_OUTPUT_H */
