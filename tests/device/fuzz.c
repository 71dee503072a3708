// SPDX-License-Identifier: MIT
/*
 * Nothing that software does to the card crashes it, hangs it or makes it read or write outside the
 * memory that it was given, which ends at guard pages: random registers, rings, descriptors and page
 * tables, changed while the card works on them, with resets, pauses and defects in between.
 *
 * $Q35_FUZZ_SECONDS says how long [3], $Q35_TEST_SEED where the random numbers begin; without it they
 * are new ones each time, and the seed is printed. The card's threads make no run quite like another.
 */
#include <stdio.h>

#include "card.h"
#include "kselftest_harness.h"

#define SECONDS_DEFAULT 3
#define ACTIONS 3000 /* to one card, before it is checked */
#define QUEUES 6
#define VMS_USED 4 /* address space 1 has what card_alloc() maps; the others' tables are noise */
#define POOL_SIZE (2ull << 20)
#define POOLS 4
#define TABLES 64 /* pages of noise for the others, in either memory */

struct fuzz {
	struct card c;
	uint64_t seed;
	uint64_t pool[POOLS]; /* device virtual addresses of what operands may lie in */
	uint64_t table[2 * TABLES]; /* frames */
	uint32_t tail[QUEUES];
};

static uint32_t below(struct fuzz *f, uint32_t limit)
{
	return (uint64_t)random_u32(&f->seed) * limit >> 32;
}

static bool one_in(struct fuzz *f, uint32_t n)
{
	return !below(f, n);
}

static uint64_t random_u64(struct fuzz *f)
{
	return (uint64_t)random_u32(&f->seed) << 32 | random_u32(&f->seed);
}

/* A number that is likely to be at somebody's limit. */
static uint64_t edge(struct fuzz *f)
{
	uint64_t bit = 1ull << below(f, 64);

	switch (below(f, 4)) {
	case 0:
		return below(f, 300);
	case 1:
		return bit - below(f, 2);
	case 2:
		return -(uint64_t)below(f, 300);
	default:
		return random_u64(f) & (bit | (bit - 1));
	}
}

/* A DMA address, most times of memory, near its end at times. */
static uint64_t dma_address(struct fuzz *f, uint64_t align)
{
	if (one_in(f, 20))
		return edge(f);
	if (one_in(f, 10))
		return SYSTEM_BASE + SYSTEM_SIZE - below(f, 2 * PAGE) / align * align;
	return SYSTEM_BASE + (uint64_t)below(f, SYSTEM_SIZE / align) * align;
}

/* A device virtual address, most times in a pool. */
static uint64_t operand(struct fuzz *f, uint64_t align)
{
	uint64_t va = f->pool[below(f, POOLS)];

	if (one_in(f, 100))
		return edge(f);
	if (one_in(f, 30)) /* at its end, beyond which nothing is mapped */
		return va + POOL_SIZE - (uint64_t)below(f, 64) * align;
	va += one_in(f, 8) ? below(f, POOL_SIZE) : below(f, 2 * PAGE);
	return one_in(f, 100) ? va : va / align * align;
}

static uint32_t dimension(struct fuzz *f, uint32_t usual)
{
	return one_in(f, 100) ? edge(f) : 1 + below(f, one_in(f, 8) ? 20 * usual : usual);
}

static void random_gemm(struct fuzz *f, struct q35_hw_gemm *g)
{
	static const uint16_t blocks[] = {0, 32, 64, 128}, groups[] = {0, 128, 256};
	uint32_t size;

	g->x_type = below(f, 4);
	g->y_type = below(f, 3);
	g->m = dimension(f, 12);
	g->n = dimension(f, 300);
	g->k = dimension(f, 600);
	g->x_va = operand(f, 4);
	g->x_scale_va = g->x_type == Q35_HW_I8 ? operand(f, 4) : 0;
	g->tiles_va = operand(f, 64);
	g->meta_va = operand(f, 64);
	g->codebook_va = operand(f, 64);
	g->bias_va = one_in(f, 2) ? 0 : operand(f, 4);
	g->y_va = operand(f, 4);
	size = g->x_type == Q35_HW_F32 ? 4 : g->x_type == Q35_HW_I8 ? 1 : 2;
	g->x_stride = one_in(f, 40) ? edge(f) * size : g->k * size;
	size = g->y_type == Q35_HW_F32 ? 4 : 2;
	g->y_stride = one_in(f, 40) ? edge(f) * size : g->n * size;
	g->combine = below(f, 3);
	if (g->combine) {
		g->aux_type = g->y_type;
		g->aux_va = one_in(f, 2) ? g->y_va : operand(f, 4);
		g->aux_stride = g->y_stride;
	}
	g->act_block = blocks[below(f, 4)];
	g->group = groups[below(f, 3)];
	g->activation = below(f, 4);
	g->meta_flags = g->group ? below(f, 4) : below(f, 2);
	g->window_bits = Q35_WINDOW_BITS;
}

static struct q35_hw_desc random_descriptor(struct fuzz *f)
{
	struct q35_hw_desc desc = {.op = below(f, 6), .flags = below(f, 8), .seqno = edge(f)};

	switch (desc.op) {
	case Q35_OP_GEMM:
		random_gemm(f, &desc.gemm);
		break;
	case Q35_OP_COPY:
		desc.copy.src_va = operand(f, 1);
		desc.copy.dst_va = operand(f, 1);
		desc.copy.size = one_in(f, 10) ? edge(f) : 1 + below(f, 100000);
		break;
	case Q35_OP_FILL:
		desc.fill.dst_va = operand(f, 4);
		desc.fill.size = one_in(f, 10) ? edge(f) & ~3ull : 4 + 4 * below(f, 100000);
		desc.fill.value = one_in(f, 10) ? Q35_HANG_VALUE : random_u32(&f->seed);
		break;
	case Q35_OP_FENCE:
	case Q35_OP_TIMESTAMP:
		desc.fence.va = operand(f, 8);
		break;
	}
	if (one_in(f, 15)) /* and one byte of it anything */
		((uint8_t *)&desc)[below(f, sizeof(desc))] = below(f, 256);
	return desc;
}

/* Of a table: leads to another one, to memory, or nowhere. */
static uint64_t random_entry(struct fuzz *f)
{
	uint64_t flags = below(f, 16) | (one_in(f, 5) ? 0 : Q35_PTE_VALID);
	uint64_t page = one_in(f, 3) ? 1 << Q35_LEVEL_SHIFT(1) : PAGE;

	switch (below(f, 12)) {
	case 0:
		return random_u64(f);
	case 1:
	case 2:
	case 3:
		return (dma_address(f, page) & Q35_PTE_FRAME) | flags;
	case 4:
	case 5:
	case 6:
		return (below(f, (MEMORY_SIZE + 4 * page) / page) * page) | flags | Q35_PTE_LOCAL;
	default:
		return f->table[below(f, 2 * TABLES)] | Q35_PTE_VALID;
	}
}

static void scribble_tables(struct fuzz *f)
{
	struct card *c = &f->c;
	uint64_t *table = (uint64_t *)frame_host(c, f->table[below(f, 2 * TABLES)]);
	uint64_t va = f->pool[below(f, POOLS)] +
		      (uint64_t)below(f, one_in(f, 2) ? 4 : POOL_SIZE / PAGE) * PAGE;
	uint64_t end = one_in(f, 2) ? SYSTEM_BASE + SYSTEM_SIZE - 4 * PAGE
				    : (MEMORY_SIZE - 4 * PAGE) | Q35_PTE_LOCAL;
	uint32_t i;

	for (i = 0; i < Q35_TABLE_ENTRIES; i++)
		__atomic_store_n(&table[i], random_entry(f), __ATOMIC_RELAXED);
	if (one_in(f, 4))
		__atomic_store_n(pte_of(c, va, 0), random_entry(f), __ATOMIC_RELAXED);
	if (one_in(f, 4)) /* contiguous past the end of a memory */
		for (i = 0; i < 8; i++)
			*pte_of(c, va + i * PAGE, 0) =
				(end + i * PAGE) | Q35_PTE_VALID | Q35_PTE_LEAF | Q35_PTE_WRITABLE;
	wr(c, VREG(below(f, VMS_USED), INVALIDATE), 1);
}

static void restore_tables(struct fuzz *f)
{
	struct card *c = &f->c;
	uint64_t va, i;

	for (i = 0; i < POOLS; i++)
		for (va = f->pool[i]; va < f->pool[i] + POOL_SIZE; va += PAGE) {
			uint8_t *page = card_byte(c, va);
			bool local = page >= c->memory && page < c->memory + MEMORY_SIZE;
			uint64_t frame = local ? (page - c->memory) | Q35_PTE_LOCAL
					       : page - c->system + SYSTEM_BASE;

			*pte_of(c, va, 0) = frame | Q35_PTE_VALID | Q35_PTE_LEAF | Q35_PTE_WRITABLE;
		}
}

/* A queue with a ring of its own, now and then somewhere else. */
static void start_queue(struct fuzz *f, uint32_t q)
{
	struct card *c = &f->c;
	uint32_t i;

	if (!one_in(f, 8))
		wr64(c, VREG(1, ROOT_LO), c->root);
	wr(c, QREG(q, CONTROL), Q35_QCONTROL_RESET);
	for (i = 0; i < 100 && rd(c, QREG(q, STATE)) != Q35_QUEUE_DISABLED; i++)
		usleep(20); /* or never: that is one of the defects */
	wr(c, QREG(q, VM), one_in(f, 5) ? below(f, VMS_USED) : 1);
	wr(c, QREG(q, PRIORITY), below(f, 4));
	if (one_in(f, 8)) {
		wr64(c, QREG(q, RING_LO), dma_address(f, PAGE));
		wr(c, QREG(q, RING_ORDER), below(f, 20));
		wr64(c, QREG(q, WRITEBACK_LO), dma_address(f, 64));
	} else {
		wr64(c, QREG(q, RING_LO), c->queue[q].ring_address);
		wr(c, QREG(q, RING_ORDER), c->queue[q].order);
		wr64(c, QREG(q, WRITEBACK_LO), c->queue[q].writeback_address);
	}
	wr(c, QREG(q, CONTROL), Q35_QCONTROL_ENABLE);
	wr(c, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
	f->tail[q] = 0;
}

static void submit_some(struct fuzz *f, uint32_t q)
{
	struct card *c = &f->c;
	uint32_t n = 1 + below(f, 6), mask = (1u << c->queue[q].order) - 1;

	if (f->tail[q] + n - rd(c, QREG(q, HEAD)) > mask && !one_in(f, 100)) {
		usleep(20); /* no room */
		return;
	}
	while (n--)
		c->queue[q].ring[f->tail[q]++ & mask] = random_descriptor(f);
	wr(c, DOORBELL(q), one_in(f, 50) ? edge(f) : f->tail[q]);
}

static void random_register(struct fuzz *f)
{
	struct card *c = &f->c;
	uint32_t q = below(f, QUEUES + 1), offset;

	switch (below(f, 5)) {
	case 0:
		offset = below(f, Q35_REGS_SIZE / 4) * 4;
		break;
	case 1:
		offset = below(f, 0x140 / 4) * 4;
		break;
	case 2:
		offset = VREG(below(f, VMS_USED), ROOT_LO) + below(f, 4) * 4;
		break;
	default:
		offset = QREG(q, CONTROL) + below(f, Q35_QUEUE_STRIDE / 4) * 4;
	}
	rd(c, offset);
	wr(c, offset, one_in(f, 4) ? dma_address(f, 64) : edge(f));
}

static void random_action(struct fuzz *f)
{
	struct card *c = &f->c;
	uint32_t q = below(f, QUEUES), choice = below(f, 200), v;

	if (choice < 160) {
		if (rd(c, QREG(q, STATE)) != Q35_QUEUE_FAULTED)
			submit_some(f, q);
		else
			start_queue(f, q);
	} else if (choice < 165) {
		start_queue(f, q);
	} else if (choice < 172) {
		random_register(f);
	} else if (choice < 178) {
		scribble_tables(f);
	} else if (choice < 186) { /* under the card's hands */
		v = below(f, sizeof(struct q35_hw_desc) << c->queue[q].order);
		((uint8_t *)c->queue[q].ring)[v] = below(f, 256);
	} else if (choice < 190) {
		restore_tables(f);
	} else if (choice < 193) {
		usleep(below(f, 2000));
	} else if (choice < 195) {
		q35_asic_pause(&c->asic);
		q35_asic_resume(&c->asic);
	} else if (choice < 197) { /* as if it were migrated */
		q35_asic_pause(&c->asic);
		q35_asic_restored(&c->asic);
		q35_asic_resume(&c->asic);
	} else if (choice < 198) {
		q35_asic_set_defects(&c->asic, random_u32(&f->seed) & random_u32(&f->seed));
	} else if (choice < 199) {
		q35_asic_set_defects(&c->asic, Q35_DEFECT_HANG_FILL);
	} else {
		wr(c, Q35_REG_CONTROL, Q35_CONTROL_RESET);
		for (q = 0; q < QUEUES; q++)
			start_queue(f, q);
	}
}

static void start_card(struct fuzz *f, uint64_t seed)
{
	static const unsigned int places[POOLS] = {LOCAL, SYSTEM, LOCAL | SCATTERED,
						   SYSTEM | SCATTERED};
	struct card *c = &f->c;
	uint32_t i;

	card_start(c, QUEUES, 3);
	f->seed = seed;
	for (i = 0; i < POOLS; i++)
		f->pool[i] = card_alloc(c, POOL_SIZE, places[i]);
	for (i = 0; i < POOLS; i++)
		random_bytes(&f->seed, card_byte(c, f->pool[i]), PAGE);
	for (i = 0; i < 2 * TABLES; i++)
		f->table[i] = frame_alloc(c, i % 2 ? SYSTEM : LOCAL);
	for (i = 0; i < 4 * TABLES; i++)
		scribble_tables(f);
	restore_tables(f);
	for (i = 0; i < VMS_USED; i++)
		if (i != 1)
			wr64(c, VREG(i, ROOT_LO), f->table[i] | Q35_PTE_VALID);
	for (i = 1; i < QUEUES; i++)
		queue_program(c, i, 1, 3 + i, 0);
	for (i = 0; i < QUEUES; i++)
		start_queue(f, i);
}

/* It is reset at once, and works. */
static bool is_well(struct fuzz *f)
{
	const struct q35_hw_desc nop = {.op = Q35_OP_NOP};
	struct card *c = &f->c;
	uint32_t q;

	q35_asic_set_defects(&c->asic, 0);
	q35_asic_reset(&c->asic);
	for (q = 0; q < QUEUES; q++)
		if (rd(c, QREG(q, STATE)) != Q35_QUEUE_DISABLED)
			return false;
	if (c->mapped) /* nothing is in flight */
		return false;
	wr(c, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
	queue_start(c, 0, 6, 1);
	return run(c, 0, &nop) == Q35_FAULT_NONE;
}

/* The time limit is the environment's business; a card that hangs is found by alarm(). */
FIXTURE(hostile)
{
	struct fuzz *f;
};

FIXTURE_SETUP(hostile)
{
	self->f = calloc(1, sizeof(*self->f));
	ASSERT_NE(NULL, self->f);
}

FIXTURE_TEARDOWN(hostile)
{
	free(self->f);
}

TEST_F_TIMEOUT(hostile, software_does_no_harm, 1000000)
{
	const char *seconds = getenv("Q35_FUZZ_SECONDS"), *from = getenv("Q35_TEST_SEED");
	uint64_t end = now_ns() + (seconds ? atoi(seconds) : SECONDS_DEFAULT) * 1000000000ull;
	uint64_t seed = from ? strtoull(from, NULL, 0) : now_ns() ^ (uint64_t)getpid() << 40;
	unsigned int cards = 0, i;

	do {
		printf("# card %u: Q35_TEST_SEED=0x%llx\n", cards, (unsigned long long)seed);
		fflush(stdout);
		alarm(120);
		memset(self->f, 0, sizeof(*self->f));
		start_card(self->f, seed);
		for (i = 0; i < ACTIONS && now_ns() < end; i++)
			random_action(self->f);
		ASSERT_TRUE(is_well(self->f));
		ASSERT_TRUE(card_destroy(&self->f->c));
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		cards++;
	} while (now_ns() < end);
}

TEST_HARNESS_MAIN
