/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The function's access to system memory.
 *
 * The card's workers never take the big QEMU lock (BQL), so whoever holds it may wait for
 * them. To that end DMA reaches memory only, never MMIO: the function's address space has
 * no bounce buffers, and mapping what is not memory fails, which the card reports as a
 * fault. Behind an IOMMU that is not enough, for its translations and its faults do take
 * the BQL. There a worker asks whoever holds it to map: the main loop, or the one who
 * waits for that worker.
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "exec/address-spaces.h"

#include "q35-accel.h"
#include "trace.h"

struct Q35Mapping {
    uint64_t address, len;
    bool write, done;
    void *p;
    QSIMPLEQ_ENTRY(Q35Mapping) next;
};

static void *q35_accel_map_now(Q35AccelState *s, uint64_t address, uint64_t *len,
                               bool write)
{
    dma_addr_t mapped = *len;
    void *p = pci_dma_map(PCI_DEVICE(s), address, &mapped,
                          write ? DMA_DIRECTION_FROM_DEVICE : DMA_DIRECTION_TO_DEVICE);

    trace_q35_accel_map(address, *len, p ? mapped : 0, write);
    *len = mapped;
    return p;
}

void *q35_accel_map(void *opaque, uint64_t address, uint64_t *len, bool write)
{
    Q35AccelState *s = opaque;
    Q35Mapping mapping = { .address = address, .len = *len, .write = write };

    if (!s->translated) {
        return q35_accel_map_now(s, address, len, write);
    }
    pthread_mutex_lock(&s->mapping_lock);
    QSIMPLEQ_INSERT_TAIL(&s->mappings, &mapping, next);
    pthread_mutex_unlock(&s->mapping_lock);
    qemu_bh_schedule(s->attend);
    q35_asic_call_on(&s->asic);
    pthread_mutex_lock(&s->mapping_lock);
    while (!mapping.done) {
        pthread_cond_wait(&s->mapped, &s->mapping_lock);
    }
    pthread_mutex_unlock(&s->mapping_lock);
    *len = mapping.len;
    return mapping.p;
}

/* With the BQL. */
void q35_accel_attend(void *opaque)
{
    Q35AccelState *s = opaque;
    Q35Mapping *mapping;

    pthread_mutex_lock(&s->mapping_lock);
    while ((mapping = QSIMPLEQ_FIRST(&s->mappings))) {
        QSIMPLEQ_REMOVE_HEAD(&s->mappings, next);
        pthread_mutex_unlock(&s->mapping_lock);
        mapping->p = q35_accel_map_now(s, mapping->address, &mapping->len, mapping->write);
        pthread_mutex_lock(&s->mapping_lock);
        mapping->done = true;
        pthread_cond_broadcast(&s->mapped);
    }
    pthread_mutex_unlock(&s->mapping_lock);
}

void q35_accel_unmap(void *opaque, void *p, uint64_t len, bool write)
{
    pci_dma_unmap(opaque, p, len,
                  write ? DMA_DIRECTION_FROM_DEVICE : DMA_DIRECTION_TO_DEVICE, len);
}

void q35_accel_dma_start(Q35AccelState *s)
{
    s->translated = pci_device_iommu_address_space(PCI_DEVICE(s)) != &address_space_memory;
}

void q35_accel_dma_init(Q35AccelState *s)
{
    PCI_DEVICE(s)->bus_master_as.max_bounce_buffer_size = 0;
    pthread_mutex_init(&s->mapping_lock, NULL);
    pthread_cond_init(&s->mapped, NULL);
    QSIMPLEQ_INIT(&s->mappings);
    s->attend = qemu_bh_new(q35_accel_attend, s);
    q35_accel_dma_start(s);
}

void q35_accel_dma_destroy(Q35AccelState *s)
{
    qemu_bh_delete(s->attend);
    pthread_cond_destroy(&s->mapped);
    pthread_mutex_destroy(&s->mapping_lock);
}
