// SPDX-License-Identifier: MIT
/* Handles, buffers, queues and jobs on the CPU backend: every refusal and its sentence. */
#include "kselftest_harness.h"

#include <math.h>
#include <pthread.h>

#include "device.h"
#include "q35.h"

#define M 5
#define N 70
#define K 130
#define SIZE 4096

/* Random tiles are as good as quantized ones here. */
static struct q35_matrix *random_matrix(struct q35 *dev, uint32_t n, uint32_t k)
{
	struct q35_matrix *mat = NULL;
	size_t tiles_size = q35_tiles_size(n, k), i;
	struct q35_weights w;
	uint8_t *tiles = malloc(tiles_size);
	uint16_t *meta;

	q35_weights_init(&w, Q35_T8, n, k);
	meta = calloc(1, q35_meta_size(n, k, w.group, w.meta_flags));
	for (i = 0; i < tiles_size; i++)
		tiles[i] = (uint8_t)rand();
	for (i = 0; i < n; i++)
		meta[i] = 0x2000 + (uint16_t)(rand() % 0x400); /* 2^-7 to 2^-6 */
	w.tiles = tiles;
	w.meta = meta;
	if (q35_matrix_create(dev, &w, &mat))
		mat = NULL;
	free(meta);
	free(tiles);
	return mat;
}

FIXTURE(job)
{
	struct q35 *dev, *other;
	struct q35_matrix *mat;
	struct q35_buffer *a, *b, *foreign;
	struct q35_queue *queue;
	struct q35_job gemm, copy, fill; /* each is accepted as it is */
};

FIXTURE_SETUP(job)
{
	ASSERT_EQ(0, q35_open("cpu", &self->dev));
	ASSERT_EQ(0, q35_open("cpu", &self->other));
	self->mat = random_matrix(self->dev, N, K);
	ASSERT_NE(NULL, self->mat);
	ASSERT_EQ(0, q35_buffer_create(self->dev, Q35_HOST, SIZE, &self->a));
	ASSERT_EQ(0, q35_buffer_create(self->dev, Q35_DEVICE, SIZE, &self->b));
	ASSERT_EQ(0, q35_buffer_create(self->other, Q35_HOST, SIZE, &self->foreign));
	ASSERT_EQ(0, q35_queue_create(self->dev, 0, 0, &self->queue));

	self->gemm = (struct q35_job){.kind = Q35_JOB_GEMM,
				      .gemm = {.w = self->mat,
					       .m = M,
					       .x = {.buffer = self->a},
					       .y = {.buffer = self->b},
					       .act_block = 64}};
	self->copy = (struct q35_job){.kind = Q35_JOB_COPY,
				      .copy = {.src = self->a, .dst = self->b, .size = SIZE}};
	self->fill = (struct q35_job){.kind = Q35_JOB_FILL,
				      .fill = {.dst = self->b, .size = SIZE, .value = 7}};
}

FIXTURE_TEARDOWN(job)
{
	q35_queue_destroy(self->queue);
	q35_buffer_destroy(self->foreign);
	q35_buffer_destroy(self->b);
	q35_buffer_destroy(self->a);
	q35_matrix_destroy(self->mat);
	q35_close(self->other);
	q35_close(self->dev);
}

/* The job with one change: its third place of three refuses it, with this sentence. */
#define EXPECT_REFUSED(sentence, template, ...)                                       \
	do {                                                                          \
		struct q35_job job = (template), jobs[3];                             \
		struct q35_point done = {NULL, 77};                                   \
		jobs[0] = self->fill;                                                 \
		jobs[1] = self->fill;                                                 \
		__VA_ARGS__;                                                          \
		jobs[2] = job;                                                        \
		EXPECT_EQ(-EINVAL, q35_submit(self->queue, jobs, 3, NULL, 0, &done)); \
		EXPECT_STREQ("job 2: " sentence, q35_error(self->dev));               \
		EXPECT_EQ(77, done.value);                                            \
	} while (0)

TEST_F(job, templates_are_accepted)
{
	struct q35_job jobs[] = {self->gemm, self->copy, self->fill};
	struct q35_point done;

	ASSERT_EQ(0, q35_submit(self->queue, jobs, 3, NULL, 0, &done));
	EXPECT_EQ(1, done.value);
	EXPECT_EQ(0, q35_wait(done, 0));
}

TEST_F(job, refused_submission_runs_nothing)
{
	uint32_t *words = q35_buffer_map(self->b);
	struct q35_job jobs[2] = {self->fill, self->fill};
	struct q35_counters counters;

	jobs[1].fill.size = 3;
	EXPECT_EQ(-EINVAL, q35_submit(self->queue, jobs, 2, NULL, 0, NULL));
	EXPECT_EQ(0, words[0]);
	EXPECT_EQ(0, q35_get_counters(self->queue, &counters));
	EXPECT_EQ(0, counters.jobs);
}

TEST_F(job, refuses_unknown_kinds_and_modes)
{
	EXPECT_REFUSED("kind is 9, not an enum q35_job_kind", self->fill, job.kind = 9);
	EXPECT_REFUSED("gemm.activation is 4, not an enum q35_activation", self->gemm,
		       job.gemm.activation = 4);
	EXPECT_REFUSED("gemm.combine is -1, not an enum q35_combine", self->gemm,
		       job.gemm.combine = -1);
	EXPECT_REFUSED("gemm.act_block is 16, not 0, 32, 64 or 128", self->gemm,
		       job.gemm.act_block = 16);
	EXPECT_REFUSED("gemm.act_block is 96, not 0, 32, 64 or 128", self->gemm,
		       job.gemm.act_block = 96);
	EXPECT_REFUSED("gemm.x.type is 4, not an enum q35_type", self->gemm, job.gemm.x.type = 4);
}

TEST_F(job, refuses_matrices_that_are_not_there)
{
	EXPECT_REFUSED("gemm.w: no matrix", self->gemm, job.gemm.w = NULL);
	EXPECT_REFUSED("gemm.m is 0, not 1 to 131072", self->gemm, job.gemm.m = 0);
	EXPECT_REFUSED("gemm.m is 131073, not 1 to 131072", self->gemm, job.gemm.m = 131073);
	EXPECT_REFUSED("gemm.x: no buffer", self->gemm, job.gemm.x.buffer = NULL);
	EXPECT_REFUSED("gemm.y: no buffer", self->gemm, job.gemm.y.buffer = NULL);
}

TEST_F(job, refuses_buffers_of_another_handle)
{
	struct q35_matrix *mat = random_matrix(self->other, N, K);

	ASSERT_NE(NULL, mat);
	EXPECT_REFUSED("gemm.w: the matrix belongs to another handle", self->gemm,
		       job.gemm.w = mat);
	EXPECT_REFUSED("gemm.x: the buffer belongs to another handle", self->gemm,
		       job.gemm.x.buffer = self->foreign);
	EXPECT_REFUSED("copy.dst: the buffer belongs to another handle", self->copy,
		       job.copy.dst = self->foreign);
	EXPECT_REFUSED("fill.dst: the buffer belongs to another handle", self->fill,
		       job.fill.dst = self->foreign);
	q35_matrix_destroy(mat);
}

TEST_F(job, refuses_misaligned_operands)
{
	EXPECT_REFUSED("gemm.x.offset 2 is not a multiple of its elements' 4 bytes", self->gemm,
		       job.gemm.x.offset = 2);
	EXPECT_REFUSED("gemm.y.stride 281 is not a multiple of its elements' 4 bytes", self->gemm,
		       job.gemm.y.stride = 281);
	EXPECT_REFUSED("gemm.x.offset 1 is not a multiple of its elements' 2 bytes", self->gemm,
		       job.gemm.x.type = Q35_BF16, job.gemm.x.offset = 1);
	EXPECT_REFUSED("fill.offset 2 and size 4096 must be multiples of 4", self->fill,
		       job.fill.offset = 2);
}

TEST_F(job, refuses_strides_that_are_short_or_long)
{
	EXPECT_REFUSED("gemm.x.stride 516 is less than a row's 520 bytes", self->gemm,
		       job.gemm.x.stride = 516);
	EXPECT_REFUSED("gemm.y.stride 4294967296 does not fit in 32 bits", self->gemm,
		       job.gemm.y.stride = 1ull << 32);
}

TEST_F(job, refuses_ranges_outside_buffers)
{
	/* 4 rows of stride 900 and 520 bytes: 4120. */
	EXPECT_REFUSED("gemm.x ends at byte 0 + 4120 of a buffer of 4096", self->gemm,
		       job.gemm.x.stride = 900);
	EXPECT_REFUSED("gemm.x ends at byte 1500 + 2600 of a buffer of 4096", self->gemm,
		       job.gemm.x.offset = 1500);
	EXPECT_REFUSED("gemm.x.offset 18446744073709551612 is past the end of a buffer of 4096",
		       self->gemm, job.gemm.x.offset = SIZE_MAX - 3);
	EXPECT_REFUSED("copy.src ends at byte 1 + 4096 of a buffer of 4096", self->copy,
		       job.copy.src_offset = 1);
	EXPECT_REFUSED("copy.dst ends at byte 18446744073709551615 + 2 of a buffer of 4096",
		       self->copy, job.copy.dst_offset = SIZE_MAX, job.copy.size = 2);
	EXPECT_REFUSED("fill.dst ends at byte 8 + 18446744073709551612 of a buffer of 4096",
		       self->fill, job.fill.offset = 8, job.fill.size = SIZE_MAX - 3);
	EXPECT_REFUSED("copy.src: 0 bytes", self->copy, job.copy.size = 0);
}

TEST_F(job, accepts_ranges_that_end_with_their_buffer)
{
	struct q35_job job = self->gemm;

	job.gemm.x.offset = SIZE - M * K * 4;
	job.gemm.y.stride = (SIZE - N * 4) / (M - 1) / 4 * 4;
	job.gemm.y.offset = SIZE - N * 4 - (M - 1) * job.gemm.y.stride;
	EXPECT_EQ(0, q35_submit(self->queue, &job, 1, NULL, 0, NULL));
}

TEST_F(job, refuses_operands_that_do_not_go_together)
{
	struct q35_operand a = {.buffer = self->a}, f16 = {.buffer = self->a, .type = Q35_F16};

	EXPECT_REFUSED("gemm.x_scale: no buffer", self->gemm, job.gemm.x.type = Q35_I8);
	EXPECT_REFUSED("gemm.x_scale goes with x of type Q35_I8 only", self->gemm,
		       job.gemm.x_scale = a);
	EXPECT_REFUSED("gemm.x_scale.type must be Q35_F32", self->gemm, job.gemm.x.type = Q35_I8,
		       job.gemm.x_scale = f16);
	EXPECT_REFUSED("gemm.x_scale.stride must be 0: it is dense", self->gemm,
		       job.gemm.x.type = Q35_I8, job.gemm.x_scale = a,
		       job.gemm.x_scale.stride = 16);
	EXPECT_REFUSED("gemm.bias.type must be Q35_F32", self->gemm, job.gemm.bias = f16);
	EXPECT_REFUSED("gemm.y.type cannot be Q35_I8", self->gemm, job.gemm.y.type = Q35_I8);
	EXPECT_REFUSED("gemm.aux: no buffer", self->gemm, job.gemm.combine = Q35_ADD);
	EXPECT_REFUSED("gemm.aux goes with combine Q35_ADD or Q35_MUL only", self->gemm,
		       job.gemm.aux = a);
	EXPECT_REFUSED("gemm.aux.type cannot be Q35_I8", self->gemm, job.gemm.combine = Q35_MUL,
		       job.gemm.aux = a, job.gemm.aux.type = Q35_I8);
}

TEST_F(job, refuses_overlaps)
{
	EXPECT_REFUSED("gemm.y overlaps x", self->gemm, job.gemm.y.buffer = self->a);
	EXPECT_REFUSED("gemm.y overlaps bias", self->gemm, job.gemm.bias.buffer = self->b,
		       job.gemm.bias.offset = (M * N - 1) * 4);
	EXPECT_REFUSED("gemm.y overlaps aux without being the same", self->gemm,
		       job.gemm.combine = Q35_ADD, job.gemm.aux = job.gemm.y,
		       job.gemm.aux.offset = 4);
	EXPECT_REFUSED("gemm.y overlaps aux without being the same", self->gemm,
		       job.gemm.combine = Q35_ADD, job.gemm.aux = job.gemm.y,
		       job.gemm.aux.type = Q35_F16, job.gemm.aux.stride = N * 4);
	EXPECT_REFUSED("copy.dst overlaps src", self->copy, job.copy.dst = self->a,
		       job.copy.size = 100, job.copy.dst_offset = 99);
}

TEST_F(job, accepts_neighbours)
{
	struct q35_job jobs[3] = {self->gemm, self->gemm, self->copy};
	struct q35_matrix *narrow = random_matrix(self->dev, 7, 9);

	ASSERT_NE(NULL, narrow);
	/* In place: y = aux. */
	jobs[0].gemm.combine = Q35_ADD;
	jobs[0].gemm.aux = jobs[0].gemm.y;
	/* x and y are columns of one matrix of 16 columns, then of 5 rows of another stride. */
	jobs[1].gemm.w = narrow;
	jobs[1].gemm.x = (struct q35_operand){.buffer = self->b, .stride = 64};
	jobs[1].gemm.y = (struct q35_operand){.buffer = self->b, .stride = 64, .offset = 36};
	jobs[2].copy.dst = self->a;
	jobs[2].copy.size = 100;
	jobs[2].copy.dst_offset = 100;
	EXPECT_EQ(0, q35_submit(self->queue, jobs, 3, NULL, 0, NULL));

	jobs[1].gemm.y.offset = 32;
	EXPECT_EQ(-EINVAL, q35_submit(self->queue, jobs, 2, NULL, 0, NULL));
	EXPECT_STREQ("job 1: gemm.y overlaps x", q35_error(self->dev));
	/* Rows of 32 + 28 bytes at 64, of which only the third meets one at 96. */
	jobs[1].gemm.y.offset = 36;
	jobs[1].gemm.y.stride = 100;
	EXPECT_EQ(-EINVAL, q35_submit(self->queue, jobs, 2, NULL, 0, NULL));
	q35_matrix_destroy(narrow);
}

TEST_F(job, points_count_submissions)
{
	struct q35_point first, second, never;

	EXPECT_EQ(0, q35_submit(self->queue, &self->fill, 1, NULL, 0, &first));
	EXPECT_EQ(0, q35_submit(self->queue, NULL, 0, &first, 1, &second));
	EXPECT_EQ(first.value + 1, second.value);
	/* A queue's own point becomes a barrier. */
	EXPECT_EQ(0, q35_submit(self->queue, &self->fill, 1, NULL, 0, &second));
	EXPECT_EQ(0, self->queue->descs[0].flags);
	EXPECT_EQ(0, q35_submit(self->queue, &self->fill, 1, &first, 1, &second));
	EXPECT_EQ(Q35_DESC_BARRIER, self->queue->descs[0].flags);
	EXPECT_EQ(0, q35_wait(second, Q35_FOREVER));

	never = (struct q35_point){self->queue, second.value + 1};
	EXPECT_EQ(-EINVAL, q35_wait(never, Q35_FOREVER));
	EXPECT_STREQ("point 5 of a queue whose newest is 4", q35_error(self->dev));
	EXPECT_EQ(-EINVAL, q35_submit(self->queue, &self->fill, 1, &never, 1, NULL));
	EXPECT_STREQ("after[0] is point 5 of a queue whose newest is 4", q35_error(self->dev));
}

TEST_F(job, refuses_points_of_another_handle)
{
	struct q35_point point = {NULL, 1};

	EXPECT_EQ(-EINVAL, q35_submit(self->queue, &self->fill, 1, &point, 1, NULL));
	ASSERT_EQ(0, q35_queue_create(self->other, 0, 0, &point.queue));
	ASSERT_EQ(0, q35_submit(point.queue, NULL, 0, NULL, 0, &point));
	EXPECT_EQ(-EINVAL, q35_submit(self->queue, &self->fill, 1, &point, 1, NULL));
	EXPECT_STREQ("after[0] is no point of this handle", q35_error(self->dev));
	q35_queue_destroy(point.queue);
}

TEST_F(job, refuses_more_jobs_than_info_says)
{
	struct q35_info info;
	struct q35_job *jobs;
	uint32_t i;

	ASSERT_EQ(0, q35_get_info(self->dev, &info));
	jobs = calloc(info.max_jobs + 1, sizeof(*jobs));
	for (i = 0; i <= info.max_jobs; i++)
		jobs[i] = self->fill;
	EXPECT_EQ(0, q35_submit(self->queue, jobs, info.max_jobs, NULL, 0, NULL));
	EXPECT_EQ(-EINVAL, q35_submit(self->queue, jobs, info.max_jobs + 1, NULL, 0, NULL));
	EXPECT_STREQ("1025 jobs, the most in one call is 1024", q35_error(self->dev));
	free(jobs);
}

TEST_F(job, counters_count_work)
{
	struct q35_job jobs[] = {self->gemm, self->copy, self->gemm};
	struct q35_counters counters;

	ASSERT_EQ(0, q35_submit(self->queue, jobs, 3, NULL, 0, NULL));
	ASSERT_EQ(0, q35_get_counters(self->queue, &counters));
	EXPECT_EQ(3, counters.jobs);
	EXPECT_EQ(2ull * M * N * K, counters.macs);
	EXPECT_GT(counters.busy_ns, 0);
	EXPECT_EQ(0, counters.cycles);
}

TEST_F(job, queues_are_limited_and_reusable)
{
	struct q35_queue *queues[Q35_SLOTS];
	struct q35_info info;
	unsigned int i;

	ASSERT_EQ(0, q35_get_info(self->dev, &info));
	for (i = 1; i < info.queues; i++) /* the fixture has one */
		ASSERT_EQ(0, q35_queue_create(self->dev, 3, 0, &queues[i]));
	EXPECT_EQ(-ENOSPC, q35_queue_create(self->dev, 0, 0, &queues[0]));
	EXPECT_STREQ("all 64 queues are in use", q35_error(self->dev));
	q35_queue_destroy(queues[5]);
	EXPECT_EQ(0, q35_queue_create(self->dev, 0, 0, &queues[5]));
	EXPECT_EQ(-EINVAL, q35_queue_create(self->dev, 4, 0, &queues[0]));
	for (i = 1; i < info.queues; i++)
		q35_queue_destroy(queues[i]);
}

TEST_F(job, a_slots_points_go_on_over_its_queues)
{
	struct q35_point before, after;

	ASSERT_EQ(0, q35_submit(self->queue, &self->fill, 1, NULL, 0, &before));
	q35_queue_destroy(self->queue);
	ASSERT_EQ(0, q35_queue_create(self->dev, 0, 0, &self->queue));
	ASSERT_EQ(0, q35_submit(self->queue, &self->fill, 1, NULL, 0, &after));
	EXPECT_EQ(before.value + 1, after.value);
	EXPECT_EQ(after.value, self->b->used[self->queue->slot]);
}

TEST_F(job, buffers_are_zeroed_and_refused_without_size)
{
	struct q35_buffer *buf = NULL;
	const char *bytes;
	size_t i;

	EXPECT_EQ(-EINVAL, q35_buffer_create(self->dev, Q35_HOST, 0, &buf));
	EXPECT_STREQ("a buffer of 0 bytes", q35_error(self->dev));
	EXPECT_EQ(-EINVAL, q35_buffer_create(self->dev, 2, 1, &buf));
	EXPECT_EQ(-ENOMEM, q35_buffer_create(self->dev, Q35_HOST, SIZE_MAX, &buf));
	EXPECT_EQ(NULL, buf);

	ASSERT_EQ(0, q35_buffer_create(self->dev, Q35_DEVICE, 12345, &buf));
	EXPECT_EQ(12345, q35_buffer_size(buf));
	bytes = q35_buffer_map(buf);
	EXPECT_EQ(bytes, q35_buffer_map(buf));
	for (i = 0; i < 12345 && !bytes[i]; i++)
		;
	EXPECT_EQ(12345, i);
	q35_buffer_destroy(buf);
}

TEST_F(job, refuses_weights_that_no_format_has)
{
	char bytes[64];
	struct q35_weights good, w;
	struct q35_matrix *mat = NULL;

	q35_weights_init(&good, Q35_T8, 1, 1);
	good.tiles = bytes;
	good.meta = bytes;

#define EXPECT_WEIGHTS_REFUSED(sentence, change)                            \
	do {                                                                \
		w = good;                                                   \
		change;                                                     \
		EXPECT_EQ(-EINVAL, q35_matrix_create(self->dev, &w, &mat)); \
		EXPECT_STREQ(sentence, q35_error(self->dev));               \
	} while (0)

	EXPECT_WEIGHTS_REFUSED("a matrix of 0 x 1, dimensions are 1 to 131072", w.n = 0);
	EXPECT_WEIGHTS_REFUSED("a matrix of 1 x 131073, dimensions are 1 to 131072", w.k = 131073);
	EXPECT_WEIGHTS_REFUSED("scale group of 64 inputs, not 0, 128 or 256", w.group = 64);
	EXPECT_WEIGHTS_REFUSED("codebook windows of 12 bits are not supported", w.window_bits = 12);
	EXPECT_WEIGHTS_REFUSED("unknown meta_flags 0x4", w.meta_flags = 4);
	EXPECT_WEIGHTS_REFUSED("multipliers without scale groups",
			       w.meta_flags = Q35_META_MULTIPLIER);
	EXPECT_WEIGHTS_REFUSED("the weights have no tiles", w.tiles = NULL);
	EXPECT_WEIGHTS_REFUSED("the weights have no meta", w.meta = NULL);
	EXPECT_EQ(NULL, mat);
}

TEST_F(job, matmul_is_the_job)
{
	float *x = q35_buffer_map(self->a), y[M * N];
	int i;

	for (i = 0; i < M * K; i++)
		x[i] = (float)(rand() % 2001 - 1000) / 1000;
	self->gemm.gemm.act_block = 128;
	ASSERT_EQ(0, q35_submit(self->queue, &self->gemm, 1, NULL, 0, NULL));
	ASSERT_EQ(0, q35_matmul(self->dev, self->mat, M, x, y));
	EXPECT_NE(0.0f, y[0]);
	EXPECT_EQ(0, memcmp(y, q35_buffer_map(self->b), sizeof(y)));

	EXPECT_EQ(-EINVAL, q35_matmul(self->dev, self->mat, 0, x, y));
	EXPECT_STREQ("m is 0, not 1 to 131072", q35_error(self->dev));
	EXPECT_EQ(-EINVAL, q35_matmul(self->other, self->mat, M, x, y));
	EXPECT_STREQ("the matrix belongs to another handle", q35_error(self->other));
}

TEST_F(job, from_f32_names_a_weight_that_is_not_finite)
{
	float w[3 * 4] = {0, 1, 2, 3, 4, 5, -INFINITY};
	struct q35_matrix *mat = NULL;

	EXPECT_EQ(-EDOM, q35_matrix_from_f32(self->dev, Q35_T8, 3, 4, w, &mat));
	EXPECT_NE(NULL, strstr(q35_error(self->dev), "1"));
	EXPECT_NE(NULL, strstr(q35_error(self->dev), "2"));
	EXPECT_EQ(-EINVAL, q35_matrix_from_f32(self->dev, 7, 3, 4, w, &mat));
	EXPECT_EQ(-EINVAL, q35_matrix_from_f32(self->dev, Q35_T8, 0, 4, w, &mat));
	EXPECT_EQ(NULL, mat);
}

TEST_F(job, destroying_nothing_does_nothing)
{
	q35_buffer_destroy(NULL);
	q35_queue_destroy(NULL);
	q35_matrix_destroy(NULL);
	q35_close(NULL);
}

static void *fail_elsewhere(void *arg)
{
	struct q35 *dev = arg;
	struct q35_buffer *buf;
	const char *before = q35_error(dev);

	if (strcmp(before, "no failure recorded in this thread"))
		return "saw another thread's failure";
	q35_buffer_create(dev, 2, 1, &buf);
	return strstr(q35_error(dev), "neither") ? NULL : "did not see its own failure";
}

TEST_F(job, errors_belong_to_thread_and_handle)
{
	struct q35_buffer *buf;
	pthread_t thread;
	void *wrong;

	EXPECT_EQ(-EINVAL, q35_buffer_create(self->dev, Q35_HOST, 0, &buf));
	EXPECT_EQ(-ENOMEM, q35_buffer_create(self->other, Q35_HOST, SIZE_MAX, &buf));
	ASSERT_EQ(0, pthread_create(&thread, NULL, fail_elsewhere, self->dev));
	ASSERT_EQ(0, pthread_join(thread, &wrong));
	EXPECT_EQ(NULL, wrong) TH_LOG("the thread %s", (const char *)wrong);
	EXPECT_STREQ("a buffer of 0 bytes", q35_error(self->dev));
	EXPECT_STREQ("no memory for a buffer of 18446744073709551615 bytes",
		     q35_error(self->other));
	EXPECT_STREQ("no failure recorded in this thread", q35_error(NULL));
}

TEST(open_refuses_names_that_are_none)
{
	struct q35 *dev = NULL;

	EXPECT_EQ(-ENOENT, q35_open("gpu", &dev));
	EXPECT_EQ(0, strncmp(q35_error(NULL), "'gpu' names no device: give cpu", 31));
	EXPECT_EQ(-ENOENT, q35_open("/dev/accel/accel77", &dev));
	EXPECT_EQ(-ENOENT, q35_open("/dev/null", &dev));
	EXPECT_STREQ("/dev/null is no DRM device", q35_error(NULL));
	EXPECT_EQ(-ENOENT, q35_open("ffff:ff:1f.7", &dev));
	EXPECT_STREQ("there is no Q35 card at PCI address ffff:ff:1f.7", q35_error(NULL));
	EXPECT_EQ(NULL, dev);
}

TEST(open_follows_the_environment)
{
	struct q35_info info;
	struct q35 *dev = NULL;

	setenv("Q35_DEVICE", "gpu", 1);
	EXPECT_EQ(-ENOENT, q35_open(NULL, &dev));
	setenv("Q35_DEVICE", "cpu", 1);
	ASSERT_EQ(0, q35_open(NULL, &dev));
	ASSERT_EQ(0, q35_get_info(dev, &info));
	EXPECT_STREQ("cpu", info.name);
	EXPECT_FALSE(info.is_card);
	q35_close(dev);

	setenv("Q35_ISA", "mmx", 1);
	EXPECT_EQ(-EINVAL, q35_open("cpu", &dev));
	EXPECT_STREQ("Q35_ISA=mmx names no kernels, or some that this processor lacks",
		     q35_error(NULL));
	setenv("Q35_ISA", "ref", 1);
	ASSERT_EQ(0, q35_open("cpu", &dev));
	ASSERT_EQ(0, q35_get_info(dev, &info));
	EXPECT_STREQ("ref", info.isa);
	q35_close(dev);
}

TEST_HARNESS_MAIN
