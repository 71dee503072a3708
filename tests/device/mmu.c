// SPDX-License-Identifier: MIT
/* Address translation, its faults, and invalidation. */
#include "card.h"
#include "kselftest_harness.h"

FIXTURE(card)
{
	struct card c;
};

FIXTURE_SETUP(card)
{
	card_start(&self->c, 4, 2);
}

FIXTURE_TEARDOWN(card)
{
	ASSERT_TRUE(card_destroy(&self->c));
}

static struct q35_hw_desc copy(uint64_t dst, uint64_t src, uint64_t size)
{
	return (struct q35_hw_desc){.op = Q35_OP_COPY, .copy = {src, dst, size, {0}}};
}

static struct q35_hw_desc fence(uint64_t va, uint64_t value)
{
	return (struct q35_hw_desc){.op = Q35_OP_FENCE, .fence = {.va = va, .value = value}};
}

/* A fence at va on queue 0, which is reset afterwards; the fault that it meets. */
static uint32_t probe(struct card *c, uint64_t va, uint64_t *addr)
{
	struct q35_hw_desc desc = fence(va, 1);
	uint32_t code = run(c, 0, &desc);

	*addr = rd64(c, QREG(0, FAULT_ADDR_LO));
	if (!queue_reset(c, 0))
		return UINT32_MAX;
	queue_enable(c, 0);
	wr(c, VREG(1, INVALIDATE), 1);
	return code;
}

TEST_F(card, copies_between_all_kinds_of_memory)
{
	static const unsigned int places[] = {LOCAL, SYSTEM, SCATTERED, SYSTEM | SCATTERED};
	const uint64_t size = 5 * PAGE + 1234;
	struct card *c = &self->c;
	uint8_t from[5 * PAGE + 1234], to[5 * PAGE + 1236];
	uint64_t seed = 1, src, dst;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		for (j = 0; j < ARRAY_SIZE(places); j++) {
			struct q35_hw_desc desc;

			src = card_alloc(c, size + 100, places[i] | READONLY);
			dst = card_alloc(c, size + 100, places[j]);
			random_bytes(&seed, from, size);
			card_poke(c, src + 77, from, size);
			desc = copy(dst + 33, src + 77, size);
			ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
			card_peek(c, dst + 32, to, size + 2);
			EXPECT_EQ(to[0], 0);
			EXPECT_EQ(memcmp(to + 1, from, size), 0) TH_LOG("%zu to %zu", i, j);
			EXPECT_EQ(to[size + 1], 0);
		}
	}
}

TEST_F(card, a_large_page_maps_2_mib)
{
	struct card *c = &self->c;
	const uint64_t va = 0x80000000, frame = 32ull << 20;
	struct q35_hw_desc desc = copy(va + 0x1fff00, va + 0x123456, 256);
	uint64_t addr;

	*pte_of(c, va, 1) = frame | Q35_PTE_VALID | Q35_PTE_WRITABLE | Q35_PTE_LOCAL | Q35_PTE_LEAF;
	memset(c->memory + frame + 0x123456, 0xa5, 256);
	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	EXPECT_EQ(memcmp(c->memory + frame + 0x1fff00, c->memory + frame + 0x123456, 256), 0);
	EXPECT_EQ(probe(c, va + 0x200000, &addr), Q35_FAULT_UNMAPPED);
	EXPECT_EQ(addr, va + 0x200000);
}

TEST_F(card, what_is_not_mapped_faults_where_it_begins)
{
	struct card *c = &self->c;
	uint64_t src = card_alloc(c, 3 * PAGE, LOCAL), dst = card_alloc(c, 2 * PAGE, SYSTEM), addr;
	struct q35_hw_desc desc = copy(dst + 100, src, 3 * PAGE);

	EXPECT_EQ(run(c, 0, &desc), Q35_FAULT_UNMAPPED);
	EXPECT_EQ(rd64(c, QREG(0, FAULT_ADDR_LO)), dst + 2 * PAGE);
	EXPECT_EQ(rd(c, QREG(0, FAULT_INFO)), Q35_FAULT_WRITE);
	EXPECT_EQ(rd(c, QREG(0, FAULT_INDEX)), 0);
	ASSERT_TRUE(queue_reset(c, 0));
	queue_enable(c, 0);

	desc = copy(dst, src + 2 * PAGE, 2 * PAGE);
	EXPECT_EQ(run(c, 0, &desc), Q35_FAULT_UNMAPPED);
	EXPECT_EQ(rd64(c, QREG(0, FAULT_ADDR_LO)), src + 3 * PAGE);
	EXPECT_EQ(rd(c, QREG(0, FAULT_INFO)), 0);
	ASSERT_TRUE(queue_reset(c, 0));
	queue_enable(c, 0);

	EXPECT_EQ(probe(c, 0, &addr), Q35_FAULT_UNMAPPED);
	EXPECT_EQ(probe(c, 1ull << 39, &addr), Q35_FAULT_UNMAPPED);
	EXPECT_EQ(addr, 1ull << 39);
	/* The bits that a walk does not use are not ignored. */
	EXPECT_EQ(probe(c, dst | 1ull << 40, &addr), Q35_FAULT_UNMAPPED);
	EXPECT_EQ(probe(c, UINT64_MAX - 7, &addr), Q35_FAULT_UNMAPPED);
	EXPECT_EQ(probe(c, dst, &addr), Q35_FAULT_NONE);
}

TEST_F(card, a_range_that_wraps_faults)
{
	struct card *c = &self->c;
	uint64_t src = card_alloc(c, PAGE, LOCAL);
	struct q35_hw_desc desc = copy(src, src, UINT64_MAX);

	EXPECT_EQ(run(c, 0, &desc), Q35_FAULT_UNMAPPED);
	EXPECT_EQ(rd64(c, QREG(0, FAULT_ADDR_LO)), src + PAGE);
}

TEST_F(card, read_only_pages_can_only_be_read)
{
	struct card *c = &self->c;
	uint64_t va = card_alloc(c, PAGE, LOCAL | READONLY), addr;

	EXPECT_EQ(probe(c, va + 8, &addr), Q35_FAULT_PERMISSION);
	EXPECT_EQ(addr, va + 8);
	EXPECT_EQ(*card_byte(c, va + 8), 0);
}

TEST_F(card, malformed_entries_are_not_valid)
{
	struct card *c = &self->c;
	uint64_t va = card_alloc(c, PAGE, LOCAL), addr;
	uint64_t good[Q35_LEVELS];
	int level, bit;

	for (level = 0; level < Q35_LEVELS; level++)
		good[level] = *pte_of(c, va, level);
	for (level = 0; level < Q35_LEVELS; level++) {
		for (bit = 4; bit < 64; bit++) {
			if (bit == 12)
				bit = 52; /* the frame */
			*pte_of(c, va, level) = good[level] | 1ull << bit;
			ASSERT_EQ(probe(c, va, &addr), Q35_FAULT_UNMAPPED)
			TH_LOG("level %d bit %d", level, bit);
		}
		*pte_of(c, va, level) = good[level] & ~Q35_PTE_VALID;
		EXPECT_EQ(probe(c, va, &addr), Q35_FAULT_UNMAPPED);
		*pte_of(c, va, level) = good[level];
		if (level) {
			*pte_of(c, va, level) = good[level] | Q35_PTE_WRITABLE;
			EXPECT_EQ(probe(c, va, &addr), Q35_FAULT_UNMAPPED);
			*pte_of(c, va, level) = good[level];
		}
	}
	/* No leaf at level 2, none but leaves at level 0, large pages are aligned. */
	*pte_of(c, va, 2) = good[2] | Q35_PTE_LEAF;
	EXPECT_EQ(probe(c, va, &addr), Q35_FAULT_UNMAPPED);
	*pte_of(c, va, 2) = good[2];
	*pte_of(c, va, 0) = good[0] & ~(Q35_PTE_LEAF | Q35_PTE_WRITABLE);
	EXPECT_EQ(probe(c, va, &addr), Q35_FAULT_UNMAPPED);
	*pte_of(c, va, 0) = good[0];
	*pte_of(c, va, 1) = 0x1000 | Q35_PTE_VALID | Q35_PTE_LOCAL | Q35_PTE_LEAF;
	EXPECT_EQ(probe(c, va, &addr), Q35_FAULT_UNMAPPED);
	*pte_of(c, va, 1) = good[1];
	EXPECT_EQ(probe(c, va, &addr), Q35_FAULT_NONE);

	wr64(c, VREG(1, ROOT_LO), c->root & ~Q35_PTE_VALID);
	EXPECT_EQ(probe(c, va, &addr), Q35_FAULT_UNMAPPED);
	wr64(c, VREG(1, ROOT_LO), c->root | Q35_PTE_LEAF);
	EXPECT_EQ(probe(c, va, &addr), Q35_FAULT_UNMAPPED);
}

TEST_F(card, frames_where_no_memory_is_are_bus_faults)
{
	static const uint64_t bad[] = {
		MEMORY_SIZE | Q35_PTE_LOCAL, Q35_PTE_FRAME | Q35_PTE_LOCAL, 0,
		SYSTEM_BASE - PAGE,	     SYSTEM_BASE + SYSTEM_SIZE,	    Q35_PTE_FRAME,
	};
	struct card *c = &self->c;
	uint64_t va = card_alloc(c, PAGE, LOCAL), addr, good;
	size_t i;
	int level;

	for (level = 0; level < Q35_LEVELS; level++) {
		good = *pte_of(c, va, level);
		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			*pte_of(c, va, level) = bad[i] | (good & ~(Q35_PTE_FRAME | Q35_PTE_LOCAL));
			ASSERT_EQ(probe(c, va, &addr), Q35_FAULT_BUS)
			TH_LOG("level %d frame %zu", level, i);
			EXPECT_EQ(addr, va);
		}
		*pte_of(c, va, level) = good;
	}
}

TEST_F(card, a_large_page_over_the_end_of_memory_ends_with_it)
{
	struct card *c = &self->c;
	const uint64_t va = 0x80000000;
	struct q35_hw_desc desc = copy(va, va + 4096, 4096);

	*pte_of(c, va, 1) = (SYSTEM_BASE + SYSTEM_SIZE) | Q35_PTE_VALID | Q35_PTE_LEAF;
	EXPECT_EQ(run(c, 0, &desc), Q35_FAULT_BUS);
	EXPECT_EQ(rd64(c, QREG(0, FAULT_ADDR_LO)), va + 4096);
}

/* Often enough, and not in step with the workers, that both have either translation cached. */
TEST_F(card, invalidation_drops_cached_translations)
{
	struct card *c = &self->c;
	uint64_t va = card_alloc(c, PAGE, LOCAL), frames[2], *entry = pte_of(c, va, 0);
	struct q35_hw_desc desc = fence(va, 0);
	int i;

	frames[0] = *entry;
	frames[1] = frame_alloc(c, LOCAL) | (*entry & ~Q35_PTE_FRAME);
	for (i = 1; i <= 99; i++) {
		*entry = frames[i / 3 % 2];
		wr(c, VREG(1, INVALIDATE), 1);
		ASSERT_TRUE(poll_reg(c, VREG(1, INVALIDATE), 0));
		desc.fence.value = i;
		ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
		ASSERT_EQ(*(uint64_t *)frame_host(c, *entry), i);
	}
}

TEST_F(card, address_spaces_are_apart)
{
	struct card *c = &self->c;
	uint64_t va = card_alloc(c, PAGE, LOCAL);
	struct q35_hw_desc desc = fence(va, 11);
	int i;

	queue_program(c, 1, 2, 4, 1); /* address space 2 has no tables */
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
		queue_enable(c, 1);
		ASSERT_EQ(run(c, 1, &desc), Q35_FAULT_UNMAPPED);
		EXPECT_EQ(rd(c, QREG(0, STATE)), Q35_QUEUE_IDLE);
		ASSERT_TRUE(queue_reset(c, 1));
	}
}

/* Pages that follow one another by number, the first in device, the second in system memory. */
TEST_F(card, the_two_memories_are_apart)
{
	struct card *c = &self->c;
	uint64_t dst = card_alloc(c, 2 * PAGE, LOCAL);
	const uint64_t va = VA_BASE + (512ull << 20);
	struct q35_hw_desc desc = copy(dst, va, 2 * PAGE);

	*pte_of(c, va, 0) = (SYSTEM_BASE - PAGE) | Q35_PTE_LOCAL | Q35_PTE_VALID | Q35_PTE_LEAF;
	*pte_of(c, va + PAGE, 0) = SYSTEM_BASE | Q35_PTE_VALID | Q35_PTE_LEAF;
	memset(c->memory + SYSTEM_BASE - PAGE, 0x11, 2 * PAGE);
	c->system[PAGE - 1] = 0x22; /* past the slots of the ring that are in use */
	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	EXPECT_EQ(*card_byte(c, dst + PAGE - 1), 0x11);
	EXPECT_EQ(*card_byte(c, dst + 2 * PAGE - 1), 0x22);
}

/* The gate holds a worker in the middle of a copy, with its translations in hand. */
TEST_F(card, invalidation_waits_for_accesses_in_flight)
{
	struct card *c = &self->c;
	uint64_t src = card_alloc(c, PAGE, LOCAL), dst = card_alloc(c, PAGE, SYSTEM), seqno;
	struct q35_hw_desc desc = copy(dst, src, PAGE);

	c->gate_address = *pte_of(c, dst, 0) & Q35_PTE_FRAME;
	seqno = submit(c, 0, &desc);
	while (!c->gate_waiting)
		usleep(50);
	EXPECT_EQ(rd(c, VREG(1, INVALIDATE)), 0); /* there was no invalidation yet */
	wr(c, VREG(1, INVALIDATE), 1);
	wr(c, VREG(2, INVALIDATE), 1);
	usleep(5000);
	EXPECT_EQ(rd(c, VREG(1, INVALIDATE)), 1);
	EXPECT_EQ(rd(c, VREG(2, INVALIDATE)), 0);
	c->gate_open = 1;
	EXPECT_TRUE(poll_reg(c, VREG(1, INVALIDATE), 0));
	EXPECT_TRUE(wait_seqno(c, 0, seqno));
}

TEST_HARNESS_MAIN
