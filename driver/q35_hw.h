/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The Q35 accelerator card as software sees it: PCI identity, registers, queues, descriptors and
 * page tables. This is the only place where any of them is written down; the driver, the card
 * model, the tests and the tools all include it. qemu-device/README.md is the prose beside it.
 *
 * Everything is little-endian. Registers are 32 bits wide and take aligned 4-byte accesses only;
 * a 64-bit quantity is a _LO/_HI pair. Reading an undefined offset gives 0, writing one does
 * nothing. A card that has left the bus reads as all ones.
 */
#ifndef Q35_HW_H
#define Q35_HW_H

#include <linux/types.h>

/* ---- PCI ----------------------------------------------------------------------------------- */

#define Q35_PCI_VENDOR_ID	0x1234
#define Q35_PCI_DEVICE_ID	0x3535
#define Q35_PCI_CLASS		0x120000 /* processing accelerator */

#define Q35_BAR_REGS		0 /* 64-bit: registers and doorbells */
#define Q35_BAR_MEMORY		2 /* 64-bit, prefetchable: device memory, from offset 0 */
#define Q35_BAR_MSIX		4 /* MSI-X table and PBA, nothing else */

#define Q35_VECTOR_COMPLETION	0 /* descriptors with Q35_DESC_NOTIFY have completed */
#define Q35_VECTOR_FAULT	1 /* a bit in FAULTED was set */
#define Q35_VECTORS		2

/* ---- Card registers, BAR0 ------------------------------------------------------------------ */

/* Identification and capabilities: read-only, constant while the card is powered. */
#define Q35_REG_MAGIC		0x000
#define   Q35_MAGIC		0x41353351 /* "Q35A" */
#define Q35_REG_VERSION		0x004 /* major << 16 | minor; a new major breaks old drivers */
#define   Q35_VERSION_MAJOR	1
#define   Q35_VERSION_MINOR	0
#define Q35_REG_FEATURES	0x008
#define   Q35_FEATURE_GEMM	(1u << 0)
#define   Q35_FEATURE_COPY	(1u << 1)
#define   Q35_FEATURE_FILL	(1u << 2)
#define   Q35_FEATURE_FENCE	(1u << 3)
#define   Q35_FEATURE_TIMESTAMP	(1u << 4)
#define   Q35_FEATURE_PRIORITY	(1u << 5)
#define   Q35_FEATURE_COALESCE	(1u << 6)
#define Q35_REG_QUEUES		0x00c /* number of queues */
#define Q35_REG_VMS		0x010 /* number of address spaces */
#define Q35_REG_RING_ORDER_MAX	0x014 /* log2 of the largest ring, in descriptors */
#define Q35_REG_DMA_BITS	0x018 /* width of a system DMA address */
#define Q35_REG_VA_BITS		0x01c /* width of a device virtual address */
#define Q35_REG_MEMORY_LO	0x020 /* bytes of device memory behind BAR2 */
#define Q35_REG_MEMORY_HI	0x024
#define Q35_REG_QUEUE_OFFSET	0x028 /* queue q's registers: BAR0 + OFFSET + q * STRIDE */
#define Q35_REG_QUEUE_STRIDE	0x02c
#define Q35_REG_VM_OFFSET	0x030 /* address space v's registers: BAR0 + OFFSET + v * STRIDE */
#define Q35_REG_VM_STRIDE	0x034
#define Q35_REG_DOORBELL_OFFSET	0x038 /* queue q's doorbell: BAR0 + OFFSET + q * STRIDE */
#define Q35_REG_DOORBELL_STRIDE	0x03c /* a multiple of 4096: one page a queue */
#define Q35_REG_WINDOWS		0x040 /* bit n: codebooks with windows of n bits are supported */
#define Q35_REG_ACT_BLOCKS	0x044 /* bit n: activation blocks of 2^n inputs; bit 0: whole rows */
#define Q35_REG_DIM_ORDER_MAX	0x048 /* log2 of the largest M, N and K */
#define Q35_REG_LANES		0x04c /* time model: multiply-accumulates per cycle */
#define Q35_REG_CLOCK_MHZ	0x050 /* time model: array clock */
#define Q35_REG_MEMORY_GBPS	0x054 /* time model: device memory bandwidth, 10^9 bytes/s */
#define Q35_REG_LINK_GBPS	0x058 /* time model: PCIe bandwidth, 10^9 bytes/s */

/* Control. */
#define Q35_REG_CONTROL		0x080
#define   Q35_CONTROL_ENABLE	(1u << 0) /* RW: queues fetch only while set */
#define   Q35_CONTROL_RESET	(1u << 1) /* W1, self-clearing: all but device memory to reset state */
#define Q35_REG_STATUS		0x084 /* RO */
#define   Q35_STATUS_READY	(1u << 0) /* clear while a card reset is in progress */
#define Q35_REG_FAULTED_LO	0x088 /* W1C: bit q: queue q has stopped on a fault */
#define Q35_REG_FAULTED_HI	0x08c
#define Q35_REG_COALESCE	0x090 /* RW: completion vector fires on either bound */
#define   Q35_COALESCE_COUNT	0x0000ffff /* notifications; 0 and 1: every one */
#define   Q35_COALESCE_USEC	0xffff0000 /* microseconds since the first one pending; 0: no wait */
#define Q35_REG_TIME_LO		0x098 /* RO: nanoseconds since reset; reading LO latches HI */
#define Q35_REG_TIME_HI		0x09c

/* The whole card's counters, the sum over all queues since card reset; layout as Q35_QREG_COUNTERS. */
#define Q35_REG_COUNTERS	0x100

/* ---- Queue registers, relative to the queue's block ---------------------------------------- */

#define Q35_QREG_CONTROL	0x00
#define   Q35_QCONTROL_ENABLE	(1u << 0) /* RW: setting it latches the registers below, head = tail = 0 */
#define   Q35_QCONTROL_RESET	(1u << 1) /* W1: abandon all work, disable; done when STATE is DISABLED */
#define Q35_QREG_STATE		0x04 /* RO: enum q35_queue_state */
#define Q35_QREG_VM		0x08 /* RW: address space that the queue's jobs run in */
#define Q35_QREG_PRIORITY	0x0c /* RW: 0 lowest … 3 highest */
#define Q35_QREG_RING_LO	0x10 /* RW: DMA address of the ring, 4 KiB aligned */
#define Q35_QREG_RING_HI	0x14
#define Q35_QREG_RING_ORDER	0x18 /* RW: log2 of the ring's size in descriptors */
#define Q35_QREG_WRITEBACK_LO	0x1c /* RW: DMA address of struct q35_hw_writeback, 64-byte aligned */
#define Q35_QREG_WRITEBACK_HI	0x20
#define Q35_QREG_HEAD		0x24 /* RO: index of the oldest descriptor not yet completed */
#define Q35_QREG_FAULT_CODE	0x28 /* RO: enum q35_fault; holds until queue reset */
#define Q35_QREG_FAULT_INDEX	0x2c /* RO: index of the descriptor that faulted */
#define Q35_QREG_FAULT_ADDR_LO	0x30 /* RO: device virtual address (MMU faults) or DMA address (RING) */
#define Q35_QREG_FAULT_ADDR_HI	0x34
#define Q35_QREG_FAULT_INFO	0x38 /* RO: Q35_FAULT_WRITE; for DESCRIPTOR the offset of the bad field */
#define   Q35_FAULT_WRITE	(1u << 31)
#define   Q35_FAULT_FIELD	0x000000ff

/* Counters: 64-bit LO/HI pairs, free-running since queue reset; reading LO latches HI. */
#define Q35_QREG_COUNTERS	0x40
#define   Q35_COUNTER_CYCLES	0x00 /* array clock cycles that the time model charges */
#define   Q35_COUNTER_MACS	0x08 /* multiply-accumulates, padding excluded */
#define   Q35_COUNTER_MEMORY	0x10 /* bytes read from and written to device memory */
#define   Q35_COUNTER_LINK	0x18 /* bytes over PCIe, without ring and write-back */
#define   Q35_COUNTER_STALLS	0x20 /* of the cycles, those the array waited for bytes */
#define   Q35_COUNTER_JOBS	0x28 /* descriptors completed */
#define Q35_COUNTERS_SIZE	0x30

/* Doorbell page: a write of the new tail (free-running descriptor count, modulo 2^32) starts work. */
#define Q35_DOORBELL_TAIL	0x000

enum q35_queue_state {
	Q35_QUEUE_DISABLED = 0,
	Q35_QUEUE_IDLE = 1,
	Q35_QUEUE_RUNNING = 2,
	Q35_QUEUE_FAULTED = 3, /* stopped; only a queue reset leads out */
	Q35_QUEUE_RESETTING = 4,
};

enum q35_fault {
	Q35_FAULT_NONE = 0,
	Q35_FAULT_UNMAPPED = 1, /* no valid translation for the address */
	Q35_FAULT_PERMISSION = 2, /* write to a page without PTE_WRITABLE */
	Q35_FAULT_DESCRIPTOR = 3, /* a field outside its range, or a reserved field not zero */
	Q35_FAULT_OPCODE = 4, /* unknown op */
	Q35_FAULT_BUS = 5, /* the translation points at no memory: bad frame, DMA refused */
	Q35_FAULT_RING = 6, /* ring or write-back unreachable, or tail further than the ring is long */
};

/* What the card writes into host memory, once per completion or fault, before the interrupt. */
struct q35_hw_writeback {
	__le64 seqno; /* of the newest completed descriptor that had Q35_DESC_NOTIFY */
	__le32 head; /* as HEAD; written before seqno */
	__le32 fault_code; /* enum q35_fault, 0 while the queue is well */
	__le32 fault_index; /* as FAULT_INDEX */
	__le32 fault_info; /* as FAULT_INFO */
	__le64 fault_addr; /* as FAULT_ADDR */
	__le64 time_ns; /* TIME at the newest completion */
	__le64 busy_ns; /* host time spent executing this queue's descriptors since its reset */
	__le64 cycles; /* as Q35_COUNTER_CYCLES: the difference of two is what the jobs between took */
	__le64 reserved;
};

/* ---- Address space registers and page tables ----------------------------------------------- */

#define Q35_VREG_ROOT_LO	0x00 /* RW: a table entry for the root table; not VALID: all fault */
#define Q35_VREG_ROOT_HI	0x04
/*
 * W: any value drops every cached translation of this address space. R: 1 until no descriptor in
 * flight can touch memory through a translation from before the write, then 0.
 */
#define Q35_VREG_INVALIDATE	0x08

/*
 * Three levels of 512 64-bit entries: address bits 38–30, 29–21, 20–12. A table is one 4 KiB frame.
 * A level-1 entry (bits 29–21) with LEAF maps 2 MiB and its frame is 2 MiB aligned; a level-0 entry
 * (bits 20–12) always is a leaf and has LEAF set. Reserved bits must be zero: else UNMAPPED.
 */
#define Q35_PTE_VALID		(1ull << 0)
#define Q35_PTE_WRITABLE	(1ull << 1) /* leaves only */
#define Q35_PTE_LOCAL		(1ull << 2) /* frame is an offset in device memory, else a DMA address */
#define Q35_PTE_LEAF		(1ull << 3)
#define Q35_PTE_FRAME		0x000ffffffffff000ull

#define Q35_VA_BITS		39
#define Q35_TABLE_ENTRIES	512
#define Q35_LEVELS		3
#define Q35_LEVEL_SHIFT(level)	(12 + 9 * (level))

/* ---- Descriptors --------------------------------------------------------------------------- */

/*
 * One ring slot. The driver owns the header's flags NOTIFY and IRQ and the seqno; the rest comes
 * from user space as it is: isolation is the MMU's, and the card checks every field. All addresses
 * are device virtual addresses in the queue's address space; 0 means absent where a field says so.
 * Completion is in ring order. Reserved fields, unused bytes of the union and unknown flags must be
 * zero, else Q35_FAULT_DESCRIPTOR names the first offending offset.
 */
enum q35_op {
	Q35_OP_NOP = 0,
	Q35_OP_GEMM = 1,
	Q35_OP_COPY = 2,
	Q35_OP_FILL = 3,
	Q35_OP_FENCE = 4,
	Q35_OP_TIMESTAMP = 5,
};

#define Q35_DESC_BARRIER	(1u << 0) /* start when all earlier descriptors of the queue are complete */
#define Q35_DESC_NOTIFY		(1u << 1) /* on completion write seqno to the write-back block */
#define Q35_DESC_IRQ		(1u << 2) /* with NOTIFY: raise the completion vector */
#define Q35_DESC_FLAGS_USER	Q35_DESC_BARRIER

enum q35_hw_type {
	Q35_HW_F32 = 0,
	Q35_HW_F16 = 1,
	Q35_HW_BF16 = 2,
	Q35_HW_I8 = 3, /* activations only, with x_scale_va */
};

enum q35_hw_activation {
	Q35_HW_ACT_NONE = 0,
	Q35_HW_ACT_RELU = 1,
	Q35_HW_ACT_SILU = 2,
	Q35_HW_ACT_GELU = 3, /* tanh form */
};

enum q35_hw_combine {
	Q35_HW_COMBINE_NONE = 0,
	Q35_HW_COMBINE_ADD = 1,
	Q35_HW_COMBINE_MUL = 2,
};

/*
 * y[m][n] = combine(activation(sum_k x[m][k] * w[n][k] + bias[n]), aux[m][n])
 *
 * The weights are ceil(n/64) * ceil(k/8) * 224 bytes of tiles; meta is the scales and, by flags,
 * multipliers and zero-points; the codebook is 512 bytes, even table first. The layouts and the
 * exact arithmetic are in libq35/kernels/format.h. Strides are in bytes from row to row. y may be
 * aux, exactly (same address, stride and type); any other overlap of y with an input is undefined.
 */
struct q35_hw_gemm {
	__le64 x_va; /* [m][k] activations, aligned to their type */
	__le64 x_scale_va; /* [m][ceil(k / act_block)] f32; for I8 only, else 0 */
	__le64 tiles_va; /* 64-byte aligned */
	__le64 meta_va; /* 64-byte aligned */
	__le64 codebook_va; /* 64-byte aligned */
	__le64 bias_va; /* [n] f32, or 0 */
	__le64 aux_va; /* [m][n]; 0 if and only if combine is NONE */
	__le64 y_va; /* [m][n] */
	__le32 m, n, k; /* 1 … 2^DIM_ORDER_MAX */
	__le32 x_stride, aux_stride, y_stride; /* multiples of the element size; aux_stride 0 if no aux */
	__le16 act_block; /* inputs that share an activation scale: 32, 64, 128; 0: the row */
	__le16 group; /* inputs that share a weight scale: 128, 256; 0: the column */
	__u8 x_type, aux_type, y_type; /* enum q35_hw_type */
	__u8 activation; /* enum q35_hw_activation */
	__u8 combine; /* enum q35_hw_combine */
	__u8 window_bits; /* 8 */
	__u8 meta_flags; /* Q35_META_* */
	__u8 reserved[13];
};

#define Q35_META_ZERO		(1u << 0) /* zero-points follow */
#define Q35_META_MULTIPLIER	(1u << 1) /* group scale = column scale * 8-bit multiplier; needs group */

struct q35_hw_copy { /* ranges must not overlap */
	__le64 src_va, dst_va;
	__le64 size; /* bytes, not 0 */
	__u8 reserved[88];
};

struct q35_hw_fill {
	__le64 dst_va; /* 4-byte aligned */
	__le64 size; /* bytes, a multiple of 4, not 0 */
	__le32 value;
	__u8 reserved[92];
};

struct q35_hw_fence { /* writes value once all earlier descriptors of the queue are complete */
	__le64 va; /* 8-byte aligned */
	__le64 value;
	__u8 reserved[96];
};

struct q35_hw_timestamp { /* writes TIME in nanoseconds, likewise */
	__le64 va; /* 8-byte aligned */
	__u8 reserved[104];
};

struct q35_hw_desc {
	__le16 op; /* enum q35_op */
	__le16 flags; /* Q35_DESC_* */
	__le32 reserved;
	__le64 seqno; /* the driver's; user space leaves 0 */
	union {
		struct q35_hw_gemm gemm;
		struct q35_hw_copy copy;
		struct q35_hw_fill fill;
		struct q35_hw_fence fence;
		struct q35_hw_timestamp timestamp;
		__u8 body[112];
	};
};

#define Q35_DESC_SIZE		128

#endif /* Q35_HW_H */
