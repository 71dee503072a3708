/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef Q35_VM_H
#define Q35_VM_H

#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/sizes.h>

#include <drm/drm_gpuvm.h>

#include "q35_device.h"
#include "q35_mmu.h"

#define Q35_VA_START SZ_2M /* null pointers and their offsets fault */
#define Q35_MAX_BIND_OPS 1024 /* cap of drm_q35_vm_bind.ops */

struct q35_vm {
	struct drm_gpuvm base; /* its references: mappings, the slot, and one of users */
	struct kref users; /* the handle and each queue that has a slot */
	struct q35_device *q35;
	u32 slot; /* which of the card's address spaces */

	struct mutex lock; /* mappings and page tables, and the two below */
	struct q35_mmu mmu;
	struct list_head unmapped; /* q35_va.link: gone for user space, maybe not yet for the TLB */
	u32 timeout_ms; /* the longest that a queue of it may run a job; only grows */
};

struct q35_vm *q35_vm_create(struct q35_device *q35);
void q35_vm_put(struct q35_vm *vm);
void q35_vm_remove(struct q35_device *q35, u32 slot);
void q35_vm_set_root(struct q35_vm *vm);

static inline struct q35_vm *q35_vm_get(struct q35_vm *vm)
{
	kref_get(&vm->users);
	return vm;
}

static inline void q35_vm_note_timeout(struct q35_vm *vm, u32 timeout_ms)
{
	mutex_lock(&vm->lock);
	vm->timeout_ms = max(vm->timeout_ms, timeout_ms);
	mutex_unlock(&vm->lock);
}

#endif /* Q35_VM_H */
