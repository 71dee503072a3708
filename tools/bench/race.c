// SPDX-License-Identifier: MIT
#include "race.h"

#include <stdlib.h>
#include <string.h>

#include "report.h"

#define LEAST_RUNS 3

struct racer *race_enter(struct race *race, const char *name, int (*run)(void *, size_t),
			 void *context, double work)
{
	struct racer *racer = &race->racers[race->count++];

	*racer = (struct racer){.name = name, .run = run, .context = context, .work = work};
	return racer;
}

static int add_time(struct racer *racer, double seconds)
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
	}
}

int race_run(struct race *race, double seconds)
{
	struct racer *r;
	double start, t;
	int ret = DONE;
	size_t i;

	for (i = 0; i < race->count && !ret; i++)
		ret = race->racers[i].run(race->racers[i].context, 0);
	start = now();
	while (!ret && (r = next_racer(race, now() - start >= seconds))) {
		t = now();
		ret = r->run(r->context, r->runs + 1);
		if (!ret)
			ret = add_time(r, now() - t);
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
