/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Migration. The machine is stopped and with it the card's workers, each between two
 * parts of a descriptor: what has been done is done, the next part is begun on the other
 * side. Nothing is done twice.
 */
#include "qemu/osdep.h"
#include "hw/pci/msix.h"

#include "q35-accel.h"

/* clang-format off */
static const VMStateDescription vmstate_q35_fault = {
    .name = "q35-accel/fault",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(code, Q35Fault),
        VMSTATE_UINT32(info, Q35Fault),
        VMSTATE_UINT64(addr, Q35Fault),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_q35_counters = {
    .name = "q35-accel/counters",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64_ARRAY(value, Q35Counters, Q35_COUNTERS),
        VMSTATE_UINT32_ARRAY(latch, Q35Counters, Q35_COUNTERS),
        VMSTATE_END_OF_LIST()
    }
};

/* Of a product's round only its number: the scratch memory is prepared again. */
static const VMStateDescription vmstate_q35_job = {
    .name = "q35-accel/job",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_BUFFER_UNSAFE(desc, Q35Job, 1, sizeof(struct q35_hw_desc)),
        VMSTATE_UINT32(round, Q35Job),
        VMSTATE_UINT64(part, Q35Job),
        VMSTATE_BOOL(active, Q35Job),
        VMSTATE_BOOL(hung, Q35Job),
        VMSTATE_UINT64(due_ns, Q35Job),
        VMSTATE_STRUCT(fault, Q35Job, 1, vmstate_q35_fault, Q35Fault),
        VMSTATE_UINT64(fault_part, Q35Job),
        VMSTATE_UINT64(memory_bytes, Q35Job),
        VMSTATE_UINT64(link_bytes, Q35Job),
        VMSTATE_UINT64(started_ns, Q35Job),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_q35_queue = {
    .name = "q35-accel/queue",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32_ARRAY(regs, Q35Queue, Q35_QUEUE_REGS),
        VMSTATE_UINT32(state, Q35Queue),
        VMSTATE_UINT32(vm, Q35Queue),
        VMSTATE_UINT32(priority, Q35Queue),
        VMSTATE_UINT32(ring_order, Q35Queue),
        VMSTATE_UINT64(ring, Q35Queue),
        VMSTATE_UINT64(writeback, Q35Queue),
        VMSTATE_UINT32(head, Q35Queue),
        VMSTATE_UINT32(tail, Q35Queue),
        VMSTATE_STRUCT(fault, Q35Queue, 1, vmstate_q35_fault, Q35Fault),
        VMSTATE_UINT32(fault_index, Q35Queue),
        VMSTATE_STRUCT(job, Q35Queue, 1, vmstate_q35_job, Q35Job),
        VMSTATE_UINT64(seqno, Q35Queue),
        VMSTATE_UINT64(busy_ns, Q35Queue),
        VMSTATE_STRUCT(counters, Q35Queue, 1, vmstate_q35_counters, Q35Counters),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_q35_vm = {
    .name = "q35-accel/vm",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(root, Q35Vm),
        VMSTATE_END_OF_LIST()
    }
};

static const VMStateDescription vmstate_q35_asic = {
    .name = "q35-accel/asic",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32_EQUAL(config.queues, Q35Asic, "queues= differs"),
        VMSTATE_UINT32_EQUAL(config.timing.lanes, Q35Asic, "lanes= differs"),
        VMSTATE_UINT32_EQUAL(config.timing.rows, Q35Asic, "rows= differs"),
        VMSTATE_UINT32_EQUAL(config.timing.decode, Q35Asic, "decode= differs"),
        VMSTATE_UINT32_EQUAL(config.timing.clock_mhz, Q35Asic, "clock-mhz= differs"),
        VMSTATE_UINT32_EQUAL(config.timing.memory_gbps, Q35Asic, "hbm-gbps= differs"),
        VMSTATE_UINT32_EQUAL(config.timing.link_gbps, Q35Asic, "link-gbps= differs"),
        VMSTATE_UINT32_EQUAL(config.timing.launch_ns, Q35Asic, "launch-ns= differs"),
        VMSTATE_UINT32(regs[Q35_REG_CONTROL / 4], Q35Asic),
        VMSTATE_UINT32(regs[Q35_REG_COALESCE / 4], Q35Asic),
        VMSTATE_UINT64(time_base_ns, Q35Asic),
        VMSTATE_UINT32(time_latch, Q35Asic),
        VMSTATE_UINT64(faulted, Q35Asic),
        VMSTATE_STRUCT(counters, Q35Asic, 1, vmstate_q35_counters, Q35Counters),
        VMSTATE_UINT32(notifications, Q35Asic),
        VMSTATE_UINT64(paced_ns, Q35Asic),
        VMSTATE_STRUCT_ARRAY(vm, Q35Asic, Q35_VMS, 1, vmstate_q35_vm, Q35Vm),
        VMSTATE_STRUCT_ARRAY(queue, Q35Asic, Q35_QUEUES_MAX, 1, vmstate_q35_queue,
                             Q35Queue),
        VMSTATE_END_OF_LIST()
    }
};

static int q35_accel_post_load(void *opaque, int version_id)
{
    Q35AccelState *s = opaque;

    return q35_asic_restored(&s->asic) ? 0 : -EINVAL;
}

const VMStateDescription vmstate_q35_accel = {
    .name = TYPE_Q35_ACCEL,
    .version_id = 1,
    .minimum_version_id = 1,
    .post_load = q35_accel_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, Q35AccelState),
        VMSTATE_STRUCT(parent_obj.exp.aer_log, Q35AccelState, 0, vmstate_pcie_aer_log,
                       PCIEAERLog),
        VMSTATE_MSIX(parent_obj, Q35AccelState),
        VMSTATE_UINT32(raised, Q35AccelState),
        VMSTATE_STRUCT(asic, Q35AccelState, 1, vmstate_q35_asic, Q35Asic),
        VMSTATE_END_OF_LIST()
    }
};
/* clang-format on */
