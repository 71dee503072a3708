/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * User-space interface of the Q35 accelerator driver, on /dev/accel/accelN.
 *
 * Rules
 * -----
 * - The interface only grows. DRM copies the smaller of the two sizes of an ioctl's argument and
 *   zeroes the rest, so a field appended here is 0 for an old caller and 0 must mean what it did.
 * - Fields called pad, reserved bits of flags and unused enum values must be zero; otherwise EINVAL.
 * - Arrays are struct drm_q35_array: count, stride, pointer. The stride may exceed the element
 *   that the driver knows, up to 4096; bytes past it must be zero (E2BIG otherwise). Each array has a
 *   cap (EINVAL).
 * - Sizes and offsets are bytes; times are nanoseconds; deadlines are absolute CLOCK_MONOTONIC.
 * - There is no wait ioctl: jobs signal DRM syncobjs, binary or timeline, which libdrm waits for.
 *
 * Errors, for every ioctl
 * -----------------------
 *   EINVAL     a malformed argument     ENOENT     no such handle or id
 *   EFAULT     a bad pointer            EPERM      not allowed for this client
 *   ENOSPC     device memory or an id space is used up
 *   ENOMEM     host memory is used up   E2BIG      unknown bytes that are not zero
 *   ENODEV     the card is gone         EIO        the queue has failed; see QUEUE_STATE
 *
 * A job that was submitted and could not run signals its syncobjs all the same; the fence carries
 * EIO (it faulted or hung), ECANCELED (it came after one that did, or its queue was destroyed or
 * lost) or ENODEV.
 *
 * Other clients' failures
 * -----------------------
 * A queue that fails is reset alone, and no other one notices. Should that not succeed, the whole
 * card is reset; queues that have not failed go on all the same: the jobs that were not complete
 * run again, from the first of them on, with a timeout that starts anew. So a job may run more than
 * once, but never after a later one that has a barrier before it. Only one that may have begun and
 * combines with its own output in place (Q35_OP_GEMM with aux_va = y_va) cannot: its queue is lost,
 * DRM_Q35_QUEUE_LOST. Each reset of the card starts Q35_REG_TIME, which Q35_OP_TIMESTAMP
 * writes, and the whole card's counters from 0; so does sleep of the system, but not that of the
 * idle card.
 */
#ifndef _UAPI_Q35_ACCEL_H_
#define _UAPI_Q35_ACCEL_H_

#include "drm.h"

#if defined(__cplusplus)
extern "C" {
#endif

enum drm_q35_ioctl_id {
	DRM_Q35_DEV_QUERY = 0,
	DRM_Q35_BO_CREATE = 1,
	DRM_Q35_BO_MMAP_OFFSET = 2,
	DRM_Q35_BO_INFO = 3,
	DRM_Q35_VM_CREATE = 4,
	DRM_Q35_VM_DESTROY = 5,
	DRM_Q35_VM_BIND = 6,
	DRM_Q35_QUEUE_CREATE = 7,
	DRM_Q35_QUEUE_DESTROY = 8,
	DRM_Q35_QUEUE_STATE = 9,
	DRM_Q35_SUBMIT = 10,
	DRM_Q35_PERF_QUERY = 11,
};

/**
 * struct drm_q35_array - an array that user space hands in
 */
struct drm_q35_array {
	/**
	 * @stride: bytes from element to element, at least the element's first published size, at
	 * most 4096
	 */
	__u32 stride;

	/** @count: number of elements */
	__u32 count;

	/** @array: user pointer */
	__u64 array;
};

/**
 * enum drm_q35_query - what DEV_QUERY answers
 */
enum drm_q35_query {
	/** @DRM_Q35_QUERY_DEVICE: struct drm_q35_device, constant */
	DRM_Q35_QUERY_DEVICE = 0,

	/** @DRM_Q35_QUERY_MEMORY: struct drm_q35_memory, at the moment of the call */
	DRM_Q35_QUERY_MEMORY = 1,
};

/**
 * struct drm_q35_dev_query - DRM_IOCTL_Q35_DEV_QUERY
 *
 * With pointer 0, only size is answered. Otherwise the driver writes min(size, its own size) bytes,
 * zeroes the rest of size, and returns its own size in size.
 */
struct drm_q35_dev_query {
	/** @type: enum drm_q35_query */
	__u32 type;

	/** @size: in: bytes at pointer; out: bytes that the driver knows */
	__u32 size;

	/** @pointer: where to write */
	__u64 pointer;
};

/**
 * struct drm_q35_device - the card, from its capability registers (q35_hw.h)
 */
struct drm_q35_device {
	/** @version: as Q35_REG_VERSION: major in the upper, minor in the lower half */
	__u32 version;

	/** @features: Q35_FEATURE_* */
	__u32 features;

	/** @memory_size: bytes of device memory */
	__u64 memory_size;

	/** @va_start: first device virtual address that VM_BIND accepts; 0 is never one */
	__u64 va_start;

	/** @va_end: first device virtual address past those that VM_BIND accepts */
	__u64 va_end;

	/** @queues: queues of the card, shared by all clients */
	__u32 queues;

	/** @vms: address spaces of the card, shared by all clients */
	__u32 vms;

	/** @page_size: granule of buffer sizes, bind addresses, offsets and sizes */
	__u32 page_size;

	/** @max_jobs: cap of drm_q35_submit.jobs */
	__u32 max_jobs;

	/** @max_syncs: cap of drm_q35_submit.syncs */
	__u32 max_syncs;

	/** @max_bind_ops: cap of drm_q35_vm_bind.ops */
	__u32 max_bind_ops;

	/** @max_timeout_ms: cap of drm_q35_queue_create.timeout_ms */
	__u32 max_timeout_ms;

	/** @windows: as Q35_REG_WINDOWS */
	__u32 windows;

	/** @act_blocks: as Q35_REG_ACT_BLOCKS */
	__u32 act_blocks;

	/** @dim_order_max: as Q35_REG_DIM_ORDER_MAX */
	__u32 dim_order_max;

	/** @lanes: as Q35_REG_LANES */
	__u32 lanes;

	/** @clock_mhz: as Q35_REG_CLOCK_MHZ */
	__u32 clock_mhz;

	/** @memory_gbps: as Q35_REG_MEMORY_GBPS */
	__u32 memory_gbps;

	/** @link_gbps: as Q35_REG_LINK_GBPS */
	__u32 link_gbps;
};

/**
 * struct drm_q35_memory - device memory now
 */
struct drm_q35_memory {
	/** @total: bytes */
	__u64 total;

	/** @free: bytes in no buffer; fragmentation never matters, buffers may be scattered */
	__u64 free;
};

/** enum drm_q35_bo_flags - where a buffer lives and how the CPU sees it */
enum drm_q35_bo_flags {
	/** @DRM_Q35_BO_DEVICE: device memory, mapped write-combined; otherwise host memory */
	DRM_Q35_BO_DEVICE = 1 << 0,

	/** @DRM_Q35_BO_WC: map host memory write-combined instead of cached; not with DEVICE */
	DRM_Q35_BO_WC = 1 << 1,
};

/**
 * struct drm_q35_bo_create - DRM_IOCTL_Q35_BO_CREATE
 *
 * A new buffer reads as zeros. Close the handle with DRM_IOCTL_GEM_CLOSE; mappings and bindings
 * keep the memory until they go. ENOSPC: device memory is full, nothing is ever evicted. Host memory is
 * charged to the memory cgroup of who first touches or binds it.
 *
 * Host memory can be exported as a dma-buf, and others' imported. Export of device memory is refused with
 * EOPNOTSUPP: the importer would need peer-to-peer DMA, and to let go at once when the card leaves.
 */
struct drm_q35_bo_create {
	/** @size: in: not 0; out: rounded up to pages */
	__u64 size;

	/** @flags: enum drm_q35_bo_flags */
	__u32 flags;

	/** @handle: out */
	__u32 handle;
};

/**
 * struct drm_q35_bo_mmap_offset - DRM_IOCTL_Q35_BO_MMAP_OFFSET
 *
 * EPERM for an imported buffer: map it through its exporter.
 */
struct drm_q35_bo_mmap_offset {
	/** @handle: of the buffer */
	__u32 handle;

	/** @pad: 0 */
	__u32 pad;

	/** @offset: out: to be passed to mmap() on the device's file */
	__u64 offset;
};

/**
 * struct drm_q35_bo_info - DRM_IOCTL_Q35_BO_INFO
 */
struct drm_q35_bo_info {
	/** @handle: of the buffer */
	__u32 handle;

	/** @flags: out: enum drm_q35_bo_flags */
	__u32 flags;

	/** @size: out: bytes */
	__u64 size;
};

/**
 * struct drm_q35_vm_create - DRM_IOCTL_Q35_VM_CREATE
 *
 * An address space of this client, empty. ENOSPC: the card has no more.
 */
struct drm_q35_vm_create {
	/** @flags: 0 */
	__u32 flags;

	/** @vm_id: out: not 0 */
	__u32 vm_id;
};

/**
 * struct drm_q35_vm_destroy - DRM_IOCTL_Q35_VM_DESTROY
 *
 * The id goes at once; the address space itself when its last queue has gone.
 */
struct drm_q35_vm_destroy {
	/** @vm_id: of the address space */
	__u32 vm_id;

	/** @pad: 0 */
	__u32 pad;
};

/** enum drm_q35_bind_flags - what one operation of VM_BIND does */
enum drm_q35_bind_flags {
	/** @DRM_Q35_BIND_UNMAP: remove whatever is mapped in the range; otherwise map handle there */
	DRM_Q35_BIND_UNMAP = 1 << 0,

	/** @DRM_Q35_BIND_READONLY: writes by jobs fault; not with UNMAP */
	DRM_Q35_BIND_READONLY = 1 << 1,
};

/**
 * struct drm_q35_bind_op - one operation of VM_BIND
 *
 * Mapping replaces whatever the range held before; a mapping that is only partly covered keeps its
 * other parts. All values are multiples of the page size.
 */
struct drm_q35_bind_op {
	/** @flags: enum drm_q35_bind_flags */
	__u32 flags;

	/** @handle: of the buffer; 0 with UNMAP */
	__u32 handle;

	/** @bo_offset: where in the buffer the mapping begins; 0 with UNMAP */
	__u64 bo_offset;

	/** @va: device virtual address */
	__u64 va;

	/** @size: of the range, not 0 */
	__u64 size;
};

/**
 * struct drm_q35_vm_bind - DRM_IOCTL_Q35_VM_BIND
 *
 * Synchronous: on return the operations hold for every later SUBMIT, and no job, not even one in
 * flight, can touch what has been unmapped. Operations run in order; on an error the first
 * ops_done of them hold, the others have done nothing.
 */
struct drm_q35_vm_bind {
	/** @vm_id: of the address space */
	__u32 vm_id;

	/** @ops_done: out: operations that hold, also on an error */
	__u32 ops_done;

	/** @ops: of struct drm_q35_bind_op, at most drm_q35_device.max_bind_ops */
	struct drm_q35_array ops;
};

/**
 * struct drm_q35_queue_create - DRM_IOCTL_Q35_QUEUE_CREATE
 *
 * ENOSPC: the card has no more queues. EPERM: the highest priority needs CAP_SYS_NICE.
 */
struct drm_q35_queue_create {
	/** @vm_id: address space that the queue's jobs run in */
	__u32 vm_id;

	/** @priority: 0 lowest … 3 highest */
	__u32 priority;

	/** @timeout_ms: time a submission may run before its queue counts as hung; 0: the default */
	__u32 timeout_ms;

	/** @flags: 0 */
	__u32 flags;

	/** @queue_id: out: not 0 */
	__u32 queue_id;

	/** @pad: 0 */
	__u32 pad;
};

/**
 * struct drm_q35_queue_destroy - DRM_IOCTL_Q35_QUEUE_DESTROY
 *
 * Work not yet complete is abandoned; its fences signal ECANCELED.
 */
struct drm_q35_queue_destroy {
	/** @queue_id: of the queue */
	__u32 queue_id;

	/** @pad: 0 */
	__u32 pad;
};

/** enum drm_q35_queue_status - how a queue fares */
enum drm_q35_queue_status {
	/** @DRM_Q35_QUEUE_OK: it accepts jobs */
	DRM_Q35_QUEUE_OK = 0,

	/**
	 * @DRM_Q35_QUEUE_FAULT: the card stopped it: fault_code and the rest say why; SUBMIT: EIO.
	 * With fault_code 0 the card itself is at fault: it reported what cannot be.
	 */
	DRM_Q35_QUEUE_FAULT = 1,

	/** @DRM_Q35_QUEUE_HANG: a submission outran its timeout; SUBMIT: EIO */
	DRM_Q35_QUEUE_HANG = 2,

	/**
	 * @DRM_Q35_QUEUE_LOST: a reset of the card took it: it could not be repeated what was running,
	 * or the card did not come back. submission is the first that did not complete; SUBMIT: EIO
	 */
	DRM_Q35_QUEUE_LOST = 3,
};

/**
 * struct drm_q35_queue_state - DRM_IOCTL_Q35_QUEUE_STATE
 *
 * A failed queue stays so: destroy it and create another.
 */
struct drm_q35_queue_state {
	/** @queue_id: of the queue */
	__u32 queue_id;

	/** @status: out: enum drm_q35_queue_status */
	__u32 status;

	/** @fault_code: out: enum q35_fault of q35_hw.h */
	__u32 fault_code;

	/** @fault_info: out: as Q35_QREG_FAULT_INFO */
	__u32 fault_info;

	/** @fault_addr: out: as Q35_QREG_FAULT_ADDR */
	__u64 fault_addr;

	/** @job_index: out: which of the failed submission's jobs it was */
	__u32 job_index;

	/** @pad: 0 */
	__u32 pad;

	/** @submission: out: which of the queue's submissions it was, counted from 0; those before are complete */
	__u64 submission;
};

/** enum drm_q35_sync_flags - what a submission does with a syncobj */
enum drm_q35_sync_flags {
	/** @DRM_Q35_SYNC_SIGNAL: signal it when the submission ends; otherwise wait before it starts */
	DRM_Q35_SYNC_SIGNAL = 1 << 0,

	/** @DRM_Q35_SYNC_TIMELINE: point counts; otherwise the syncobj is binary */
	DRM_Q35_SYNC_TIMELINE = 1 << 1,
};

/**
 * struct drm_q35_sync - one syncobj of a submission
 */
struct drm_q35_sync {
	/** @flags: enum drm_q35_sync_flags */
	__u32 flags;

	/** @handle: of the syncobj; EINVAL if there is no fence to wait for */
	__u32 handle;

	/** @point: on the timeline, not 0; 0 for binary ones */
	__u64 point;
};

/**
 * struct drm_q35_submit - DRM_IOCTL_Q35_SUBMIT
 *
 * Jobs are struct q35_hw_desc of q35_hw.h, as the card of drm_q35_device.version takes them, with
 * only Q35_DESC_FLAGS_USER set and seqno 0. They run on one queue, in order where
 * Q35_DESC_BARRIER says so, and end together: all or nothing is submitted, and the syncobjs signal
 * when the last one is complete. With no jobs the submission is a fence between syncobjs. On
 * EINVAL for a job, bad_job is its index and nothing was submitted.
 */
struct drm_q35_submit {
	/** @queue_id: of the queue */
	__u32 queue_id;

	/** @bad_job: out: index of the job refused, else 0xffffffff */
	__u32 bad_job;

	/** @jobs: of struct q35_hw_desc, at most drm_q35_device.max_jobs */
	struct drm_q35_array jobs;

	/** @syncs: of struct drm_q35_sync, at most drm_q35_device.max_syncs */
	struct drm_q35_array syncs;
};

/**
 * struct drm_q35_perf_query - DRM_IOCTL_Q35_PERF_QUERY
 *
 * Counters of one queue of the client, or with queue_id 0 of the whole card (EPERM without
 * CAP_PERFMON). They are the card's time model (q35_hw.h), not wall time, except busy_ns. A queue's count
 * from its creation, the whole card's from the last reset of the card.
 */
struct drm_q35_perf_query {
	/** @queue_id: of the queue, or 0 */
	__u32 queue_id;

	/** @pad: 0 */
	__u32 pad;

	/** @cycles: out: as Q35_COUNTER_CYCLES */
	__u64 cycles;

	/** @macs: out: as Q35_COUNTER_MACS */
	__u64 macs;

	/** @memory_bytes: out: as Q35_COUNTER_MEMORY */
	__u64 memory_bytes;

	/** @link_bytes: out: as Q35_COUNTER_LINK */
	__u64 link_bytes;

	/** @stall_cycles: out: as Q35_COUNTER_STALLS */
	__u64 stall_cycles;

	/** @jobs: out: as Q35_COUNTER_JOBS */
	__u64 jobs;

	/** @busy_ns: out: time the card spent on the queue's jobs; 0 for the whole card */
	__u64 busy_ns;
};

#define DRM_IOCTL_Q35(dir, id, type) \
	DRM_IO##dir(DRM_COMMAND_BASE + DRM_Q35_##id, struct drm_q35_##type)

#define DRM_IOCTL_Q35_DEV_QUERY		DRM_IOCTL_Q35(WR, DEV_QUERY, dev_query)
#define DRM_IOCTL_Q35_BO_CREATE		DRM_IOCTL_Q35(WR, BO_CREATE, bo_create)
#define DRM_IOCTL_Q35_BO_MMAP_OFFSET	DRM_IOCTL_Q35(WR, BO_MMAP_OFFSET, bo_mmap_offset)
#define DRM_IOCTL_Q35_BO_INFO		DRM_IOCTL_Q35(WR, BO_INFO, bo_info)
#define DRM_IOCTL_Q35_VM_CREATE		DRM_IOCTL_Q35(WR, VM_CREATE, vm_create)
#define DRM_IOCTL_Q35_VM_DESTROY	DRM_IOCTL_Q35(WR, VM_DESTROY, vm_destroy)
#define DRM_IOCTL_Q35_VM_BIND		DRM_IOCTL_Q35(WR, VM_BIND, vm_bind)
#define DRM_IOCTL_Q35_QUEUE_CREATE	DRM_IOCTL_Q35(WR, QUEUE_CREATE, queue_create)
#define DRM_IOCTL_Q35_QUEUE_DESTROY	DRM_IOCTL_Q35(WR, QUEUE_DESTROY, queue_destroy)
#define DRM_IOCTL_Q35_QUEUE_STATE	DRM_IOCTL_Q35(WR, QUEUE_STATE, queue_state)
#define DRM_IOCTL_Q35_SUBMIT		DRM_IOCTL_Q35(WR, SUBMIT, submit)
#define DRM_IOCTL_Q35_PERF_QUERY	DRM_IOCTL_Q35(WR, PERF_QUERY, perf_query)

#if defined(__cplusplus)
}
#endif

#endif /* _UAPI_Q35_ACCEL_H_ */
