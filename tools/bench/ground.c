// SPDX-License-Identifier: MIT
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "int4.h"
#include "machine.h"
#include "numbers.h"
#include "openblas.h"
#include "speed.h"

#define PIECES_PER_THREAD 4 /* as libq35's CPU backend has it */
#define SPARE 65536 /* bytes past the end, for prefetching and rounding */
#define SIXTEENTH 0x2c00 /* fp16 */
#define LEAST_GROUP 128

size_t q35_weights_bytes(uint32_t n, uint32_t k)
{
	return q35_tiles_size(n, k) + q35_meta_size(n, k, 0, 0);
}

int ground_open(struct ground *g, uint64_t working_set, const struct shape *largest)
{
	/* The padding of awkward shapes included. */
	size_t room = sizeof(float) * ((size_t)largest->n + 64) * ((size_t)largest->k + 8);
	size_t i;

	memset(g, 0, sizeof(*g));
	g->size = working_set > room ? working_set : room;
	g->meta_size = q35_meta_size(largest->n, largest->k, LEAST_GROUP, Q35_META_ZERO);
	g->memory = map_memory(g->size + SPARE);
	g->meta = malloc(g->meta_size);
	if (!g->memory || !g->meta) {
		ground_close(g);
		return fail("no memory for weights of %zu MB", g->size >> 20);
	}
	fill_floats((float *)g->memory, g->size / sizeof(float), 37);
	for (i = 0; i < g->meta_size / sizeof(uint16_t); i++)
		((uint16_t *)g->meta)[i] = SIXTEENTH;
	g->has_openblas = openblas_open();
	return DONE;
}

void ground_close(struct ground *g)
{
	unmap_memory(g->memory, g->size + SPARE);
	free(g->meta);
	g->memory = NULL;
	g->meta = NULL;
}

static struct q35_product product_of(const struct ground *g)
{
	const struct setting *s = &g->setting;

	return (struct q35_product){
		.m = s->m,
		.n = s->n,
		.k = s->k,
		.act_block = ACT_BLOCK,
		.x_type = Q35_HW_F32,
		.y_type = Q35_HW_F32,
		.x_stride = sizeof(float) * s->k,
		.y_stride = sizeof(float) * s->n,
		.x = g->x,
		.meta = g->meta,
		.y = g->y,
	};
}

int ground_set(struct ground *g, const struct setting *s)
{
	struct q35_product product;

	g->setting = *s;
	product = product_of(g);
	g->x = malloc(sizeof(float) * s->m * s->k);
	g->y = malloc(sizeof(float) * s->m * s->n);
	g->scratch = aligned_alloc(64, q35_scratch_size(&product));
	if (!g->x || !g->y || !g->scratch || q35_pool_create(s->threads, &g->pool)) {
		ground_clear(g);
		return fail("no memory, or no threads");
	}
	fill_floats(g->x, (size_t)s->m * s->k, 36);
	if (g->has_openblas)
		openblas_set_threads(s->threads);
	return DONE;
}

void ground_clear(struct ground *g)
{
	q35_pool_destroy(g->pool);
	free(g->x);
	free(g->y);
	free(g->scratch);
	g->pool = NULL;
	g->x = NULL;
	g->y = NULL;
	g->scratch = NULL;
}

const void *ground_weights(const struct ground *g, size_t bytes, size_t turn)
{
	return g->memory + turn % (g->size / bytes) * bytes / 64 * 64;
}

/* A loop that the pool's threads share. */
struct work {
	const struct ground *ground;
	const struct q35_kernels *kernels;
	struct q35_product product;
	const void *weights;
	size_t pieces;
	size_t lines; /* to read, 64 bytes each */
	bool ahead;
	atomic_uint sum; /* of what has been read */
};

static size_t piece_start(const struct work *w, size_t total, size_t index)
{
	return total * index / w->pieces;
}

static void share(struct work *w, size_t total, void (*piece)(void *, size_t))
{
	w->pieces = (size_t)PIECES_PER_THREAD * w->ground->setting.threads;
	if (w->pieces > total)
		w->pieces = total;
	q35_parallel(w->ground->pool, w->pieces, piece, w);
}

static void prepare_piece(void *context, size_t index)
{
	const struct work *w = context;
	const uint32_t m = w->product.m;

	w->kernels->prepare(&w->product, w->ground->scratch, (uint32_t)piece_start(w, m, index),
			    (uint32_t)piece_start(w, m, index + 1));
}

static void q35_piece(void *context, size_t index)
{
	const struct work *w = context;
	const size_t blocks = q35_div_up(w->product.n, Q35_BLOCK_N);
	const size_t block_size = (size_t)q35_div_up(w->product.k, Q35_TILE_K) * Q35_BLOCK_BYTES;
	const size_t first = piece_start(w, blocks, index);

	w->kernels->gemm(&w->product, w->ground->scratch, w->product.tiles + first * block_size,
			 (uint32_t)first, (uint32_t)piece_start(w, blocks, index + 1));
}

/* What libq35's CPU backend does for a job. */
int run_q35(void *contestant, size_t turn)
{
	const struct q35_contestant *c = contestant;
	const struct ground *g = c->ground;
	struct work w = {.ground = g, .kernels = c->kernels, .product = product_of(g)};
	struct q35_weights weights;

	format_init(c->format, g->setting.n, g->setting.k, &weights);
	if (w.product.n > c->outputs)
		w.product.n = c->outputs;
	w.product.codebook = weights.codebook;
	w.product.group = weights.group;
	w.product.meta_flags = weights.meta_flags;
	w.product.tiles = ground_weights(g, q35_tiles_size(weights.n, weights.k), turn);
	share(&w, w.product.m, prepare_piece);
	share(&w, q35_div_up(w.product.n, Q35_BLOCK_N), q35_piece);
	return DONE;
}

static void int4_piece(void *context, size_t index)
{
	const struct work *w = context;
	const size_t blocks = q35_div_up(w->product.n, 64);

	int4_gemm(&w->product, w->ground->scratch, w->weights, w->ground->meta,
		  (uint32_t)piece_start(w, blocks, index),
		  (uint32_t)piece_start(w, blocks, index + 1));
}

int run_int4(void *ground, size_t turn)
{
	const struct ground *g = ground;
	struct work w = {.ground = g, .kernels = q35_kernels_get(), .product = product_of(g)};

	w.weights = ground_weights(g, int4_codes_size(g->setting.n, g->setting.k), turn);
	share(&w, w.product.m, prepare_piece);
	share(&w, q35_div_up(w.product.n, 64), int4_piece);
	return DONE;
}

int run_openblas(void *ground, size_t turn)
{
	const struct ground *g = ground;
	const struct setting *s = &g->setting;

	openblas_multiply(s->m, s->n, s->k, g->x,
			  ground_weights(g, sizeof(float) * s->n * s->k, turn), g->y);
	return DONE;
}

static void read_piece(void *context, size_t index)
{
	struct work *w = context;
	const size_t start = piece_start(w, w->lines, index);
	const size_t end = piece_start(w, w->lines, index + 1);

	atomic_fetch_add(&w->sum, machine_read((const char *)w->weights + 64 * start,
					       64 * (end - start), w->ahead));
}

static int read_weights(const struct ground *g, size_t turn, bool ahead)
{
	const size_t bytes = q35_weights_bytes(g->setting.n, g->setting.k);
	struct work w = {.ground = g, .lines = bytes / 64, .ahead = ahead};

	w.weights = ground_weights(g, bytes, turn);
	share(&w, w.lines, read_piece);
	return DONE;
}

int run_read(void *ground, size_t turn)
{
	return read_weights(ground, turn, false);
}

int run_read_ahead(void *ground, size_t turn)
{
	return read_weights(ground, turn, true);
}

static void multiply_piece(void *context, size_t index)
{
	(void)context;
	(void)index;
	machine_multiply();
}

int run_multiply(void *ground, size_t turn)
{
	const struct ground *g = ground;

	(void)turn;
	q35_parallel(g->pool, g->setting.threads, multiply_piece, NULL);
	return DONE;
}
