// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xf86drm.h>

#include "card.h"

int q35_card_queue_create(struct q35 *dev, unsigned int slot, unsigned int priority,
			  unsigned int timeout_ms, struct q35_queue **out)
{
	struct card *card = (struct card *)dev;
	struct drm_q35_queue_create create = {
		.vm_id = card->vm_id, .priority = priority, .timeout_ms = timeout_ms};
	struct card_queue *queue;
	int ret;

	if (timeout_ms > card->device.max_timeout_ms)
		return q35_fail(dev, -EINVAL, "a queue's timeout of %u ms, the longest is %u",
				timeout_ms, card->device.max_timeout_ms);
	queue = calloc(1, sizeof(*queue));
	if (!queue)
		return q35_fail(dev, -ENOMEM, "no memory for a queue");
	if (!card->timelines[slot]) {
		ret = drmSyncobjCreate(card->fd, 0, &card->timelines[slot]);
		if (ret) {
			card->timelines[slot] = 0;
			q35_fail(dev, ret, "a queue's timeline: %s", strerror(-ret));
			goto err_free;
		}
	}
	if (drmIoctl(card->fd, DRM_IOCTL_Q35_QUEUE_CREATE, &create)) {
		ret = -errno;
		if (ret == -ENOSPC)
			q35_fail(dev, ret, "all %u queues of the card are in use",
				 card->device.queues);
		else if (ret == -EPERM)
			q35_fail(dev, ret, "queue priority %u needs CAP_SYS_NICE", priority);
		else
			q35_fail(dev, ret, "a queue: %s", strerror(-ret));
		goto err_free;
	}
	queue->id = create.queue_id;
	*out = &queue->base;
	return 0;

err_free:
	free(queue);
	return ret;
}

void q35_card_queue_destroy(struct q35_queue *base)
{
	struct card_queue *queue = (struct card_queue *)base;
	struct card *card = (struct card *)base->dev;
	struct drm_q35_queue_destroy destroy = {.queue_id = queue->id};

	/* Fails only when the card has gone, and the queue with it. */
	drmIoctl(card->fd, DRM_IOCTL_Q35_QUEUE_DESTROY, &destroy);
	free(queue);
}

/* The field of a product's descriptor at the offset that the card complained of. */
static const char *gemm_field(uint32_t offset)
{
#define FIELD(name)                                            \
	{                                                      \
		offsetof(struct q35_hw_desc, gemm.name), #name \
	}
	static const struct {
		uint32_t offset;
		const char *name;
	} fields[] = {
		FIELD(x_va),	    FIELD(x_scale_va),	FIELD(tiles_va),   FIELD(meta_va),
		FIELD(codebook_va), FIELD(bias_va),	FIELD(aux_va),	   FIELD(y_va),
		FIELD(m),	    FIELD(n),		FIELD(k),	   FIELD(x_stride),
		FIELD(aux_stride),  FIELD(y_stride),	FIELD(act_block),  FIELD(group),
		FIELD(x_type),	    FIELD(aux_type),	FIELD(y_type),	   FIELD(activation),
		FIELD(combine),	    FIELD(window_bits), FIELD(meta_flags), FIELD(reserved),
	};
#undef FIELD
	unsigned int i;

	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (fields[i].offset == offset)
			return fields[i].name;
	}
	return "no field";
}

static void describe_fault(const struct drm_q35_queue_state *state, char *text, size_t size)
{
	const char *access = state->fault_info & Q35_FAULT_WRITE ? "write to" : "read of";
	unsigned long long address = state->fault_addr;
	uint32_t offset = state->fault_info & Q35_FAULT_FIELD;

	switch (state->fault_code) {
	case Q35_FAULT_NONE:
		snprintf(text, size, "NONE: the card claims to have done what it was never given");
		break;
	case Q35_FAULT_UNMAPPED:
		snprintf(text, size, "UNMAPPED: %s address 0x%llx", access, address);
		break;
	case Q35_FAULT_PERMISSION:
		snprintf(text, size, "PERMISSION: %s read-only address 0x%llx", access, address);
		break;
	case Q35_FAULT_DESCRIPTOR:
		snprintf(text, size, "DESCRIPTOR: byte %u (%s, if a product)", offset,
			 gemm_field(offset));
		break;
	case Q35_FAULT_OPCODE:
		snprintf(text, size, "OPCODE: the card does not know the operation");
		break;
	case Q35_FAULT_BUS:
		snprintf(text, size, "BUS: %s address 0x%llx reached no memory", access, address);
		break;
	case Q35_FAULT_RING:
		snprintf(text, size, "RING: address 0x%llx", address);
		break;
	default:
		snprintf(text, size, "%u, unknown to libq35", state->fault_code);
	}
}

/* The sentence for a queue that has failed, and -EIO. */
static int explain_failure(struct q35 *dev, const struct drm_q35_queue_state *state)
{
	unsigned long long submission = state->submission;
	char fault[128];

	switch (state->status) {
	case DRM_Q35_QUEUE_FAULT:
		describe_fault(state, fault, sizeof(fault));
		return q35_fail(dev, -EIO, "job %u of the queue's submission %llu: fault %s",
				state->job_index, submission, fault);
	case DRM_Q35_QUEUE_HANG:
		return q35_fail(dev, -EIO,
				"job %u of the queue's submission %llu outran the queue's timeout",
				state->job_index, submission);
	case DRM_Q35_QUEUE_LOST:
		return q35_fail(
			dev, -EIO,
			"the queue was lost when another client's failure took the card down");
	}
	return q35_fail(dev, -EIO, "the queue has failed, status %u", state->status);
}

static int get_state(const struct card_queue *queue, struct drm_q35_queue_state *state)
{
	const struct card *card = (const struct card *)queue->base.dev;

	*state = (struct drm_q35_queue_state){.queue_id = queue->id};
	return drmIoctl(card->fd, DRM_IOCTL_Q35_QUEUE_STATE, state) ? -errno : 0;
}

static int fail_submit(const struct card_queue *queue, int error,
		       const struct drm_q35_submit *submit)
{
	struct q35 *dev = queue->base.dev;
	struct drm_q35_queue_state state;

	switch (error) {
	case -EIO:
		if (!get_state(queue, &state))
			return explain_failure(dev, &state);
		return q35_fail(dev, error, "the queue has failed");
	case -EINVAL:
		if (submit->bad_job < submit->jobs.count)
			return q35_fail(dev, error, "job %u: the driver refuses it",
					submit->bad_job);
		return q35_fail(dev, error, "the driver refuses the submission");
	case -ENODEV:
		return q35_fail(dev, -EIO, "the card has gone");
	}
	return q35_fail(dev, error, "submitting %u jobs: %s", submit->jobs.count, strerror(-error));
}

int q35_card_submit(struct q35_queue *base, const struct q35_hw_desc *descs, uint32_t count,
		    const uint64_t after[Q35_SLOTS])
{
	const struct card_queue *queue = (const struct card_queue *)base;
	const struct card *card = (const struct card *)base->dev;
	struct drm_q35_sync syncs[Q35_SLOTS + 1];
	struct drm_q35_submit submit = {
		.queue_id = queue->id,
		.bad_job = UINT32_MAX,
		.jobs = {.stride = sizeof(*descs), .count = count, .array = (uintptr_t)descs},
		.syncs = {.stride = sizeof(syncs[0]), .array = (uintptr_t)syncs},
	};
	unsigned int slot;

	for (slot = 0; slot < Q35_SLOTS; slot++) {
		if (after[slot])
			syncs[submit.syncs.count++] =
				(struct drm_q35_sync){.flags = DRM_Q35_SYNC_TIMELINE,
						      .handle = card->timelines[slot],
						      .point = after[slot]};
	}
	syncs[submit.syncs.count++] =
		(struct drm_q35_sync){.flags = DRM_Q35_SYNC_TIMELINE | DRM_Q35_SYNC_SIGNAL,
				      .handle = card->timelines[base->slot],
				      .point = atomic_load(&base->last) + 1};

	if (drmIoctl(card->fd, DRM_IOCTL_Q35_SUBMIT, &submit))
		return fail_submit(queue, -errno, &submit);
	return 0;
}

int q35_card_wait(struct q35_queue *base, uint64_t point, int64_t deadline_ns)
{
	const struct card_queue *queue = (const struct card_queue *)base;
	struct card *card = (struct card *)base->dev;
	struct drm_q35_queue_state state;
	int ret;

	/* The kernel waits in whole ticks and may give up within the last one before the deadline. */
	do {
		ret = drmSyncobjTimelineWait(card->fd, &card->timelines[base->slot], &point, 1,
					     deadline_ns > 0 ? deadline_ns : 0,
					     DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL, NULL);
	} while (ret == -ETIME && q35_now_ns() < deadline_ns);
	if (ret == -ETIME)
		return q35_fail(base->dev, ret, "submission %llu was not complete at the deadline",
				(unsigned long long)(point - base->first - 1));
	/* A signalled point says that the work is over; the queue says whether it went well. */
	if (!ret)
		ret = get_state(queue, &state);
	if (ret == -ENODEV)
		return q35_fail(base->dev, -EIO, "the card has gone");
	if (ret)
		return q35_fail(base->dev, -EIO, "waiting for submission %llu: %s",
				(unsigned long long)(point - base->first - 1), strerror(-ret));
	/* What the queue completed before the submission that failed is good. */
	if (state.status == DRM_Q35_QUEUE_OK || point - base->first - 1 < state.submission)
		return 0;
	return explain_failure(base->dev, &state);
}

void q35_card_drain(struct q35 *dev, unsigned int slot, uint64_t point)
{
	struct card *card = (struct card *)dev;

	/* Ends in any case: the driver bounds the time of every job. */
	drmSyncobjTimelineWait(card->fd, &card->timelines[slot], &point, 1, Q35_FOREVER,
			       DRM_SYNCOBJ_WAIT_FLAGS_WAIT_ALL, NULL);
}

int q35_card_get_counters(struct q35_queue *base, struct q35_counters *counters)
{
	const struct card_queue *queue = (const struct card_queue *)base;
	const struct card *card = (const struct card *)base->dev;
	struct drm_q35_perf_query query = {.queue_id = queue->id};

	if (drmIoctl(card->fd, DRM_IOCTL_Q35_PERF_QUERY, &query)) {
		int ret = -errno;

		return q35_fail(base->dev, ret, "a queue's counters: %s", strerror(-ret));
	}
	*counters = (struct q35_counters){.cycles = query.cycles,
					  .macs = query.macs,
					  .memory_bytes = query.memory_bytes,
					  .link_bytes = query.link_bytes,
					  .stall_cycles = query.stall_cycles,
					  .jobs = query.jobs,
					  .busy_ns = query.busy_ns};
	return 0;
}
