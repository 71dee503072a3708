// SPDX-License-Identifier: GPL-2.0-only
/* Of q35_queue.c, and part of it: the arithmetic of rings, what ends a job, and how long is waited. */
#include <kunit/test.h>
#include <linux/pm_runtime.h>

#include "q35_mock.h"
#include "q35_recovery.h"

#define TEST_RING 32
#define TEST_JOBS 4
#define TEST_SLOT 2

struct q35_test_job {
	struct q35_job job;
	struct dma_fence fence;
	struct q35_hw_desc descs[TEST_RING];
};

struct q35_test_queue {
	struct q35_queue queue;
	struct q35_vm vm;
	struct q35_hw_writeback writeback;
	struct q35_hw_desc ring[TEST_RING];
	struct q35_test_job jobs[TEST_JOBS];
	unsigned int faults, resets; /* how often each work item ran */
};

static const char *q35_test_fence_name(struct dma_fence *fence)
{
	return "q35-test";
}

static void q35_test_fence_release(struct dma_fence *fence)
{
}

static const struct dma_fence_ops q35_test_fence_ops = {
	.get_driver_name = q35_test_fence_name,
	.get_timeline_name = q35_test_fence_name,
	.release = q35_test_fence_release,
};

static void q35_test_fault_work(struct work_struct *work)
{
	container_of(work, struct q35_test_queue, queue.fault_work)->faults++;
}

/* What the mock's q35_device_request_reset() leads to; its queue is in the slot. */
static void q35_test_reset_work(struct work_struct *work)
{
	struct q35_device *q35 = container_of(work, struct q35_device, reset_work);

	container_of(q35->queues[TEST_SLOT], struct q35_test_queue, queue)->resets++;
}

static int q35_queue_test_init(struct kunit *test)
{
	struct q35_test_queue *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	struct q35_device *q35 = q35_mock(test);
	struct q35_queue *queue;

	KUNIT_ASSERT_NOT_NULL(test, t);
	test->priv = t;
	queue = &t->queue;
	q35->queues = kunit_kcalloc(test, Q35_MOCK_QUEUES, sizeof(*q35->queues), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, q35->queues);
	q35->queues[TEST_SLOT] = queue;
	q35->caps.queues = Q35_MOCK_QUEUES;
	q35->caps.queue_offset = q35_read(q35, Q35_REG_QUEUE_OFFSET);
	q35->caps.queue_stride = q35_read(q35, Q35_REG_QUEUE_STRIDE);
	q35->caps.doorbell_offset = q35_read(q35, Q35_REG_DOORBELL_OFFSET);
	q35->caps.doorbell_stride = q35_read(q35, Q35_REG_DOORBELL_STRIDE);
	INIT_WORK(&q35->reset_work, q35_test_reset_work);

	queue->q35 = q35;
	queue->vm = &t->vm;
	queue->slot = TEST_SLOT;
	queue->ring = t->ring;
	queue->ring_size = TEST_RING;
	queue->writeback = &t->writeback;
	spin_lock_init(&queue->lock);
	mutex_init(&queue->hw_lock);
	INIT_LIST_HEAD(&queue->inflight);
	INIT_LIST_HEAD(&queue->parked);
	INIT_WORK(&queue->fault_work, q35_test_fault_work);
	/* Shut down, it stays so: the tests call what it would. */
	timer_setup(&queue->poll_timer, q35_queue_poll, 0);
	timer_shutdown_sync(&queue->poll_timer);
	return 0;
}

static void q35_queue_test_exit(struct kunit *test)
{
	struct q35_test_queue *t = test->priv;

	if (!t)
		return;
	flush_work(&t->queue.fault_work);
	flush_work(&t->queue.q35->reset_work);
}

/* Job number which, with sequence number which + 1, of so many descriptors, enters the ring. */
static struct q35_test_job *q35_test_emit(struct q35_test_queue *t, u32 which, u32 count)
{
	struct q35_test_job *job = &t->jobs[which];

	for (u32 i = 0; i < count; i++)
		job->descs[i].fill.value = cpu_to_le32(which << 16 | i);
	job->job.queue = &t->queue;
	job->job.fence = &job->fence;
	job->job.descs = job->descs;
	job->job.count = count;
	dma_fence_init(&job->fence, &q35_test_fence_ops, &t->queue.lock, 1, which + 1);
	spin_lock_irq(&t->queue.lock);
	q35_job_emit(&job->job);
	spin_unlock_irq(&t->queue.lock);
	return job;
}

/* Wherever the ring's index stands, also where it wraps, the job is in the slots behind it. */
static void q35_ring_test_wrap(struct kunit *test)
{
	static const u32 tails[] = {
		0,	   1,		TEST_RING - 4, TEST_RING - 3, TEST_RING - 1,
		TEST_RING, U32_MAX - 3, U32_MAX - 1,   U32_MAX};
	struct q35_test_queue *t = test->priv;

	for (u32 n = 0; n < ARRAY_SIZE(tails); n++) {
		u32 tail = tails[n];
		struct q35_test_job *job;

		INIT_LIST_HEAD(&t->queue.inflight);
		memset(t->ring, 0xff, sizeof(t->ring));
		memset(t->jobs[0].descs, 0, sizeof(t->jobs[0].descs));
		t->queue.tail = tail;
		job = q35_test_emit(t, 0, 4);

		KUNIT_EXPECT_EQ(test, tail, job->job.first);
		KUNIT_EXPECT_EQ(test, tail + 4, t->queue.tail);
		KUNIT_EXPECT_EQ(test, tail + 4, q35_read(t->queue.q35, SZ_32K + TEST_SLOT * SZ_4K));
		for (u32 i = 0; i < TEST_RING; i++) {
			const struct q35_hw_desc *desc = &t->ring[(tail + i) % TEST_RING];
			bool last = i == 3;

			if (i >= 4) { /* as it was */
				KUNIT_EXPECT_EQ(test, U64_MAX, le64_to_cpu(desc->seqno));
				continue;
			}
			KUNIT_EXPECT_EQ(test, i, le32_to_cpu(desc->fill.value));
			KUNIT_EXPECT_EQ(test, last ? 1 : 0, le64_to_cpu(desc->seqno));
			KUNIT_EXPECT_EQ(test, last ? Q35_DESC_NOTIFY | Q35_DESC_IRQ : 0,
					le16_to_cpu(desc->flags));
		}
	}
}

static void q35_ring_test_full(struct kunit *test)
{
	struct q35_test_queue *t = test->priv;

	t->queue.tail = 5;
	q35_test_emit(t, 0, TEST_RING);
	for (u32 i = 0; i < TEST_RING; i++)
		KUNIT_EXPECT_EQ(test, i, le32_to_cpu(t->ring[(5 + i) % TEST_RING].fill.value));
}

/* Which job a faulty descriptor is of, across the wrap of 32 bits. */
static void q35_ring_test_find(struct kunit *test)
{
	struct q35_test_queue *t = test->priv;

	t->queue.tail = U32_MAX - 1;
	q35_test_emit(t, 0, 1);
	q35_test_emit(t, 1, 3);
	q35_test_emit(t, 2, 2);
	KUNIT_EXPECT_NULL(test, q35_queue_find_job(&t->queue, U32_MAX - 2));
	KUNIT_EXPECT_PTR_EQ(test, &t->jobs[0].job, q35_queue_find_job(&t->queue, U32_MAX - 1));
	KUNIT_EXPECT_PTR_EQ(test, &t->jobs[1].job, q35_queue_find_job(&t->queue, U32_MAX));
	KUNIT_EXPECT_PTR_EQ(test, &t->jobs[1].job, q35_queue_find_job(&t->queue, 1));
	KUNIT_EXPECT_PTR_EQ(test, &t->jobs[2].job, q35_queue_find_job(&t->queue, 2));
	KUNIT_EXPECT_PTR_EQ(test, &t->jobs[2].job, q35_queue_find_job(&t->queue, 3));
	KUNIT_EXPECT_NULL(test, q35_queue_find_job(&t->queue, 4));
}

static void q35_complete_test_order(struct kunit *test)
{
	struct q35_test_queue *t = test->priv;

	for (u32 i = 0; i < 3; i++)
		q35_test_emit(t, i, 1);
	t->writeback.seqno = cpu_to_le64(2);
	q35_queue_complete(&t->queue);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(&t->jobs[0].fence));
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(&t->jobs[1].fence));
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(&t->jobs[2].fence));
	KUNIT_EXPECT_TRUE(test, list_is_singular(&t->queue.inflight));
}

/* A sequence number that was never handed out, or one that goes back, completes nothing. */
static void q35_complete_test_incredible(struct kunit *test)
{
	struct q35_test_queue *t = test->priv;

	for (u32 i = 0; i < 3; i++)
		q35_test_emit(t, i, 1);
	t->writeback.seqno = cpu_to_le64(4);
	q35_queue_complete(&t->queue);
	flush_work(&t->queue.fault_work);
	KUNIT_EXPECT_EQ(test, 1, t->faults);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(&t->jobs[0].fence));

	t->writeback.seqno = cpu_to_le64(2);
	q35_queue_complete(&t->queue);
	t->writeback.seqno = cpu_to_le64(1);
	q35_queue_complete(&t->queue);
	flush_work(&t->queue.fault_work);
	KUNIT_EXPECT_EQ(test, 2, t->faults);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(&t->jobs[2].fence));
}

/* Without an interrupt the second look completes what the first has seen. */
static void q35_complete_test_lost_interrupt(struct kunit *test)
{
	struct q35_test_queue *t = test->priv;

	q35_test_emit(t, 0, 1);
	q35_test_emit(t, 1, 1);
	t->writeback.seqno = cpu_to_le64(1);
	q35_queue_poll(&t->queue.poll_timer);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(&t->jobs[0].fence));
	q35_queue_poll(&t->queue.poll_timer);
	KUNIT_EXPECT_EQ(test, 1, dma_fence_get_status(&t->jobs[0].fence));
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(&t->jobs[1].fence));
	KUNIT_EXPECT_EQ(test, 1, atomic_read(&t->queue.q35->lost_interrupts));
}

static u32 q35_test_state(const struct q35_test_queue *t)
{
	return q35_queue_reg(&t->queue, Q35_QREG_STATE);
}

/* The guilty job is told apart from those that only were there. */
static void q35_stop_test_at_once(struct kunit *test)
{
	struct q35_test_queue *t = test->priv;

	for (u32 i = 0; i < 3; i++)
		q35_test_emit(t, i, 1);
	t->queue.guilty = &t->jobs[1].job;
	t->queue.cancel = -ECANCELED;
	t->queue.on_card = true;
	q35_write(t->queue.q35, q35_test_state(t), Q35_QUEUE_DISABLED);
	q35_queue_stop(&t->queue);
	KUNIT_EXPECT_FALSE(test, t->queue.on_card);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(&t->jobs[0].fence));
	KUNIT_EXPECT_EQ(test, -EIO, dma_fence_get_status(&t->jobs[1].fence));
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(&t->jobs[2].fence));
	flush_work(&t->queue.q35->reset_work);
	KUNIT_EXPECT_EQ(test, 0, t->resets);
}

/* A queue that does not stop may still write: no fence signals before the card has been reset. */
static void q35_stop_test_timeout(struct kunit *test)
{
	struct q35_test_queue *t = test->priv;
	ktime_t start = ktime_get();

	q35_test_emit(t, 0, 1);
	t->queue.cancel = -ECANCELED;
	t->queue.on_card = true;
	q35_write(t->queue.q35, q35_test_state(t), Q35_QUEUE_RESETTING);
	q35_queue_stop(&t->queue);
	KUNIT_EXPECT_GE(test, ktime_us_delta(ktime_get(), start), Q35_RESET_TIMEOUT_US);
	KUNIT_EXPECT_TRUE(test, t->queue.on_card);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(&t->jobs[0].fence));
	flush_work(&t->queue.q35->reset_work);
	KUNIT_EXPECT_EQ(test, 1, t->resets);
}

/* What q35_device_init() does, the card's side being there, so that it can be put to sleep. */
static void q35_test_device(struct kunit *test, struct q35_device *q35)
{
	struct inode *inode = kunit_kzalloc(test, sizeof(*inode), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, inode);
	address_space_init_once(&inode->i_data);
	inode->i_mapping = &inode->i_data;
	q35->drm.anon_inode = inode;
	init_rwsem(&q35->reset_sem);
	mutex_init(&q35->slots_lock);
	q35_recovery_init(q35);
	q35_write(q35, Q35_REG_STATUS, Q35_STATUS_READY);
	device_initialize(q35->drm.dev);
	pci_set_drvdata(to_pci_dev(q35->drm.dev), q35);
	/* Its configuration space is not there to be written to. */
	to_pci_dev(q35->drm.dev)->error_state = pci_channel_io_perm_failure;
}

/* The PCI core, once it has detected an error, may never say that it is over. */
static void q35_recovery_test_without_end(struct kunit *test)
{
	struct q35_test_queue *t = test->priv;
	struct q35_device *q35 = t->queue.q35;
	struct pci_dev *pdev = to_pci_dev(q35->drm.dev);
	struct delayed_work *work = &q35->recovery_work;
	unsigned long start = jiffies;

	q35_test_device(test, q35);
	q35_test_emit(t, 0, 1);
	t->queue.on_card = true;
	KUNIT_EXPECT_TRUE(test, q35_recovery_handlers.error_detected(pdev, pci_channel_io_frozen) ==
					PCI_ERS_RESULT_NEED_RESET);
	KUNIT_EXPECT_TRUE(test, q35->asleep);
	KUNIT_EXPECT_EQ(test, Q35_PARK_RESET, t->queue.park);
	KUNIT_EXPECT_EQ(test, 0, dma_fence_get_status(&t->jobs[0].fence));
	KUNIT_ASSERT_TRUE(test, delayed_work_pending(work));
	KUNIT_EXPECT_TRUE(test, time_after_eq(work->timer.expires, start + 60 * HZ));
	KUNIT_EXPECT_TRUE(test, time_before_eq(work->timer.expires, jiffies + 60 * HZ));

	/* The minute is over. */
	mod_delayed_work(q35_wq, work, 0);
	flush_delayed_work(work);
	KUNIT_EXPECT_TRUE(test, q35->lost);
	KUNIT_EXPECT_FALSE(test, q35->asleep);
	KUNIT_EXPECT_EQ(test, -ECANCELED, dma_fence_get_status(&t->jobs[0].fence));
	KUNIT_EXPECT_EQ(test, DRM_Q35_QUEUE_LOST, t->queue.status);
	KUNIT_EXPECT_EQ(test, -ENODEV, q35_device_begin_access(q35));

	/* Should it say so all the same, nothing happens any more. */
	q35_recovery_handlers.resume(pdev);
	KUNIT_EXPECT_TRUE(test, q35->lost);
	KUNIT_EXPECT_FALSE(test, delayed_work_pending(work));
}

/* A queue that is created meanwhile waits like all others. */
static void q35_recovery_test_newcomer(struct kunit *test)
{
	struct q35_test_queue *t = test->priv;
	struct q35_device *q35 = t->queue.q35;
	struct q35_queue *newcomer = kunit_kzalloc(test, sizeof(*newcomer), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, newcomer);
	newcomer->q35 = q35;
	kref_init(&newcomer->kref);
	spin_lock_init(&newcomer->lock);
	INIT_LIST_HEAD(&newcomer->parked);
	q35_test_device(test, q35);
	q35_device_sleep(q35);
	KUNIT_ASSERT_EQ(test, 0, q35_queue_claim_slot(newcomer));
	KUNIT_EXPECT_EQ(test, Q35_PARK_RESET, newcomer->park);
	q35_device_unpark(q35, Q35_PARK_RESET);
	KUNIT_EXPECT_EQ(test, 0, newcomer->park);
}

/* The driver's own reset comes too late: others have stopped the card. */
static void q35_test_stopped_by_others(struct work_struct *work)
{
	struct q35_device *q35 = container_of(work, struct q35_device, reset_work);

	q35_test_reset_work(work);
	q35_device_sleep(q35);
}

/* A queue that does not reset leaves its slot even so, and at once. */
static void q35_leave_test_stopped_by_others(struct kunit *test)
{
	struct q35_test_queue *t = test->priv;
	struct q35_device *q35 = t->queue.q35;

	q35_test_device(test, q35);
	INIT_WORK(&q35->reset_work, q35_test_stopped_by_others);
	q35->drm.unplugged = false;
	pm_runtime_no_callbacks(q35->drm.dev);
	KUNIT_ASSERT_EQ(test, 0, pm_runtime_set_active(q35->drm.dev));
	pm_runtime_get_noresume(q35->drm.dev);
	pm_runtime_enable(q35->drm.dev);

	/* It has no memory that was allocated for DMA. */
	t->queue.ring = NULL;
	t->queue.writeback = NULL;
	kref_init(&t->vm.users);
	kref_get(&t->vm.users);
	kref_init(&t->queue.kref);
	kref_get(&t->queue.kref);
	t->queue.on_card = true;
	q35_write(q35, q35_test_state(t), Q35_QUEUE_RESETTING);

	q35_queue_leave_card(&t->queue);
	KUNIT_EXPECT_EQ(test, 1, t->resets);
	KUNIT_EXPECT_FALSE(test, t->queue.on_card);
	KUNIT_EXPECT_NULL(test, q35->queues[TEST_SLOT]);
	KUNIT_EXPECT_EQ(test, 1, kref_read(&t->queue.kref));
	KUNIT_EXPECT_EQ(test, 1, kref_read(&t->vm.users));

	pm_runtime_disable(q35->drm.dev);
	pm_runtime_put_noidle(q35->drm.dev);
}

static void q35_start_test(struct kunit *test)
{
	struct q35_test_queue *t = test->priv;
	struct q35_device *q35 = t->queue.q35;

	t->queue.ring_dma = 0x123456000;
	t->queue.priority = 3;
	q35_write(q35, q35_test_state(t), Q35_QUEUE_IDLE);
	KUNIT_EXPECT_EQ(test, 0, q35_queue_program(&t->queue));
	KUNIT_EXPECT_EQ(test, 0x23456000,
			q35_read(q35, q35_queue_reg(&t->queue, Q35_QREG_RING_LO)));
	KUNIT_EXPECT_EQ(test, 1, q35_read(q35, q35_queue_reg(&t->queue, Q35_QREG_RING_HI)));
	KUNIT_EXPECT_EQ(test, 5, q35_read(q35, q35_queue_reg(&t->queue, Q35_QREG_RING_ORDER)));
	KUNIT_EXPECT_EQ(test, 3, q35_read(q35, q35_queue_reg(&t->queue, Q35_QREG_PRIORITY)));
	KUNIT_EXPECT_EQ(test, Q35_QCONTROL_ENABLE,
			q35_read(q35, q35_queue_reg(&t->queue, Q35_QREG_CONTROL)));

	q35_write(q35, q35_test_state(t), Q35_QUEUE_DISABLED);
	KUNIT_EXPECT_EQ(test, -EIO, q35_queue_program(&t->queue));
	q35_write(q35, q35_test_state(t), U32_MAX);
	KUNIT_EXPECT_EQ(test, -ENODEV, q35_queue_program(&t->queue));
}

static struct kunit_case q35_queue_cases[] = {
	KUNIT_CASE(q35_ring_test_wrap),
	KUNIT_CASE(q35_ring_test_full),
	KUNIT_CASE(q35_ring_test_find),
	KUNIT_CASE(q35_complete_test_order),
	KUNIT_CASE(q35_complete_test_incredible),
	KUNIT_CASE(q35_complete_test_lost_interrupt),
	KUNIT_CASE(q35_stop_test_at_once),
	KUNIT_CASE_SLOW(q35_stop_test_timeout),
	KUNIT_CASE_SLOW(q35_start_test),
	KUNIT_CASE(q35_recovery_test_without_end),
	KUNIT_CASE(q35_recovery_test_newcomer),
	KUNIT_CASE_SLOW(q35_leave_test_stopped_by_others),
	{},
};

static struct kunit_suite q35_queue_suite = {
	.name = "q35_queue",
	.init = q35_queue_test_init,
	.exit = q35_queue_test_exit,
	.test_cases = q35_queue_cases,
};

kunit_test_suite(q35_queue_suite);
