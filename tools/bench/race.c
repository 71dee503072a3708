// SPDX-License-Identifier: MIT
#include "race.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report.h"

#define LEAST_RUNS 3

struct racer *race_enter(struct race *race, const char *name, int (*run)(void *, size_t),
			 void *context, double work)
{
	struct racer *racer = &race->racers[race->count++];

	*racer = (struct racer){.name = name, .run = run, .context = context, .work = work};
	return racer;
}

/* Of all threads of the process: what a busy machine lengthens less than the time that passes. */
static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int add_time(struct racer *racer, double seconds, double cpu_seconds)
{
	double *grown;

	if (racer->runs == racer->capacity) {
		racer->capacity = racer->capacity ? 2 * racer->capacity : 64;
		grown = realloc(racer->seconds, racer->capacity * sizeof(*grown));
		if (!grown)
			return fail("out of memory");
		racer->seconds = grown;
	}
	racer->seconds[racer->runs++] = seconds;
	racer->spent += seconds;
	racer->cpu_seconds += cpu_seconds;
	return DONE;
}

static struct racer *next_racer(struct race *race, bool time_is_up)
{
	struct racer *next = NULL, *r;

	for (r = race->racers; r < race->racers + race->count; r++)
		if ((!time_is_up || r->runs < LEAST_RUNS) && (!next || r->spent < next->spent))
			next = r;
	return next;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void find_medians(struct race *race)
{
	struct racer *r;

	for (r = race->racers; r < race->racers + race->count; r++) {
		qsort(r->seconds, r->runs, sizeof(*r->seconds), by_size);
		r->rate = r->work / ((r->seconds[(r->runs - 1) / 2] + r->seconds[r->runs / 2]) / 2);
		r->cpu_rate = r->work * (double)r->runs / r->cpu_seconds;
	}
}

int race_run(struct race *race, double seconds)
{
	struct racer *r;
	double start, t, cpu;
	int ret = DONE;
	size_t i;

	for (i = 0; i < race->count && !ret; i++)
		ret = race->racers[i].run(race->racers[i].context, 0);
	start = now();
	while (!ret && (r = next_racer(race, now() - start >= seconds))) {
		cpu = cpu_now();
		t = now();
		ret = r->run(r->context, r->runs + 1);
		if (!ret)
			ret = add_time(r, now() - t, cpu_now() - cpu);
	}
	if (!ret)
		find_medians(race);
	for (i = 0; i < race->count; i++) {
		free(race->racers[i].seconds);
		race->racers[i].seconds = NULL;
	}
	return ret;
}

double race_rate(const struct race *race, const char *name)
{
	size_t i;

	for (i = 0; i < race->count; i++)
		if (!strcmp(race->racers[i].name, name))
			return race->racers[i].rate;
	return ABSENT;
}
