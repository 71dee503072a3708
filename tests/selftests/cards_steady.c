// SPDX-License-Identifier: MIT
/*
 * Keeps the card busy, makes /tmp/busy once it is, and compares every result with the CPU backend's
 * until /tmp/stop is there: for scripts of tests/vm that do something to the machine meanwhile.
 */
#include "kselftest_harness.h"

#include <fcntl.h>

#include "backends.h"

#define BUSY "/tmp/busy"
#define STOP "/tmp/stop"
#define M 256
#define N 512
#define K 1024
#define SIZE (M * N * sizeof(float))
#define SUMS 16 /* products added up into one result: one done twice, or not at all, shows */
#define CHAINS 4 /* in flight */

struct chain {
	struct q35_queue *queue;
	struct q35_buffer *y;
	struct q35_job job[1 + SUMS];
	struct q35_point done;
};

static void chain_init(struct chain *chain, const struct q35_matrix *mat, struct q35_buffer *x,
		       struct q35_buffer *y)
{
	int i;

	chain->y = y;
	chain->job[0] = (struct q35_job){.kind = Q35_JOB_FILL, .fill = {.dst = y, .size = SIZE}};
	for (i = 1; i <= SUMS; i++)
		chain->job[i] = (struct q35_job){.kind = Q35_JOB_GEMM,
						 .barrier = 1,
						 .gemm = {.w = mat,
							  .m = M,
							  .x = {.buffer = x},
							  .aux = {.buffer = y},
							  .y = {.buffer = y},
							  .combine = Q35_ADD}};
}

FIXTURE(steady)
{
	struct backends b;
	struct q35_matrix *mat[2]; /* of the card, of the CPU */
	struct q35_buffer *x[2];
	struct chain chain[CHAINS];
	float *expected;
};

static int prepare(struct q35 *dev, struct q35_matrix **mat, struct q35_buffer **x)
{
	uint64_t seed = 11;
	float *values;
	size_t i;
	int ret = random_matrix(dev, 5, N, K, 128, 0, mat);

	ret = ret ? ret : q35_buffer_create(dev, Q35_HOST, M * K * sizeof(float), x);
	if (ret)
		return ret;
	values = q35_buffer_map(*x);
	for (i = 0; i < (size_t)M * K; i++)
		values[i] = random_normal(&seed);
	return 0;
}

FIXTURE_SETUP(steady)
{
	const char *why = backends_open(&self->b);
	struct q35_queue *queue;
	struct q35_buffer *y;
	struct chain once;
	const float *product;
	int i, j;

	ASSERT_EQ(NULL, why) TH_LOG("%s", why);
	ASSERT_EQ(0, prepare(self->b.dev, &self->mat[0], &self->x[0]));
	ASSERT_EQ(0, prepare(self->b.cpu, &self->mat[1], &self->x[1]));
	ASSERT_EQ(0, q35_queue_create(self->b.cpu, 0, 0, &queue));
	ASSERT_EQ(0, q35_buffer_create(self->b.cpu, Q35_HOST, SIZE, &y));
	chain_init(&once, self->mat[1], self->x[1], y);
	ASSERT_EQ(0, run(queue, once.job, 2));
	product = q35_buffer_map(y);
	self->expected = calloc(1, SIZE);
	for (i = 0; i < SUMS; i++) /* adding is no matter of backends */
		for (j = 0; j < M * N; j++)
			self->expected[j] += product[j];
	q35_buffer_destroy(y);
	q35_queue_destroy(queue);
	for (i = 0; i < CHAINS; i++) { /* results in either memory */
		ASSERT_EQ(0,
			  q35_buffer_create(self->b.dev, i % 2 ? Q35_DEVICE : Q35_HOST, SIZE, &y));
		chain_init(&self->chain[i], self->mat[0], self->x[0], y);
		ASSERT_EQ(0, q35_queue_create(self->b.dev, i % 4, 60000, &self->chain[i].queue));
	}
}

FIXTURE_TEARDOWN(steady)
{
	int i;

	for (i = 0; i < CHAINS; i++) {
		q35_queue_destroy(self->chain[i].queue);
		q35_buffer_destroy(self->chain[i].y);
	}
	free(self->expected);
	for (i = 0; i < 2; i++) {
		q35_buffer_destroy(self->x[i]);
		q35_matrix_destroy(self->mat[i]);
	}
	backends_close(&self->b);
}

TEST_F_TIMEOUT(steady, results_are_the_same_bits_all_along, 3600)
{
	unsigned long rounds = 0;
	int i;

	for (i = 0; i < CHAINS; i++)
		ASSERT_EQ(0, q35_submit(self->chain[i].queue, self->chain[i].job, 1 + SUMS, NULL, 0,
					&self->chain[i].done));
	close(open(BUSY, O_WRONLY | O_CREAT, 0600));
	for (; access(STOP, F_OK); rounds++)
		for (i = 0; i < CHAINS; i++) {
			struct chain *chain = &self->chain[i];

			ASSERT_EQ(0, q35_wait(chain->done, Q35_FOREVER))
			TH_LOG("%s", q35_error(self->b.dev));
			ASSERT_EQ(0, memcmp(q35_buffer_map(chain->y), self->expected, SIZE))
			TH_LOG("chain %d, round %lu", i, rounds);
			ASSERT_EQ(0, q35_submit(chain->queue, chain->job, 1 + SUMS, NULL, 0,
						&chain->done))
			TH_LOG("%s", q35_error(self->b.dev));
		}
	TH_LOG("%lu rounds of %d chains", rounds, CHAINS);
	EXPECT_LT(0, rounds);
}

TEST_HARNESS_MAIN
