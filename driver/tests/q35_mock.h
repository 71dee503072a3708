/* SPDX-License-Identifier: GPL-2.0-only */
/* A card for KUnit: its register file is memory, which says what a test has written there. */
#ifndef Q35_MOCK_H
#define Q35_MOCK_H

#include <kunit/test.h>
#include <linux/pci.h>
#include <linux/sizes.h>

#include "q35_device.h"

#define Q35_MOCK_REGS SZ_64K
#define Q35_MOCK_QUEUES 4

/* A good card, freed with the test. Its queues' registers begin at 4 KiB, its doorbells at 32 KiB. */
static inline struct q35_device *q35_mock(struct kunit *test)
{
	static const u32 caps[][2] = {
		{Q35_REG_MAGIC, Q35_MAGIC},
		{Q35_REG_VERSION, Q35_VERSION_MAJOR << 16 | Q35_VERSION_MINOR},
		{Q35_REG_FEATURES, U32_MAX},
		{Q35_REG_QUEUES, Q35_MOCK_QUEUES},
		{Q35_REG_VMS, 4},
		{Q35_REG_RING_ORDER_MAX, 5},
		{Q35_REG_DMA_BITS, 64},
		{Q35_REG_VA_BITS, Q35_VA_BITS},
		{Q35_REG_MEMORY_LO, SZ_16M},
		{Q35_REG_QUEUE_OFFSET, SZ_4K},
		{Q35_REG_QUEUE_STRIDE, SZ_256},
		{Q35_REG_VM_OFFSET, SZ_8K},
		{Q35_REG_VM_STRIDE, SZ_16},
		{Q35_REG_DOORBELL_OFFSET, SZ_32K},
		{Q35_REG_DOORBELL_STRIDE, SZ_4K},
	};
	struct pci_dev *pdev = kunit_kzalloc(test, sizeof(*pdev), GFP_KERNEL);
	struct q35_device *q35 = kunit_kzalloc(test, sizeof(*q35), GFP_KERNEL);
	void *regs = kunit_kzalloc(test, Q35_MOCK_REGS, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, pdev);
	KUNIT_ASSERT_NOT_NULL(test, q35);
	KUNIT_ASSERT_NOT_NULL(test, regs);
	pdev->dev.init_name = "q35-mock";
	pdev->resource[Q35_BAR_REGS].end = Q35_MOCK_REGS - 1;
	pdev->resource[Q35_BAR_MEMORY].end = SZ_16M - 1;
	q35->drm.dev = &pdev->dev;
	q35->drm.unplugged = true; /* work items keep away */
	q35->regs = (void __iomem *)regs;
	for (u32 i = 0; i < ARRAY_SIZE(caps); i++)
		q35_write(q35, caps[i][0], caps[i][1]);
	return q35;
}

#endif /* Q35_MOCK_H */
