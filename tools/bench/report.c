// SPDX-License-Identifier: MIT
#include "report.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

struct report {
	const char *title;
	json_t *rows;
	struct q35_output output; /* not open: no JSON */
	const char *path;
};

struct report *report_create(const char *title, const char *path)
{
	struct report *report = calloc(1, sizeof(*report));
	int ret;

	if (report)
		report->rows = json_array();
	if (!report || !report->rows) {
		fail("out of memory");
		report_destroy(report);
		return NULL;
	}
	report->title = title;
	report->path = path;
	ret = path ? q35_output_open(&report->output, path) : 0;
	if (ret) {
		fail("%s: cannot be written: %s", path, q35_output_reason(ret));
		report_destroy(report);
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

int report_finish(struct report *report)
{
	int ret = 0;

	print_table(report);
	if (!report->path)
		return DONE;
	errno = 0;
	if (json_dumpf(report->rows, report->output.file, JSON_INDENT(2) | JSON_REAL_PRECISION(9)))
		ret = errno ? -errno : -EIO;
	if (!ret)
		ret = q35_output_finish(&report->output);
	if (ret)
		return fail("%s: cannot be written: %s", report->path, q35_output_reason(ret));
	printf("JSON: %s\n", report->path);
	return DONE;
}

void report_destroy(struct report *report)
{
	if (!report)
		return;
	q35_output_discard(&report->output);
	json_decref(report->rows);
	free(report);
}
