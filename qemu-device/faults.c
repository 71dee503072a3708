/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x-fault, as far as it concerns the function: a card that has left the bus, or is pulled
 * out of it.
 */
#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "hw/hotplug.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_aer.h"
#include "hw/pci/pcie_port.h"
#include "qapi/error.h"
#include "system/cpus.h"

#include "q35-accel.h"
#include "trace.h"

static uint64_t q35_accel_gone_read(void *opaque, hwaddr addr, unsigned size)
{
    return UINT64_MAX;
}

static void q35_accel_gone_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
}

static const MemoryRegionOps q35_accel_gone_ops = {
    .read = q35_accel_gone_read,
    .write = q35_accel_gone_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
    .impl = { .min_access_size = 1, .max_access_size = 8, .unaligned = true },
};

void q35_accel_make_bar(Q35AccelState *s)
{
    memory_region_init(&s->bar, OBJECT(s), "q35-accel.bar2", s->vram);
    memory_region_init_io(&s->gone, OBJECT(s), &q35_accel_gone_ops, s, "q35-accel.gone",
                          s->vram);
    memory_region_add_subregion(&s->bar, 0, &s->memory);
    memory_region_add_subregion_overlap(&s->bar, 0, &s->gone, 1);
    memory_region_set_enabled(&s->gone, s->defects & Q35_DEFECTS_GONE);
}

/* The regions would keep the device alive otherwise, for it is theirs. */
void q35_accel_take_bar_apart(Q35AccelState *s)
{
    memory_region_del_subregion(&s->bar, &s->gone);
    memory_region_del_subregion(&s->bar, &s->memory);
}

static bool q35_accel_link_down(PCIDevice *pdev)
{
    return q35_asic_defects(&Q35_ACCEL(pdev)->asic) & Q35_DEFECT_LINK_DOWN;
}

uint32_t q35_accel_config_read(PCIDevice *pdev, uint32_t addr, int len)
{
    return q35_accel_link_down(pdev) ? UINT32_MAX : pci_default_read_config(pdev, addr, len);
}

void q35_accel_config_write(PCIDevice *pdev, uint32_t addr, uint32_t value, int len)
{
    if (!q35_accel_link_down(pdev)) {
        pci_default_write_config(pdev, addr, value, len);
        pcie_cap_flr_write_config(pdev, addr, value, len);
        pcie_aer_write_config(pdev, addr, value, len);
    }
}

static void q35_accel_set_defects(Q35AccelState *s, uint32_t defects)
{
    trace_q35_accel_defects(defects);
    q35_asic_set_defects(&s->asic, defects);
    memory_region_set_enabled(&s->gone, defects & Q35_DEFECTS_GONE);
}

/* The port that the card is in, if that manages its slot itself; ACPI may do it instead. */
static PCIDevice *q35_accel_slot(Q35AccelState *s)
{
    HotplugHandler *handler = qdev_get_hotplug_handler(DEVICE(s));

    return (PCIDevice *)object_dynamic_cast(OBJECT(handler), TYPE_PCIE_SLOT);
}

/*
 * Of a slot with an attention button, as QEMU's are, guests want to hear that the link has
 * gone down, not that the card has gone. QEMU's ports report no link: so the interrupt
 * comes for the card.
 */
static void q35_accel_tell_link_down(PCIDevice *port, uint16_t control)
{
    unsigned vector = pcie_cap_flags_get_vector(port);

    if (!(control & PCI_EXP_SLTCTL_HPIE) || (control & PCI_EXP_SLTCTL_PDCE)) {
        return; /* no interrupt is wanted, or there has been one */
    }
    if (msix_enabled(port)) {
        msix_notify(port, vector);
    } else if (msi_enabled(port)) {
        msi_notify(port, vector);
    }
}

/*
 * Pulls the card out: as if its slot had no power, so that the guest is not asked but told
 * afterwards. Processors stand still meanwhile: TCG's could use a map of the memory that is
 * just being freed.
 */
static void q35_accel_remove(void *opaque)
{
    DeviceState *dev = opaque;
    const uint16_t mask = PCI_EXP_SLTCTL_PIC | PCI_EXP_SLTCTL_PCC;
    Error *err = NULL;
    PCIDevice *port;

    pause_all_vcpus();
    port = q35_accel_slot(Q35_ACCEL(dev));
    if (dev->realized && port) {
        uint8_t *control = port->config + port->exp.exp_cap + PCI_EXP_SLTCTL;
        uint16_t before = pci_get_word(control);

        pci_set_word(control, (before & ~mask) | PCI_EXP_SLTCTL_PWR_IND_OFF |
                                  PCI_EXP_SLTCTL_PWR_OFF);
        pcie_cap_slot_unplug_request_cb(HOTPLUG_HANDLER(port), dev, &err);
        pci_set_word(control, before);
        q35_accel_tell_link_down(port, before);
        if (err) {
            error_report_err(err);
        }
    }
    resume_all_vcpus();
    object_unref(OBJECT(dev));
}

char *q35_accel_get_fault(Object *obj, Error **errp)
{
    Q35AccelState *s = Q35_ACCEL(obj);
    char text[Q35_DEFECTS_TEXT];

    q35_defects_print(DEVICE(obj)->realized ? q35_asic_defects(&s->asic) : s->defects,
                      text);
    return g_strdup(text);
}

void q35_accel_set_fault(Object *obj, const char *value, Error **errp)
{
    Q35AccelState *s = Q35_ACCEL(obj);
    char known[Q35_DEFECTS_TEXT];
    uint32_t defects;

    if (!q35_defects_parse(value, &defects)) {
        q35_defects_print(UINT32_MAX, known);
        error_setg(errp, "q35-accel: x-fault=%s: must be one or more of %s", value, known);
    } else if ((defects & Q35_DEFECT_REMOVED) &&
               !(DEVICE(obj)->realized && q35_accel_slot(s))) {
        error_setg(errp, "q35-accel: x-fault=%s: only of a running card in a slot with native hot-plug",
                   value);
    } else if (DEVICE(obj)->realized) {
        q35_accel_set_defects(s, defects);
        if (defects & Q35_DEFECT_REMOVED) {
            aio_bh_schedule_oneshot(qemu_get_aio_context(), q35_accel_remove,
                                    object_ref(obj));
        }
    } else {
        s->defects = defects;
    }
}
