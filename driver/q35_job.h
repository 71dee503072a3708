/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef Q35_JOB_H
#define Q35_JOB_H

#include <linux/dma-fence.h>

#include "q35_compat.h"
#include "q35_hw.h"

struct drm_file;
struct q35_queue;

/* One submission: descriptors that enter the ring together and complete together. */
struct q35_job {
	struct drm_sched_job base;
	struct q35_queue *queue;
	struct dma_fence *fence; /* the card's; initialised when the job is pushed */
	struct q35_hw_desc *descs;
	u32 count; /* of descriptors, not 0 */
	u32 done; /* of them, that the card had completed when it was last reset */
	u32 first; /* ring index of the first one, as if those were there, once in flight */
	struct list_head link; /* q35_queue.inflight or parked; empty before and after */
};

extern const struct drm_sched_backend_ops q35_job_ops;

struct q35_job *q35_job_create(struct q35_queue *queue, struct q35_hw_desc *descs, u32 count,
			       struct drm_file *file);
void q35_job_emit(struct q35_job *job);
void q35_job_abort(struct q35_job *job);
struct dma_fence *q35_job_push(struct q35_job *job);

#endif /* Q35_JOB_H */
