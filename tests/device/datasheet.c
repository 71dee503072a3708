// SPDX-License-Identifier: MIT
/*
 * The datasheet, the header and the card agree: the tables of qemu-device/README.md define what
 * driver/q35_hw.h does, name by name and field by field, and a card's registers have the access and
 * reset value that the tables say. Both are read as text, so that what one of them lacks is seen; run
 * it in the repository's top directory.
 */
#include "card.h"
#include "register_tests.h"

#define QUEUES 40

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

static uint32_t direct_rd(void *opaque, uint32_t offset)
{
	return rd(opaque, offset);
}

static void direct_wr(void *opaque, uint32_t offset, uint32_t value)
{
	wr(opaque, offset, value);
}

FIXTURE(sheets)
{
	struct sheet datasheet, header;
	struct card c;
	struct bus bus;
};

FIXTURE_SETUP(sheets)
{
	read_datasheet(&self->datasheet, "qemu-device/README.md");
	read_header(&self->header);
	card_start(&self->c, QUEUES, 1);
	self->bus = (struct bus){.rd = direct_rd, .wr = direct_wr, .opaque = &self->c};
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

TEST_F(sheets, reset_values)
{
	check_reset_values(&self->datasheet, &self->bus, _metadata);
}

TEST_F(sheets, written_bits_stick_where_they_may)
{
	check_written_bits(&self->datasheet, &self->bus, _metadata);
}

TEST_F(sheets, faulted_bits_are_cleared_by_ones)
{
	check_faulted_bits(&self->bus, _metadata);
}

TEST_F(sheets, undefined_offsets_do_nothing)
{
	check_undefined_offsets(&self->datasheet, &self->bus, _metadata);
}

TEST_HARNESS_MAIN
