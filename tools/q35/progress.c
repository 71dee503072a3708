// SPDX-License-Identifier: MIT
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#include "command.h"

#define BAR_WIDTH 30
#define REDRAW_SECONDS 0.1

void progress_begin(struct progress *p, uint64_t total)
{
	p->total = total;
	p->started = now();
	p->drawn = 0;
	p->terminal = isatty(STDERR_FILENO);
}

void progress_show(struct progress *p, uint64_t done, const char *what)
{
	double t = now(), part = p->total ? (double)done / (double)p->total : 1;
	int i, full = (int)(part * BAR_WIDTH);

	if (!p->terminal || t - p->drawn < REDRAW_SECONDS)
		return;
	p->drawn = t;
	fputs("\r[", stderr);
	for (i = 0; i < BAR_WIDTH; i++)
		fputc(i < full ? '#' : '.', stderr);
	fprintf(stderr, "] %3.0f %%", 100 * part);
	if (done)
		fprintf(stderr, "  %.0f s left", (t - p->started) * (1 - part) / part);
	fprintf(stderr, "  %s\033[K", what);
	fflush(stderr);
}

void progress_clear(const struct progress *p)
{
	if (p->terminal)
		fputs("\r\033[K", stderr);
}
