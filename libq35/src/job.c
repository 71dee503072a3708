// SPDX-License-Identifier: MIT
/*
 * Jobs: every argument is checked here, for both backends alike, and becomes the descriptor that
 * the card executes. So a job that gets past this file can neither fault nor touch a byte outside
 * its buffers.
 */
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "descriptors are stored as they are");
_Static_assert((int)Q35_F32 == (int)Q35_HW_F32 && (int)Q35_F16 == (int)Q35_HW_F16 &&
		       (int)Q35_BF16 == (int)Q35_HW_BF16 && (int)Q35_I8 == (int)Q35_HW_I8,
	       "enum q35_type is the card's");
_Static_assert((int)Q35_NONE == (int)Q35_HW_ACT_NONE && (int)Q35_RELU == (int)Q35_HW_ACT_RELU &&
		       (int)Q35_SILU == (int)Q35_HW_ACT_SILU &&
		       (int)Q35_GELU == (int)Q35_HW_ACT_GELU,
	       "enum q35_activation is the card's");
_Static_assert((int)Q35_REPLACE == (int)Q35_HW_COMBINE_NONE &&
		       (int)Q35_ADD == (int)Q35_HW_COMBINE_ADD &&
		       (int)Q35_MUL == (int)Q35_HW_COMBINE_MUL,
	       "enum q35_combine is the card's");
_Static_assert((int)Q35_JOB_GEMM == (int)Q35_OP_GEMM && (int)Q35_JOB_COPY == (int)Q35_OP_COPY &&
		       (int)Q35_JOB_FILL == (int)Q35_OP_FILL,
	       "enum q35_job_kind is a subset of the card's ops");
_Static_assert(sizeof(struct q35_hw_desc) == Q35_DESC_SIZE, "one ring slot");

/* The job being checked, for its sentences. */
struct place {
	const struct q35 *dev;
	size_t job;
};

/* A checked operand: rows of row bytes, stride apart. All sums of its fields fit in 64 bits. */
struct span {
	const struct q35_buffer *buffer; /* NULL: absent */
	uint64_t offset, stride, row;
	uint32_t rows;
};

static int __attribute__((format(printf, 2, 3)))
refuse(const struct place *place, const char *format, ...)
{
	char text[200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return q35_fail(place->dev, -EINVAL, "job %zu: %s", place->job, text);
}

static uint64_t span_end(const struct span *s)
{
	return s->offset + (s->rows - 1) * s->stride + s->row;
}

static int check_span(const struct place *place, const char *name, const struct span *s)
{
	if (s->buffer->dev != place->dev)
		return refuse(place, "%s: the buffer belongs to another handle", name);
	if (s->offset > s->buffer->size || span_end(s) > s->buffer->size)
		return refuse(place, "%s ends at byte %llu + %llu of a buffer of %zu", name,
			      (unsigned long long)s->offset,
			      (unsigned long long)(span_end(s) - s->offset), s->buffer->size);
	return 0;
}

static int check_bytes(const struct place *place, const char *name, const struct q35_buffer *buffer,
		       size_t offset, size_t size, struct span *s)
{
	if (!buffer)
		return refuse(place, "%s: no buffer", name);
	if (!size)
		return refuse(place, "%s: 0 bytes", name);
	/* Before any sum is formed. */
	if (size > buffer->size || offset > buffer->size - size)
		return refuse(place, "%s ends at byte %zu + %zu of a buffer of %zu", name, offset,
			      size, buffer->size);
	*s = (struct span){buffer, offset, size, size, 1};
	return check_span(place, name, s);
}

static int check_operand(const struct place *place, const char *name,
			 const struct q35_operand *operand, uint32_t rows, uint32_t columns,
			 struct span *s)
{
	static const uint8_t sizes[] = {[Q35_F32] = 4, [Q35_F16] = 2, [Q35_BF16] = 2, [Q35_I8] = 1};
	size_t element, row;

	if (!operand->buffer)
		return refuse(place, "%s: no buffer", name);
	if ((unsigned int)operand->type >= sizeof(sizes))
		return refuse(place, "%s.type is %d, not an enum q35_type", name, operand->type);
	element = sizes[operand->type];
	row = columns * element;
	if (operand->offset % element)
		return refuse(place, "%s.offset %zu is not a multiple of its elements' %zu bytes",
			      name, operand->offset, element);
	if (operand->stride % element)
		return refuse(place, "%s.stride %zu is not a multiple of its elements' %zu bytes",
			      name, operand->stride, element);
	if (operand->stride && operand->stride < row)
		return refuse(place, "%s.stride %zu is less than a row's %zu bytes", name,
			      operand->stride, row);
	if (operand->stride > UINT32_MAX)
		return refuse(place, "%s.stride %zu does not fit in 32 bits", name,
			      operand->stride);
	if (operand->offset > operand->buffer->size)
		return refuse(place, "%s.offset %zu is past the end of a buffer of %zu", name,
			      operand->offset, operand->buffer->size);
	*s = (struct span){operand->buffer, operand->offset,
			   operand->stride ? operand->stride : row, row, rows};
	return check_span(place, name, s);
}

/* One dense F32 array. */
static int check_vector(const struct place *place, const char *name,
			const struct q35_operand *operand, uint32_t rows, uint32_t columns,
			struct span *s)
{
	int ret = check_operand(place, name, operand, rows, columns, s);

	if (ret)
		return ret;
	if (operand->type != Q35_F32)
		return refuse(place, "%s.type must be Q35_F32", name);
	if (s->stride != s->row)
		return refuse(place, "%s.stride must be 0: it is dense", name);
	return 0;
}

static int overlap(const struct span *a, const struct span *b)
{
	uint32_t row;

	if (!a->buffer || a->buffer != b->buffer || a->offset >= span_end(b) ||
	    b->offset >= span_end(a))
		return 0;
	/* The ranges meet, but the rows may interleave, as columns of one larger matrix do. */
	for (row = 0; row < a->rows; row++) {
		uint64_t start = a->offset + row * a->stride, end = start + a->row, next = 0;

		/* The first row of b that ends after start. */
		if (start >= b->offset + b->row)
			next = (start - b->offset - b->row) / b->stride + 1;
		if (next < b->rows && b->offset + next * b->stride < end)
			return 1;
	}
	return 0;
}

static int same(const struct span *a, const struct span *b)
{
	return a->buffer == b->buffer && a->offset == b->offset && a->stride == b->stride &&
	       a->row == b->row;
}

static uint64_t span_address(const struct span *s)
{
	return s->buffer ? s->buffer->address + s->offset : 0;
}

static int lower_gemm(const struct place *place, const struct q35_gemm *gemm,
		      struct q35_hw_gemm *hw)
{
	struct span x, y, x_scale = {0}, bias = {0}, aux = {0};
	const struct q35_limits *limits = &place->dev->limits;
	const struct q35_matrix *w = gemm->w;
	int ret;

	if (!w)
		return refuse(place, "gemm.w: no matrix");
	if (w->buffer->dev != place->dev)
		return refuse(place, "gemm.w: the matrix belongs to another handle");
	if (!gemm->m || gemm->m > 1u << limits->dim_order_max)
		return refuse(place, "gemm.m is %u, not 1 to %u", gemm->m,
			      1u << limits->dim_order_max);
	/* Bit n of act_blocks: 2^n inputs; bit 0: the row, which is called 0 here. */
	if ((gemm->act_block && gemm->act_block != 32 && gemm->act_block != 64 &&
	     gemm->act_block != 128) ||
	    !(limits->act_blocks & (gemm->act_block ? gemm->act_block : 1)))
		return refuse(place, "gemm.act_block is %u, not 0, 32, 64 or 128", gemm->act_block);
	if ((unsigned int)gemm->activation > Q35_GELU)
		return refuse(place, "gemm.activation is %d, not an enum q35_activation",
			      gemm->activation);
	if ((unsigned int)gemm->combine > Q35_MUL)
		return refuse(place, "gemm.combine is %d, not an enum q35_combine", gemm->combine);

	ret = check_operand(place, "gemm.x", &gemm->x, gemm->m, w->k, &x);
	if (ret)
		return ret;
	if (gemm->x.type == Q35_I8) {
		uint32_t block = gemm->act_block ? gemm->act_block : w->k;

		ret = check_vector(place, "gemm.x_scale", &gemm->x_scale, gemm->m,
				   (w->k - 1) / block + 1, &x_scale);
		if (ret)
			return ret;
	} else if (gemm->x_scale.buffer) {
		return refuse(place, "gemm.x_scale goes with x of type Q35_I8 only");
	}
	if (gemm->bias.buffer) {
		ret = check_vector(place, "gemm.bias", &gemm->bias, 1, w->n, &bias);
		if (ret)
			return ret;
	}
	ret = check_operand(place, "gemm.y", &gemm->y, gemm->m, w->n, &y);
	if (ret)
		return ret;
	if (gemm->y.type == Q35_I8)
		return refuse(place, "gemm.y.type cannot be Q35_I8");
	if (gemm->combine != Q35_REPLACE) {
		ret = check_operand(place, "gemm.aux", &gemm->aux, gemm->m, w->n, &aux);
		if (ret)
			return ret;
		if (gemm->aux.type == Q35_I8)
			return refuse(place, "gemm.aux.type cannot be Q35_I8");
	} else if (gemm->aux.buffer) {
		return refuse(place, "gemm.aux goes with combine Q35_ADD or Q35_MUL only");
	}

	if (overlap(&y, &x))
		return refuse(place, "gemm.y overlaps x");
	if (overlap(&y, &x_scale))
		return refuse(place, "gemm.y overlaps x_scale");
	if (overlap(&y, &bias))
		return refuse(place, "gemm.y overlaps bias");
	if (overlap(&y, &aux) && !(same(&y, &aux) && gemm->y.type == gemm->aux.type))
		return refuse(place, "gemm.y overlaps aux without being the same");

	*hw = (struct q35_hw_gemm){
		.x_va = span_address(&x),
		.x_scale_va = span_address(&x_scale),
		.tiles_va = w->buffer->address,
		.meta_va = w->buffer->address + w->meta_offset,
		.codebook_va = w->buffer->address + w->codebook_offset,
		.bias_va = span_address(&bias),
		.aux_va = span_address(&aux),
		.y_va = span_address(&y),
		.m = gemm->m,
		.n = w->n,
		.k = w->k,
		.x_stride = (uint32_t)x.stride,
		.aux_stride = (uint32_t)aux.stride,
		.y_stride = (uint32_t)y.stride,
		.act_block = (uint16_t)gemm->act_block,
		.group = w->group,
		.x_type = gemm->x.type,
		.aux_type = aux.buffer ? gemm->aux.type : 0,
		.y_type = gemm->y.type,
		.activation = gemm->activation,
		.combine = gemm->combine,
		.window_bits = w->window_bits,
		.meta_flags = w->meta_flags,
	};
	return 0;
}

static int lower_copy(const struct place *place, const struct q35_copy *copy,
		      struct q35_hw_copy *hw)
{
	struct span src, dst;
	int ret;

	ret = check_bytes(place, "copy.src", copy->src, copy->src_offset, copy->size, &src);
	if (!ret)
		ret = check_bytes(place, "copy.dst", copy->dst, copy->dst_offset, copy->size, &dst);
	if (ret)
		return ret;
	if (overlap(&src, &dst))
		return refuse(place, "copy.dst overlaps src");
	*hw = (struct q35_hw_copy){
		.src_va = span_address(&src), .dst_va = span_address(&dst), .size = copy->size};
	return 0;
}

static int lower_fill(const struct place *place, const struct q35_fill *fill,
		      struct q35_hw_fill *hw)
{
	struct span dst;
	int ret;

	if (fill->offset % 4 || fill->size % 4)
		return refuse(place, "fill.offset %zu and size %zu must be multiples of 4",
			      fill->offset, fill->size);
	ret = check_bytes(place, "fill.dst", fill->dst, fill->offset, fill->size, &dst);
	if (ret)
		return ret;
	*hw = (struct q35_hw_fill){
		.dst_va = span_address(&dst), .size = fill->size, .value = fill->value};
	return 0;
}

static int lower(const struct place *place, const struct q35_job *job, struct q35_hw_desc *desc)
{
	memset(desc, 0, sizeof(*desc));
	desc->op = (uint16_t)job->kind;
	desc->flags = job->barrier ? Q35_DESC_BARRIER : 0;
	switch (job->kind) {
	case Q35_JOB_GEMM:
		return lower_gemm(place, &job->gemm, &desc->gemm);
	case Q35_JOB_COPY:
		return lower_copy(place, &job->copy, &desc->copy);
	case Q35_JOB_FILL:
		return lower_fill(place, &job->fill, &desc->fill);
	}
	return refuse(place, "kind is %d, not an enum q35_job_kind", (int)job->kind);
}

/*
 * The newest point per slot is all that matters, since a queue completes in order. The queue's own
 * points are a barrier instead: the driver sees no need to wait for a queue's own fences.
 */
static int collect_after(const struct q35_queue *queue, const struct q35_point *points,
			 size_t count, uint64_t after[Q35_SLOTS], int *barrier)
{
	struct q35 *dev = queue->dev;
	uint32_t others = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		const struct q35_queue *other = points[i].queue;

		if (!other || other->dev != dev)
			return q35_fail(dev, -EINVAL, "after[%zu] is no point of this handle", i);
		if (points[i].value > atomic_load(&other->last))
			return q35_fail(dev, -EINVAL,
					"after[%zu] is point %llu of a queue whose newest is %llu",
					i, (unsigned long long)points[i].value,
					(unsigned long long)atomic_load(&other->last));
		if (points[i].value <= other->first)
			continue;
		if (other == queue) {
			*barrier = 1;
			continue;
		}
		others += !after[other->slot];
		if (points[i].value > after[other->slot])
			after[other->slot] = points[i].value;
	}
	if (others > dev->limits.max_after)
		return q35_fail(dev, -EINVAL, "after names %u other queues, the most is %u", others,
				dev->limits.max_after);
	return 0;
}

static int reserve_descs(struct q35_queue *queue, size_t count)
{
	struct q35_hw_desc *grown;

	if (count <= queue->descs_max)
		return 0;
	grown = realloc(queue->descs, count * sizeof(*grown));
	if (!grown)
		return q35_fail(queue->dev, -ENOMEM, "no memory for %zu jobs", count);
	queue->descs = grown;
	queue->descs_max = count;
	return 0;
}

static void mark(struct q35_buffer *buffer, const struct q35_point *point)
{
	if (buffer)
		buffer->used[point->queue->slot] = point->value;
}

static void mark_buffers(const struct q35_job *job, const struct q35_point *point)
{
	switch (job->kind) {
	case Q35_JOB_GEMM:
		mark(job->gemm.w->buffer, point);
		mark(job->gemm.x.buffer, point);
		mark(job->gemm.x_scale.buffer, point);
		mark(job->gemm.bias.buffer, point);
		mark(job->gemm.aux.buffer, point);
		mark(job->gemm.y.buffer, point);
		break;
	case Q35_JOB_COPY:
		mark(job->copy.src, point);
		mark(job->copy.dst, point);
		break;
	case Q35_JOB_FILL:
		mark(job->fill.dst, point);
		break;
	}
}

int q35_submit(struct q35_queue *queue, const struct q35_job *jobs, size_t count,
	       const struct q35_point *after, size_t after_count, struct q35_point *done)
{
	struct q35 *dev = queue->dev;
	uint64_t newest[Q35_SLOTS] = {0};
	struct q35_point point = {queue, atomic_load(&queue->last) + 1};
	int barrier = 0;
	size_t i;
	int ret;

	if (count > dev->limits.max_jobs)
		return q35_fail(dev, -EINVAL, "%zu jobs, the most in one call is %u", count,
				dev->limits.max_jobs);
	ret = collect_after(queue, after, after_count, newest, &barrier);
	if (!ret)
		ret = reserve_descs(queue, count);
	for (i = 0; i < count && !ret; i++)
		ret = lower(&(struct place){dev, i}, &jobs[i], &queue->descs[i]);
	if (ret)
		return ret;
	if (barrier && count)
		queue->descs[0].flags |= Q35_DESC_BARRIER;

	ret = dev->backend->submit(queue, queue->descs, (uint32_t)count, newest);
	if (ret)
		return ret;
	atomic_store(&queue->last, point.value);
	for (i = 0; i < count; i++)
		mark_buffers(&jobs[i], &point);
	if (done)
		*done = point;
	return 0;
}
