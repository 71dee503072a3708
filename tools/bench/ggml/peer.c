// SPDX-License-Identifier: MIT
#include "ggml_peer.h"

#include <stdlib.h>
#include <string.h>

#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

static const enum ggml_type types[GGML_PEER_KINDS] = {
	GGML_TYPE_Q4_0, GGML_TYPE_IQ4_NL, GGML_TYPE_Q4_K, GGML_TYPE_Q3_K, GGML_TYPE_IQ3_S,
};

static double error(int kind, const float *w, size_t rows, size_t k, void *packed, float *room)
{
	const struct ggml_type_traits *traits = ggml_get_type_traits(types[kind]);
	double sum = 0, d;
	size_t i;

	ggml_quantize_chunk(types[kind], w, packed, 0, (int64_t)rows, (int64_t)k, NULL);
	traits->to_float(packed, room, (int64_t)(rows * k));
	for (i = 0; i < rows * k; i++) {
		d = (double)w[i] - room[i];
		sum += d * d;
	}
	return sum;
}

struct ggml_product {
	ggml_backend_t backend;
	struct ggml_threadpool *pool;
	struct ggml_context *weights_context, *context;
	ggml_backend_buffer_t weights_buffer, buffer;
	struct ggml_tensor *w;
	struct ggml_cgraph *graph;
};

static void close_product(struct ggml_product *p)
{
	if (!p)
		return;
	ggml_backend_buffer_free(p->weights_buffer);
	ggml_backend_buffer_free(p->buffer);
	ggml_free(p->weights_context);
	ggml_free(p->context);
	ggml_backend_free(p->backend);
	ggml_threadpool_free(p->pool);
	free(p);
}

/* The kind of memory whose tensors ggml's CPU backend keeps in an order of its own. */
static ggml_backend_buffer_type_t repacked_memory(void)
{
	ggml_backend_dev_t device = ggml_backend_reg_dev_get(ggml_backend_cpu_reg(), 0);
	ggml_backend_dev_get_extra_bufts_t get =
		(ggml_backend_dev_get_extra_bufts_t)ggml_backend_reg_get_proc_address(
			ggml_backend_cpu_reg(), "ggml_backend_dev_get_extra_bufts");
	ggml_backend_buffer_type_t *all = get ? get(device) : NULL;

	for (; all && *all; all++)
		if (!strcmp(ggml_backend_buft_name(*all), "CPU_REPACK"))
			return *all;
	return NULL;
}

static struct ggml_context *new_context(void)
{
	struct ggml_init_params params = {
		.mem_size = 8 * ggml_tensor_overhead() + ggml_graph_overhead(),
		.no_alloc = true,
	};

	return ggml_init(params);
}

/* Like libq35's, its threads sleep between products. */
static bool start_backend(struct ggml_product *p, unsigned int threads)
{
	struct ggml_threadpool_params params = ggml_threadpool_params_default((int)threads);

	params.poll = 0;
	p->pool = ggml_threadpool_new(&params);
	p->backend = ggml_backend_cpu_init();
	p->weights_context = new_context();
	p->context = new_context();
	if (!p->pool || !p->backend || !p->weights_context || !p->context)
		return false;
	ggml_backend_cpu_set_n_threads(p->backend, (int)threads);
	ggml_backend_cpu_set_threadpool(p->backend, p->pool);
	return true;
}

static bool build(struct ggml_product *p, int kind, bool repacked, uint32_t m, uint32_t n,
		  uint32_t k, const float *values)
{
	ggml_backend_buffer_type_t memory =
		repacked ? repacked_memory() : ggml_backend_cpu_buffer_type();
	struct ggml_tensor *x, *y;

	if (!memory || k % (uint32_t)ggml_blck_size(types[kind]))
		return false;
	p->w = ggml_new_tensor_2d(p->weights_context, types[kind], k, n);
	p->weights_buffer = ggml_backend_alloc_ctx_tensors_from_buft(p->weights_context, memory);
	/* extra is ggml's mark that it has an order for this type and shape. */
	if (!p->weights_buffer || (repacked && !p->w->extra))
		return false;
	x = ggml_new_tensor_2d(p->context, GGML_TYPE_F32, k, m);
	y = ggml_mul_mat(p->context, p->w, x);
	p->graph = ggml_new_graph(p->context);
	ggml_build_forward_expand(p->graph, y);
	p->buffer = ggml_backend_alloc_ctx_tensors(p->context, p->backend);
	if (!p->buffer)
		return false;
	ggml_backend_tensor_set(x, values, 0, sizeof(float) * m * k);
	return true;
}

static struct ggml_product *open_product(int kind, bool repacked, uint32_t m, uint32_t n,
					 uint32_t k, unsigned int threads, const float *x)
{
	struct ggml_product *p = calloc(1, sizeof(*p));

	if (p && start_backend(p, threads) && build(p, kind, repacked, m, n, k, x))
		return p;
	close_product(p);
	return NULL;
}

static size_t weights_size(const struct ggml_product *p)
{
	return ggml_nbytes(p->w);
}

static bool run(struct ggml_product *p, const void *weights)
{
	p->w->data = (void *)weights;
	return ggml_backend_graph_compute(p->backend, p->graph) == GGML_STATUS_SUCCESS;
}

static void discard(enum ggml_log_level level, const char *text, void *context)
{
	(void)level;
	(void)text;
	(void)context;
}

__attribute__((visibility("default"))) const struct ggml_peer *q35_ggml_peer(void)
{
	static struct ggml_peer peer = {
		.error = error,
		.open = open_product,
		.weights_size = weights_size,
		.run = run,
		.close = close_product,
	};
	int i;

	ggml_log_set(discard, NULL);
	ggml_cpu_init();
	for (i = 0; i < GGML_PEER_KINDS; i++) {
		peer.kinds[i].name = ggml_type_name(types[i]);
		peer.kinds[i].block = (uint32_t)ggml_blck_size(types[i]);
		peer.kinds[i].act_block =
			(uint32_t)ggml_blck_size(ggml_get_type_traits_cpu(types[i])->vec_dot_type);
		peer.kinds[i].bits =
			8.0 * (double)ggml_type_size(types[i]) / (double)ggml_blck_size(types[i]);
	}
	return &peer;
}
