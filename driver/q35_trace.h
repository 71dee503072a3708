/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events of a submission's life and of what goes wrong. A submission is named by its queue and its
 * number in it, from 0, as in struct drm_q35_queue_state.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM q35

#if !defined(Q35_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define Q35_TRACE_H

#include <linux/tracepoint.h>

#include "drm/q35_accel.h"
#include "q35_job.h"
#include "q35_queue.h"
#include "q35_vm.h"

/* clang-format off */

/* User space has handed it in; it may wait for other fences. */
TRACE_EVENT(q35_submit,
	TP_PROTO(const struct q35_job *job),
	TP_ARGS(job),
	TP_STRUCT__entry(
		__string(dev, dev_name(job->queue->q35->drm.dev))
		__field(u32, queue)
		__field(u64, submission)
		__field(u32, jobs)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->queue = job->queue->slot;
		__entry->submission = job->fence->seqno - 1;
		__entry->jobs = job->count;
	),
	TP_printk("%s queue %u submission %llu: %u jobs",
		  __get_str(dev), __entry->queue, __entry->submission, __entry->jobs)
);

/* It enters the ring, its first descriptor at index. */
TRACE_EVENT(q35_run,
	TP_PROTO(const struct q35_job *job),
	TP_ARGS(job),
	TP_STRUCT__entry(
		__string(dev, dev_name(job->queue->q35->drm.dev))
		__field(u32, queue)
		__field(u64, submission)
		__field(u32, index)
		__field(u32, jobs)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->queue = job->queue->slot;
		__entry->submission = job->fence->seqno - 1;
		__entry->index = job->first;
		__entry->jobs = job->count;
	),
	TP_printk("%s queue %u submission %llu: ring index %u, %u jobs",
		  __get_str(dev), __entry->queue, __entry->submission, __entry->index,
		  __entry->jobs)
);

/* Its fence signals, with error if not 0. */
TRACE_EVENT(q35_complete,
	TP_PROTO(const struct q35_job *job, int error),
	TP_ARGS(job, error),
	TP_STRUCT__entry(
		__string(dev, dev_name(job->queue->q35->drm.dev))
		__field(u32, queue)
		__field(u64, submission)
		__field(int, error)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->queue = job->queue->slot;
		__entry->submission = job->fence->seqno - 1;
		__entry->error = error;
	),
	TP_printk("%s queue %u submission %llu: %d",
		  __get_str(dev), __entry->queue, __entry->submission, __entry->error)
);

/* The queue dies of a fault or a hang; fields are those of struct drm_q35_queue_state. */
TRACE_EVENT(q35_fault,
	TP_PROTO(const struct q35_queue *queue),
	TP_ARGS(queue),
	TP_STRUCT__entry(
		__string(dev, dev_name(queue->q35->drm.dev))
		__field(u32, queue)
		__field(u32, status)
		__field(u32, code)
		__field(u32, info)
		__field(u64, addr)
		__field(u64, submission)
		__field(u32, job)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->queue = queue->slot;
		__entry->status = queue->status;
		__entry->code = queue->fault_code;
		__entry->info = queue->fault_info;
		__entry->addr = queue->fault_addr;
		__entry->submission = queue->bad_submission;
		__entry->job = queue->bad_job;
	),
	TP_printk("%s queue %u submission %llu job %u: status %u, code %u, info %#x, address %#llx",
		  __get_str(dev), __entry->queue, __entry->submission, __entry->job,
		  __entry->status, __entry->code, __entry->info, __entry->addr)
);

#define Q35_TRACE_CARD (-1)

/* The queue, or with Q35_TRACE_CARD the card, was reset; error if it did not come back. */
TRACE_EVENT(q35_reset,
	TP_PROTO(const struct q35_device *q35, int queue, int error),
	TP_ARGS(q35, queue, error),
	TP_STRUCT__entry(
		__string(dev, dev_name(q35->drm.dev))
		__field(int, queue)
		__field(int, error)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->queue = queue;
		__entry->error = error;
	),
	TP_printk("%s queue %d: %d",
		  __get_str(dev), __entry->queue, __entry->error)
);

/* One operation of VM_BIND is done, or has failed with error. */
TRACE_EVENT(q35_bind,
	TP_PROTO(const struct q35_vm *vm, const struct drm_q35_bind_op *op, int error),
	TP_ARGS(vm, op, error),
	TP_STRUCT__entry(
		__string(dev, dev_name(vm->q35->drm.dev))
		__field(u32, vm)
		__field(u32, flags)
		__field(u32, handle)
		__field(u64, va)
		__field(u64, size)
		__field(u64, bo_offset)
		__field(int, error)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->vm = vm->slot;
		__entry->flags = op->flags;
		__entry->handle = op->handle;
		__entry->va = op->va;
		__entry->size = op->size;
		__entry->bo_offset = op->bo_offset;
		__entry->error = error;
	),
	TP_printk("%s address space %u: flags %#x, va %#llx, size %#llx, handle %u, offset %#llx: %d",
		  __get_str(dev), __entry->vm, __entry->flags, __entry->va, __entry->size,
		  __entry->handle, __entry->bo_offset, __entry->error)
);

/* clang-format on */

#endif /* Q35_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE q35_trace
#include <trace/define_trace.h>
