/* SPDX-License-Identifier: MIT */
/*
 * What the datasheet's tables say of the registers, tried on a card, whichever way its BAR0 is
 * reached: directly, over QEMU's bus, from a guest. The card is to have 4 queues at least, and each
 * check leaves it in reset state.
 */
#ifndef TEST_REGISTER_TESTS_H
#define TEST_REGISTER_TESTS_H

#include <stdbool.h>
#include <time.h>

#include "datasheet.h"

#define BAR_SIZE 0x80000
#define QUEUE_TESTED 3 /* whose registers stand for all queues' */
#define VM_TESTED 7

struct bus {
	uint32_t (*rd)(void *opaque, uint32_t offset);
	void (*wr)(void *opaque, uint32_t offset, uint32_t value);
	void *opaque;
	bool slow; /* of doorbell pages only a few words are tried */
};

static inline uint32_t bus_rd(const struct bus *b, uint32_t offset)
{
	return b->rd(b->opaque, offset);
}

static inline void bus_wr(const struct bus *b, uint32_t offset, uint32_t value)
{
	b->wr(b->opaque, offset, value);
}

static inline uint32_t bus_queue(const struct bus *b, uint32_t q, uint32_t reg)
{
	return bus_rd(b, Q35_REG_QUEUE_OFFSET) + q * bus_rd(b, Q35_REG_QUEUE_STRIDE) + reg;
}

static inline uint32_t bus_vm(const struct bus *b, uint32_t vm, uint32_t reg)
{
	return bus_rd(b, Q35_REG_VM_OFFSET) + vm * bus_rd(b, Q35_REG_VM_STRIDE) + reg;
}

static inline uint32_t bus_doorbell(const struct bus *b, uint32_t q)
{
	return bus_rd(b, Q35_REG_DOORBELL_OFFSET) + q * bus_rd(b, Q35_REG_DOORBELL_STRIDE);
}

static inline bool bus_poll(const struct bus *b, uint32_t offset, uint32_t value)
{
	time_t end = time(NULL) + 20;

	while (bus_rd(b, offset) != value)
		if (time(NULL) > end)
			return false;
	return true;
}

static inline bool bus_reset(const struct bus *b)
{
	bus_wr(b, Q35_REG_CONTROL, Q35_CONTROL_RESET);
	return bus_poll(b, Q35_REG_STATUS, Q35_STATUS_READY);
}

/* Where a register is on BAR0; false if e is none. */
static inline bool place(const struct bus *b, const struct entry *e, uint32_t *offset)
{
	if (!strncmp(e->name, "REG_", 4))
		*offset = e->value;
	else if (!strncmp(e->name, "QREG_", 5))
		*offset = bus_queue(b, QUEUE_TESTED, e->value);
	else if (!strncmp(e->name, "VREG_", 5))
		*offset = bus_vm(b, VM_TESTED, e->value);
	else
		return false;
	return true;
}

static inline uint32_t bytes_of(const struct entry *e)
{
	return strstr(e->name, "_COUNTERS") ? Q35_COUNTERS_SIZE : 4;
}

static inline void have_reset_values(const struct sheet *s, const struct bus *b,
				     struct __test_metadata *_metadata)
{
	const struct entry *e;
	uint32_t offset, i, registers = 0;

	for (e = s->entry; e < s->entry + s->count; e++) {
		if (!place(b, e, &offset))
			continue;
		registers++;
		if (strstr(e->access, "runs") || !strcmp(e->reset, "config"))
			continue;
		EXPECT_NE(0, *e->reset) TH_LOG("%s has no reset value", e->name);
		for (i = 0; i < bytes_of(e); i += 4)
			EXPECT_EQ(bus_rd(b, offset + i), sheet_number(e->reset))
		TH_LOG("%s + %u", e->name, i);
	}
	EXPECT_GT(registers, 45);
}

/* Also after everything has been written to. */
static inline void check_reset_values(const struct sheet *s, const struct bus *b,
				      struct __test_metadata *_metadata)
{
	const struct entry *e;
	uint32_t offset;

	ASSERT_TRUE(bus_reset(b));
	have_reset_values(s, b, _metadata);
	for (e = s->entry; e < s->entry + s->count; e++)
		if (place(b, e, &offset) && offset != Q35_REG_CONTROL)
			bus_wr(b, offset, 0xfffffffd); /* all but resets, which is bit 1 */
	ASSERT_TRUE(bus_reset(b));
	have_reset_values(s, b, _metadata);
}

static inline void check_written_bits(const struct sheet *s, const struct bus *b,
				      struct __test_metadata *_metadata)
{
	static const uint32_t patterns[] = {0xffffffff, 0xa5a5a5a5, 0x5a5a5a5a, 0};
	const struct entry *e;
	uint32_t offset, before, mask;
	const char *number;
	size_t i;

	ASSERT_TRUE(bus_reset(b));
	for (e = s->entry; e < s->entry + s->count; e++) {
		if (!place(b, e, &offset) || strstr(e->access, "acts") || strstr(e->access, "runs"))
			continue;
		mask = 0;
		number = strstr(e->access, "0x");
		if (!strncmp(e->access, "RW", 2))
			mask = number ? sheet_number(number) : 0xffffffff;
		else if (strcmp(e->access, "RO") && strcmp(e->access, "W1C"))
			ASSERT_TRUE(false) TH_LOG("%s: access '%s'", e->name, e->access);
		before = bus_rd(b, offset);
		for (i = 0; i < ARRAY_SIZE(patterns); i++) {
			bus_wr(b, offset, patterns[i]);
			EXPECT_EQ(bus_rd(b, offset), (before & ~mask) | (patterns[i] & mask))
			TH_LOG("%s after 0x%x", e->name, patterns[i]);
		}
	}
	ASSERT_TRUE(bus_reset(b));
}

/* The queues' rings are at address 0, and a tail too far is a fault before anything is fetched. */
static inline void check_faulted_bits(const struct bus *b, struct __test_metadata *_metadata)
{
	uint32_t queues = bus_rd(b, Q35_REG_QUEUES), last = queues - 1, q[] = {1, 2, last};
	uint32_t reg = last < 32 ? Q35_REG_FAULTED_LO : Q35_REG_FAULTED_HI;
	uint32_t bit = 1u << last % 32, low = 0x6 | (last < 32 ? bit : 0);
	size_t i;

	ASSERT_GE(queues, 4);
	ASSERT_TRUE(bus_reset(b));
	for (i = 0; i < ARRAY_SIZE(q); i++) {
		bus_wr(b, bus_queue(b, q[i], Q35_QREG_RING_ORDER), 2);
		bus_wr(b, bus_queue(b, q[i], Q35_QREG_CONTROL), Q35_QCONTROL_ENABLE);
		bus_wr(b, bus_doorbell(b, q[i]), 100);
		ASSERT_TRUE(bus_poll(b, bus_queue(b, q[i], Q35_QREG_STATE), Q35_QUEUE_FAULTED));
		EXPECT_EQ(bus_rd(b, bus_queue(b, q[i], Q35_QREG_FAULT_CODE)), Q35_FAULT_RING);
	}
	EXPECT_EQ(bus_rd(b, Q35_REG_FAULTED_LO), low);
	EXPECT_TRUE(bus_rd(b, reg) & bit);
	bus_wr(b, Q35_REG_FAULTED_LO, 0);
	bus_wr(b, Q35_REG_FAULTED_HI, 0);
	EXPECT_EQ(bus_rd(b, Q35_REG_FAULTED_LO), low);
	bus_wr(b, Q35_REG_FAULTED_LO, ~4u & ~bit);
	EXPECT_EQ(bus_rd(b, Q35_REG_FAULTED_LO), low & ~2u);
	EXPECT_TRUE(bus_rd(b, reg) & bit);
	/* That is not the queue's state, and a queue's reset clears the bit as well. */
	EXPECT_EQ(bus_rd(b, bus_queue(b, 1, Q35_QREG_STATE)), Q35_QUEUE_FAULTED);
	bus_wr(b, bus_queue(b, 2, Q35_QREG_CONTROL), Q35_QCONTROL_RESET);
	ASSERT_TRUE(bus_poll(b, bus_queue(b, 2, Q35_QREG_STATE), Q35_QUEUE_DISABLED));
	EXPECT_FALSE(bus_rd(b, Q35_REG_FAULTED_LO) & 4);
	bus_wr(b, reg, bit);
	EXPECT_FALSE(bus_rd(b, reg) & bit);
	ASSERT_TRUE(bus_reset(b));
}

/* The offset tried after this one. */
static inline uint32_t next_offset(const struct bus *b, uint32_t bells, uint32_t offset)
{
	offset += 4;
	if (b->slow && offset >= bells && offset % 4096 == 16)
		offset += 4096 - 32;
	return offset;
}

/* Every offset of BAR0 that belongs to no register: reads 0, and a write changes nothing. */
static inline void check_undefined_offsets(const struct sheet *s, const struct bus *b,
					   struct __test_metadata *_metadata)
{
	static bool defined[BAR_SIZE / 4];
	static uint32_t before[BAR_SIZE / 4];
	uint32_t queues = bus_rd(b, Q35_REG_QUEUES), vms = bus_rd(b, Q35_REG_VMS);
	uint32_t bells = bus_rd(b, Q35_REG_DOORBELL_OFFSET), offset, i, q;
	/* Read once: a bus may be slow. */
	uint32_t queue = bus_queue(b, 0, 0), queue_stride = bus_rd(b, Q35_REG_QUEUE_STRIDE);
	uint32_t vm = bus_vm(b, 0, 0), vm_stride = bus_rd(b, Q35_REG_VM_STRIDE);
	uint32_t bell_stride = bus_rd(b, Q35_REG_DOORBELL_STRIDE);
	const struct entry *e;

	ASSERT_TRUE(bus_reset(b));
	for (e = s->entry; e < s->entry + s->count; e++) {
		if (!place(b, e, &offset))
			continue;
		for (i = 0; i < bytes_of(e); i += 4) {
			if (!strncmp(e->name, "REG_", 4))
				defined[(offset + i) / 4] = true;
			for (q = 0; *e->name == 'Q' && q < queues; q++)
				defined[(queue + q * queue_stride + e->value + i) / 4] = true;
			for (q = 0; *e->name == 'V' && q < vms; q++)
				defined[(vm + q * vm_stride + e->value + i) / 4] = true;
		}
	}
	for (q = 0; q < queues; q++)
		defined[(bells + q * bell_stride) / 4] = true;
	for (offset = 0; offset < BAR_SIZE; offset = next_offset(b, bells, offset)) {
		before[offset / 4] = bus_rd(b, offset);
		if (!defined[offset / 4]) {
			ASSERT_EQ(before[offset / 4], 0) TH_LOG("at 0x%x", offset);
			bus_wr(b, offset, 0xffffffff);
		}
	}
	for (offset = 0; offset < BAR_SIZE; offset = next_offset(b, bells, offset))
		if (offset != Q35_REG_TIME_LO && offset != Q35_REG_TIME_HI)
			ASSERT_EQ(bus_rd(b, offset), before[offset / 4]) TH_LOG("at 0x%x", offset);
}

#endif /* TEST_REGISTER_TESTS_H */
