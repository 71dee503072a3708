/* SPDX-License-Identifier: MIT */
/*
 * A card on a bench: the core of qemu-device/asic/ with a host made of two buffers and a page table
 * builder. System memory and device memory end at a guard page each, so an over-read is a crash.
 */
#ifndef TEST_CARD_H
#define TEST_CARD_H

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "asic.h"
#include "format.h"
#include "kernels.h"

#define PAGE 4096ull
#define MEMORY_SIZE (64ull << 20)
#define SYSTEM_SIZE (64ull << 20)
#define SYSTEM_BASE 0x3000000ull /* DMA address of system memory's first byte */
#define VA_BASE 0x40000000ull /* where card_alloc() maps */
#define VA_PAGES 32768

/* Where card_alloc() takes its frames from. */
enum place {
	LOCAL = 0,
	SYSTEM = 1,
	SCATTERED = 2, /* no two pages adjacent */
	READONLY = 4,
};

struct card {
	Q35Asic asic;
	uint8_t *memory, *system;
	uint64_t memory_next, system_next; /* frames are handed out upwards */
	uint64_t memory_last; /* and for SCATTERED, every other one downwards */
	uint64_t system_last;
	uint64_t va_next;
	uint8_t *page[VA_PAGES];
	uint64_t root; /* of address space 1, which card_alloc() maps in */
	atomic_uint raised[Q35_VECTORS];
	atomic_long mapped; /* map() calls without their unmap() */
	atomic_ullong written; /* bytes of memory_written() */
	/* A call of map() for this address waits until the gate opens; 0: none. */
	atomic_ullong gate_address;
	atomic_int gate_waiting, gate_open;
	struct {
		struct q35_hw_desc *ring;
		struct q35_hw_writeback *writeback;
		uint64_t ring_address, writeback_address;
		uint32_t order, tail;
		uint64_t seqno;
	} queue[Q35_QUEUES_MAX];
};

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* ---- The host ---- */

static void *host_map(void *opaque, uint64_t address, uint64_t *len, bool write)
{
	struct card *c = opaque;
	uint64_t offset = address - SYSTEM_BASE;

	(void)write;
	if (address < SYSTEM_BASE || offset >= SYSTEM_SIZE)
		return NULL;
	if (address == c->gate_address) {
		c->gate_waiting = 1;
		while (!c->gate_open)
			usleep(100);
	}
	if (*len > SYSTEM_SIZE - offset)
		*len = SYSTEM_SIZE - offset;
	c->mapped++;
	return c->system + offset;
}

static void host_unmap(void *opaque, void *p, uint64_t len, bool write)
{
	struct card *c = opaque;

	(void)p, (void)len, (void)write;
	c->mapped--;
}

static void host_memory_written(void *opaque, uint64_t offset, uint64_t len)
{
	struct card *c = opaque;

	if (offset + len <= MEMORY_SIZE)
		c->written += len;
}

static void host_raise_vector(void *opaque, unsigned int vector)
{
	struct card *c = opaque;

	c->raised[vector]++;
}

static uint64_t host_now_ns(void *opaque)
{
	(void)opaque;
	return now_ns();
}

static void *guarded(size_t size)
{
	uint8_t *p =
		mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mprotect(p + size, PAGE, PROT_NONE))
		abort();
	return p;
}

/* ---- Registers ---- */

static inline uint32_t rd(struct card *c, uint32_t offset)
{
	return q35_asic_read(&c->asic, offset);
}

static inline void wr(struct card *c, uint32_t offset, uint32_t value)
{
	q35_asic_write(&c->asic, offset, value);
}

static inline uint64_t rd64(struct card *c, uint32_t offset)
{
	uint64_t lo = rd(c, offset);

	return lo | (uint64_t)rd(c, offset + 4) << 32;
}

static inline void wr64(struct card *c, uint32_t offset, uint64_t value)
{
	wr(c, offset, value);
	wr(c, offset + 4, value >> 32);
}

#define QREG(q, reg) (Q35_QUEUE_OFFSET + (q)*Q35_QUEUE_STRIDE + Q35_QREG_##reg)
#define VREG(v, reg) (Q35_VM_OFFSET + (v)*Q35_VM_STRIDE + Q35_VREG_##reg)
#define QCOUNTER(q, counter) (QREG(q, COUNTERS) + Q35_COUNTER_##counter)
#define DOORBELL(q) (Q35_DOORBELL_OFFSET + (q)*Q35_DOORBELL_STRIDE)

static inline bool poll_reg(struct card *c, uint32_t offset, uint32_t value)
{
	uint64_t end = now_ns() + 10000000000ull;

	while (rd(c, offset) != value) {
		if (now_ns() > end)
			return false;
		usleep(50);
	}
	return true;
}

/* ---- Frames and page tables ---- */

/* A frame of device or system memory as a PTE: address and LOCAL. */
static inline uint64_t frame_alloc(struct card *c, unsigned int place)
{
	uint64_t *next = place & SYSTEM ? &c->system_next : &c->memory_next;
	uint64_t *last = place & SYSTEM ? &c->system_last : &c->memory_last;
	uint64_t offset;

	if (place & SCATTERED) {
		*last -= 2 * PAGE;
		offset = *last;
	} else {
		offset = *next;
		*next += PAGE;
	}
	if (*next > *last)
		abort();
	return place & SYSTEM ? SYSTEM_BASE + offset : offset | Q35_PTE_LOCAL;
}

static inline uint8_t *frame_host(struct card *c, uint64_t pte)
{
	uint64_t frame = pte & Q35_PTE_FRAME;

	return pte & Q35_PTE_LOCAL ? c->memory + frame : c->system + (frame - SYSTEM_BASE);
}

/* Where the entry of the given level for va is; makes the tables above it. */
static inline uint64_t *pte_of(struct card *c, uint64_t va, int level)
{
	uint64_t table = c->root, *entry;
	int l;

	for (l = Q35_LEVELS - 1;; l--) {
		entry = (uint64_t *)frame_host(c, table) +
			(va >> Q35_LEVEL_SHIFT(l) & (Q35_TABLE_ENTRIES - 1));
		if (l == level)
			return entry;
		if (!*entry) /* level-0 tables in system memory, the others in device memory */
			*entry = frame_alloc(c, l == 1 ? SYSTEM : LOCAL) | Q35_PTE_VALID;
		table = *entry;
	}
}

/* Maps size zeroed bytes and an unmapped page after them; returns the device virtual address. */
static inline uint64_t card_alloc(struct card *c, uint64_t size, unsigned int place)
{
	uint64_t va = c->va_next, end = va + (size + PAGE - 1) / PAGE * PAGE, *entry, frame;

	for (; c->va_next < end; c->va_next += PAGE) {
		entry = pte_of(c, c->va_next, 0); /* before the frame: tables take frames too */
		frame = frame_alloc(c, place);
		c->page[(c->va_next - VA_BASE) / PAGE] = frame_host(c, frame);
		*entry = frame | Q35_PTE_VALID | Q35_PTE_LEAF |
			 (place & READONLY ? 0 : Q35_PTE_WRITABLE);
	}
	c->va_next += PAGE;
	return va;
}

static inline uint8_t *card_byte(struct card *c, uint64_t va)
{
	return c->page[(va - VA_BASE) / PAGE] + va % PAGE;
}

static inline void card_poke(struct card *c, uint64_t va, const void *from, uint64_t len)
{
	uint64_t i;

	for (i = 0; i < len; i++)
		*card_byte(c, va + i) = ((const uint8_t *)from)[i];
}

static inline void card_peek(struct card *c, uint64_t va, void *to, uint64_t len)
{
	uint64_t i;

	for (i = 0; i < len; i++)
		((uint8_t *)to)[i] = *card_byte(c, va + i);
}

/* ---- Queues ---- */

static inline void queue_program(struct card *c, uint32_t q, uint32_t vm, uint32_t order,
				 uint32_t priority)
{
	uint64_t frames = ((Q35_DESC_SIZE << order) + PAGE - 1) / PAGE, address, i;

	address = frame_alloc(c, SYSTEM);
	c->queue[q].ring_address = address;
	c->queue[q].ring = (void *)frame_host(c, address);
	for (i = 1; i < frames; i++)
		frame_alloc(c, SYSTEM);
	address = frame_alloc(c, SYSTEM);
	c->queue[q].writeback_address = address;
	c->queue[q].writeback = (void *)frame_host(c, address);
	c->queue[q].order = order;
	wr(c, QREG(q, VM), vm);
	wr(c, QREG(q, PRIORITY), priority);
	wr64(c, QREG(q, RING_LO), c->queue[q].ring_address);
	wr(c, QREG(q, RING_ORDER), order);
	wr64(c, QREG(q, WRITEBACK_LO), c->queue[q].writeback_address);
}

static inline void queue_enable(struct card *c, uint32_t q)
{
	memset(c->queue[q].writeback, 0, sizeof(*c->queue[q].writeback));
	c->queue[q].tail = 0;
	c->queue[q].seqno = 0;
	wr(c, QREG(q, CONTROL), Q35_QCONTROL_ENABLE);
}

/* In address space 1. */
static inline void queue_start(struct card *c, uint32_t q, uint32_t order, uint32_t priority)
{
	queue_program(c, q, 1, order, priority);
	queue_enable(c, q);
}

/* Puts a descriptor into the ring; returns the sequence number that says it is complete. */
static inline uint64_t queue_put(struct card *c, uint32_t q, const struct q35_hw_desc *desc)
{
	struct q35_hw_desc *slot =
		&c->queue[q].ring[c->queue[q].tail++ & ((1u << c->queue[q].order) - 1)];

	*slot = *desc;
	slot->flags |= Q35_DESC_NOTIFY | Q35_DESC_IRQ;
	slot->seqno = ++c->queue[q].seqno;
	return slot->seqno;
}

static inline void queue_ring(struct card *c, uint32_t q)
{
	wr(c, DOORBELL(q), c->queue[q].tail);
}

static inline uint64_t submit(struct card *c, uint32_t q, const struct q35_hw_desc *desc)
{
	uint64_t seqno = queue_put(c, q, desc);

	queue_ring(c, q);
	return seqno;
}

static inline bool wait_seqno(struct card *c, uint32_t q, uint64_t seqno)
{
	uint64_t end = now_ns() + 20000000000ull;

	while (__atomic_load_n(&c->queue[q].writeback->seqno, __ATOMIC_ACQUIRE) < seqno) {
		if (now_ns() > end ||
		    __atomic_load_n(&c->queue[q].writeback->fault_code, __ATOMIC_ACQUIRE))
			return false;
		usleep(20);
	}
	return true;
}

/* Executes one descriptor; the fault's code if it faults, UINT32_MAX if nothing happens. */
static inline uint32_t run(struct card *c, uint32_t q, const struct q35_hw_desc *desc)
{
	if (wait_seqno(c, q, submit(c, q, desc)))
		return Q35_FAULT_NONE;
	if (!poll_reg(c, QREG(q, STATE), Q35_QUEUE_FAULTED))
		return UINT32_MAX;
	return rd(c, QREG(q, FAULT_CODE));
}

static inline bool queue_reset(struct card *c, uint32_t q)
{
	wr(c, QREG(q, CONTROL), Q35_QCONTROL_RESET);
	return poll_reg(c, QREG(q, STATE), Q35_QUEUE_DISABLED);
}

/* ---- Set-up ---- */

static inline void card_init(struct card *c, uint32_t queues, uint32_t threads)
{
	const Q35Host host = {
		.opaque = c,
		.map = host_map,
		.unmap = host_unmap,
		.memory_written = host_memory_written,
		.raise_vector = host_raise_vector,
		.now_ns = host_now_ns,
	};
	const Q35Config config = {
		.memory = guarded(MEMORY_SIZE),
		.memory_size = MEMORY_SIZE,
		.queues = queues,
		.threads = threads,
		.timing = {.lanes = 1024,
			   .rows = 4,
			   .decode = 512,
			   .clock_mhz = 1000,
			   .memory_gbps = 100,
			   .link_gbps = 10},
		.defects = Q35_DEFECT_HANG_FILL,
	};

	memset(c, 0, sizeof(*c));
	c->memory = config.memory;
	c->system = guarded(SYSTEM_SIZE);
	c->memory_last = MEMORY_SIZE;
	c->system_last = SYSTEM_SIZE;
	c->va_next = VA_BASE;
	if (q35_asic_init(&c->asic, &config, &host))
		abort();
	c->root = frame_alloc(c, LOCAL) | Q35_PTE_VALID;
}

/* A card with address space 1 and queue 0 in it, ready to run. */
static inline void card_start(struct card *c, uint32_t queues, uint32_t threads)
{
	card_init(c, queues, threads);
	wr64(c, VREG(1, ROOT_LO), c->root);
	wr(c, VREG(1, INVALIDATE), 1);
	wr(c, Q35_REG_CONTROL, Q35_CONTROL_ENABLE);
	queue_start(c, 0, 6, 1);
}

/* Returns false if the card has left a mapping behind. */
static inline bool card_destroy(struct card *c)
{
	q35_asic_destroy(&c->asic);
	munmap(c->memory, MEMORY_SIZE + PAGE);
	munmap(c->system, SYSTEM_SIZE + PAGE);
	return c->mapped == 0;
}

/* ---- Random operands ---- */

static inline uint32_t random_u32(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 32;
}

static inline float random_float(uint64_t *state)
{
	return (int32_t)random_u32(state) * 0x1p-30f;
}

static inline void random_bytes(uint64_t *state, void *p, size_t size)
{
	uint8_t *byte = p;

	while (size--)
		*byte++ = random_u32(state);
}

#endif /* TEST_CARD_H */
