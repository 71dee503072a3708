/* SPDX-License-Identifier: MIT */
/*
 * Results: rows of {name, value, unit, peer, peer_value, ratio, limit, limit_share}, printed as a
 * Markdown table and written as a JSON array.
 */
#ifndef REPORT_H
#define REPORT_H

#include <math.h>

#include "bench.h"

#define ABSENT NAN /* no peer, no limit: null in the JSON */

enum better {
	HIGHER,
	LOWER,
};

struct row {
	char name[160];
	double value;
	const char *unit; /* static */
	const char *peer; /* copied; NULL: none */
	double peer_value;
	double limit; /* physical or theoretical, in the value's unit */
	enum better better;
};

struct report;

/*
 * path: of the JSON, written whole or not at all, or NULL. Both strings are kept. NULL: it has said why, which
 * may be that the file cannot be written.
 */
struct report *report_create(const char *title, const char *path);
/*
 * ratio, how many times better than the peer, and limit_share, how near to the limit, are worked
 * out here; above 1 is better whatever the unit. False: no memory.
 */
bool report_add(struct report *report, const struct row *row);
/* How busy the machine is now with everything, which is what timings are worth. DONE or FAILED. */
int report_load(struct report *report, const char *when);
/* Prints the table and writes the JSON, if it has a path. Returns DONE or FAILED. */
int report_finish(struct report *report);
void report_destroy(struct report *report);

#endif /* REPORT_H */
