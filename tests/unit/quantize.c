// SPDX-License-Identifier: MIT
/*
 * The quantizer: quality, awkward columns, refusals, and that the result depends on nothing but the
 * weights.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codebook.h"
#include "decode.h"
#include "q35.h"
#include "quantized.h"
#include "random.h"
#include "viterbi.h"

#include "kselftest_harness.h"

struct matrix {
	uint32_t n, k;
	float *w;
	uint32_t next; /* row that read must deliver next */
	int bad_order;
	uint32_t progress, stop_at;
};

static int read_rows(void *context, uint32_t row, uint32_t count, float *out)
{
	struct matrix *m = context;

	m->bad_order |= row != m->next || count > 64 || row + count > m->n;
	m->next = row + count;
	memcpy(out, m->w + (size_t)row * m->k, sizeof(float) * count * m->k);
	return 0;
}

static int progress(void *context, uint32_t rows)
{
	struct matrix *m = context;

	m->progress = rows;
	return m->stop_at && rows >= m->stop_at;
}

static int read_fails(void *context, uint32_t row, uint32_t count, float *out)
{
	(void)context, (void)row, (void)count, (void)out;
	return -EIO;
}

static struct result quantize(struct matrix *m, enum q35_format format, uint16_t group,
			      uint8_t flags, unsigned int threads)
{
	struct q35_quantize_options options = {.format = format,
					       .threads = threads,
					       .read = read_rows,
					       .progress = progress,
					       .context = m};

	m->next = 0;
	return quantize_matrix(&options, NULL, m->n, m->k, group, flags);
}

static struct matrix make(uint32_t n, uint32_t k)
{
	return (struct matrix){.n = n, .k = k, .w = calloc((size_t)n * k, sizeof(float))};
}

static struct matrix normal(uint32_t n, uint32_t k, double size)
{
	struct matrix m = make(n, k);
	struct random r = {3};

	for (size_t i = 0; i < (size_t)n * k; i++)
		m.w[i] = random_normal(&r) * size;
	return m;
}

/* RMSE in percent of the standard deviation, from the decoded weights. */
static double rmse(const struct matrix *m, const struct result *r)
{
	size_t count = (size_t)m->n * m->k;
	float *out = malloc(count * sizeof(float));
	double sum = 0, squares = 0, errors = 0;

	if (q35_dequantize(&r->w, 0, m->n, out))
		abort();
	for (size_t i = 0; i < count; i++) {
		double e = m->w[i] - out[i];

		sum += m->w[i];
		squares += (double)m->w[i] * m->w[i];
		errors += e * e;
	}
	free(out);
	return 100 * sqrt(errors / (squares - sum * sum / count));
}

TEST(error_on_normal_weights_is_what_each_format_promises)
{
	static const struct {
		enum q35_format format;
		uint16_t group;
		uint8_t flags;
		double low, high;
	} promise[] = {
		{Q35_T8, 0, 0, 10, 10.1},	 {Q35_T8, 256, Q35_META_MULTIPLIER, 9.87, 9.96},
		{Q35_T8, 128, 0, 9.75, 9.84},	 {Q35_S_MINMAX, 0, 0, 22.5, 24},
		{Q35_S_LLOYD, 0, 0, 14.7, 14.9}, {Q35_T7, 0, 0, 10.37, 10.47},
		{Q35_T6, 0, 0, 10.85, 11},	 {Q35_T5, 0, 0, 11.65, 11.8},
		{Q35_T4, 0, 0, 12.8, 12.95},
	};
	struct matrix m = normal(64, 4096, 0.02);

	for (unsigned int i = 0; i < ARRAY_SIZE(promise); i++) {
		struct result r =
			quantize(&m, promise[i].format, promise[i].group, promise[i].flags, 1);
		double error = rmse(&m, &r), var = r.stats.sum_squares / r.stats.count;

		ASSERT_EQ(0, r.ret);
		EXPECT_GT(error, promise[i].low);
		EXPECT_LT(error, promise[i].high);
		EXPECT_EQ((uint64_t)m.n * m.k, r.stats.count);
		EXPECT_LT(fabs(100 * sqrt(r.stats.error_squares / r.stats.count / var) / error - 1),
			  1e-3);
		release(&r);
	}
	free(m.w);
}

TEST(result_depends_on_neither_threads_nor_processor)
{
	static const char *const isa[] = {"ref", "avx2", "avx512"};
	struct matrix m = normal(130, 75, 1);

	setenv("Q35_ISA", "ref", 1);
	for (int format = Q35_T8; format <= Q35_T4; format++) {
		struct result first = quantize(&m, format, 0, 0, 1);

		ASSERT_EQ(0, first.ret);
		for (unsigned int i = 0; i < 9; i++) {
			struct result r;

			setenv("Q35_ISA", isa[i / 3], 1);
			r = quantize(&m, format, 0, 0, 1 + i % 3);
			ASSERT_EQ(0, r.ret);
			EXPECT_EQ(0, m.bad_order);
			EXPECT_EQ(130, m.progress);
			EXPECT_EQ(0, memcmp(first.tiles, r.tiles, r.tiles_size));
			EXPECT_EQ(0, memcmp(first.meta, r.meta, r.meta_size));
			EXPECT_EQ(0, memcmp(&first.stats, &r.stats, sizeof(r.stats)));
			release(&r);
		}
		release(&first);
	}
	unsetenv("Q35_ISA");
	free(m.w);
}

TEST(every_small_shape_is_quantized_and_comes_back)
{
	struct random random = {5};

	for (unsigned int i = 0; i < 200; i++) {
		uint32_t n = 1 + random_below(&random, 70), k = 1 + random_below(&random, 40);
		struct matrix m = normal(i ? n : 1, i ? k : 1, 1);
		struct result r = quantize(&m, i % 7, i % 4 ? 0 : 128, 0, 1);
		float out[70 * 40], row[40];

		ASSERT_EQ(0, r.ret);
		ASSERT_EQ(0, q35_dequantize(&r.w, 0, m.n, out));
		for (uint32_t j = 0; j < m.n; j++) {
			ASSERT_EQ(0, q35_dequantize(&r.w, j, 1, row));
			ASSERT_EQ(0, memcmp(row, out + j * m.k, m.k * sizeof(float)));
		}
		EXPECT_LT(r.stats.error_squares, 0.09 * r.stats.sum_squares + 1e-12);
		release(&r);
		free(m.w);
	}
}

TEST(formats_have_names_without_gaps)
{
	ASSERT_STREQ("t8", q35_format_name(Q35_T8));
	ASSERT_STREQ("t4", q35_format_name(Q35_T4));
	ASSERT_EQ(NULL, q35_format_name(Q35_T4 + 1));
	ASSERT_EQ(NULL, q35_format_name(-1));
	for (int f = 0; f <= Q35_T4; f++)
		for (int g = 0; g < f; g++)
			ASSERT_STRNE(q35_format_name(f), q35_format_name(g));
}

TEST(columns_of_one_value_keep_it)
{
	static const float value[] = {0, 1, -1, 0.1f, -0.3f, 1e4f, 1e6f, -5e6f, 3e-4f};

	for (unsigned int i = 0; i < ARRAY_SIZE(value); i++) {
		for (int format = Q35_T8; format <= Q35_T4; format++) {
			struct matrix m = make(20, 50);
			struct result r;
			double limit;

			for (unsigned int j = 0; j < 20 * 50; j++)
				m.w[j] = value[i];
			r = quantize(&m, format, 0, 0, 1);
			ASSERT_EQ(0, r.ret);
			/* Rounding of the scale; Lloyd–Max levels need a zero-point within f16. */
			limit = format == Q35_S_LLOYD && fabsf(value[i]) > 65504 ? 0.06 : 1e-3;
			limit = fmax(limit * fabsf(value[i]), 119 * 0x1p-25);
			EXPECT_LE(sqrt(r.stats.error_squares / 1000), limit)
			{
				TH_LOG("format %d value %g", format, value[i]);
			}
			release(&r);
			free(m.w);
		}
	}
}

TEST(magnitudes_at_the_ends_of_f16_degrade_and_beyond_are_refused)
{
	for (int format = Q35_T8; format <= Q35_T4; format++) {
		for (int e = -40; e <= 30; e += 2) {
			struct matrix m = normal(17, 200, pow(10, e));
			struct result r = quantize(&m, format, 0, 0, 1);

			if (e >= 8) {
				EXPECT_EQ(-ERANGE, r.ret);
				EXPECT_NE(NULL, strstr(q35_error(NULL), "row 0 "));
			} else if (e >= -4) {
				ASSERT_EQ(0, r.ret);
				EXPECT_LT(r.stats.error_squares, 0.08 * r.stats.sum_squares);
			} else { /* never worse than zeros by more than rounding to f16 */
				ASSERT_EQ(0, r.ret);
				EXPECT_LE(r.stats.error_squares,
					  r.stats.sum_squares * (1 + 1e-9) + 17 * 200 * 0x1p-50)
				{
					TH_LOG("format %d 1e%d: %g of %g", format, e,
					       r.stats.error_squares, r.stats.sum_squares);
				}
			}
			release(&r);
			free(m.w);
		}
	}
}

TEST(one_huge_weight_does_not_make_its_column_worthless)
{
	struct matrix m = normal(16, 1024, 1);
	struct result r;

	m.w[5 * 1024 + 77] = 40;
	r = quantize(&m, Q35_T8, 0, 0, 1);
	ASSERT_EQ(0, r.ret);
	/* Scaled to reach it, the column would lose 30 % and more. */
	EXPECT_LT(rmse(&m, &r), 25);
	release(&r);
	free(m.w);
}

TEST(weights_that_are_not_finite_are_refused_by_row_and_column)
{
	static const float bad[] = {NAN, INFINITY, -INFINITY};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct matrix m = normal(300, 33, 1);
		struct result r;

		m.w[299 * 33] = bad[i];
		m.w[131 * 33 + 17] = bad[i];
		r = quantize(&m, Q35_T8, 0, 0, 3);
		EXPECT_EQ(-EDOM, r.ret);
		EXPECT_NE(NULL, strstr(q35_error(NULL), "row 131, column 17"));
		EXPECT_EQ(NULL, r.w.tiles);
		release(&r);
		free(m.w);
	}
}

TEST(malformed_requests_and_failing_callbacks_end_with_their_error)
{
	struct matrix m = normal(200, 16, 1);
	struct q35_quantize_options options = {.read = read_fails};
	struct q35_weights w;
	struct result r;
	float out;

	m.stop_at = 64;
	r = quantize(&m, Q35_T8, 0, 0, 1);
	EXPECT_EQ(-ECANCELED, r.ret);
	EXPECT_EQ(64, m.progress);
	q35_weights_init(&w, Q35_T8, 200, 16);
	EXPECT_EQ(-EIO, q35_quantize(&options, &w, r.tiles, r.meta, NULL));
	w.group = 100;
	EXPECT_EQ(-EINVAL, q35_quantize(&options, &w, r.tiles, r.meta, NULL));
	q35_weights_init(&w, Q35_T8, 0, 16);
	EXPECT_EQ(-EINVAL, q35_quantize(&options, &w, r.tiles, r.meta, NULL));
	q35_weights_init(&w, Q35_T8, 131073, 16);
	EXPECT_EQ(-EINVAL, q35_quantize(&options, &w, r.tiles, r.meta, NULL));
	q35_weights_init(&w, Q35_T8, 10, 16);
	EXPECT_EQ(-EINVAL, q35_dequantize(&w, 10, 1, &out));
	EXPECT_EQ(-EINVAL, q35_dequantize(&w, 1, UINT32_MAX, &out));
	release(&r);
	free(m.w);
}

TEST(all_encoders_find_the_walk_of_the_reference)
{
	static const struct q35_walker *const walker[] = {&q35_walker_avx2, &q35_walker_avx512};
	struct random random = {13};
	struct q35_trellis trellis;
	int8_t codebook[Q35_CODEBOOK_BYTES];

	for (unsigned int i = 0; i < 300; i++) {
		uint8_t expected[Q35_PAIR][Q35_TILE_BYTES], found[Q35_PAIR][Q35_TILE_BYTES];
		uint8_t *expect[] = {expected[0], expected[1]}, *find[] = {found[0], found[1]};
		uint8_t *swapped[] = {found[1], found[0]};
		int8_t code[Q35_PAIR][Q35_TILE_WEIGHTS], decoded[Q35_TILE_WEIGHTS];
		int16_t target[Q35_PAIR][Q35_TILE_WEIGHTS], mirrored[Q35_PAIR][Q35_TILE_WEIGHTS];

		memcpy(codebook, q35_codebook(i % 7), sizeof(codebook));
		for (unsigned int j = 0; i % 5 == 4 && j < sizeof(codebook); j++)
			codebook[j] = random_bits(&random) >> 56; /* anything, with many ties */
		q35_trellis_init(&trellis, codebook);
		for (unsigned int j = 0; j < Q35_PAIR * Q35_TILE_WEIGHTS; j++) {
			double t = random_normal(&random) * 36 * Q35_TARGET_ONE * (1 + i % 4);
			int16_t *at = &target[j / Q35_TILE_WEIGHTS][j % Q35_TILE_WEIGHTS];

			*at = t > 32767 ? 32767 : t < -32767 ? -32767 : t;
			if (!random_below(&random, 1 + i % 40))
				*at = Q35_TARGET_ANY;
		}
		trellis.walker = &q35_walker_ref;
		q35_trellis_encode(&trellis, target, expect, code);
		for (unsigned int t = 0; t < Q35_PAIR; t++) {
			q35_decode_tile(expected[t], codebook, decoded);
			ASSERT_EQ(0, memcmp(code[t], decoded, sizeof(decoded)));
		}
		memcpy(mirrored[0], target[1], sizeof(target[1]));
		memcpy(mirrored[1], target[0], sizeof(target[0]));
		q35_trellis_encode(&trellis, mirrored, swapped, code);
		ASSERT_EQ(0, memcmp(expected, found, sizeof(found)));
		for (unsigned int j = 0; j < ARRAY_SIZE(walker); j++) {
			const struct q35_kernels *const *k = q35_kernels_all();

			while (*k && strcmp((*k)->name, walker[j]->isa))
				k++;
			if (!*k || !(*k)->supported())
				continue;
			trellis.walker = walker[j];
			memset(found, 0, sizeof(found));
			q35_trellis_encode(&trellis, target, find, code);
			ASSERT_EQ(0, memcmp(expected, found, sizeof(found)));
		}
	}
}

/* Adds a tile's targets, in codes, to the windows that its weights decode from. */
static void add_to_windows(const int16_t target[Q35_TILE_WEIGHTS],
			   const uint8_t tile[Q35_TILE_BYTES], double sum[2][256],
			   double count[2][256])
{
	unsigned int window = 0, bit;

	for (bit = Q35_TILE_BITS - 8; bit < Q35_TILE_BITS; bit++)
		window = window << 1 | q35_tile_bit(tile, bit);
	bit = 0;
	for (unsigned int i = 0; i < Q35_TILE_WEIGHTS; i++) {
		for (int n = i % 2 ? 3 : 4; n; n--)
			window = (window << 1 | q35_tile_bit(tile, bit++)) & 0xff;
		sum[i % 2][window] += (double)target[i] / Q35_TARGET_ONE;
		count[i % 2][window]++;
	}
}

TEST(codebook_is_a_fixed_point_of_its_training)
{
	/* Lloyd: each level is the mean of the normal numbers that are encoded by its window. */
	enum { PAIRS = 3000 };
	const int8_t *codebook = q35_codebook(Q35_T8);
	double sum[2][256] = {0}, count[2][256] = {0};
	struct random random = {17};
	struct q35_trellis trellis;

	q35_trellis_init(&trellis, codebook);
	for (unsigned int p = 0; p < PAIRS; p++) {
		int16_t target[Q35_PAIR][Q35_TILE_WEIGHTS];
		int8_t code[Q35_PAIR][Q35_TILE_WEIGHTS];
		uint8_t tile[Q35_PAIR][Q35_TILE_BYTES], *tiles[] = {tile[0], tile[1]};

		for (unsigned int t = 0; t < Q35_PAIR; t++) {
			for (unsigned int i = 0; i < Q35_TILE_WEIGHTS; i++) {
				double x = random_normal(&random) * 34.6 * Q35_TARGET_ONE;

				target[t][i] = x > 32767 ? 32767 : x < -32767 ? -32767 : rint(x);
			}
		}
		q35_trellis_encode(&trellis, target, tiles, code);
		for (unsigned int t = 0; t < Q35_PAIR; t++)
			add_to_windows(target[t], tile[t], sum, count);
	}
	for (unsigned int i = 0; i < Q35_CODEBOOK_SIZE; i++) {
		double n = count[i / 256][i % 256];

		/* A window's numbers spread by about 4 codes; windows at the ends are rare. */
		if (n > 100)
			EXPECT_LT(fabs(sum[i / 256][i % 256] / n - codebook[i]),
				  0.7 + 4 * 5 / sqrt(n))
			{
				TH_LOG("entry %u of %f", i, n);
			}
	}
}

TEST_HARNESS_MAIN
