/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The function's access to system memory.
 *
 * The card's workers never take the big QEMU lock (BQL), so whoever holds it may wait for
 * them. To that end DMA reaches memory only, never MMIO: the function's address space has
 * no bounce buffers, and mapping what is not memory fails, which the card reports as a
 * fault. While an IOMMU translates, that is not enough, for its translations and its faults
 * do take the BQL. There a worker asks whoever holds it to map: the main loop, or the one
 * who waits for that worker.
 *
 * Whether one translates (it may be off, or pass the function through) is seen in the
 * address space, and changes under the workers. QEMU tells of new regions before they can
 * be found, and calls commit() when old ones no longer can.
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/processor.h"
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
    void *p;

    qatomic_inc(&s->mapping_directly); /* a full barrier */
    if (!qatomic_read(&s->translated)) {
        p = q35_accel_map_now(s, address, len, write);
        qatomic_dec(&s->mapping_directly);
        return p;
    }
    qatomic_dec(&s->mapping_directly);
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

static void q35_accel_region_add(MemoryListener *listener, MemoryRegionSection *section)
{
    Q35AccelState *s = container_of(listener, Q35AccelState, listener);

    if (!memory_region_get_iommu(section->mr) || s->iommu_regions++) {
        return;
    }
    qatomic_set(&s->translated, true);
    smp_mb();
    while (qatomic_read(&s->mapping_directly)) {
        cpu_relax();
    }
}

static void q35_accel_region_del(MemoryListener *listener, MemoryRegionSection *section)
{
    Q35AccelState *s = container_of(listener, Q35AccelState, listener);

    if (memory_region_get_iommu(section->mr)) {
        s->iommu_regions--;
    }
}

static void q35_accel_commit(MemoryListener *listener)
{
    Q35AccelState *s = container_of(listener, Q35AccelState, listener);

    qatomic_set(&s->translated, s->iommu_regions != 0);
}

void q35_accel_dma_init(Q35AccelState *s)
{
    PCI_DEVICE(s)->bus_master_as.max_bounce_buffer_size = 0;
    pthread_mutex_init(&s->mapping_lock, NULL);
    pthread_cond_init(&s->mapped, NULL);
    QSIMPLEQ_INIT(&s->mappings);
    s->attend = qemu_bh_new(q35_accel_attend, s);
    s->listener = (MemoryListener){
        .name = "q35-accel",
        .region_add = q35_accel_region_add,
        .region_del = q35_accel_region_del,
        .commit = q35_accel_commit,
    };
    memory_listener_register(&s->listener, &PCI_DEVICE(s)->bus_master_as);
}

void q35_accel_dma_destroy(Q35AccelState *s)
{
    memory_listener_unregister(&s->listener);
    qemu_bh_delete(s->attend);
    pthread_cond_destroy(&s->mapped);
    pthread_mutex_destroy(&s->mapping_lock);
}
