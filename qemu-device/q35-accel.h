/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the PCI Express function know of one another. */
#ifndef Q35_ACCEL_H
#define Q35_ACCEL_H

#include "qemu/queue.h"
#include "hw/pci/pci_device.h"
#include "migration/vmstate.h"
#include "system/runstate.h"

#include "asic.h"

#define TYPE_Q35_ACCEL "q35-accel"
OBJECT_DECLARE_SIMPLE_TYPE(Q35AccelState, Q35_ACCEL)

typedef struct Q35Mapping Q35Mapping;

struct Q35AccelState {
    PCIDevice parent_obj;

    MemoryRegion regs;
    MemoryRegion bar; /* BAR2: memory, and over it while the card is gone: */
    MemoryRegion memory;
    MemoryRegion gone;
    Q35Asic asic;

    /* dma.c's: */
    MemoryListener listener;
    uint32_t iommu_regions; /* in the function's address space; BQL */
    bool translated; /* there are some, or were; atomic */
    uint32_t mapping_directly; /* workers that found it not so; atomic */
    pthread_mutex_t mapping_lock;
    pthread_cond_t mapped;
    QSIMPLEQ_HEAD(, Q35Mapping) mappings; /* asked for; mapping_lock */
    QEMUBH *attend;

    QEMUBH *raise;
    uint32_t raised; /* vectors that the bottom half is to send; atomic */
    VMChangeStateEntry *vmstate_change;

    uint64_t vram;
    uint32_t queues;
    uint32_t threads;
    struct q35_timing timing;
    bool pace;
    uint32_t defects; /* until the card starts, and then its own */
};

/* ---- dma.c: Q35Host's map(), unmap() and attend() ---- */

void q35_accel_dma_init(Q35AccelState *s);
void q35_accel_dma_destroy(Q35AccelState *s);
void *q35_accel_map(void *opaque, uint64_t address, uint64_t *len, bool write);
void q35_accel_unmap(void *opaque, void *p, uint64_t len, bool write);
void q35_accel_attend(void *opaque);

/* ---- faults.c: what of x-fault is the function's and not the card's ---- */

/* Makes s->bar of s->memory. */
void q35_accel_make_bar(Q35AccelState *s);
void q35_accel_take_bar_apart(Q35AccelState *s);
uint32_t q35_accel_config_read(PCIDevice *pdev, uint32_t addr, int len);
void q35_accel_config_write(PCIDevice *pdev, uint32_t addr, uint32_t value, int len);
/* The property x-fault, which may be set at any time. */
char *q35_accel_get_fault(Object *obj, Error **errp);
void q35_accel_set_fault(Object *obj, const char *value, Error **errp);

/* ---- migration.c ---- */

extern const VMStateDescription vmstate_q35_accel;

#endif /* Q35_ACCEL_H */
