/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Q35 card as a PCI Express function. The card itself is asic/; this gives it BARs,
 * DMA, interrupts, properties, reset and migration.
 */
#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qemu/rcu.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "hw/pci/msix.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_aer.h"
#include "hw/qdev-properties.h"
#include "hw/resettable.h"
#include "qapi/error.h"

#include "q35-accel.h"
#include "trace.h"

#define THREADS_DEFAULT_MAX 16

/* ---- What the card asks of its host ---- */

static void q35_accel_memory_written(void *opaque, uint64_t offset, uint64_t len)
{
    Q35AccelState *s = opaque;

    memory_region_set_dirty(&s->memory, offset, len);
}

static void q35_accel_raise_vector(void *opaque, unsigned vector)
{
    Q35AccelState *s = opaque;

    qatomic_or(&s->raised, 1u << vector);
    qemu_bh_schedule(s->raise);
}

static uint64_t q35_accel_now_ns(void *opaque)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

static void q35_accel_thread_enter(void *opaque)
{
    rcu_register_thread();
}

static void q35_accel_thread_leave(void *opaque)
{
    rcu_unregister_thread();
}

/*
 * Vectors raised while the machine is stopped are state: they are sent when it goes on.
 */
static void q35_accel_raise_bh(void *opaque)
{
    Q35AccelState *s = opaque;
    uint32_t raised, vector;

    if (!runstate_is_running()) {
        return;
    }
    raised = qatomic_xchg(&s->raised, 0);
    for (vector = 0; vector < Q35_VECTORS; vector++) {
        if (raised & 1u << vector) {
            trace_q35_accel_notify(vector);
            msix_notify(PCI_DEVICE(s), vector);
        }
    }
}

static void q35_accel_vmstate_change(void *opaque, bool running, RunState state)
{
    Q35AccelState *s = opaque;

    trace_q35_accel_running(running);
    if (running) {
        q35_asic_resume(&s->asic);
        qemu_bh_schedule(s->raise);
    } else {
        q35_asic_pause(&s->asic);
    }
}

/* ---- BAR0 ---- */

static uint64_t q35_accel_read(void *opaque, hwaddr addr, unsigned size)
{
    Q35AccelState *s = opaque;
    uint32_t value = q35_asic_read(&s->asic, addr);

    trace_q35_accel_read(addr, value);
    return value;
}

static void q35_accel_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Q35AccelState *s = opaque;

    trace_q35_accel_write(addr, value);
    q35_asic_write(&s->asic, addr, value);
}

static const MemoryRegionOps q35_accel_ops = {
    .read = q35_accel_read,
    .write = q35_accel_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 4 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

/* ---- Life ---- */

static bool q35_accel_check_range(const char *name, uint64_t value, uint64_t max,
                                  Error **errp)
{
    if (value >= 1 && value <= max) {
        return true;
    }
    error_setg(errp, "q35-accel: %s=%" PRIu64 ": must be from 1 to %" PRIu64, name, value,
               max);
    return false;
}

static bool q35_accel_check_timing(const struct q35_timing *t, Error **errp)
{
    if (t->launch_ns > Q35_TIMING_MAX) {
        error_setg(errp, "q35-accel: launch-ns=%" PRIu32 ": must be at most %u",
                   t->launch_ns, Q35_TIMING_MAX);
        return false;
    }
    return q35_accel_check_range("lanes", t->lanes, Q35_TIMING_MAX, errp) &&
           q35_accel_check_range("rows", t->rows, Q35_TIMING_MAX, errp) &&
           q35_accel_check_range("decode", t->decode, Q35_TIMING_MAX, errp) &&
           q35_accel_check_range("clock-mhz", t->clock_mhz, Q35_TIMING_MAX, errp) &&
           q35_accel_check_range("hbm-gbps", t->memory_gbps, Q35_TIMING_MAX, errp) &&
           q35_accel_check_range("link-gbps", t->link_gbps, Q35_TIMING_MAX, errp);
}

static bool q35_accel_check(Q35AccelState *s, Error **errp)
{
    if (s->vram < 1 * MiB || !is_power_of_2(s->vram)) {
        error_setg(errp, "q35-accel: vram=%" PRIu64 ": must be a power of two from 1M up",
                   s->vram);
        return false;
    }
    if (!s->threads) {
        s->threads = MIN(g_get_num_processors(), THREADS_DEFAULT_MAX);
    }
    return q35_accel_check_range("queues", s->queues, Q35_QUEUES_MAX, errp) &&
           q35_accel_check_range("threads", s->threads, Q35_THREADS_MAX, errp) &&
           q35_accel_check_timing(&s->timing, errp);
}

static bool q35_accel_start(Q35AccelState *s, Error **errp)
{
    const Q35Config config = {
        .memory = memory_region_get_ram_ptr(&s->memory),
        .memory_size = s->vram,
        .queues = s->queues,
        .threads = s->threads,
        .timing = s->timing,
        .pace = s->pace,
        .defects = s->defects,
    };
    const Q35Host host = {
        .opaque = s,
        .map = q35_accel_map,
        .unmap = q35_accel_unmap,
        .memory_written = q35_accel_memory_written,
        .raise_vector = q35_accel_raise_vector,
        .now_ns = q35_accel_now_ns,
        .thread_enter = q35_accel_thread_enter,
        .thread_leave = q35_accel_thread_leave,
        .attend = q35_accel_attend,
    };
    int err = q35_asic_init(&s->asic, &config, &host);

    if (err == -EINVAL) {
        error_setg(errp, "q35-accel: Q35_ISA=%s names no kernels that this processor has",
                   getenv("Q35_ISA"));
        return false;
    }
    if (err) {
        error_setg_errno(errp, -err, "q35-accel: cannot start the card");
        return false;
    }
    if (!runstate_is_running()) {
        q35_asic_pause(&s->asic);
    }
    return true;
}

static bool q35_accel_add_capabilities(PCIDevice *pdev, Error **errp)
{
    if (pcie_endpoint_cap_init(pdev, 0) < 0) {
        error_setg(errp, "q35-accel: no room for the PCI Express capability");
        return false;
    }
    pcie_cap_flr_init(pdev);
    pcie_cap_deverr_init(pdev);
    if (pci_pm_init(pdev, 0, errp) < 0 ||
        pcie_aer_init(pdev, PCI_ERR_VER, PCI_CONFIG_SPACE_SIZE, PCI_ERR_SIZEOF, errp) < 0) {
        pcie_cap_exit(pdev);
        return false;
    }
    pci_set_word(pdev->config + pdev->pm_cap + PCI_PM_PMC, 3); /* the specification's version */
    /* In D3hot all state is kept; the BARs do not answer. */
    pci_set_word(pdev->config + pdev->pm_cap + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
    pci_set_word(pdev->wmask + pdev->pm_cap + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
    return true;
}

static void q35_accel_remove_capabilities(PCIDevice *pdev)
{
    pcie_aer_exit(pdev);
    pcie_cap_exit(pdev);
}

static void q35_accel_realize(PCIDevice *pdev, Error **errp)
{
    Q35AccelState *s = Q35_ACCEL(pdev);
    DeviceState *dev = DEVICE(pdev);

    if (!q35_accel_check(s, errp) ||
        !memory_region_init_ram(&s->memory, OBJECT(s), "q35-accel.memory", s->vram,
                                errp)) {
        return;
    }
    memory_region_init_io(&s->regs, OBJECT(s), &q35_accel_ops, s, "q35-accel.regs",
                          Q35_REGS_SIZE);
    q35_accel_make_bar(s);
    pci_register_bar(pdev, Q35_BAR_REGS,
                     PCI_BASE_ADDRESS_SPACE_MEMORY | PCI_BASE_ADDRESS_MEM_TYPE_64,
                     &s->regs);
    pci_register_bar(pdev, Q35_BAR_MEMORY,
                     PCI_BASE_ADDRESS_SPACE_MEMORY | PCI_BASE_ADDRESS_MEM_TYPE_64 |
                         PCI_BASE_ADDRESS_MEM_PREFETCH,
                     &s->bar);
    if (msix_init_exclusive_bar(pdev, Q35_VECTORS, Q35_BAR_MSIX, errp)) {
        goto no_msix;
    }
    for (unsigned vector = 0; vector < Q35_VECTORS; vector++) {
        msix_vector_use(pdev, vector);
    }
    if (!q35_accel_add_capabilities(pdev, errp)) {
        goto no_capabilities;
    }
    q35_accel_dma_init(s);
    s->raise = qemu_bh_new_guarded(q35_accel_raise_bh, s, &dev->mem_reentrancy_guard);
    if (!q35_accel_start(s, errp)) {
        goto no_card;
    }
    s->vmstate_change =
        qdev_add_vm_change_state_handler(dev, q35_accel_vmstate_change, s);
    return;

no_card:
    qemu_bh_delete(s->raise);
    q35_accel_dma_destroy(s);
    q35_accel_remove_capabilities(pdev);
no_capabilities:
    msix_uninit_exclusive_bar(pdev);
no_msix:
    q35_accel_take_bar_apart(s);
}

static void q35_accel_exit(PCIDevice *pdev)
{
    Q35AccelState *s = Q35_ACCEL(pdev);

    qemu_del_vm_change_state_handler(s->vmstate_change);
    q35_asic_destroy(&s->asic);
    qemu_bh_delete(s->raise);
    q35_accel_dma_destroy(s);
    q35_accel_remove_capabilities(pdev);
    msix_uninit_exclusive_bar(pdev);
    q35_accel_take_bar_apart(s);
}

static void q35_accel_reset_hold(Object *obj, ResetType type)
{
    Q35AccelState *s = Q35_ACCEL(obj);

    trace_q35_accel_reset();
    q35_asic_reset(&s->asic);
    qatomic_set(&s->raised, 0);
}

/* ---- Type ---- */

static const Property q35_accel_properties[] = {
    DEFINE_PROP_SIZE("vram", Q35AccelState, vram, 1 * GiB),
    DEFINE_PROP_UINT32("queues", Q35AccelState, queues, 16),
    DEFINE_PROP_UINT32("threads", Q35AccelState, threads, 0),
    DEFINE_PROP_UINT32("lanes", Q35AccelState, timing.lanes, Q35_TIMING_LANES),
    DEFINE_PROP_UINT32("rows", Q35AccelState, timing.rows, Q35_TIMING_ROWS),
    DEFINE_PROP_UINT32("decode", Q35AccelState, timing.decode, Q35_TIMING_DECODE),
    DEFINE_PROP_UINT32("clock-mhz", Q35AccelState, timing.clock_mhz, Q35_TIMING_CLOCK_MHZ),
    DEFINE_PROP_UINT32("hbm-gbps", Q35AccelState, timing.memory_gbps,
                       Q35_TIMING_MEMORY_GBPS),
    DEFINE_PROP_UINT32("link-gbps", Q35AccelState, timing.link_gbps,
                       Q35_TIMING_LINK_GBPS),
    DEFINE_PROP_UINT32("launch-ns", Q35AccelState, timing.launch_ns,
                       Q35_TIMING_LAUNCH_NS),
    DEFINE_PROP_BOOL("pace", Q35AccelState, pace, false),
};

static void q35_accel_describe(ObjectClass *klass, const char *property, const char *text)
{
    object_class_property_set_description(klass, property, text);
}

static void q35_accel_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);
    ResettableClass *rc = RESETTABLE_CLASS(klass);

    k->realize = q35_accel_realize;
    k->exit = q35_accel_exit;
    k->config_read = q35_accel_config_read;
    k->config_write = q35_accel_config_write;
    k->vendor_id = Q35_PCI_VENDOR_ID;
    k->device_id = Q35_PCI_DEVICE_ID;
    k->class_id = Q35_PCI_CLASS >> 8;
    k->revision = Q35_VERSION_MAJOR;
    rc->phases.hold = q35_accel_reset_hold;
    dc->desc = "Q35 accelerator: 3.5-bit weights, matrix products";
    dc->vmsd = &vmstate_q35_accel;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    device_class_set_props(dc, q35_accel_properties);
    object_class_property_add_str(klass, "x-fault", q35_accel_get_fault,
                                  q35_accel_set_fault);
    q35_accel_describe(klass, "vram", "device memory, a power of two from 1M up");
    q35_accel_describe(klass, "queues", "command queues, 1 to 64");
    q35_accel_describe(klass, "threads",
                       "host threads that compute, 1 to 64; 0: one a processor");
    q35_accel_describe(klass, "lanes", "time model: multiply-accumulates per cycle");
    q35_accel_describe(klass, "rows",
                       "time model: activations that meet a weight at a time");
    q35_accel_describe(klass, "decode", "time model: weights decoded per cycle");
    q35_accel_describe(klass, "launch-ns", "time model: from one job to the next, ns");
    q35_accel_describe(klass, "clock-mhz", "time model: clock of the array, MHz");
    q35_accel_describe(klass, "hbm-gbps",
                       "time model: device memory bandwidth, 10^9 bytes/s");
    q35_accel_describe(klass, "link-gbps", "time model: PCIe bandwidth, 10^9 bytes/s");
    q35_accel_describe(klass, "pace",
                       "jobs complete no sooner than the time model says");
    q35_accel_describe(klass, "x-fault",
                       "what the card does wrong; names joined by +, see its README");
}

/* clang-format off */
static const TypeInfo q35_accel_types[] = {
    {
        .name = TYPE_Q35_ACCEL,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(Q35AccelState),
        .class_init = q35_accel_class_init,
        .interfaces = (InterfaceInfo[]) {
            { INTERFACE_PCIE_DEVICE },
            { }
        },
    },
};
/* clang-format on */

DEFINE_TYPES(q35_accel_types)
