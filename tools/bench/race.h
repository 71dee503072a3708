/* SPDX-License-Identifier: MIT */
/*
 * Times contestants against each other in one go. Whoever has used the least time runs next, so
 * that fast and slow ones are spread alike over the whole race, and a machine that is busy with
 * something else for a while hits them alike.
 */
#ifndef RACE_H
#define RACE_H

#include "bench.h"

#define RACE_MAX 40

struct racer {
	const char *name;
	int (*run)(void *context, size_t turn); /* turn counts the runs; not 0: DONE or FAILED */
	void *context;
	double work; /* in a run, in any unit */

	/* Results: work a second, by the median run; by processor time, all runs and threads together. */
	double rate, cpu_rate;
	double spent, *seconds, cpu_seconds;
	size_t runs, capacity;
};

struct race {
	struct racer racers[RACE_MAX];
	size_t count;
};

struct racer *race_enter(struct race *race, const char *name, int (*run)(void *, size_t),
			 void *context, double work);
/* Runs everyone once unmeasured, then for so many seconds in all, everyone at least 3 times. */
int race_run(struct race *race, double seconds);
/* Of the contestant called so, or ABSENT. */
double race_rate(const struct race *race, const char *name);

#endif /* RACE_H */
