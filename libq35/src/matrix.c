// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

#define MATMUL_ACT_BLOCK 128
#define PART_ALIGN 64 /* of tiles, meta and codebook, as the card requires */

static size_t align_part(size_t offset)
{
	return (offset + PART_ALIGN - 1) & ~(size_t)(PART_ALIGN - 1);
}

static int check_weights(const struct q35 *dev, const struct q35_weights *w)
{
	uint32_t max = 1u << dev->limits.dim_order_max;

	if (!w->n || w->n > max || !w->k || w->k > max)
		return q35_fail(dev, -EINVAL, "a matrix of %u x %u, dimensions are 1 to %u", w->n,
				w->k, max);
	if (w->group != 0 && w->group != 128 && w->group != 256)
		return q35_fail(dev, -EINVAL, "scale group of %u inputs, not 0, 128 or 256",
				w->group);
	if (w->window_bits != 8 || !(dev->limits.windows & 1u << 8))
		return q35_fail(dev, -EINVAL, "codebook windows of %u bits are not supported",
				w->window_bits);
	if (w->meta_flags & ~(Q35_META_ZERO | Q35_META_MULTIPLIER))
		return q35_fail(dev, -EINVAL, "unknown meta_flags 0x%x", w->meta_flags);
	if (w->meta_flags & Q35_META_MULTIPLIER && !w->group)
		return q35_fail(dev, -EINVAL, "multipliers without scale groups");
	if (!w->tiles || !w->meta)
		return q35_fail(dev, -EINVAL, "the weights have no %s",
				w->tiles ? "meta" : "tiles");
	return 0;
}

int q35_matrix_create(struct q35 *dev, const struct q35_weights *w, struct q35_matrix **mat)
{
	size_t tiles_size, meta_size;
	struct q35_matrix *created;
	char *map;
	int ret;

	ret = check_weights(dev, w);
	if (ret)
		return ret;
	created = calloc(1, sizeof(*created));
	if (!created)
		return q35_fail(dev, -ENOMEM, "no memory for a matrix");
	tiles_size = q35_tiles_size(w->n, w->k);
	meta_size = q35_meta_size(w->n, w->k, w->group, w->meta_flags);
	created->meta_offset = align_part(tiles_size);
	created->codebook_offset = align_part(created->meta_offset + meta_size);
	created->n = w->n;
	created->k = w->k;
	created->group = w->group;
	created->window_bits = w->window_bits;
	created->meta_flags = w->meta_flags;

	ret = q35_buffer_create(dev, Q35_DEVICE, created->codebook_offset + Q35_CODEBOOK_SIZE,
				&created->buffer);
	if (ret) {
		free(created);
		return ret;
	}
	map = q35_buffer_map(created->buffer);
	memcpy(map, w->tiles, tiles_size);
	memcpy(map + created->meta_offset, w->meta, meta_size);
	memcpy(map + created->codebook_offset, w->codebook, Q35_CODEBOOK_SIZE);
	*mat = created;
	return 0;
}

struct f32_rows {
	const float *w;
	uint32_t k;
};

static int read_f32_rows(void *context, uint32_t row, uint32_t count, float *out)
{
	const struct f32_rows *rows = context;

	memcpy(out, rows->w + (size_t)row * rows->k, (size_t)count * rows->k * sizeof(float));
	return 0;
}

int q35_matrix_from_f32(struct q35 *dev, enum q35_format format, uint32_t n, uint32_t k,
			const float *w, struct q35_matrix **mat)
{
	struct f32_rows rows = {w, k};
	const struct q35_quantize_options options = {
		.format = format, .read = read_f32_rows, .context = &rows};
	uint32_t max = 1u << dev->limits.dim_order_max;
	struct q35_weights weights;
	void *tiles, *meta;
	int ret;

	if (!n || n > max || !k || k > max)
		return q35_fail(dev, -EINVAL, "a matrix of %u x %u, dimensions are 1 to %u", n, k,
				max);
	if ((unsigned int)format > Q35_T4)
		return q35_fail(dev, -EINVAL, "format is %d, not an enum q35_format", (int)format);
	q35_weights_init(&weights, format, n, k);
	tiles = malloc(q35_tiles_size(n, k));
	meta = malloc(q35_meta_size(n, k, weights.group, weights.meta_flags));
	if (!tiles || !meta) {
		ret = q35_fail(dev, -ENOMEM, "no memory to quantize a matrix of %u x %u", n, k);
	} else {
		ret = q35_quantize(&options, &weights, tiles, meta, NULL);
		if (ret)
			q35_fail(dev, ret, "%s", q35_error(NULL));
		else
			ret = q35_matrix_create(dev, &weights, mat);
	}
	free(meta);
	free(tiles);
	return ret;
}

void q35_matrix_destroy(struct q35_matrix *mat)
{
	if (!mat)
		return;
	q35_buffer_destroy(mat->buffer);
	free(mat);
}

/* A buffer of the handle's own, at least size bytes long. */
static int reserve(struct q35 *dev, struct q35_buffer **buf, size_t size)
{
	struct q35_buffer *grown;
	int ret;

	if (*buf && (*buf)->size >= size)
		return 0;
	ret = q35_buffer_create(dev, Q35_HOST, size, &grown);
	if (ret)
		return ret;
	q35_buffer_destroy(*buf);
	*buf = grown;
	return 0;
}

static int matmul_locked(struct q35 *dev, const struct q35_matrix *mat, uint32_t m, const float *x,
			 float *y)
{
	size_t x_size = (size_t)m * mat->k * sizeof(float);
	size_t y_size = (size_t)m * mat->n * sizeof(float);
	struct q35_job job = {.kind = Q35_JOB_GEMM};
	struct q35_point done;
	int ret;

	ret = reserve(dev, &dev->matmul_x, x_size);
	if (!ret)
		ret = reserve(dev, &dev->matmul_y, y_size);
	if (!ret && !dev->matmul_queue)
		ret = q35_queue_create(dev, 1, 0, &dev->matmul_queue);
	if (ret)
		return ret;

	memcpy(q35_buffer_map(dev->matmul_x), x, x_size);
	job.gemm.w = mat;
	job.gemm.m = m;
	job.gemm.x.buffer = dev->matmul_x;
	job.gemm.y.buffer = dev->matmul_y;
	job.gemm.act_block = MATMUL_ACT_BLOCK;
	ret = q35_submit(dev->matmul_queue, &job, 1, NULL, 0, &done);
	if (!ret)
		ret = q35_wait(done, Q35_FOREVER);
	if (!ret)
		memcpy(y, q35_buffer_map(dev->matmul_y), y_size);
	if (ret == -EIO) {
		/* A failed queue stays failed; the next call starts with a new one. */
		q35_queue_destroy(dev->matmul_queue);
		dev->matmul_queue = NULL;
	}
	return ret;
}

int q35_matmul(struct q35 *dev, const struct q35_matrix *mat, uint32_t m, const float *x, float *y)
{
	uint32_t max = 1u << dev->limits.dim_order_max;
	int ret;

	if (!m || m > max)
		return q35_fail(dev, -EINVAL, "m is %u, not 1 to %u", m, max);
	if (mat->buffer->dev != dev)
		return q35_fail(dev, -EINVAL, "the matrix belongs to another handle");
	pthread_mutex_lock(&dev->matmul_lock);
	ret = matmul_locked(dev, mat, m, x, y);
	pthread_mutex_unlock(&dev->matmul_lock);
	return ret;
}
