// SPDX-License-Identifier: MIT
/*
 * Calibrated quantization: products are more exact by what format and theory promise, on inputs that
 * the calibration has not seen; and what it refuses.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "calibrate.h"
#include "q35.h"
#include "quantized.h"
#include "random.h"

#include "kselftest_harness.h"

/* ---- Inputs whose second moments fall by a power law --------------------------------------------- */

#define MIRRORS 12

struct source {
	struct random random;
	uint32_t k;
	float *size; /* of each independent part */
	float *mirror[MIRRORS]; /* unit vectors, in turn: a rotation */
};

static struct source source_of(uint32_t k, double power)
{
	struct source s = {{21}, k, malloc(sizeof(float) * k), {0}};
	double squares;

	for (uint32_t i = 0, j; i < k; i++) { /* in no order */
		j = random_below(&s.random, i + 1);
		s.size[i] = s.size[j];
		s.size[j] = pow(1 + i, -power / 2);
	}
	for (unsigned int m = 0; m < MIRRORS; m++) {
		s.mirror[m] = malloc(sizeof(float) * k);
		squares = 0;
		for (uint32_t i = 0; i < k; i++) {
			s.mirror[m][i] = random_normal(&s.random);
			squares += s.mirror[m][i] * s.mirror[m][i];
		}
		for (uint32_t i = 0; i < k; i++)
			s.mirror[m][i] /= sqrt(squares);
	}
	return s;
}

static void source_free(struct source *s)
{
	for (unsigned int m = 0; m < MIRRORS; m++)
		free(s->mirror[m]);
	free(s->size);
}

static float *inputs(struct source *s, uint32_t count)
{
	float *x = malloc(sizeof(float) * count * s->k), *row = x;

	for (uint32_t n = 0; n < count; n++, row += s->k) {
		for (uint32_t i = 0; i < s->k; i++)
			row[i] = s->size[i] * random_normal(&s->random);
		for (unsigned int m = 0; m < MIRRORS; m++) {
			double along = 0;

			for (uint32_t i = 0; i < s->k; i++)
				along += row[i] * s->mirror[m][i];
			for (uint32_t i = 0; i < s->k; i++)
				row[i] -= 2 * along * s->mirror[m][i];
		}
	}
	return x;
}

/* ---- Matrices ------------------------------------------------------------------------------ */

struct matrix {
	uint32_t n, k;
	float *w;
};

static struct matrix normal(uint32_t n, uint32_t k)
{
	struct matrix m = {n, k, malloc(sizeof(float) * n * k)};
	struct random r = {3};

	for (size_t i = 0; i < (size_t)n * k; i++)
		m.w[i] = random_normal(&r) * 0.02;
	return m;
}

static int read_rows(void *context, uint32_t row, uint32_t count, float *out)
{
	const struct matrix *m = context;

	memcpy(out, m->w + (size_t)row * m->k, sizeof(float) * count * m->k);
	return 0;
}

static struct result quantize(const struct matrix *m, const struct q35_calibration *cal,
			      enum q35_format format, uint16_t group, uint8_t flags,
			      unsigned int threads)
{
	struct q35_quantize_options options = {
		.format = format, .threads = threads, .read = read_rows, .context = (void *)m};

	return quantize_matrix(&options, cal, m->n, m->k, group, flags);
}

/* Of the products of x[count][k], in percent. */
static double output_error(const struct matrix *m, const struct result *r, uint32_t count,
			   const float *x)
{
	float *row = malloc(sizeof(float) * m->k);
	double errors = 0, squares = 0;

	for (uint32_t n = 0; n < m->n; n++) {
		if (q35_dequantize(&r->w, n, 1, row))
			abort();
		for (uint32_t i = 0; i < count; i++) {
			double y = 0, error = 0;

			for (uint32_t j = 0; j < m->k; j++) {
				double w = m->w[(size_t)n * m->k + j];

				y += w * x[(size_t)i * m->k + j];
				error += (w - row[j]) * x[(size_t)i * m->k + j];
			}
			squares += y * y;
			errors += error * error;
		}
	}
	free(row);
	return 100 * sqrt(errors / squares);
}

static struct q35_calibration *calibration(uint32_t k, uint32_t count, const float *x,
					   double damping)
{
	struct q35_calibration *cal;

	if (q35_calibration_create(k, 1, &cal) || q35_calibration_add(cal, count, x) ||
	    q35_calibration_finish(cal, damping))
		abort();
	return cal;
}

/* ---- Quality ------------------------------------------------------------------------------- */

TEST(products_of_unseen_inputs_are_more_exact)
{
	static const struct {
		enum q35_format format;
		uint16_t group;
		uint8_t flags;
		double least, most; /* percent, without and with calibration; measured and 3 % */
	} promise[] = {
		{Q35_T8, 0, 0, 9.3, 6.8},
		{Q35_T8, 128, Q35_META_MULTIPLIER, 9.2, 6.8},
		{Q35_T8, 256, Q35_META_ZERO, 9.2, 6.8},
		{Q35_T4, 0, 0, 11.8, 9.7},
		{Q35_S_LLOYD, 0, 0, 13.3, 12.1},
		{Q35_S_MINMAX, 0, 0, 18.1, 15.8},
	};
	struct source s = source_of(320, 1);
	float *seen = inputs(&s, 2048), *unseen = inputs(&s, 300);
	struct matrix m = normal(48, s.k);
	struct q35_calibration *cal = calibration(s.k, 2048, seen, Q35_DAMPING);

	for (unsigned int i = 0; i < ARRAY_SIZE(promise); i++) {
		struct result plain = quantize(&m, NULL, promise[i].format, promise[i].group,
					       promise[i].flags, 1);
		struct result better =
			quantize(&m, cal, promise[i].format, promise[i].group, promise[i].flags, 1);

		ASSERT_EQ(0, plain.ret);
		ASSERT_EQ(0, better.ret);
		EXPECT_GT(output_error(&m, &plain, 300, unseen), promise[i].least);
		EXPECT_LT(output_error(&m, &better, 300, unseen), promise[i].most)
		{
			TH_LOG("format %d group %d: %.3f without, %.3f with", promise[i].format,
			       promise[i].group, output_error(&m, &plain, 300, unseen),
			       output_error(&m, &better, 300, unseen));
		}
		/* The scales are the same ones, and statistics tell of these codes. */
		EXPECT_EQ(0, memcmp(plain.meta, better.meta, plain.meta_size));
		EXPECT_GT(better.stats.error_squares, plain.stats.error_squares);
		release(&plain);
		release(&better);
	}
	q35_calibration_destroy(cal);
	free(m.w);
	free(seen);
	free(unseen);
	source_free(&s);
}

/* [k][k] with so much on the diagonal. */
static struct q35_calibration *diagonal(uint32_t k, const double *value)
{
	struct q35_calibration *cal;

	if (q35_calibration_create(k, 1, &cal))
		abort();
	for (uint32_t i = 0; i < k; i++)
		q35_calibration_moments(cal)[(size_t)i * k + i] = value[i];
	return cal;
}

TEST(inputs_that_are_alike_and_independent_change_nothing)
{
	double one[100];
	struct matrix m = normal(70, 100);
	struct q35_calibration *cal;
	struct result plain, calibrated;

	for (unsigned int i = 0; i < ARRAY_SIZE(one); i++)
		one[i] = 3e5;
	cal = diagonal(100, one);
	ASSERT_EQ(0, q35_calibration_finish(cal, 0));
	for (int format = Q35_T8; format <= Q35_T4; format++) {
		plain = quantize(&m, NULL, format, 0, 0, 1);
		calibrated = quantize(&m, cal, format, 0, 0, 1);
		ASSERT_EQ(0, calibrated.ret);
		/* But for the finer rounding of costs. */
		EXPECT_LT(calibrated.stats.error_squares, 1.003 * plain.stats.error_squares);
		release(&plain);
		release(&calibrated);
	}
	q35_calibration_destroy(cal);
	free(m.w);
}

TEST(errors_go_where_inputs_are_small)
{
	double value[64], kept[2] = {0};
	float row[64];
	struct matrix m = normal(64, 64);
	struct q35_calibration *cal;
	struct result r;

	for (unsigned int i = 0; i < ARRAY_SIZE(value); i++)
		value[i] = i % 4 == 1 ? 16 : 1; /* at 3-bit positions */
	cal = diagonal(64, value);
	ASSERT_EQ(0, q35_calibration_finish(cal, 0));
	r = quantize(&m, cal, Q35_T8, 0, 0, 1);
	ASSERT_EQ(0, r.ret);
	for (uint32_t n = 0; n < 64; n++) {
		ASSERT_EQ(0, q35_dequantize(&r.w, n, 1, row));
		for (unsigned int j = 0; j < 64; j++)
			kept[j % 4 == 1] += pow(row[j] - m.w[n * 64 + j], 2);
	}
	EXPECT_LT(kept[1] / 16, kept[0] / 48 / 4);
	release(&r);
	q35_calibration_destroy(cal);
	free(m.w);
}

TEST(errors_of_inputs_that_are_nearly_equal_cancel)
{
	struct random random = {8};
	float *x = malloc(sizeof(float) * 600 * 64), common = 0;
	struct matrix m = normal(32, 64);
	struct q35_calibration *cal;
	struct result plain, calibrated;

	for (unsigned int i = 0; i < 600 * 64; i++) {
		common = i % 64 ? common : random_normal(&random);
		x[i] = common + 0.05 * random_normal(&random);
	}
	cal = calibration(64, 500, x, 0);
	plain = quantize(&m, NULL, Q35_T8, 0, 0, 1);
	calibrated = quantize(&m, cal, Q35_T8, 0, 0, 1);
	ASSERT_EQ(0, calibrated.ret);
	/* What the others have left, one input of a tile makes up for, not each. */
	EXPECT_LT(output_error(&m, &calibrated, 100, x + 500 * 64),
		  0.7 * output_error(&m, &plain, 100, x + 500 * 64))
	{
		TH_LOG("%.3f %.3f", output_error(&m, &plain, 100, x + 500 * 64),
		       output_error(&m, &calibrated, 100, x + 500 * 64));
	}
	release(&plain);
	release(&calibrated);
	q35_calibration_destroy(cal);
	free(m.w);
	free(x);
}

TEST(result_depends_on_neither_threads_nor_processor)
{
	static const char *const isa[] = {"ref", "avx2", "avx512"};
	struct source s = source_of(75, 1);
	float *x = inputs(&s, 150);
	struct matrix m = normal(130, s.k);
	struct result first = {0};

	for (unsigned int i = 0; i < 9; i++) {
		struct q35_calibration *cal;
		struct result r;

		setenv("Q35_ISA", isa[i / 3], 1);
		ASSERT_EQ(0, q35_calibration_create(s.k, 1 + i % 3, &cal));
		ASSERT_EQ(0, q35_calibration_add(cal, 100, x));
		ASSERT_EQ(0, q35_calibration_add(cal, 50, x + 100 * s.k));
		ASSERT_EQ(0, q35_calibration_finish(cal, Q35_DAMPING));
		r = quantize(&m, cal, Q35_T8, 0, 0, 1 + i / 2 % 3);
		ASSERT_EQ(0, r.ret);
		q35_calibration_destroy(cal);
		if (!i) {
			first = r;
			continue;
		}
		EXPECT_EQ(0, memcmp(first.tiles, r.tiles, r.tiles_size)) TH_LOG("%s", isa[i / 3]);
		EXPECT_EQ(0, memcmp(first.meta, r.meta, r.meta_size));
		EXPECT_EQ(0, memcmp(&first.stats, &r.stats, sizeof(r.stats)));
		release(&r);
	}
	unsetenv("Q35_ISA");
	release(&first);
	free(m.w);
	free(x);
	source_free(&s);
}

TEST(every_small_shape_is_calibrated)
{
	struct random random = {5};

	for (unsigned int i = 0; i < 120; i++) {
		uint32_t n = 1 + random_below(&random, 70), k = 1 + random_below(&random, 140);
		struct source s = source_of(i ? k : 1, 0.5);
		float *x = inputs(&s, 40); /* fewer than inputs, mostly */
		struct matrix m = normal(i ? n : 1, s.k);
		struct q35_calibration *cal = calibration(s.k, 40, x, Q35_DAMPING);
		struct result r = quantize(&m, cal, i % 7, i % 4 ? 0 : 128,
					   i % 8 ? 0 : Q35_META_MULTIPLIER | Q35_META_ZERO, 1);

		ASSERT_EQ(0, r.ret);
		EXPECT_EQ((uint64_t)m.n * m.k, r.stats.count);
		EXPECT_LT(output_error(&m, &r, 40, x), 30)
		{
			TH_LOG("format %d, %u x %u", i % 7, m.n, m.k);
		}
		release(&r);
		q35_calibration_destroy(cal);
		free(m.w);
		free(x);
		source_free(&s);
	}
}

/* ---- Errors -------------------------------------------------------------------------------- */

TEST(moments_are_sums_of_products)
{
	struct source s = source_of(131, 0.3);
	float *x = inputs(&s, 70);
	struct q35_calibration *cal;

	ASSERT_EQ(0, q35_calibration_create(s.k, 2, &cal));
	ASSERT_EQ(0, q35_calibration_add(cal, 0, NULL));
	ASSERT_EQ(0, q35_calibration_add(cal, 69, x));
	ASSERT_EQ(0, q35_calibration_add(cal, 1, x + 69 * s.k));
	for (uint32_t i = 0; i < s.k; i++) {
		for (uint32_t j = i; j < s.k; j++) {
			double sum = 0;

			for (uint32_t n = 0; n < 70; n++)
				sum += (double)x[n * s.k + i] * x[n * s.k + j];
			EXPECT_LT(fabs(q35_calibration_moments(cal)[i * s.k + j] - sum), 1e-4);
		}
	}
	q35_calibration_destroy(cal);
	free(x);
	source_free(&s);
}

TEST(decomposition_gives_the_moments_back)
{
	struct source s = source_of(100, 0.5);
	float *x = inputs(&s, 300);
	double *moments = malloc(sizeof(double) * 100 * 100), mean = 0, most = 0;
	struct q35_calibration *cal;

	ASSERT_EQ(0, q35_calibration_create(100, 2, &cal));
	ASSERT_EQ(0, q35_calibration_add(cal, 300, x));
	memcpy(moments, q35_calibration_moments(cal), sizeof(double) * 100 * 100);
	ASSERT_EQ(0, q35_calibration_finish(cal, 0));
	for (uint32_t i = 0; i < 100; i++)
		mean += moments[i * 100 + i] / 100;
	/* H = (F with 1 on its diagonal) D (the same)^T: solve for D from the end, compare the rest. */
	for (uint32_t l = 100; l-- > 0;) {
		double d = moments[l * 100 + l];

		for (uint32_t i = 0; i < l; i++) {
			double f = cal->feedback[i * 100 + l];

			most = fmax(most, fabs(moments[i * 100 + l] - f * d));
			for (uint32_t j = i; j < l; j++)
				moments[i * 100 + j] -= f * d * cal->feedback[j * 100 + l];
		}
		EXPECT_GT(d, 0);
	}
	EXPECT_LT(most / mean, 1e-5);
	q35_calibration_destroy(cal);
	free(moments);
	free(x);
	source_free(&s);
}

TEST(moments_that_cannot_be_are_refused)
{
	static const struct {
		double value[3], off, damping;
		int error;
		const char *said;
	} tries[] = {
		{{1, NAN, 1}, 0, 0.01, -EDOM, "mean square of input 1 is"},
		{{1, 1, INFINITY}, 0, 0.01, -EDOM, "mean square of input 2 is inf"},
		{{1, 1, -1}, 0, 0.01, -EDOM, "mean square of input 2 is -1"},
		{{1, 1, 1}, NAN, 0.01, -EDOM, "not positive definite at input 0"},
		{{1, 1, 1}, 2, 0.01, -EDOM, "not positive definite at input 0"},
		{{0, 0, 0}, 0, 0.01, -EDOM, "no inputs but zeros"},
		{{1, 0, 1}, 0, 0, -EDOM, "not positive definite at input 1"},
		{{1, 1, 1}, 1, 0, -EDOM, "not positive definite at input 0"},
		{{1, 0, 1}, 0, 0.01, 0, ""}, /* damping is for that */
		{{1, 1, 1}, 1, 0.01, 0, ""},
		{{1e-300, 1e-300, 1e-300}, 0, 0.01, 0, ""},
		{{1, 1, 1}, 0, -1, -EINVAL, "damping of -1"},
		{{1, 1, 1}, 0, NAN, -EINVAL, "damping of"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(tries); i++) {
		struct q35_calibration *cal = diagonal(3, tries[i].value);

		q35_calibration_moments(cal)[2] = tries[i].off; /* inputs 0 and 2 */
		EXPECT_EQ(tries[i].error, q35_calibration_finish(cal, tries[i].damping));
		if (tries[i].error)
			EXPECT_NE(NULL, strstr(q35_error(NULL), tries[i].said))
			{
				TH_LOG("%u: %s", i, q35_error(NULL));
			}
		q35_calibration_destroy(cal);
	}
}

TEST(calls_at_the_wrong_time_or_of_the_wrong_size_are_refused)
{
	double one[8] = {1, 1, 1, 1, 1, 1, 1, 1};
	struct q35_calibration *cal = diagonal(8, one), *other = NULL;
	struct matrix m = normal(16, 8), wide = normal(16, 9);
	struct result r;

	r = quantize(&m, cal, Q35_T8, 0, 0, 1);
	EXPECT_EQ(-EINVAL, r.ret);
	EXPECT_NE(NULL, strstr(q35_error(NULL), "not finished"));
	release(&r);
	ASSERT_EQ(0, q35_calibration_finish(cal, 0));
	EXPECT_EQ(-EBUSY, q35_calibration_finish(cal, 0));
	EXPECT_EQ(-EBUSY, q35_calibration_add(cal, 1, (float[8]){0}));
	EXPECT_EQ(NULL, q35_calibration_moments(cal));
	r = quantize(&wide, cal, Q35_T8, 0, 0, 1);
	EXPECT_EQ(-EINVAL, r.ret);
	EXPECT_NE(NULL, strstr(q35_error(NULL), "8 inputs for a matrix of 9"));
	release(&r);
	EXPECT_EQ(-EINVAL, q35_calibration_create(0, 1, &other));
	EXPECT_EQ(-EINVAL, q35_calibration_create(131073, 1, &other));
	EXPECT_EQ(NULL, other);
	q35_calibration_destroy(NULL);
	q35_calibration_destroy(cal);
	free(m.w);
	free(wide.w);
}

TEST(weights_that_are_not_finite_are_refused_as_without)
{
	double one[8] = {1, 1, 1, 1, 1, 1, 1, 1};
	struct q35_calibration *cal = diagonal(8, one);
	struct matrix m = normal(16, 8);
	struct result r;

	ASSERT_EQ(0, q35_calibration_finish(cal, 0));
	m.w[5 * 8 + 3] = NAN;
	r = quantize(&m, cal, Q35_T8, 0, 0, 1);
	EXPECT_EQ(-EDOM, r.ret);
	EXPECT_NE(NULL, strstr(q35_error(NULL), "row 5, column 3"));
	release(&r);
	q35_calibration_destroy(cal);
	free(m.w);
}

TEST_HARNESS_MAIN
