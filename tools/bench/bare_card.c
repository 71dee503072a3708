// SPDX-License-Identifier: MIT
#include "bare_card.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "asic.h"
#include "bench.h"

#define PAGE 4096ull
#define GIB (1ull << 30)
#define REGION (1ull << 21) /* what a level-1 entry maps */
#define RING_ORDER 5 /* a page */
#define VM 1

/* DMA addresses: tables, ring and write-back block from OWN up, the caller's system memory from SYSTEM. */
#define OWN 0x100000ull
#define SYSTEM 0x40000000ull

struct card {
	Q35Asic asic;
	uint8_t *own, *system;
	uint64_t own_size, own_used, system_size;
	struct q35_hw_desc *ring;
	struct q35_hw_writeback *writeback;
	uint32_t tail;

	pthread_mutex_t lock;
	pthread_cond_t raised;
	unsigned int interrupts; /* since the last look */
};

static void *map(void *opaque, uint64_t address, uint64_t *len, bool write)
{
	struct card *c = opaque;
	bool own = address < SYSTEM;
	uint64_t offset = address - (own ? OWN : SYSTEM), size = own ? c->own_size : c->system_size;

	(void)write;
	if (offset >= size)
		return NULL;
	if (*len > size - offset)
		*len = size - offset;
	return (own ? c->own : c->system) + offset;
}

static void unmap(void *opaque, void *p, uint64_t len, bool write)
{
	(void)opaque, (void)p, (void)len, (void)write;
}

static void memory_written(void *opaque, uint64_t offset, uint64_t len)
{
	(void)opaque, (void)offset, (void)len;
}

static void raise_vector(void *opaque, unsigned int vector)
{
	struct card *c = opaque;

	(void)vector; /* a fault ends the waiting too */
	pthread_mutex_lock(&c->lock);
	c->interrupts++;
	pthread_cond_signal(&c->raised);
	pthread_mutex_unlock(&c->lock);
}

static uint64_t now_ns(void *opaque)
{
	struct timespec t;

	(void)opaque;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A page of the card's own, as a table entry. */
static uint64_t own_page(struct card *c)
{
	uint64_t address = OWN + c->own_used;

	c->own_used += PAGE;
	return address | Q35_PTE_VALID;
}

static uint64_t *table_at(struct card *c, uint64_t entry)
{
	return (uint64_t *)(c->own + (entry & Q35_PTE_FRAME) - OWN);
}

/* The table that entry index points at, made if it is not there. */
static uint64_t *table_below(struct card *c, uint64_t *table, uint64_t index)
{
	if (!table[index])
		table[index] = own_page(c);
	return table_at(c, table[index]);
}

static uint64_t index_of(uint64_t va, int level)
{
	return va >> Q35_LEVEL_SHIFT(level) & (Q35_TABLE_ENTRIES - 1);
}

static void map_memory_at(struct card *c, uint64_t *root, uint64_t size)
{
	const uint64_t flags = Q35_PTE_VALID | Q35_PTE_LEAF | Q35_PTE_WRITABLE | Q35_PTE_LOCAL;
	uint64_t at;

	for (at = 0; at < size; at += REGION)
		table_below(c, root, index_of(CARD_MEMORY_VA + at, 2))[index_of(at, 1)] =
			at | flags;
}

static void map_system_at(struct card *c, uint64_t *root)
{
	const uint64_t flags = Q35_PTE_VALID | Q35_PTE_LEAF | Q35_PTE_WRITABLE;
	uint64_t at, va, *table;

	for (at = 0; at < c->system_size; at += PAGE) {
		va = CARD_SYSTEM_VA + at;
		table = table_below(c, root, index_of(va, 2));
		table = table_below(c, table, index_of(va, 1));
		table[index_of(va, 0)] = (SYSTEM + at) | flags;
	}
}

static void write_pair(struct card *c, uint32_t offset, uint64_t value)
{
	q35_asic_write(&c->asic, offset, (uint32_t)value);
	q35_asic_write(&c->asic, offset + 4, (uint32_t)(value >> 32));
}

/* Address space and queue 0, as a driver sets them up. */
static void start(struct card *c, uint64_t memory_size)
{
	const uint32_t vm = Q35_VM_OFFSET + VM * Q35_VM_STRIDE, queue = Q35_QUEUE_OFFSET;
	uint64_t ring = own_page(c), writeback = own_page(c), root = own_page(c);

	c->ring = (void *)table_at(c, ring);
	c->writeback = (void *)table_at(c, writeback);
	map_memory_at(c, table_at(c, root), memory_size);
	map_system_at(c, table_at(c, root));
	write_pair(c, vm + Q35_VREG_ROOT_LO, root);
	q35_asic_write(&c->asic, vm + Q35_VREG_INVALIDATE, 1);
	q35_asic_write(&c->asic, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
	q35_asic_write(&c->asic, queue + Q35_QREG_VM, VM);
	write_pair(c, queue + Q35_QREG_RING_LO, ring & Q35_PTE_FRAME);
	q35_asic_write(&c->asic, queue + Q35_QREG_RING_ORDER, RING_ORDER);
	write_pair(c, queue + Q35_QREG_WRITEBACK_LO, writeback & Q35_PTE_FRAME);
	q35_asic_write(&c->asic, queue + Q35_QREG_CONTROL, Q35_QCONTROL_ENABLE);
}

_Static_assert(CARD_BATCH_MAX < 1 << RING_ORDER, "the ring holds them");
_Static_assert(CARD_THREADS_MAX == Q35_THREADS_MAX, "as many as the card has room for");

struct card *card_create(void *memory, uint64_t memory_size, void *system, uint64_t system_size,
			 unsigned int threads)
{
	const Q35Config config = {
		.memory = memory,
		.memory_size = memory_size,
		.queues = 1,
		.threads = threads,
		.timing = {1, 1, 1, 1, 1, 1, 1},
	};
	struct card *c = calloc(1, sizeof(*c));
	const Q35Host host = {
		.opaque = c,
		.map = map,
		.unmap = unmap,
		.memory_written = memory_written,
		.raise_vector = raise_vector,
		.now_ns = now_ns,
	};

	if (!c) {
		fail("out of memory");
		return NULL;
	}
	c->system = system;
	c->system_size = system_size;
	/* Ring, write-back, root; a table for each GiB of either memory, and for each region of system's. */
	c->own_size = PAGE * (5 + memory_size / GIB + system_size / GIB + system_size / REGION + 1);
	c->own = map_memory(c->own_size);
	if (!c->own || q35_asic_init(&c->asic, &config, &host)) {
		unmap_memory(c->own, c->own_size);
		free(c);
		fail("no memory for a card, or no threads");
		return NULL;
	}
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->raised, NULL);
	start(c, memory_size);
	return c;
}

void card_destroy(struct card *c)
{
	if (!c)
		return;
	q35_asic_destroy(&c->asic);
	unmap_memory(c->own, c->own_size);
	pthread_cond_destroy(&c->raised);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int card_run(struct card *c, const struct q35_hw_desc *descs, uint32_t count)
{
	struct q35_hw_desc *slot = NULL;
	uint32_t i;

	for (i = 0; i < count; i++) {
		slot = &c->ring[c->tail++ & ((1u << RING_ORDER) - 1)];
		*slot = descs[i];
	}
	if (!slot)
		return DONE;
	slot->flags |= Q35_DESC_NOTIFY | Q35_DESC_IRQ;
	slot->seqno = c->tail;
	q35_asic_write(&c->asic, Q35_DOORBELL_OFFSET + Q35_DOORBELL_TAIL, c->tail);

	pthread_mutex_lock(&c->lock);
	while (!c->interrupts)
		pthread_cond_wait(&c->raised, &c->lock);
	c->interrupts = 0;
	pthread_mutex_unlock(&c->lock);
	if (__atomic_load_n(&c->writeback->seqno, __ATOMIC_ACQUIRE) == c->tail)
		return DONE;
	return fail("the card says fault %u at 0x%llx", c->writeback->fault_code,
		    (unsigned long long)c->writeback->fault_addr);
}
