// SPDX-License-Identifier: MIT
/*
 * The datasheet, the header and the card agree: the tables of qemu-device/README.md define what
 * driver/q35_hw.h does, name by name and field by field, and a card's registers have the access and
 * reset value that the tables say. Both are read as text, so that what one of them lacks is seen; run
 * it in the repository's top directory.
 */
#include <ctype.h>
#include <stdio.h>

#include "card.h"
#include "kselftest_harness.h"

#define ENTRIES_MAX 400
#define QUEUE 3 /* whose registers stand for all queues' */
#define VM 7
#define QUEUES 40

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

static const struct entry *find(const struct sheet *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		if (!strcmp(s->entry[i].name, name))
			return &s->entry[i];
	return NULL;
}

static struct entry *add(struct sheet *s, const char *structure, const char *name)
{
	struct entry *e = &s->entry[s->count];

	if (++s->count > ENTRIES_MAX)
		abort();
	memset(e, 0, sizeof(*e));
	snprintf(e->name, sizeof(e->name), "%s%s%s", structure, *structure ? "." : "", name);
	return e;
}

static FILE *open_source(const char *path)
{
	FILE *f = fopen(path, "r");

	if (!f)
		ksft_exit_fail_msg("%s: %s; is this the top directory?\n", path, strerror(errno));
	return f;
}

/* ---- The datasheet ---- */

/* "0x10", "16", "bit 4", "bits 7–4" */
static uint64_t sheet_number(const char *text)
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
static int cut(char *row, char *cell[], int max)
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
static void read_datasheet(struct sheet *s)
{
	FILE *f = open_source("qemu-device/README.md");
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

/* ---- The header ---- */

/* "0x10", "16", "(1u << 4)", "Q35_OTHER" */
static uint64_t header_number(const struct sheet *s, const char *text)
{
	unsigned int shift;

	if (!strncmp(text, "Q35_", 4)) {
		char name[64] = "";

		sscanf(text, "Q35_%63[A-Z0-9_]", name);
		return find(s, name) ? find(s, name)->value : UINT64_MAX;
	}
	if (sscanf(text, "(1%*[ul] << %u)", &shift) == 1)
		return 1ull << shift;
	return strtoull(text, NULL, 0);
}

/*
 * Members of the types that the descriptors are made of, laid out without gaps; that this is how the
 * compiler does it, every offset being a multiple of the size, is checked with the sizes.
 */
static void header_members(struct sheet *s, const char *structure, uint64_t *offset,
			   const char *line)
{
	static const struct {
		const char *name;
		uint64_t size;
	} types[] = {{"__le16", 2}, {"__le32", 4}, {"__le64", 8}, {"__u8", 1}};
	char type[16] = "", names[128] = "", *rest = names, *name;
	struct entry *e;
	uint64_t size;
	size_t i;

	if (sscanf(line, " %15s %127[a-z0-9_, []%*[];]", type, names) != 2)
		return;
	for (i = 0; i < ARRAY_SIZE(types) && strcmp(types[i].name, type); i++)
		;
	if (i == ARRAY_SIZE(types))
		return;
	size = types[i].size;
	while ((name = strsep(&rest, ","))) {
		char *bracket = strchr(name, '[');
		uint64_t count = bracket ? strtoull(bracket + 1, NULL, 10) : 1;

		if (bracket)
			*bracket = 0;
		e = add(s, structure, name + strspn(name, " "));
		e->value = *offset;
		e->size = size * count;
		if (*offset % size)
			abort();
		*offset += e->size;
	}
}

static void read_header(struct sheet *s)
{
	FILE *f = open_source("driver/q35_hw.h");
	char line[1024], structure[40] = "", name[64], value[64];
	uint64_t offset = 0;

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "#define Q35_%63[A-Z0-9_]%*[ \t]%63[^\n]", name, value) == 2 ||
		    sscanf(line, "#define %*[ ]Q35_%63[A-Z0-9_]%*[ \t]%63[^\n]", name, value) ==
			    2 ||
		    sscanf(line, "\tQ35_%63[A-Z0-9_] = %63[^\n]", name, value) == 2)
			add(s, "", name)->value = header_number(s, value);
		if (sscanf(line, "struct %39[a-z0-9_] {", structure) == 1)
			/* What follows a descriptor's header begins where that ends. */
			offset = strcmp(structure, "q35_hw_desc") &&
						 strcmp(structure, "q35_hw_writeback")
					 ? offsetof(struct q35_hw_desc, body)
					 : 0;
		else if (*structure)
			header_members(s, structure, &offset, line);
	}
	fclose(f);
}

/* ---- They agree ---- */

FIXTURE(sheets)
{
	struct sheet datasheet, header;
	struct card c;
};

FIXTURE_SETUP(sheets)
{
	read_datasheet(&self->datasheet);
	read_header(&self->header);
	card_start(&self->c, QUEUES, 1);
}

FIXTURE_TEARDOWN(sheets)
{
	ASSERT_TRUE(card_destroy(&self->c));
}

TEST_F(sheets, header_is_read_as_the_compiler_reads_it)
{
	const struct sheet *s = &self->header;

	EXPECT_EQ(find(s, "REG_FAULTED_HI")->value, Q35_REG_FAULTED_HI);
	EXPECT_EQ(find(s, "COALESCE_USEC")->value, Q35_COALESCE_USEC);
	EXPECT_EQ(find(s, "PTE_FRAME")->value, Q35_PTE_FRAME);
	EXPECT_EQ(find(s, "FAULT_WRITE")->value, Q35_FAULT_WRITE);
	EXPECT_EQ(find(s, "DESC_FLAGS_USER")->value, Q35_DESC_FLAGS_USER);
	EXPECT_EQ(find(s, "q35_hw_gemm.meta_flags")->value,
		  offsetof(struct q35_hw_desc, gemm.meta_flags));
	EXPECT_EQ(find(s, "q35_hw_gemm.reserved")->size,
		  sizeof(((struct q35_hw_gemm *)0)->reserved));
	EXPECT_EQ(find(s, "q35_hw_writeback.busy_ns")->value,
		  offsetof(struct q35_hw_writeback, busy_ns));
	EXPECT_GT(s->count, 180);
}

static void everything_of(const struct sheet *a, const struct sheet *b, const char *where,
			  struct __test_metadata *_metadata)
{
	const struct entry *e, *other;

	for (e = a->entry; e < a->entry + a->count; e++) {
		other = find(b, e->name);
		EXPECT_NE(NULL, other) TH_LOG("%s has no %s", where, e->name);
		if (!other)
			continue;
		EXPECT_EQ(e->value, other->value) TH_LOG("%s: %s", where, e->name);
		EXPECT_EQ(e->size, other->size) TH_LOG("%s: size of %s", where, e->name);
	}
}

TEST_F(sheets, datasheet_has_everything_of_the_header)
{
	everything_of(&self->header, &self->datasheet, "the datasheet", _metadata);
}

TEST_F(sheets, header_has_everything_of_the_datasheet)
{
	everything_of(&self->datasheet, &self->header, "the header", _metadata);
}

/* ---- The card is as the datasheet says ---- */

/* Where a register is on BAR0; false if e is none. */
static bool place(const struct entry *e, uint32_t *offset)
{
	uint32_t base;

	if (!strncmp(e->name, "REG_", 4))
		base = 0;
	else if (!strncmp(e->name, "QREG_", 5))
		base = Q35_QUEUE_OFFSET + QUEUE * Q35_QUEUE_STRIDE;
	else if (!strncmp(e->name, "VREG_", 5))
		base = Q35_VM_OFFSET + VM * Q35_VM_STRIDE;
	else
		return false;
	*offset = base + e->value;
	return true;
}

static bool acts(const struct entry *e)
{
	return strstr(e->access, "acts") || strstr(e->access, "runs");
}

static void has_reset_values(struct sheet *s, struct card *c, struct __test_metadata *_metadata)
{
	const struct entry *e;
	uint32_t offset, i, registers = 0;

	for (e = s->entry; e < s->entry + s->count; e++) {
		if (!place(e, &offset))
			continue;
		registers++;
		if (strstr(e->access, "runs") || !strcmp(e->reset, "config"))
			continue;
		EXPECT_NE(0, *e->reset) TH_LOG("%s has no reset value", e->name);
		for (i = 0; i < (strstr(e->name, "_COUNTERS") ? Q35_COUNTERS_SIZE : 4); i += 4)
			EXPECT_EQ(rd(c, offset + i), sheet_number(e->reset))
		TH_LOG("%s + %u", e->name, i);
	}
	EXPECT_GT(registers, 45);
}

TEST_F(sheets, reset_values)
{
	struct card *c = &self->c;
	const struct entry *e;
	uint32_t offset;

	wr(c, Q35_REG_CONTROL, Q35_CONTROL_RESET);
	ASSERT_TRUE(poll_reg(c, Q35_REG_STATUS, Q35_STATUS_READY));
	has_reset_values(&self->datasheet, c, _metadata);
	for (e = self->datasheet.entry; e < self->datasheet.entry + self->datasheet.count; e++)
		if (place(e, &offset) && offset != Q35_REG_CONTROL)
			wr(c, offset, 0xfffffffd); /* all but resets, which is bit 1 */
	wr(c, Q35_REG_CONTROL, Q35_CONTROL_RESET);
	ASSERT_TRUE(poll_reg(c, Q35_REG_STATUS, Q35_STATUS_READY));
	has_reset_values(&self->datasheet, c, _metadata);
}

TEST_F(sheets, written_bits_stick_where_they_may)
{
	static const uint32_t patterns[] = {0xffffffff, 0xa5a5a5a5, 0x5a5a5a5a, 0};
	struct card *c = &self->c;
	const struct entry *e;
	uint32_t offset, before, mask;
	const char *number;
	size_t i;

	for (e = self->datasheet.entry; e < self->datasheet.entry + self->datasheet.count; e++) {
		if (!place(e, &offset) || acts(e))
			continue;
		mask = 0;
		number = strstr(e->access, "0x");
		if (!strncmp(e->access, "RW", 2))
			mask = number ? sheet_number(number) : 0xffffffff;
		else if (strcmp(e->access, "RO") && strcmp(e->access, "W1C"))
			ASSERT_TRUE(false) TH_LOG("%s: access '%s'", e->name, e->access);
		before = rd(c, offset);
		for (i = 0; i < ARRAY_SIZE(patterns); i++) {
			wr(c, offset, patterns[i]);
			EXPECT_EQ(rd(c, offset), (before & ~mask) | (patterns[i] & mask))
			TH_LOG("%s after 0x%x", e->name, patterns[i]);
		}
	}
}

TEST_F(sheets, faulted_bits_are_cleared_by_ones)
{
	struct card *c = &self->c;
	const uint32_t queues[] = {1, 2, 34, 39};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(queues); i++) {
		queue_program(c, queues[i], 1, 2, 0);
		queue_enable(c, queues[i]);
		wr(c, DOORBELL(queues[i]), 100);
		ASSERT_TRUE(poll_reg(c, QREG(queues[i], STATE), Q35_QUEUE_FAULTED));
	}
	EXPECT_EQ(rd(c, Q35_REG_FAULTED_LO), 0x6);
	EXPECT_EQ(rd(c, Q35_REG_FAULTED_HI), 0x84);
	wr64(c, Q35_REG_FAULTED_LO, 0);
	wr(c, Q35_REG_FAULTED_LO, ~4u);
	wr(c, Q35_REG_FAULTED_HI, 0x80);
	EXPECT_EQ(rd(c, Q35_REG_FAULTED_LO), 0x4);
	EXPECT_EQ(rd(c, Q35_REG_FAULTED_HI), 0x4);
	EXPECT_EQ(rd(c, QREG(1, STATE)), Q35_QUEUE_FAULTED);
	/* And by a queue's reset. */
	ASSERT_TRUE(queue_reset(c, 34));
	EXPECT_EQ(rd(c, Q35_REG_FAULTED_HI), 0);
}

/* Every offset of BAR0 that belongs to no register: reads 0, and a write changes nothing. */
TEST_F(sheets, undefined_offsets_do_nothing)
{
	static bool defined[Q35_REGS_SIZE / 4];
	static uint32_t before[Q35_REGS_SIZE / 4];
	struct card *c = &self->c;
	const struct entry *e;
	uint32_t offset, i, q;

	for (e = self->datasheet.entry; e < self->datasheet.entry + self->datasheet.count; e++) {
		if (!place(e, &offset))
			continue;
		for (i = 0; i < (strstr(e->name, "_COUNTERS") ? Q35_COUNTERS_SIZE : 4); i += 4)
			for (q = 0; q < Q35_VMS; q++)
				if (*e->name == 'Q' && q < QUEUES)
					defined[(QREG(q, CONTROL) + e->value + i) / 4] = true;
				else if (*e->name == 'V')
					defined[(VREG(q, ROOT_LO) + e->value + i) / 4] = true;
				else
					defined[(offset + i) / 4] = true;
	}
	for (q = 0; q < QUEUES; q++)
		defined[DOORBELL(q) / 4] = true;
	for (offset = 0; offset < Q35_REGS_SIZE; offset += 4)
		before[offset / 4] = rd(c, offset);
	for (offset = 0; offset < Q35_REGS_SIZE; offset += 4)
		if (!defined[offset / 4]) {
			ASSERT_EQ(rd(c, offset), 0) TH_LOG("at 0x%x", offset);
			wr(c, offset, 0xffffffff);
		}
	for (offset = 0; offset < Q35_REGS_SIZE; offset += 4)
		if (offset != Q35_REG_TIME_LO && offset != Q35_REG_TIME_HI)
			ASSERT_EQ(rd(c, offset), before[offset / 4]) TH_LOG("at 0x%x", offset);
}

TEST_HARNESS_MAIN
