/* SPDX-License-Identifier: MIT */
/* A progress bar on stderr, if that is a terminal; otherwise nothing. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdint.h>

struct progress {
	uint64_t total; /* units of work in all */
	double started, drawn; /* times as now() gives them */
	int terminal;
};

void progress_begin(struct progress *p, uint64_t total);
void progress_show(struct progress *p, uint64_t done, const char *what);
void progress_clear(const struct progress *p); /* before anything else is printed */

#endif /* PROGRESS_H */
