// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Address spaces
 *
 * drm_gpuvm keeps what is mapped where; q35_mmu.c keeps the page tables. A VM_BIND operation first
 * obtains all it may need (nodes for the mapping and for the two that it may split, the binding of
 * the buffer, page tables), then changes both, which cannot fail: so an operation is done or has
 * done nothing.
 *
 * The order of going away is what isolation rests on: page table entries first, then the card's
 * TLB, which also waits for descriptors in flight that still use old translations, and only then
 * the buffer's DMA mapping, its memory and dead page tables. One invalidation serves a whole VM_BIND.
 *
 * How long it takes is up to the jobs in flight: up to the longest timeout of the address space's
 * queues, after which a hung one has been reset. If the card has not drained even then, it is
 * reset.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_print.h>

#include "drm/q35_accel.h"
#include "q35_array.h"
#include "q35_client.h"
#include "q35_gem.h"
#include "q35_pm.h"
#include "q35_trace.h"
#include "q35_vm.h"

/* How often a wait for the card looks whether it is still wanted. */
#define Q35_DRAIN_SLICE_US (100 * USEC_PER_MSEC)

struct q35_va {
	struct drm_gpuva base;
	struct list_head link; /* q35_vm.unmapped */
};

/* What one operation may need. */
struct q35_bind {
	struct q35_vm *vm;
	struct drm_gpuvm_bo *vm_bo;
	struct q35_va *map, *prev, *next;
};

static struct q35_vm *to_q35_vm(struct drm_gpuvm *gpuvm)
{
	return container_of(gpuvm, struct q35_vm, base);
}

static struct q35_va *to_q35_va(struct drm_gpuva *va)
{
	return container_of(va, struct q35_va, base);
}

static u32 q35_vm_reg(const struct q35_vm *vm, u32 reg)
{
	const struct q35_caps *caps = &vm->q35->caps;

	return caps->vm_offset + vm->slot * caps->vm_stride + reg;
}

/*
 * Tell the card where the page tables are, at first and after a card reset. reset_sem is held. An
 * address space on its way out has told the card to forget them.
 */
void q35_vm_set_root(struct q35_vm *vm)
{
	if (kref_read(&vm->users))
		q35_write64(vm->q35, q35_vm_reg(vm, Q35_VREG_ROOT_LO),
			    vm->mmu.root->dma | Q35_PTE_VALID);
}

/*
 * Wait until no descriptor can touch memory through a translation from before the call. The lock
 * is held, in q35_pm_enter(). Return: false if the wait was cut short, by an unplug or by the
 * death of a caller who is killable: then nothing may be freed yet.
 */
static bool q35_vm_invalidate(struct q35_vm *vm, bool killable)
{
	struct q35_device *q35 = vm->q35;
	unsigned long deadline =
		jiffies + msecs_to_jiffies(vm->timeout_ms) + usecs_to_jiffies(Q35_RESET_TIMEOUT_US);
	bool stopped;
	int ret;

	down_read(&q35->reset_sem);
	stopped = q35_device_is_stopped(q35);
	if (!stopped)
		q35_write(q35, q35_vm_reg(vm, Q35_VREG_INVALIDATE), 1);
	up_read(&q35->reset_sem);
	if (stopped)
		return true;

	do {
		ret = q35_poll(q35, q35_vm_reg(vm, Q35_VREG_INVALIDATE), U32_MAX, 0,
			       Q35_DRAIN_SLICE_US);
		if (!ret)
			return true;
		if (drm_dev_is_unplugged(&q35->drm) || (killable && fatal_signal_pending(current)))
			return false;
		down_read(&q35->reset_sem);
		stopped = q35_device_is_stopped(q35);
		up_read(&q35->reset_sem);
		if (stopped)
			return true;
	} while (ret == -ETIMEDOUT && time_before(jiffies, deadline));

	dev_err_ratelimited(q35->drm.dev,
			    "address space %u does not drain (%d), resetting the card\n", vm->slot,
			    ret);
	q35_device_request_reset(q35);
	flush_work(&q35->reset_work);
	return !drm_dev_is_unplugged(&q35->drm);
}

/* Let go of what has been unmapped. The card has forgotten it, or has stopped. */
static void q35_vm_free_unmapped(struct q35_vm *vm)
{
	struct q35_va *va, *next;

	list_for_each_entry_safe(va, next, &vm->unmapped, link) {
		struct drm_gem_object *obj = va->base.gem.obj;

		drm_gem_object_get(obj);
		dma_resv_lock(obj->resv, NULL);
		drm_gpuva_unlink(&va->base);
		dma_resv_unlock(obj->resv);
		drm_gem_object_put(obj);
		list_del(&va->link);
		kfree(va);
	}
	q35_mmu_free_dead(&vm->mmu);
}

static int q35_vm_step_map(struct drm_gpuva_op *op, void *priv)
{
	struct q35_bind *bind = priv;

	drm_gpuva_map(&bind->vm->base, &bind->map->base, &op->map);
	dma_resv_lock(op->map.gem.obj->resv, NULL);
	drm_gpuva_link(&bind->map->base, bind->vm_bo);
	dma_resv_unlock(op->map.gem.obj->resv);
	bind->map = NULL;
	return 0;
}

static int q35_vm_step_unmap(struct drm_gpuva_op *op, void *priv)
{
	struct q35_bind *bind = priv;

	drm_gpuva_unmap(&op->unmap);
	list_add(&to_q35_va(op->unmap.va)->link, &bind->vm->unmapped);
	return 0;
}

/* The parts that stay keep their page table entries; only the bookkeeping is split. */
static int q35_vm_step_remap(struct drm_gpuva_op *op, void *priv)
{
	struct q35_bind *bind = priv;
	struct drm_gpuva *va = op->remap.unmap->va;

	drm_gpuva_remap(bind->prev ? &bind->prev->base : NULL,
			bind->next ? &bind->next->base : NULL, &op->remap);
	dma_resv_lock(va->gem.obj->resv, NULL);
	if (op->remap.prev) {
		drm_gpuva_link(&bind->prev->base, va->vm_bo);
		bind->prev = NULL;
	}
	if (op->remap.next) {
		drm_gpuva_link(&bind->next->base, va->vm_bo);
		bind->next = NULL;
	}
	dma_resv_unlock(va->gem.obj->resv);
	list_add(&to_q35_va(va)->link, &bind->vm->unmapped);
	return 0;
}

static void q35_vm_free(struct drm_gpuvm *gpuvm)
{
	kfree(to_q35_vm(gpuvm));
}

/* The reservation lock is held; see q35_vm_bind_bo(). */
static void q35_vm_bo_free(struct drm_gpuvm_bo *vm_bo)
{
	q35_gem_unbind(to_q35_bo(vm_bo->obj));
	kfree(vm_bo);
}

static const struct drm_gpuvm_ops q35_gpuvm_ops = {
	.vm_free = q35_vm_free,
	.vm_bo_free = q35_vm_bo_free,
	.sm_step_map = q35_vm_step_map,
	.sm_step_unmap = q35_vm_step_unmap,
	.sm_step_remap = q35_vm_step_remap,
};

/*
 * The link between address space and buffer, which lives as long as any mapping of the one in the
 * other, and binds the buffer meanwhile.
 */
static struct drm_gpuvm_bo *q35_vm_bind_bo(struct q35_vm *vm, struct q35_bo *bo)
{
	struct drm_gem_object *obj = &bo->base.base;
	struct drm_gpuvm_bo *vm_bo;
	int ret;

	ret = dma_resv_lock_interruptible(obj->resv, NULL);
	if (ret)
		return ERR_PTR(ret);
	/* Each call binds, so that the free callback always has something to undo. */
	ret = q35_gem_bind(bo);
	if (ret) {
		vm_bo = ERR_PTR(ret);
		goto unlock;
	}
	vm_bo = q35_gpuvm_bo_obtain(&vm->base, obj);
	if (IS_ERR(vm_bo) || kref_read(&vm_bo->kref) > 1)
		q35_gem_unbind(bo); /* not new: it has been counted */
unlock:
	dma_resv_unlock(obj->resv);
	return vm_bo;
}

static void q35_vm_put_bo(struct drm_gpuvm_bo *vm_bo)
{
	struct drm_gem_object *obj = vm_bo->obj;

	drm_gem_object_get(obj);
	dma_resv_lock(obj->resv, NULL);
	drm_gpuvm_bo_put(vm_bo);
	dma_resv_unlock(obj->resv);
	drm_gem_object_put(obj);
}

static void q35_bind_fini(struct q35_bind *bind)
{
	kfree(bind->map);
	kfree(bind->prev);
	kfree(bind->next);
	if (!IS_ERR_OR_NULL(bind->vm_bo))
		q35_vm_put_bo(bind->vm_bo);
	q35_mmu_drop_reserved(&bind->vm->mmu);
}

static int q35_bind_init(struct q35_bind *bind, struct q35_vm *vm)
{
	bind->vm = vm;
	bind->map = kzalloc(sizeof(*bind->map), GFP_KERNEL_ACCOUNT);
	bind->prev = kzalloc(sizeof(*bind->prev), GFP_KERNEL_ACCOUNT);
	bind->next = kzalloc(sizeof(*bind->next), GFP_KERNEL_ACCOUNT);
	return bind->map && bind->prev && bind->next ? 0 : -ENOMEM;
}

static int q35_vm_map(struct q35_vm *vm, struct q35_bo *bo, const struct drm_q35_bind_op *op)
{
	u64 pte = op->flags & DRM_Q35_BIND_READONLY ? 0 : Q35_PTE_WRITABLE;
	struct drm_gem_object *obj = &bo->base.base;
	struct q35_bind bind = {};
	int ret;

	ret = q35_bind_init(&bind, vm);
	if (ret)
		goto out;
	bind.vm_bo = q35_vm_bind_bo(vm, bo);
	if (IS_ERR(bind.vm_bo)) {
		ret = PTR_ERR(bind.vm_bo);
		goto out;
	}
	ret = q35_gem_for_each_extent(bo, op->bo_offset, op->size, q35_mmu_reserve_map, &vm->mmu,
				      op->va, pte);
	if (ret)
		goto out;

	ret = q35_gpuvm_map(&vm->base, &bind, op->va, op->size, obj, op->bo_offset);
	if (!ret)
		q35_gem_for_each_extent(bo, op->bo_offset, op->size, q35_mmu_map, &vm->mmu, op->va,
					pte);
out:
	q35_bind_fini(&bind);
	return ret;
}

static int q35_vm_unmap(struct q35_vm *vm, const struct drm_q35_bind_op *op)
{
	struct q35_bind bind = {};
	int ret;

	ret = q35_bind_init(&bind, vm);
	if (ret)
		goto out;
	ret = q35_mmu_reserve_unmap(&vm->mmu, op->va, op->size);
	if (ret)
		goto out;

	ret = drm_gpuvm_sm_unmap(&vm->base, &bind, op->va, op->size);
	if (!ret)
		q35_mmu_unmap(&vm->mmu, op->va, op->size);
out:
	q35_bind_fini(&bind);
	return ret;
}

static int q35_vm_do_op(struct q35_vm *vm, struct drm_file *file, const struct drm_q35_bind_op *op)
{
	u64 va_end = BIT_ULL(vm->q35->caps.va_bits);
	struct drm_gem_object *obj;
	int ret;

	if (!op->size || !IS_ALIGNED(op->va | op->size | op->bo_offset, PAGE_SIZE) ||
	    op->va < Q35_VA_START || op->va >= va_end || op->size > va_end - op->va)
		return -EINVAL;

	if (op->flags == DRM_Q35_BIND_UNMAP)
		return op->handle || op->bo_offset ? -EINVAL : q35_vm_unmap(vm, op);
	if (op->flags & ~DRM_Q35_BIND_READONLY)
		return -EINVAL;

	obj = drm_gem_object_lookup(file, op->handle);
	if (!obj)
		return -ENOENT;
	if (op->bo_offset >= obj->size || op->size > obj->size - op->bo_offset)
		ret = -EINVAL;
	else
		ret = q35_vm_map(vm, to_q35_bo(obj), op);
	drm_gem_object_put(obj);
	return ret;
}

int q35_ioctl_vm_bind(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_q35_vm_bind *args = data;
	struct drm_q35_bind_op *ops;
	struct q35_vm *vm;
	int idx, ret = 0;

	args->ops_done = 0;
	ops = q35_array_copy(&args->ops, sizeof(*ops), Q35_MAX_BIND_OPS);
	if (IS_ERR(ops))
		return PTR_ERR(ops);
	vm = q35_client_get_vm(file->driver_priv, args->vm_id);
	if (!vm) {
		ret = -ENOENT;
		goto out_free;
	}
	ret = q35_pm_enter(vm->q35, &idx);
	if (ret)
		goto out_put;

	mutex_lock(&vm->lock);
	while (args->ops_done < args->ops.count) {
		ret = q35_vm_do_op(vm, file, &ops[args->ops_done]);
		trace_q35_bind(vm, &ops[args->ops_done], ret);
		if (ret)
			break;
		args->ops_done++;
	}
	if (args->ops_done && q35_vm_invalidate(vm, true))
		q35_vm_free_unmapped(vm);
	mutex_unlock(&vm->lock);
	q35_pm_exit(vm->q35, idx);
out_put:
	q35_vm_put(vm);
out_free:
	kvfree(ops);
	return ret;
}

/* Unmap everything and free the page tables. The card no longer uses them. */
static void q35_vm_clear(struct q35_vm *vm)
{
	struct drm_gpuva *va, *next;

	mutex_lock(&vm->lock);
	drm_gpuvm_for_each_va_safe(va, next, &vm->base) {
		drm_gpuva_remove(va);
		list_add(&to_q35_va(va)->link, &vm->unmapped);
	}
	q35_vm_free_unmapped(vm);
	q35_mmu_fini(&vm->mmu);
	mutex_unlock(&vm->lock);
}

/* Whoever empties the slot clears the address space and has the slot's reference. */
static struct q35_vm *q35_vm_leave_slot(struct q35_device *q35, u32 slot, struct q35_vm *expected)
{
	struct q35_vm *vm;

	mutex_lock(&q35->slots_lock);
	vm = q35->vms[slot];
	if (expected && vm != expected)
		vm = NULL;
	if (vm)
		q35->vms[slot] = NULL;
	mutex_unlock(&q35->slots_lock);
	return vm;
}

static void q35_vm_release(struct kref *kref)
{
	struct q35_vm *vm = container_of(kref, struct q35_vm, users);
	struct q35_device *q35 = vm->q35;
	bool drained = false;
	int idx;

	if (!q35_pm_enter(q35, &idx)) {
		mutex_lock(&vm->lock);
		down_read(&q35->reset_sem);
		if (!q35_device_is_stopped(q35))
			q35_write64(q35, q35_vm_reg(vm, Q35_VREG_ROOT_LO), 0);
		up_read(&q35->reset_sem);
		drained = q35_vm_invalidate(vm, false);
		mutex_unlock(&vm->lock);
		q35_pm_exit(q35, idx);
	}

	/* If not, the card is being removed, and q35_vm_remove() does it. */
	if (drained && q35_vm_leave_slot(q35, vm->slot, vm)) {
		q35_vm_clear(vm);
		drm_gpuvm_put(&vm->base);
	}
	drm_gpuvm_put(&vm->base);
}

void q35_vm_put(struct q35_vm *vm)
{
	kref_put(&vm->users, q35_vm_release);
}

static int q35_vm_claim_slot(struct q35_vm *vm)
{
	struct q35_device *q35 = vm->q35;
	int ret = -ENOSPC;

	mutex_lock(&q35->slots_lock);
	for (u32 i = 0; i < q35->caps.vms; i++) {
		if (q35->vms[i])
			continue;
		vm->slot = i;
		q35->vms[i] = vm;
		drm_gpuvm_get(&vm->base);
		ret = 0;
		break;
	}
	mutex_unlock(&q35->slots_lock);
	return ret;
}

/*
 * q35_vm_create() - an empty address space
 *
 * In q35_pm_enter(). Return: it, with one user, or an ERR_PTR.
 */
struct q35_vm *q35_vm_create(struct q35_device *q35)
{
	struct drm_gem_object *resv;
	struct q35_vm *vm;
	int ret = -ENOMEM;

	vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return ERR_PTR(-ENOMEM);
	kref_init(&vm->users);
	vm->q35 = q35;
	mutex_init(&vm->lock);
	INIT_LIST_HEAD(&vm->unmapped);
	if (q35_mmu_init(&vm->mmu, q35->drm.dev))
		goto err_free;

	resv = drm_gpuvm_resv_object_alloc(&q35->drm);
	if (!resv)
		goto err_mmu_fini;
	drm_gpuvm_init(&vm->base, "q35", 0, &q35->drm, resv, Q35_VA_START,
		       BIT_ULL(q35->caps.va_bits) - Q35_VA_START, 0, 0, &q35_gpuvm_ops);
	drm_gem_object_put(resv);

	ret = q35_vm_claim_slot(vm);
	if (ret)
		goto err_gpuvm_put;

	down_read(&q35->reset_sem);
	if (!q35->asleep) /* or it is told when it wakes up */
		q35_vm_set_root(vm);
	up_read(&q35->reset_sem);
	mutex_lock(&vm->lock);
	q35_vm_invalidate(vm, false);
	mutex_unlock(&vm->lock);
	return vm;

err_gpuvm_put:
	q35_mmu_fini(&vm->mmu);
	drm_gpuvm_put(&vm->base);
	return ERR_PTR(ret);
err_mmu_fini:
	q35_mmu_fini(&vm->mmu);
err_free:
	kfree(vm);
	return ERR_PTR(ret);
}

/*
 * q35_vm_remove() - the address space in the slot, if any, goes with the card, which has stopped
 *
 * It stays as an object that nothing can be done with, until its client closes the file.
 */
void q35_vm_remove(struct q35_device *q35, u32 slot)
{
	struct q35_vm *vm = q35_vm_leave_slot(q35, slot, NULL);

	if (vm) {
		q35_vm_clear(vm);
		drm_gpuvm_put(&vm->base);
	}
}
