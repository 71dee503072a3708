/* SPDX-License-Identifier: MIT */
/* The tables of the card's datasheet, qemu-device/README.md, read as text. */
#ifndef TEST_DATASHEET_H
#define TEST_DATASHEET_H

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "q35_hw.h"
#include "kselftest_harness.h"

#define ENTRIES_MAX 400

/* Names are without Q35_; a field's is STRUCT.FIELD. */
struct entry {
	char name[64];
	uint64_t value; /* or offset */
	uint64_t size; /* of a field */
	char access[32], reset[32]; /* of a register */
};

struct sheet {
	struct entry entry[ENTRIES_MAX];
	size_t count;
};

static inline const struct entry *find(const struct sheet *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		if (!strcmp(s->entry[i].name, name))
			return &s->entry[i];
	return NULL;
}

static inline struct entry *add(struct sheet *s, const char *structure, const char *name)
{
	struct entry *e = &s->entry[s->count];

	if (++s->count > ENTRIES_MAX)
		abort();
	memset(e, 0, sizeof(*e));
	snprintf(e->name, sizeof(e->name), "%s%s%s", structure, *structure ? "." : "", name);
	return e;
}

static inline FILE *open_source(const char *path)
{
	FILE *f = fopen(path, "r");

	if (!f)
		ksft_exit_fail_msg("%s: %s\n", path, strerror(errno));
	return f;
}

/* "0x10", "16", "bit 4", "bits 7–4" */
static inline uint64_t sheet_number(const char *text)
{
	uint64_t high, low;
	char *end;

	if (strncmp(text, "bit", 3))
		return strtoull(text, NULL, 0);
	high = strtoull(text + strcspn(text, "0123456789"), &end, 10);
	end += strcspn(end, "0123456789");
	low = *end ? strtoull(end, NULL, 10) : high;
	return (2ull << high) - (1ull << low);
}

/* Cuts a row into cells, without the blanks and back-quotes round them. Returns their number. */
static inline int cut(char *row, char *cell[], int max)
{
	char *end;
	int n = 0;

	for (strsep(&row, "|"); row && n < max; n++) {
		cell[n] = strsep(&row, "|");
		cell[n] += strspn(cell[n], " `\n");
		for (end = cell[n] + strlen(cell[n]); end > cell[n] && strchr(" `\n", end[-1]);)
			*--end = 0;
	}
	return n;
}

/*
 * What counts are rows of three kinds: `NAME` and value; `NAME`, offset, access and reset value, for
 * registers; offset, size and `field`, below a heading that names a structure.
 */
static inline void read_datasheet(struct sheet *s, const char *path)
{
	FILE *f = open_source(path);
	char line[1024], structure[40] = "", *cell[5];
	struct entry *e;
	int n;

	while (fgets(line, sizeof(line), f)) {
		if (*line == '#')
			*structure = 0;
		sscanf(line, "### struct %39[a-z0-9_]", structure);
		n = cut(line, cell, 5);
		if (n >= 3 && isupper(*cell[0])) {
			e = add(s, "", cell[0]);
			e->value = sheet_number(cell[1]);
			if (n == 5) {
				snprintf(e->access, sizeof(e->access), "%s", cell[2]);
				snprintf(e->reset, sizeof(e->reset), "%s", cell[3]);
			}
		} else if (n >= 4 && *structure && isdigit(*cell[0])) {
			e = add(s, structure, cell[2]);
			e->value = sheet_number(cell[0]);
			e->size = sheet_number(cell[1]);
		}
	}
	fclose(f);
}

#endif /* TEST_DATASHEET_H */
