// SPDX-License-Identifier: MIT
/*
 * Golden vectors: tests/golden/NAME.txt holds the operands of one product and its result, and must
 * never change, for it is the format. Each line is the name of a field, the size of its elements
 * and the elements in hexadecimal. With Q35_UPDATE_GOLDEN=1 in the
 * environment the files are written instead of compared.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "q35.h"
#include "random.h"

#include "kselftest_harness.h"

#define MAX_M 5
#define MAX_N 20
#define MAX_K 300

struct golden {
	const char *name;
	enum q35_format format;
	uint16_t group;
	uint8_t flags;
	struct q35_product p;
};

static const struct golden all[] = {
	{"t8", Q35_T8, 0, 0, {.m = 2, .n = 20, .k = 40, .act_block = 32}},
	{"t7", Q35_T7, 0, 0, {.m = 2, .n = 20, .k = 40, .act_block = 32}},
	{"s-minmax",
	 Q35_S_MINMAX,
	 0,
	 0,
	 {.m = 3,
	  .n = 7,
	  .k = 50,
	  .act_block = 0,
	  .x_type = Q35_HW_BF16,
	  .activation = Q35_HW_ACT_GELU,
	  .y_type = Q35_HW_F16}},
	{"s-lloyd",
	 Q35_S_LLOYD,
	 0,
	 0,
	 {.m = 1,
	  .n = 16,
	  .k = 8,
	  .act_block = 64,
	  .x_type = Q35_HW_F16,
	  .activation = Q35_HW_ACT_SILU,
	  .combine = Q35_HW_COMBINE_MUL}},
	{"t8-groups",
	 Q35_T8,
	 128,
	 Q35_META_MULTIPLIER | Q35_META_ZERO,
	 {.m = MAX_M,
	  .n = 17,
	  .k = MAX_K,
	  .act_block = 128,
	  .y_type = Q35_HW_BF16,
	  .combine = Q35_HW_COMBINE_ADD}},
};

/* One product with everything that it needs, and what it gives. */
struct vectors {
	struct q35_weights weights;
	struct q35_product p;
	float w[MAX_N * MAX_K], bias[MAX_N], aux[MAX_M * MAX_N];
	uint32_t x[MAX_M * MAX_K], y[MAX_M * MAX_N]; /* of x_type and y_type, packed */
	uint8_t *tiles, *meta;
	void *scratch;
};

static size_t type_size(uint8_t type)
{
	return type == Q35_HW_F32 ? 4 : 2;
}

/* About normal; exact in f32, so the same wherever it is computed. */
static float small_number(struct random *r)
{
	int sum = 0;

	for (int i = 0; i < 12; i++)
		sum += random_below(r, 4096);
	return (float)(sum - 6 * 4095) / 65536;
}

static int read_rows(void *context, uint32_t row, uint32_t count, float *out)
{
	struct vectors *v = context;

	memcpy(out, v->w + row * v->p.k, sizeof(float) * count * v->p.k);
	return 0;
}

static void make(struct vectors *v, const struct golden *g)
{
	struct q35_quantize_options options = {
		.format = g->format, .threads = 1, .read = read_rows, .context = v};
	struct random r = {0x351935};
	uint32_t i;

	memset(v, 0, sizeof(*v));
	v->p = g->p;
	for (i = 0; i < v->p.n * v->p.k; i++)
		v->w[i] = small_number(&r);
	for (i = 0; i < v->p.m * v->p.k; i++) {
		float x = small_number(&r);

		if (v->p.x_type == Q35_HW_F32)
			memcpy(&v->x[i], &x, sizeof(x));
		else
			((uint16_t *)v->x)[i] =
				v->p.x_type == Q35_HW_F16 ? q35_f32_to_f16(x) : q35_f32_to_bf16(x);
	}
	for (i = 0; i < v->p.n; i++)
		v->bias[i] = small_number(&r);
	for (i = 0; i < v->p.m * v->p.n; i++)
		v->aux[i] = small_number(&r);

	q35_weights_init(&v->weights, g->format, v->p.n, v->p.k);
	v->weights.group = g->group;
	v->weights.meta_flags |= g->flags;
	v->tiles = malloc(q35_tiles_size(v->p.n, v->p.k));
	v->meta = malloc(q35_meta_size(v->p.n, v->p.k, g->group, v->weights.meta_flags));
	if (q35_quantize(&options, &v->weights, v->tiles, v->meta, NULL))
		abort();

	v->p.group = g->group;
	v->p.meta_flags = v->weights.meta_flags;
	v->p.x = v->x;
	v->p.x_stride = v->p.k * type_size(v->p.x_type);
	v->p.tiles = v->tiles;
	v->p.meta = v->meta;
	v->p.codebook = v->weights.codebook;
	v->p.bias = v->bias;
	v->p.aux = v->p.combine ? v->aux : NULL;
	v->p.aux_stride = v->p.combine ? v->p.n * sizeof(float) : 0;
	v->p.y = v->y;
	v->p.y_stride = v->p.n * type_size(v->p.y_type);
	v->scratch = aligned_alloc(64, q35_scratch_size(&v->p));
	q35_kernels_ref.prepare(&v->p, v->scratch, 0, v->p.m);
}

static void release(struct vectors *v)
{
	free(v->tiles);
	free(v->meta);
	free(v->scratch);
}

static void put(FILE *f, const char *name, const void *data, size_t size, size_t count)
{
	uint64_t element;

	fprintf(f, "%s %zu", name, size);
	for (size_t i = 0; i < count; i++) {
		element = 0;
		memcpy(&element, (const char *)data + i * size, size); /* little-endian */
		fprintf(f, " %0*" PRIx64, (int)size * 2, element);
	}
	fprintf(f, "\n");
}

static void print(FILE *f, const struct vectors *v)
{
	const struct q35_product *p = &v->p;
	uint32_t number[] = {p->m,	p->n,	       p->k,	  p->act_block,
			     p->group,	p->meta_flags, p->x_type, p->aux_type,
			     p->y_type, p->activation, p->combine};

	fprintf(f,
		"# m n k act_block group meta_flags x_type aux_type y_type activation combine\n");
	put(f, "product", number, 4, ARRAY_SIZE(number));
	put(f, "weights", v->w, 4, p->n * p->k);
	put(f, "codebook", p->codebook, 1, Q35_CODEBOOK_BYTES);
	put(f, "tiles", v->tiles, 1, q35_tiles_size(p->n, p->k));
	put(f, "meta", v->meta, 1, q35_meta_size(p->n, p->k, p->group, p->meta_flags));
	put(f, "x", v->x, type_size(p->x_type), p->m * p->k);
	put(f, "bias", v->bias, 4, p->n);
	put(f, "aux", v->aux, 4, p->combine ? p->m * p->n : 0);
	put(f, "y", v->y, type_size(p->y_type), p->m * p->n);
}

static char *print_to_memory(const struct vectors *v)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	print(f, v);
	fclose(f);
	return text;
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!f)
		return NULL;
	if (getdelim(&text, &size, '\0', f) < 0) {
		free(text);
		text = NULL;
	}
	fclose(f);
	return text;
}

static void write_file(const char *path, const struct vectors *v)
{
	FILE *f = fopen(path, "w");

	if (!f)
		abort();
	print(f, v);
	fclose(f);
}

TEST(quantizer_and_every_kernel_give_the_golden_bits)
{
	const char *update = getenv("Q35_UPDATE_GOLDEN");
	static struct vectors v;

	for (unsigned int i = 0; i < ARRAY_SIZE(all); i++) {
		const struct q35_kernels *const *k;
		char path[64], *expected, *actual;

		snprintf(path, sizeof(path), "tests/golden/%s.txt", all[i].name);
		make(&v, &all[i]);
		if (update && *update) {
			q35_kernels_ref.gemm(&v.p, v.scratch, v.tiles, 0, (v.p.n + 63) / 64);
			write_file(path, &v);
		}
		expected = read_file(path);
		ASSERT_NE(NULL, expected)
		{
			TH_LOG("%s cannot be read; run this from the repository's root", path);
		}
		for (k = q35_kernels_all(); *k; k++) {
			if (!(*k)->supported())
				continue;
			memset(v.y, 0, sizeof(v.y));
			(*k)->gemm(&v.p, v.scratch, v.tiles, 0, (v.p.n + 63) / 64);
			actual = print_to_memory(&v);
			EXPECT_EQ(0, strcmp(expected, actual))
			{
				TH_LOG("%s differs with %s kernels", path, (*k)->name);
			}
			free(actual);
		}
		free(expected);
		release(&v);
	}
}

TEST_HARNESS_MAIN
