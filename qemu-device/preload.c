/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes the card's shared object safe to preload into an installed QEMU; a QEMU with the
 * card built in does without this file. QEMU promises no binary interface, so before any
 * structure of its is used, the layouts that this object was compiled with are compared
 * with those that QEMU publishes.
 */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "hw/pci/pci_device.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "qapi/qapi-commands-control.h"
#include "qapi/qapi-types-control.h"

static void q35_preload_refuse(const char *what)
{
    g_autoptr(VersionInfo) version = qmp_query_version(&error_abort);

    /* QEMU's own error reporting does not work so early. */
    fprintf(stderr,
            "q35-accel: built for QEMU %d.%d, this is %" PRId64 ".%" PRId64 ".%" PRId64
            " (%s differs): rebuild it with this QEMU installed: make clean all\n",
            QEMU_VERSION_MAJOR, QEMU_VERSION_MINOR, version->qemu->major,
            version->qemu->minor, version->qemu->micro, what);
    exit(1);
}

static void q35_preload_check_version(void)
{
    g_autoptr(VersionInfo) version = qmp_query_version(&error_abort);

    if (version->qemu->major != QEMU_VERSION_MAJOR ||
        version->qemu->minor != QEMU_VERSION_MINOR) {
        q35_preload_refuse("the version");
    }
}

/*
 * After all of QEMU's own types are known. Properties and VMState fields of PCIDevice
 * tell where some of its fields are: the first ones, the last one and some between, so
 * that the sizes of all that it embeds (DeviceState, AddressSpace, MemoryRegion …) are
 * right too.
 */
static void q35_preload_check_layout(void)
{
    const DeviceClass *dc = DEVICE_CLASS(object_class_by_name(TYPE_PCI_DEVICE));
    const VMStateField *field;
    unsigned i, found = 0;

    for (i = 0; i < dc->props_count_; i++) {
        const Property *prop = &dc->props_[i];

        if (!strcmp(prop->name, "addr")) {
            found += prop->offset == offsetof(PCIDevice, devfn);
        } else if (!strcmp(prop->name, "romfile")) {
            found += prop->offset == offsetof(PCIDevice, romfile);
        } else if (!strcmp(prop->name, "x-max-bounce-buffer-size")) {
            found += prop->offset == offsetof(PCIDevice, max_bounce_buffer_size);
        }
    }
    for (field = vmstate_pci_device.fields; field->name; field++) {
        if (!strcmp(field->name, "version_id")) {
            found += field->offset == offsetof(PCIDevice, version_id);
        }
    }
    if (found != 4) {
        q35_preload_refuse("the layout of PCIDevice");
    }
}

static void q35_preload_first(void)
{
    q35_preload_check_version();
    register_module_init(q35_preload_check_layout, MODULE_INIT_QOM);
}

/* Programs that QEMU starts have no use for the object, and could not load it. */
static void __attribute__((constructor)) q35_preload(void)
{
    unsetenv("LD_PRELOAD");
    register_module_init(q35_preload_first, MODULE_INIT_QOM);
}
