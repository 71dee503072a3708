// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: The driver
 *
 * q35 drives the Q35 accelerator card: matrix products with weights at 3.5 bits that live in the
 * card's own memory. q35_hw.h says what the card is, drm/q35_accel.h what user space sees.
 *
 * One file a concern: q35_device.c the card as a whole, q35_irq.c its interrupts, q35_gem.c
 * buffers, q35_vm.c address spaces over q35_mmu.c page tables, q35_queue.c rings and their death,
 * q35_restart.c their life when the card is reset, q35_job.c the scheduler's side of a submission,
 * q35_submit.c user space's side, q35_pm.c sleep, q35_recovery.c resets by others, and here the DRM and
 * PCI drivers and the ioctls that are only a few lines. What can be seen of it all is in q35_sysfs.c,
 * q35_debugfs.c, q35_trace.h and q35_dump.h. The lock order is in q35_device.h.
 *
 * What user space submits is not parsed: jobs name device virtual addresses, and the card's MMU
 * confines each client's to the address spaces that it built. The driver's work is that the page
 * tables say the truth at every moment, and that whatever happens, every fence signals.
 */
#include <linux/capability.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/uaccess.h>

#include <drm/drm_accel.h>
#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_ioctl.h>
#include <drm/drm_print.h>

#include "drm/q35_accel.h"
#include "q35_client.h"
#include "q35_debugfs.h"
#include "q35_device.h"
#include "q35_gem.h"
#include "q35_pm.h"
#include "q35_queue.h"
#include "q35_recovery.h"
#include "q35_submit.h"
#include "q35_sysfs.h"
#include "q35_vm.h"

/* A closed file waits so long for jobs that depend on nothing but the card to be freed. */
#define Q35_CLOSE_WAIT_MS 200

struct workqueue_struct *q35_wq;

static void q35_query_device(struct q35_device *q35, struct drm_q35_device *info)
{
	const struct q35_caps *caps = &q35->caps;

	*info = (struct drm_q35_device){
		.version = caps->version,
		.features = caps->features,
		.memory_size = q35->memory.buddy.size,
		.va_start = Q35_VA_START,
		.va_end = BIT_ULL(caps->va_bits),
		.queues = caps->queues,
		.vms = caps->vms,
		.page_size = PAGE_SIZE,
		.max_jobs = q35_ring_size(q35),
		.max_syncs = Q35_MAX_SYNCS,
		.max_bind_ops = Q35_MAX_BIND_OPS,
		.max_timeout_ms = Q35_TIMEOUT_MAX_MS,
		.windows = caps->windows,
		.act_blocks = caps->act_blocks,
		.dim_order_max = caps->dim_order_max,
		.lanes = caps->lanes,
		.clock_mhz = caps->clock_mhz,
		.memory_gbps = caps->memory_gbps,
		.link_gbps = caps->link_gbps,
	};
}

static void q35_query_memory(struct q35_device *q35, struct drm_q35_memory *info)
{
	mutex_lock(&q35->memory.lock);
	info->total = q35->memory.buddy.size;
	info->free = q35->memory.buddy.avail;
	mutex_unlock(&q35->memory.lock);
}

static int q35_ioctl_dev_query(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct q35_device *q35 = to_q35_device(drm);
	struct drm_q35_dev_query *args = data;
	union {
		struct drm_q35_device device;
		struct drm_q35_memory memory;
	} info = {};
	u32 known, room = args->size;
	void __user *to = u64_to_user_ptr(args->pointer);

	switch (args->type) {
	case DRM_Q35_QUERY_DEVICE:
		q35_query_device(q35, &info.device);
		known = sizeof(info.device);
		break;
	case DRM_Q35_QUERY_MEMORY:
		q35_query_memory(q35, &info.memory);
		known = sizeof(info.memory);
		break;
	default:
		return -EINVAL;
	}

	args->size = known;
	if (!args->pointer)
		return 0;
	if (copy_to_user(to, &info, min(room, known)) ||
	    (room > known && clear_user(to + known, room - known)))
		return -EFAULT;
	return 0;
}

struct q35_vm *q35_client_get_vm(struct q35_client *client, u32 id)
{
	struct q35_vm *vm;

	xa_lock(&client->vms);
	vm = xa_load(&client->vms, id);
	if (vm)
		q35_vm_get(vm);
	xa_unlock(&client->vms);
	return vm;
}

/* The queue with a reference to its memory and one as a user. */
struct q35_queue *q35_client_get_queue(struct q35_client *client, u32 id)
{
	struct q35_queue *queue;

	xa_lock(&client->queues);
	queue = xa_load(&client->queues, id);
	if (queue) {
		kref_get(&queue->kref);
		refcount_inc(&queue->users);
	}
	xa_unlock(&client->queues);
	return queue;
}

static void q35_client_put_queue(struct q35_queue *queue)
{
	q35_queue_put_user(queue);
	q35_queue_put(queue);
}

static int q35_ioctl_vm_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct q35_client *client = file->driver_priv;
	struct drm_q35_vm_create *args = data;
	struct q35_vm *vm;
	int idx, ret;

	if (args->flags)
		return -EINVAL;
	ret = q35_pm_enter(client->q35, &idx);
	if (ret)
		return ret;
	vm = q35_vm_create(client->q35);
	q35_pm_exit(client->q35, idx);
	if (IS_ERR(vm))
		return PTR_ERR(vm);
	ret = xa_alloc(&client->vms, &args->vm_id, vm, xa_limit_32b, GFP_KERNEL_ACCOUNT);
	if (ret)
		q35_vm_put(vm);
	return ret;
}

static int q35_ioctl_vm_destroy(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct q35_client *client = file->driver_priv;
	struct drm_q35_vm_destroy *args = data;
	struct q35_vm *vm;

	if (args->pad)
		return -EINVAL;
	vm = xa_erase(&client->vms, args->vm_id);
	if (!vm)
		return -ENOENT;
	q35_vm_put(vm);
	return 0;
}

static int q35_ioctl_queue_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct q35_client *client = file->driver_priv;
	struct drm_q35_queue_create *args = data;
	struct q35_queue *queue;
	struct q35_vm *vm;
	int idx, ret;

	if (args->flags || args->pad || args->priority > 3 || args->timeout_ms > Q35_TIMEOUT_MAX_MS)
		return -EINVAL;
	if (args->priority == 3 && !capable(CAP_SYS_NICE))
		return -EPERM;
	vm = q35_client_get_vm(client, args->vm_id);
	if (!vm)
		return -ENOENT;

	ret = q35_pm_enter(client->q35, &idx);
	if (!ret) {
		ret = q35_queue_create(client, vm, args, &queue);
		q35_pm_exit(client->q35, idx);
	}
	q35_vm_put(vm);
	if (ret)
		return ret;

	ret = xa_alloc(&client->queues, &args->queue_id, queue, xa_limit_32b, GFP_KERNEL_ACCOUNT);
	if (ret) {
		q35_queue_destroy(queue);
		q35_queue_put(queue);
	}
	return ret;
}

/* In the order that lets fdinfo never go backwards by more than what is being destroyed. */
static void q35_client_destroy_queue(struct q35_client *client, struct q35_queue *queue)
{
	atomic64_add(q35_queue_busy_ns(queue), &client->busy_ns);
	q35_queue_destroy(queue);
}

static int q35_ioctl_queue_destroy(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct q35_client *client = file->driver_priv;
	struct drm_q35_queue_destroy *args = data;
	struct q35_queue *queue;

	if (args->pad)
		return -EINVAL;
	queue = xa_erase(&client->queues, args->queue_id);
	if (!queue)
		return -ENOENT;
	q35_client_destroy_queue(client, queue);
	q35_queue_put(queue);
	return 0;
}

static int q35_ioctl_queue_state(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_q35_queue_state *args = data;
	struct q35_queue *queue;

	if (args->pad)
		return -EINVAL;
	queue = q35_client_get_queue(file->driver_priv, args->queue_id);
	if (!queue)
		return -ENOENT;
	spin_lock_irq(&queue->lock);
	args->status = queue->status;
	args->fault_code = queue->fault_code;
	args->fault_info = queue->fault_info;
	args->fault_addr = queue->fault_addr;
	args->job_index = queue->bad_job;
	args->submission = queue->bad_submission;
	spin_unlock_irq(&queue->lock);
	q35_client_put_queue(queue);
	return 0;
}

static int q35_ioctl_perf_query(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct q35_client *client = file->driver_priv;
	struct q35_device *q35 = client->q35;
	struct drm_q35_perf_query *args = data;
	u64 counters[Q35_COUNTERS_SIZE / sizeof(u64)];
	struct q35_queue *queue = NULL;
	int idx, ret = 0;

	if (args->pad)
		return -EINVAL;
	if (args->queue_id) {
		queue = q35_client_get_queue(client, args->queue_id);
		if (!queue)
			return -ENOENT;
	} else if (!perfmon_capable()) {
		return -EPERM;
	}

	ret = q35_pm_enter(q35, &idx);
	if (ret)
		goto out;
	ret = q35_device_begin_access(q35);
	if (ret)
		goto out_exit;
	mutex_lock(&q35->slots_lock);
	if (!queue)
		q35_device_read_counters(q35, Q35_REG_COUNTERS, counters);
	else if (q35->queues[queue->slot] == queue)
		q35_queue_read_counters(queue, counters);
	else
		ret = -ENOENT; /* destroyed meanwhile: the registers may be another client's */
	mutex_unlock(&q35->slots_lock);
	q35_device_end_access(q35);
out_exit:
	q35_pm_exit(q35, idx);
	if (ret)
		goto out;

	args->cycles = counters[Q35_COUNTER_CYCLES / sizeof(u64)];
	args->macs = counters[Q35_COUNTER_MACS / sizeof(u64)];
	args->memory_bytes = counters[Q35_COUNTER_MEMORY / sizeof(u64)];
	args->link_bytes = counters[Q35_COUNTER_LINK / sizeof(u64)];
	args->stall_cycles = counters[Q35_COUNTER_STALLS / sizeof(u64)];
	args->jobs = counters[Q35_COUNTER_JOBS / sizeof(u64)];
	args->busy_ns = queue ? q35_queue_busy_ns(queue) : 0;
out:
	if (queue)
		q35_client_put_queue(queue);
	return ret;
}

static int q35_open(struct drm_device *drm, struct drm_file *file)
{
	struct q35_client *client = kzalloc(sizeof(*client), GFP_KERNEL_ACCOUNT);

	if (!client)
		return -ENOMEM;
	client->q35 = to_q35_device(drm);
	xa_init_flags(&client->vms, XA_FLAGS_ALLOC1);
	xa_init_flags(&client->queues, XA_FLAGS_ALLOC1);
	file->driver_priv = client;
	return 0;
}

static void q35_postclose(struct drm_device *drm, struct drm_file *file)
{
	struct q35_client *client = file->driver_priv;
	struct q35_queue *queue;
	struct q35_vm *vm;
	unsigned long id;

	xa_for_each(&client->queues, id, queue)
		q35_client_destroy_queue(client, queue);
	xa_for_each(&client->vms, id, vm)
		q35_vm_put(vm);

	/* So that rmmod right after close() finds the module unused. */
	xa_for_each(&client->queues, id, queue) {
		wait_for_completion_timeout(&queue->retired, msecs_to_jiffies(Q35_CLOSE_WAIT_MS));
		q35_queue_put(queue);
	}
	xa_destroy(&client->queues);
	xa_destroy(&client->vms);
	kfree(client);
}

static void q35_show_fdinfo(struct drm_printer *p, struct drm_file *file)
{
	struct q35_client *client = file->driver_priv;
	struct drm_memory_stats device = {}, host = {};
	struct drm_gem_object *obj;
	struct q35_queue *queue;
	unsigned long index;
	u64 busy;
	int id;

	busy = atomic64_read(&client->busy_ns);
	xa_lock(&client->queues);
	xa_for_each(&client->queues, index, queue)
		busy += q35_queue_busy_ns(queue);
	xa_unlock(&client->queues);
	drm_printf(p, "drm-engine-npu:\t%llu ns\n", busy);
	drm_printf(p, "drm-engine-capacity-npu:\t%u\n", client->q35->caps.queues);

	spin_lock(&file->table_lock);
	idr_for_each_entry(&file->object_idr, obj, id) {
		struct q35_bo *bo = to_q35_bo(obj);
		bool on_card = bo->flags & DRM_Q35_BO_DEVICE;
		struct drm_memory_stats *stats = on_card ? &device : &host;

		if (drm_gem_object_is_shared_for_memory_stats(obj))
			stats->shared += obj->size;
		else
			stats->private += obj->size;
		if (on_card || READ_ONCE(bo->base.pages) || drm_gem_is_imported(obj))
			stats->resident += obj->size;
	}
	spin_unlock(&file->table_lock);
	drm_print_memory_stats(p, &device, DRM_GEM_OBJECT_RESIDENT, "device");
	drm_print_memory_stats(p, &host, DRM_GEM_OBJECT_RESIDENT, "host");
}

static const struct drm_ioctl_desc q35_ioctls[] = {
	DRM_IOCTL_DEF_DRV(Q35_DEV_QUERY, q35_ioctl_dev_query, 0),
	DRM_IOCTL_DEF_DRV(Q35_BO_CREATE, q35_ioctl_bo_create, 0),
	DRM_IOCTL_DEF_DRV(Q35_BO_MMAP_OFFSET, q35_ioctl_bo_mmap_offset, 0),
	DRM_IOCTL_DEF_DRV(Q35_BO_INFO, q35_ioctl_bo_info, 0),
	DRM_IOCTL_DEF_DRV(Q35_VM_CREATE, q35_ioctl_vm_create, 0),
	DRM_IOCTL_DEF_DRV(Q35_VM_DESTROY, q35_ioctl_vm_destroy, 0),
	DRM_IOCTL_DEF_DRV(Q35_VM_BIND, q35_ioctl_vm_bind, 0),
	DRM_IOCTL_DEF_DRV(Q35_QUEUE_CREATE, q35_ioctl_queue_create, 0),
	DRM_IOCTL_DEF_DRV(Q35_QUEUE_DESTROY, q35_ioctl_queue_destroy, 0),
	DRM_IOCTL_DEF_DRV(Q35_QUEUE_STATE, q35_ioctl_queue_state, 0),
	DRM_IOCTL_DEF_DRV(Q35_SUBMIT, q35_ioctl_submit, 0),
	DRM_IOCTL_DEF_DRV(Q35_PERF_QUERY, q35_ioctl_perf_query, 0),
};

static const struct file_operations q35_fops = {
	.owner = THIS_MODULE,
	.show_fdinfo = drm_show_fdinfo,
	DRM_ACCEL_FOPS,
};

static const struct drm_driver q35_driver = {
	.driver_features = DRIVER_COMPUTE_ACCEL | DRIVER_GEM | Q35_DRIVER_GEM_GPUVA |
			   DRIVER_SYNCOBJ | DRIVER_SYNCOBJ_TIMELINE,
	.open = q35_open,
	.postclose = q35_postclose,
	.show_fdinfo = q35_show_fdinfo,
	.gem_create_object = q35_gem_create_object,
	.gem_prime_import_sg_table = drm_gem_shmem_prime_import_sg_table,
	.ioctls = q35_ioctls,
	.num_ioctls = ARRAY_SIZE(q35_ioctls),
	.fops = &q35_fops,
	.name = "q35",
	.desc = "Q35 accelerator",
#ifdef Q35_HAVE_DRM_DRIVER_DATE
	.date = "20261124",
#endif
	.major = 1,
	.minor = 0,
};

static int q35_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct q35_device *q35;
	int ret;

	q35 = devm_drm_dev_alloc(&pdev->dev, &q35_driver, struct q35_device, drm);
	if (IS_ERR(q35))
		return PTR_ERR(q35);
	pci_set_drvdata(pdev, q35);

	ret = q35_device_init(q35);
	if (ret)
		return ret;
	q35_debugfs_init(q35);
	ret = drm_dev_register(&q35->drm, 0);
	if (ret)
		return ret;
	drm_info(&q35->drm, "%u queues, %u address spaces, %llu MiB of device memory\n",
		 q35->caps.queues, q35->caps.vms, q35->caps.memory >> 20);
	pci_save_state(pdev); /* for recovery */
	q35_pm_init(q35);
	return 0;
}

static void q35_remove(struct pci_dev *pdev)
{
	struct q35_device *q35 = pci_get_drvdata(pdev);

	q35_pm_fini(q35);
	drm_dev_unplug(&q35->drm);
	q35_device_remove(q35);
}

/* A kernel that goes down or hands over must not find the card still writing to its memory. */
static void q35_shutdown(struct pci_dev *pdev)
{
	q35_remove(pdev);
}

static const struct pci_device_id q35_pci_ids[] = {
	{PCI_DEVICE(Q35_PCI_VENDOR_ID, Q35_PCI_DEVICE_ID)}, {}};
MODULE_DEVICE_TABLE(pci, q35_pci_ids);

static struct pci_driver q35_pci_driver = {
	.name = "q35",
	.id_table = q35_pci_ids,
	.probe = q35_probe,
	.remove = q35_remove,
	.shutdown = q35_shutdown,
	.dev_groups = q35_groups,
	.err_handler = &q35_recovery_handlers,
	.driver.pm = pm_ptr(&q35_pm_ops),
};

static int __init q35_init(void)
{
	int ret;

	q35_wq = alloc_workqueue("q35", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!q35_wq)
		return -ENOMEM;
	ret = pci_register_driver(&q35_pci_driver);
	if (ret)
		destroy_workqueue(q35_wq);
	return ret;
}

static void __exit q35_exit(void)
{
	pci_unregister_driver(&q35_pci_driver);
	/* The last queues retire here. No fence is left, or the module would be in use. */
	destroy_workqueue(q35_wq);
	rcu_barrier();
}

module_init(q35_init);
module_exit(q35_exit);

MODULE_AUTHOR("Q35 authors");
MODULE_DESCRIPTION("DRM driver for the Q35 accelerator card");
MODULE_LICENSE("GPL");
