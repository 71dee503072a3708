// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include "report.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct report {
	const char *title;
	json_t *rows;
};

struct report *report_create(const char *title)
{
	struct report *report = calloc(1, sizeof(*report));

	if (!report)
		return NULL;
	report->title = title;
	report->rows = json_array();
	if (!report->rows) {
		free(report);
		return NULL;
	}
	return report;
}

/* JSON has neither NaN nor infinity. */
static json_t *number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

bool report_add(struct report *report, const struct row *row)
{
	double ratio = row->peer ? row->value / row->peer_value : ABSENT;
	double share = row->value / row->limit;
	json_t *json;

	if (row->better == LOWER) {
		ratio = row->peer ? row->peer_value / row->value : ABSENT;
		share = row->limit / row->value;
	}
	json = json_pack("{s:s, s:o, s:s, s:s?, s:o, s:o, s:o, s:o}", "name", row->name, "value",
			 number(row->value), "unit", row->unit, "peer", row->peer, "peer_value",
			 number(row->peer ? row->peer_value : ABSENT), "ratio", number(ratio),
			 "limit", number(row->limit), "limit_share", number(share));
	return json && !json_array_append_new(report->rows, json);
}

int report_load(struct report *report, const char *when)
{
	struct row row = {.unit = "processes", .limit = ABSENT};

	if (getloadavg(&row.value, 1) < 1)
		row.value = ABSENT;
	snprintf(row.name, sizeof(row.name), "load average of the machine (%u processors), %s",
		 online_cpus(), when);
	return report_add(report, &row) ? DONE : fail("out of memory");
}

static void print_number(const json_t *row, const char *key)
{
	const json_t *value = json_object_get(row, key);

	if (json_is_real(value))
		printf(" %.4g |", json_real_value(value));
	else
		printf(" |");
}

static void print_table(const struct report *report)
{
	const json_t *row;
	const char *peer;
	size_t i;

	printf("## %s\n\n| | value | unit | peer | peer's value | ratio | limit | of the limit |\n"
	       "|---|---|---|---|---|---|---|---|\n",
	       report->title);
	json_array_foreach(report->rows, i, row)
	{
		peer = json_string_value(json_object_get(row, "peer"));
		printf("| %s |", json_string_value(json_object_get(row, "name")));
		print_number(row, "value");
		printf(" %s | %s |", json_string_value(json_object_get(row, "unit")),
		       peer ? peer : "");
		print_number(row, "peer_value");
		print_number(row, "ratio");
		print_number(row, "limit");
		print_number(row, "limit_share");
		putchar('\n');
	}
	putchar('\n');
}

static int write_rows(const struct report *report, const char *path)
{
	struct stat st;
	char *name;
	int ret = DONE;

	if (!stat(path, &st) && !S_ISREG(st.st_mode)) /* rename() would replace a device */
		return fail("%s: exists and is not a regular file", path);
	if (asprintf(&name, "%s.new", path) < 0)
		return fail("out of memory");
	if (json_dump_file(report->rows, name, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) ||
	    rename(name, path)) {
		ret = fail("%s: %s", path, errno ? strerror(errno) : "cannot be written");
		remove(name);
	} else {
		printf("JSON: %s\n", path);
	}
	free(name);
	return ret;
}

int report_finish(struct report *report, const char *path)
{
	print_table(report);
	errno = 0;
	return path ? write_rows(report, path) : DONE;
}

void report_destroy(struct report *report)
{
	if (!report)
		return;
	json_decref(report->rows);
	free(report);
}
