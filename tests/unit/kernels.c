// SPDX-License-Identifier: MIT
/*
 * Every implementation of the kernels against the reference, bit for bit, on random products; and
 * the reference against ordinary arithmetic.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codebook.h"
#include "kernels.h"
#include "q35.h"
#include "random.h"

#include "kselftest_harness.h"

#define PRODUCTS 400
#define OPERANDS 10

/* A product whose operands each end at a page that cannot be touched. */
struct sample {
	struct q35_product p;
	void *scratch;
	size_t y_size;
	struct {
		void *base;
		size_t size;
	} mapping[OPERANDS];
	unsigned int mappings;
};

static void *guarded(struct sample *s, size_t size)
{
	size_t page = sysconf(_SC_PAGESIZE);
	size_t whole = (size + page - 1) / page * page;
	char *base = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	if (base == MAP_FAILED || mprotect(base + whole, page, PROT_NONE))
		abort();
	s->mapping[s->mappings].base = base;
	s->mapping[s->mappings++].size = whole + page;
	return base + whole - size;
}

static void release(struct sample *s)
{
	while (s->mappings--)
		munmap(s->mapping[s->mappings].base, s->mapping[s->mappings].size);
	free(s->scratch);
}

static size_t type_size(uint8_t type)
{
	return type == Q35_HW_F32 ? 4 : type == Q35_HW_I8 ? 1 : 2;
}

static void put(uint8_t type, void *at, size_t index, float value)
{
	switch (type) {
	case Q35_HW_F32:
		((float *)at)[index] = value;
		break;
	case Q35_HW_F16:
		((uint16_t *)at)[index] = q35_f32_to_f16(value);
		break;
	case Q35_HW_BF16:
		((uint16_t *)at)[index] = q35_f32_to_bf16(value);
		break;
	default:
		((int8_t *)at)[index] = (int8_t)value;
	}
}

static void fill_bytes(struct random *r, void *at, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)at)[i] = random_bits(r) >> 56;
}

/* Values of every magnitude, with zeros, whole rows of them, and here and there a NaN. */
static void fill_matrix(struct random *r, uint8_t type, char *at, uint32_t rows, uint32_t columns,
			size_t stride)
{
	for (uint32_t i = 0; i < rows; i++) {
		double size = ldexp(1, (int)random_below(r, 24) - 12);
		uint32_t kind = random_below(r, 24);

		if (type == Q35_HW_I8) {
			fill_bytes(r, at + i * stride, columns);
			continue;
		}
		for (uint32_t j = 0; j < columns; j++)
			put(type, at + i * stride, j, kind ? random_normal(r) * size : 0);
		if (kind == 1)
			put(type, at + i * stride, random_below(r, columns), NAN);
		if (kind == 2)
			put(type, at + i * stride, random_below(r, columns), -INFINITY);
		if (kind == 3)
			put(type, at + i * stride, random_below(r, columns), 1e38);
		if (kind == 4) /* subnormal: the scale has a few bits */
			for (uint32_t j = 0; j < columns; j++)
				put(type, at + i * stride, j,
				    (float)random_below(r, 300) * 0x1p-149f);
	}
}

static size_t random_stride(struct random *r, uint32_t columns, uint8_t type)
{
	return (columns + random_below(r, 3)) * type_size(type);
}

static void make_meta(struct random *r, struct sample *s)
{
	struct q35_product *p = &s->p;
	size_t size = q35_format_meta_size(p->n, p->k, p->group, p->meta_flags);
	size_t row = (size_t)q35_div_up(p->n, 64) * 64;
	uint8_t *meta = guarded(s, size);

	for (size_t i = 0; i < size / 2; i++)
		((uint16_t *)meta)[i] = q35_f32_to_f16(random_normal(r) * 0.01);
	if (p->meta_flags & Q35_META_MULTIPLIER)
		fill_bytes(r, meta + 2 * row, q35_format_groups(p->k, p->group) * row);
	p->meta = meta;
}

static void shuffle(struct random *r, uint8_t *order, unsigned int n)
{
	unsigned int i, j;
	uint8_t t;

	for (i = 0; i < n; i++)
		order[i] = i;
	for (i = n - 1; i > 0; i--) {
		j = random_below(r, i + 1);
		t = order[i];
		order[i] = order[j];
		order[j] = t;
	}
}

/*
 * Of one parity, even codes: by the sum of what a window's halves stand for, one of 16 cells, plus what
 * the newer half adds; the outermost cells have any levels. Of 7 bits the oldest does not matter.
 */
static void fill_cells(struct random *r, int8_t *codebook, unsigned int bits)
{
	uint8_t newer[16], older[16], base[16], fine[16];
	unsigned int i, cell, level;

	shuffle(r, newer, 16);
	shuffle(r, older, 1 << (bits - 4));
	for (i = 16; bits == 7 && i-- > 0;) {
		newer[i] ^= newer[0] & 1;
		older[i] = 2 * older[i % 8];
	}
	for (i = 0; i < 16; i++) {
		base[i] = 16 + 5 * i + random_below(r, 3);
		fine[i] = random_below(r, 4);
	}
	for (i = 0; i < 256; i++) {
		cell = (newer[i % 16] + older[i / 16]) % 16;
		level = base[cell] + fine[i % 16];
		if (cell == 0)
			level = random_below(r, 5);
		if (cell == 15)
			level = 127 - random_below(r, 20);
		if (bits == 7 && i >= 128)
			level = codebook[i - 128] / 2 + 64;
		codebook[i] = 2 * ((int)level - 64);
	}
}

static void make_weights(struct random *r, struct sample *s)
{
	struct q35_product *p = &s->p;
	uint8_t *tiles = guarded(s, q35_format_tiles_size(p->n, p->k));
	int8_t *codebook = guarded(s, Q35_CODEBOOK_BYTES);
	unsigned int bits = 4 + random_below(r, 5), i;

	fill_bytes(r, tiles, q35_format_tiles_size(p->n, p->k));
	p->tiles = tiles;
	fill_bytes(r, codebook, Q35_CODEBOOK_BYTES);
	for (i = 0; i < Q35_CODEBOOK_BYTES; i++)
		codebook[i] = codebook[(i & 256) | (i & ((1 << bits) - 1))];
	if (random_below(r, 3) == 0) {
		bits = 7 + random_below(r, 2);
		fill_cells(r, codebook, bits);
		fill_cells(r, codebook + 256, bits);
		if (random_below(r, 4) == 0) /* not quite */
			codebook[random_below(r, Q35_CODEBOOK_BYTES)] ^= 1 << random_below(r, 8);
	}
	p->codebook = codebook;
	make_meta(r, s);
}

static void make_operands(struct random *r, struct sample *s)
{
	struct q35_product *p = &s->p;
	uint32_t blocks = p->act_block ? q35_div_up(p->k, p->act_block) : 1;
	float *scale, *bias;
	void *x, *aux;

	p->x_stride = random_stride(r, p->k, p->x_type);
	x = guarded(s, p->x_stride * (p->m - 1) + p->k * type_size(p->x_type));
	fill_matrix(r, p->x_type, x, p->m, p->k, p->x_stride);
	p->x = x;
	if (p->x_type == Q35_HW_I8) {
		scale = guarded(s, (size_t)p->m * blocks * sizeof(*scale));
		fill_matrix(r, Q35_HW_F32, (char *)scale, p->m, blocks, blocks * sizeof(*scale));
		p->x_scale = scale;
	}
	if (random_below(r, 2)) {
		bias = guarded(s, p->n * sizeof(*bias));
		for (uint32_t i = 0; i < p->n; i++)
			bias[i] = random_normal(r);
		p->bias = bias;
	}
	if (p->combine) {
		p->aux_stride = random_stride(r, p->n, p->aux_type);
		aux = guarded(s, p->aux_stride * (p->m - 1) + p->n * type_size(p->aux_type));
		fill_matrix(r, p->aux_type, aux, p->m, p->n, p->aux_stride);
		p->aux = aux;
	}
	p->y_stride = random_stride(r, p->n, p->y_type);
	s->y_size = p->y_stride * (p->m - 1) + p->n * type_size(p->y_type);
}

static void make_sample(struct random *r, struct sample *s)
{
	static const uint16_t act_blocks[] = {0, 32, 64, 128}, groups[] = {0, 128, 256};
	struct q35_product *p = &s->p;

	memset(s, 0, sizeof(*s));
	p->m = 1 + random_below(r, random_below(r, 8) ? 20 : 150);
	p->n = 1 + random_below(r, 200);
	p->k = 1 + random_below(r, random_below(r, 2) ? 100 : 900);
	p->act_block = act_blocks[random_below(r, 4)];
	p->group = groups[random_below(r, 3)];
	p->x_type = random_below(r, 4);
	p->aux_type = random_below(r, 3);
	p->y_type = random_below(r, 3);
	p->activation = random_below(r, 4);
	p->combine = random_below(r, 3);
	p->meta_flags = random_below(r, p->group ? 4 : 2);
	make_weights(r, s);
	make_operands(r, s);
	s->scratch = aligned_alloc(64, q35_scratch_size(p));
}

static void describe(char *out, size_t size, const struct q35_product *p)
{
	snprintf(
		out, size,
		"m %u n %u k %u act_block %u group %u types %u %u %u activation %u combine %u meta %u",
		p->m, p->n, p->k, p->act_block, p->group, p->x_type, p->aux_type, p->y_type,
		p->activation, p->combine, p->meta_flags);
}

/* The result of kernels in blocks of its own and in another order. */
static void multiply(struct sample *s, const struct q35_kernels *kernels, void *y, uint32_t step)
{
	uint32_t blocks = q35_div_up(s->p.n, 64), b, end;
	size_t block = (size_t)q35_div_up(s->p.k, 8) * Q35_BLOCK_BYTES;

	memset(y, 0xa5, s->y_size);
	memset(s->scratch, 0xa5, q35_scratch_size(&s->p));
	kernels->prepare(&s->p, s->scratch, 0, s->p.m);
	s->p.y = y;
	for (b = blocks; b > 0; b -= end) {
		end = b < step ? b : step;
		kernels->gemm(&s->p, s->scratch, s->p.tiles + (b - end) * block, b - end, b);
	}
}

TEST(all_kernels_give_the_bits_of_the_reference)
{
	const char *text = getenv("Q35_TEST_SEED"); /* any number but 0: other products */
	const uint64_t seed = text ? strtoull(text, NULL, 0) : 35;
	const struct q35_kernels *const *k;
	struct random r = {seed};
	struct sample s;
	char what[160];
	unsigned int i;

	ASSERT_NE(0, seed);
	TH_LOG("seed %llu", (unsigned long long)seed);

	for (i = 0; i < PRODUCTS; i++) {
		void *expected, *actual;

		make_sample(&r, &s);
		expected = guarded(&s, s.y_size);
		actual = guarded(&s, s.y_size);
		describe(what, sizeof(what), &s.p);
		multiply(&s, &q35_kernels_ref, expected, UINT32_MAX);
		for (k = q35_kernels_all(); *k; k++) {
			if (!(*k)->supported())
				continue;
			multiply(&s, *k, actual, 1 + random_below(&r, 3));
			ASSERT_EQ(0, memcmp(expected, actual, s.y_size))
			{
				TH_LOG("product %u, %s: %s", i, (*k)->name, what);
			}
		}
		release(&s);
	}
}

TEST(avx2_decodes_what_it_can_by_shuffles)
{
#if defined(__x86_64__)
	struct random random = {31};
	int8_t codebook[Q35_CODEBOOK_BYTES];

	if (!q35_kernels_avx2.supported())
		SKIP(return, "this processor has no AVX2");
	for (enum q35_format f = Q35_T8; f <= Q35_T4; f++)
		EXPECT_TRUE(q35_avx2_shuffles(q35_codebook(f)));
	for (unsigned int i = 0; i < 100; i++) {
		fill_cells(&random, codebook, 7 + i % 2);
		fill_cells(&random, codebook + 256, 7 + i % 2);
		EXPECT_TRUE(q35_avx2_shuffles(codebook));
		codebook[random_below(&random, Q35_CODEBOOK_BYTES)] ^= 1;
		EXPECT_FALSE(q35_avx2_shuffles(codebook));
	}
	fill_bytes(&random, codebook, Q35_CODEBOOK_BYTES);
	EXPECT_FALSE(q35_avx2_shuffles(codebook));
#else
	SKIP(return, "not an x86");
#endif
}

TEST(sums_of_the_longest_rows_do_not_overflow)
{
	enum { M = 4, N = 64, K = 131072 };
	static int8_t x[M][K], codebook[Q35_CODEBOOK_BYTES];
	const struct q35_kernels *const *kernels = q35_kernels_all();
	struct random random = {41};
	float y[M][N], scale[M] = {1, 1, 1, 1};
	uint16_t meta[N];
	struct q35_product p = {.n = N,
				.k = K,
				.x_type = Q35_HW_I8,
				.x = x,
				.x_stride = K,
				.x_scale = scale,
				.codebook = codebook,
				.meta = meta,
				.y = y,
				.y_stride = sizeof(y[0])};
	size_t size = q35_format_tiles_size(N, K);
	uint8_t *tiles = malloc(size);
	void *scratch;

	memset(tiles, 0xff, size);
	memset(x, 127, sizeof(x));
	for (unsigned int i = 0; i < N; i++)
		meta[i] = q35_f32_to_f16(1);
	for (unsigned int parity = 0; parity < 2; parity++)
		while (codebook[256 * parity + 255] != 126)
			fill_cells(&random, codebook + 256 * parity, 8);
	p.tiles = tiles;
	for (; *kernels; kernels++) {
		if (!(*kernels)->supported())
			continue;
		for (p.m = 1; p.m <= M; p.m += M - 1) {
			scratch = aligned_alloc(64, q35_scratch_size(&p));
			memset(y, 0, sizeof(y));
			(*kernels)->prepare(&p, scratch, 0, p.m);
			(*kernels)->gemm(&p, scratch, tiles, 0, 1);
			for (unsigned int i = 0; i < p.m * N; i++)
				ASSERT_EQ(126.f * 127 * K, y[i / N][i % N])
				{
					TH_LOG("%s, m %u", (*kernels)->name, p.m);
				}
			free(scratch);
		}
	}
	free(tiles);
}

TEST(reference_is_the_product_of_the_dequantized_operands)
{
	enum { M = 3, N = 70, K = 300, BLOCK = 64 };
	static float x[M][K], y[M][N], w[N][K], bias[N];
	uint16_t group = 128;
	struct random r = {7};
	struct sample s = {0};
	struct q35_weights weights;

	s.p = (struct q35_product){.m = M,
				   .n = N,
				   .k = K,
				   .act_block = BLOCK,
				   .group = group,
				   .meta_flags = Q35_META_ZERO,
				   .x = x,
				   .x_stride = sizeof(x[0]),
				   .bias = bias,
				   .y = y,
				   .y_stride = sizeof(y[0])};
	make_weights(&r, &s);
	q35_weights_init(&weights, Q35_T8, N, K);
	memcpy(weights.codebook, s.p.codebook, sizeof(weights.codebook));
	weights.group = group;
	weights.meta_flags = s.p.meta_flags;
	weights.tiles = s.p.tiles;
	weights.meta = s.p.meta;
	ASSERT_EQ(0, q35_dequantize(&weights, 0, N, w[0]));
	for (int m = 0; m < M; m++)
		for (int k = 0; k < K; k++)
			x[m][k] = random_normal(&r);
	for (int n = 0; n < N; n++)
		bias[n] = random_normal(&r);
	s.scratch = aligned_alloc(64, q35_scratch_size(&s.p));
	q35_kernels_ref.prepare(&s.p, s.scratch, 0, M);
	q35_kernels_ref.gemm(&s.p, s.scratch, s.p.tiles, 0, 2);

	for (int m = 0; m < M; m++) {
		double q[K];

		for (int k = 0; k < K; k += BLOCK) {
			int end = k + BLOCK < K ? k + BLOCK : K;
			float max = 0;

			for (int i = k; i < end; i++)
				max = fmaxf(max, fabsf(x[m][i]));
			for (int i = k; i < end; i++)
				q[i] = rint(x[m][i] / (max / 127)) * (max / 127);
		}
		for (int n = 0; n < N; n++) {
			double sum = bias[n], size = 0;

			for (int k = 0; k < K; k++) {
				sum += q[k] * w[n][k];
				size += fabs(q[k] * w[n][k]);
			}
			EXPECT_LT(fabs(sum - y[m][n]), 1e-6 * size);
		}
	}
	release(&s);
}

TEST(a_row_that_is_not_finite_is_all_nan_and_disturbs_no_other)
{
	enum { M = 9, N = 65, K = 130, BAD = 4 };
	static float x[M][K], y[M][N], expected[M][N];
	const float bad[] = {NAN, INFINITY, -INFINITY};
	const struct q35_kernels *const *k;
	struct random r = {9};
	struct sample s = {0};
	uint32_t bits;

	s.p = (struct q35_product){.m = M,
				   .n = N,
				   .k = K,
				   .act_block = 32,
				   .x = x,
				   .x_stride = sizeof(x[0]),
				   .y_stride = sizeof(y[0]),
				   .activation = Q35_HW_ACT_RELU};
	make_weights(&r, &s);
	s.scratch = aligned_alloc(64, q35_scratch_size(&s.p));
	for (int m = 0; m < M; m++)
		for (int i = 0; i < K; i++)
			x[m][i] = random_normal(&r);
	q35_kernels_ref.prepare(&s.p, s.scratch, 0, M);
	s.p.y = expected;
	q35_kernels_ref.gemm(&s.p, s.scratch, s.p.tiles, 0, 2);
	s.p.y = y;
	for (unsigned int i = 0; i < 3 * K; i++) {
		float good = x[BAD][i % K];

		x[BAD][i % K] = bad[i / K];
		for (k = q35_kernels_all(); *k; k++) {
			if (!(*k)->supported())
				continue;
			(*k)->prepare(&s.p, s.scratch, 0, M);
			(*k)->gemm(&s.p, s.scratch, s.p.tiles, 0, 2);
			for (int m = 0; m < M; m++) {
				if (m != BAD) {
					ASSERT_EQ(0, memcmp(y[m], expected[m], sizeof(y[m])));
					continue;
				}
				for (int n = 0; n < N; n++) {
					memcpy(&bits, &y[m][n], sizeof(bits));
					ASSERT_EQ(0x7fc00000, bits);
				}
			}
		}
		x[BAD][i % K] = good;
	}
	release(&s);
}

TEST(padding_contributes_nothing)
{
	enum { M = 2, N = 5, K = 11 };
	static float x[M][K], y[M][N], expected[M][N];
	const struct q35_kernels *const *k;
	struct random r = {11};
	struct sample s = {0};
	uint8_t *tiles;

	s.p = (struct q35_product){.m = M,
				   .n = N,
				   .k = K,
				   .act_block = 32,
				   .meta_flags = Q35_META_ZERO,
				   .x = x,
				   .x_stride = sizeof(x[0]),
				   .y_stride = sizeof(y[0])};
	make_weights(&r, &s);
	tiles = (uint8_t *)s.p.tiles;
	s.scratch = aligned_alloc(64, q35_scratch_size(&s.p));
	for (int m = 0; m < M; m++)
		for (int i = 0; i < K; i++)
			x[m][i] = random_normal(&r);
	q35_kernels_ref.prepare(&s.p, s.scratch, 0, M);
	s.p.y = expected;
	q35_kernels_ref.gemm(&s.p, s.scratch, tiles, 0, 1);
	s.p.y = y;
	/*
	 * In the second step inputs 11 … 15 are padding: of each output's 28 bits those from 11 on.
	 * The last 4 belong to the next output's first window as well.
	 */
	for (int n = 0; n < 16; n++)
		for (int b = 28 * n + (n < N ? 11 : 0); b < 28 * n + 24; b++)
			tiles[224 + b / 8] ^= 1 << b % 8;
	for (unsigned int i = 56; i < 224; i++)
		tiles[i] ^= 0xff;
	for (k = q35_kernels_all(); *k; k++) {
		if (!(*k)->supported())
			continue;
		memset(y, 0, sizeof(y));
		(*k)->gemm(&s.p, s.scratch, tiles, 0, 1);
		EXPECT_EQ(0, memcmp(y, expected, sizeof(y)));
	}
	release(&s);
}

TEST(the_environment_chooses_the_kernels)
{
	const struct q35_kernels *const *k;

	for (k = q35_kernels_all(); *k; k++) {
		setenv("Q35_ISA", (*k)->name, 1);
		ASSERT_EQ((*k)->supported() ? *k : NULL, q35_kernels_get());
	}
	setenv("Q35_ISA", "mmx", 1);
	ASSERT_EQ(NULL, q35_kernels_get());
	unsetenv("Q35_ISA");
	ASSERT_NE(NULL, q35_kernels_get());
}

TEST_HARNESS_MAIN
