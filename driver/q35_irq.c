// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Interrupts
 *
 * The completion vector carries no information and costs no register access: the handler looks at
 * each queue's write-back block, which is in host memory, and is exact whether interrupts were
 * coalesced, spurious or late. One that is lost costs Q35_POLL_MS twice: a timer looks as well while
 * something is in flight. The fault vector does read a register, once per fault.
 *
 * Handlers find queues without a lock. Whoever takes a queue out of q35_device.queues calls
 * synchronize_irq() before it lets go of the queue.
 */
#include <linux/interrupt.h>

#include "q35_device.h"
#include "q35_queue.h"

static irqreturn_t q35_irq_completion(int irq, void *arg)
{
	struct q35_device *q35 = arg;

	atomic64_inc(&q35->stats.completion_interrupts);
	for (u32 i = 0; i < q35->caps.queues; i++) {
		struct q35_queue *queue = READ_ONCE(q35->queues[i]);

		if (queue)
			q35_queue_complete(queue);
	}
	return IRQ_HANDLED;
}

static irqreturn_t q35_irq_fault(int irq, void *arg)
{
	struct q35_device *q35 = arg;
	u64 faulted = q35_read64(q35, Q35_REG_FAULTED_LO);

	atomic64_inc(&q35->stats.fault_interrupts);
	/* All ones, from a card that has left the bus, looks at every queue in vain: no harm. */
	for (u32 i = 0; i < q35->caps.queues; i++) {
		struct q35_queue *queue = READ_ONCE(q35->queues[i]);

		if (queue && faulted & BIT_ULL(i))
			queue_work(q35_wq, &queue->fault_work);
	}
	q35_write64(q35, Q35_REG_FAULTED_LO, faulted);
	return IRQ_HANDLED;
}

int q35_irq_init(struct q35_device *q35)
{
	static const struct {
		irq_handler_t handler;
		const char *name;
	} vectors[Q35_VECTORS] = {
		[Q35_VECTOR_COMPLETION] = {q35_irq_completion, "q35-completion"},
		[Q35_VECTOR_FAULT] = {q35_irq_fault, "q35-fault"},
	};
	struct pci_dev *pdev = to_pci_dev(q35->drm.dev);
	int ret;

	ret = pci_alloc_irq_vectors(pdev, Q35_VECTORS, Q35_VECTORS, PCI_IRQ_MSIX);
	if (ret < 0)
		return dev_err_probe(&pdev->dev, ret, "cannot have %u MSI-X vectors\n",
				     Q35_VECTORS);

	for (u32 i = 0; i < Q35_VECTORS; i++) {
		q35->irq[i] = pci_irq_vector(pdev, i);
		ret = devm_request_irq(&pdev->dev, q35->irq[i], vectors[i].handler, 0,
				       vectors[i].name, q35);
		if (ret)
			return dev_err_probe(&pdev->dev, ret, "cannot request %s\n",
					     vectors[i].name);
	}
	return 0;
}
