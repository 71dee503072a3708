// SPDX-License-Identifier: MIT
/*
 * libq35 as a program uses it: all kinds of jobs, dependencies, many buffers and threads on the
 * device under test, with the CPU backend beside it as the judge of every result.
 */
#include "kselftest_harness.h"

#include <pthread.h>

#include "backends.h"

#define ARENA (1u << 20)
/* The same things on the device under test and on the CPU backend. */
struct side {
	struct q35 *dev;
	struct q35_queue *queue;
	struct q35_buffer *arena;
	struct q35_matrix *mat;
};

FIXTURE(library)
{
	struct backends b;
	struct side sides[2];
};

FIXTURE_SETUP(library)
{
	const char *wrong = backends_open(&self->b);
	unsigned int i;

	ASSERT_EQ(NULL, wrong) TH_LOG("%s", wrong);
	self->sides[0].dev = self->b.dev;
	self->sides[1].dev = self->b.cpu;
	for (i = 0; i < 2; i++) {
		struct side *side = &self->sides[i];

		ASSERT_EQ(0, q35_queue_create(side->dev, 1, 0, &side->queue));
		ASSERT_EQ(0, q35_buffer_create(side->dev, Q35_HOST, ARENA, &side->arena));
		side->mat = NULL;
	}
}

FIXTURE_TEARDOWN(library)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		q35_matrix_destroy(self->sides[i].mat);
		q35_buffer_destroy(self->sides[i].arena);
		q35_queue_destroy(self->sides[i].queue);
	}
	backends_close(&self->b);
}

static const uint32_t type_size[] = {[Q35_F32] = 4, [Q35_F16] = 2, [Q35_BF16] = 2, [Q35_I8] = 1};

/* An operand somewhere in the arena from *offset on, which moves past it, with random contents. */
static struct q35_operand random_operand(uint64_t *seed, struct side sides[2], size_t *offset,
					 enum q35_type type, uint32_t rows, uint32_t columns)
{
	uint32_t element = type_size[type], gap = random_below(seed, 3);
	struct q35_operand operand = {.type = type};
	size_t i, end;

	operand.offset = *offset + element * random_below(seed, 5);
	operand.offset += (element - operand.offset % element) % element;
	operand.stride = gap ? (columns + gap - 1) * element : 0;
	end = operand.offset + (size_t)rows * (columns + gap) * element;
	for (i = operand.offset; i + element <= end; i += element) {
		float value = random_normal(seed);
		uint32_t bits;

		memcpy(&bits, &value, sizeof(bits));
		if (type == Q35_F16) /* a random number of exponent 2^-3 … 2^4 */
			bits = 0x3000 + (bits & 0x9fff);
		else if (type == Q35_BF16)
			bits >>= 16;
		memcpy((char *)q35_buffer_map(sides[0].arena) + i, &bits, element);
		memcpy((char *)q35_buffer_map(sides[1].arena) + i, &bits, element);
	}
	*offset = end;
	return operand;
}

static void compare_arenas(struct __test_metadata *_metadata, struct side sides[2], unsigned int i)
{
	const uint8_t *a = q35_buffer_map(sides[0].arena), *b = q35_buffer_map(sides[1].arena);
	size_t at = memcmp(a, b, ARENA) ? 0 : ARENA;

	while (at < ARENA && a[at] == b[at])
		at++;
	ASSERT_EQ(ARENA, at) TH_LOG("round %u: the arenas differ at byte %zu", i, at);
}

TEST_F(library, card_describes_itself)
{
	struct q35_info info;

	if (!self->b.is_card)
		SKIP(return, "no card");
	ASSERT_EQ(0, q35_get_info(self->b.dev, &info));
	EXPECT_EQ(0, strncmp(info.name, "/dev/accel/accel", 16));
	EXPECT_STREQ("card", info.isa);
	EXPECT_EQ(Q35_VERSION_MAJOR, info.version >> 16);
	EXPECT_LE(16, info.queues);
	EXPECT_LT(0, info.max_jobs);
	EXPECT_LT(0, info.lanes);
	EXPECT_LT(0, info.memory_total);
	EXPECT_LE(info.memory_free, info.memory_total);
}

/* Everything that the arena holds is compared, so that a stray write shows as well. */
TEST_F_TIMEOUT(library, every_operand_type_and_epilogue, 120)
{
	static const struct {
		uint32_t n, k;
		uint16_t group;
		uint8_t flags;
	} shapes[] = {{1, 1, 0, 0},
		      {70, 130, 0, 0},
		      {64, 256, 0, Q35_META_ZERO},
		      {129, 300, 128, 0},
		      {33, 520, 256, Q35_META_ZERO},
		      {96, 385, 128, Q35_META_MULTIPLIER},
		      {66, 513, 256, Q35_META_MULTIPLIER | Q35_META_ZERO}};
	static const uint32_t act_blocks[] = {0, 32, 64, 128};
	uint64_t seed = 1;
	unsigned int shape, round, side;

	for (shape = 0; shape < ARRAY_SIZE(shapes); shape++) {
		uint32_t n = shapes[shape].n, k = shapes[shape].k;

		for (side = 0; side < 2; side++) {
			q35_matrix_destroy(self->sides[side].mat);
			ASSERT_EQ(0, random_matrix(self->sides[side].dev, shape + 1, n, k,
						   shapes[shape].group, shapes[shape].flags,
						   &self->sides[side].mat));
		}
		for (round = 0; round < 32; round++) {
			struct q35_job job = {.kind = Q35_JOB_GEMM};
			struct q35_gemm *gemm = &job.gemm;
			size_t offset = 0;

			gemm->m = 1 + random_below(&seed, 7);
			gemm->act_block = act_blocks[round % 4];
			gemm->activation = random_below(&seed, 4);
			gemm->combine = random_below(&seed, 3);
			gemm->x = random_operand(&seed, self->sides, &offset, round / 4 % 4,
						 gemm->m, k);
			gemm->y = random_operand(&seed, self->sides, &offset,
						 random_below(&seed, 3), gemm->m, n);
			if (gemm->x.type == Q35_I8) {
				uint32_t block = gemm->act_block ? gemm->act_block : k;

				gemm->x_scale = random_operand(&seed, self->sides, &offset, Q35_F32,
							       gemm->m, (k - 1) / block + 1);
				gemm->x_scale.stride = 0;
			}
			if (random_below(&seed, 2)) {
				gemm->bias =
					random_operand(&seed, self->sides, &offset, Q35_F32, 1, n);
				gemm->bias.stride = 0;
			}
			if (gemm->combine != Q35_REPLACE && random_below(&seed, 3))
				gemm->aux = random_operand(&seed, self->sides, &offset,
							   random_below(&seed, 3), gemm->m, n);
			else if (gemm->combine != Q35_REPLACE)
				gemm->aux = gemm->y;

			for (side = 0; side < 2; side++) {
				struct q35_buffer *arena = self->sides[side].arena;

				gemm->w = self->sides[side].mat;
				gemm->x.buffer = arena;
				gemm->y.buffer = arena;
				gemm->x_scale.buffer = gemm->x.type == Q35_I8 ? arena : NULL;
				gemm->bias.buffer = gemm->bias.offset ? arena : NULL;
				gemm->aux.buffer = gemm->combine == Q35_REPLACE ? NULL : arena;
				ASSERT_EQ(0, run(self->sides[side].queue, &job, 1))
				TH_LOG("%s", q35_error(self->sides[side].dev));
			}
			compare_arenas(_metadata, self->sides, shape * 100 + round);
		}
	}
}

TEST_F(library, copies_and_fills)
{
	uint64_t seed = 2;
	unsigned int round, side;

	for (round = 0; round < 100; round++) {
		uint32_t half = ARENA / 2, size = 1 + random_below(&seed, half / 4);
		struct q35_job jobs[2] = {
			{.kind = Q35_JOB_FILL,
			 .fill = {.offset = random_below(&seed, half / 8) * 4,
				  .size = 4 + random_below(&seed, half / 8) * 4,
				  .value = random_u32(&seed)}},
			{.kind = Q35_JOB_COPY,
			 .barrier = 1,
			 .copy = {.src_offset = random_below(&seed, half - size),
				  .dst_offset = half + random_below(&seed, half - size),
				  .size = size}},
		};

		for (side = 0; side < 2; side++) {
			struct q35_buffer *arena = self->sides[side].arena;

			jobs[0].fill.dst = arena;
			jobs[1].copy.src = arena;
			jobs[1].copy.dst = arena;
			ASSERT_EQ(0, run(self->sides[side].queue, jobs, 2))
			TH_LOG("%s", q35_error(self->sides[side].dev));
		}
		compare_arenas(_metadata, self->sides, round);
	}
}

/* A product that goes to and fro between two queues, each step waiting for the other queue's. */
TEST_F_TIMEOUT(library, queues_wait_for_one_another, 120)
{
	const uint32_t dim = 64, steps = 40, size = dim * 4;
	unsigned int side, step;
	uint64_t seed = 4;
	uint32_t i;

	for (i = 0; i < dim; i++) {
		float value = random_normal(&seed);

		for (side = 0; side < 2; side++)
			((float *)q35_buffer_map(self->sides[side].arena))[i] = value;
	}
	for (side = 0; side < 2; side++) {
		struct side *s = &self->sides[side];
		struct q35_queue *queues[2] = {s->queue, NULL};
		struct q35_point point = {s->queue, 0};
		struct big big;

		ASSERT_EQ(0, random_matrix(s->dev, 5, dim, dim, 0, 0, &s->mat));
		ASSERT_EQ(0, q35_queue_create(s->dev, 2, 0, &queues[1]));
		/* The first queue has a lot to do before it gets to the first step. */
		if (!side) {
			ASSERT_EQ(0, big_create(s->dev, &big));
			ASSERT_EQ(0, q35_submit(queues[0], big.jobs, big.count, NULL, 0, &point));
		}
		for (step = 0; step < steps; step++) {
			struct q35_job job = {
				.kind = Q35_JOB_GEMM,
				.gemm = {.w = s->mat,
					 .m = 1,
					 .x = {.buffer = s->arena, .offset = step * size},
					 .y = {.buffer = s->arena, .offset = (step + 1) * size}}};

			ASSERT_EQ(0, q35_submit(queues[step % 2], &job, 1, &point, 1, &point))
			TH_LOG("%s", q35_error(s->dev));
		}
		EXPECT_EQ(0, q35_wait(point, Q35_FOREVER)) TH_LOG("%s", q35_error(s->dev));
		if (!side)
			big_destroy(&big);
		q35_queue_destroy(queues[1]);
	}
	EXPECT_NE(0.0f, ((float *)q35_buffer_map(self->sides[0].arena))[steps * dim]);
	compare_arenas(_metadata, self->sides, 0);
}

/* A queue's own points order its jobs too, and an empty submission is a point like any other. */
TEST_F(library, own_points_and_empty_submissions)
{
	struct side *s = &self->sides[0];
	struct q35_point point = {s->queue, 0};
	const uint32_t *words;
	unsigned int i;

	for (i = 0; i < 64; i++) {
		struct q35_job job = {.kind = Q35_JOB_COPY,
				      .copy = {.src = s->arena,
					       .dst = s->arena,
					       .src_offset = i * 8192,
					       .dst_offset = (i + 1) * 8192,
					       .size = 8192}};

		if (!i)
			job = (struct q35_job){
				.kind = Q35_JOB_FILL,
				.fill = {.dst = s->arena, .size = 16384, .value = 0x5a5a1234}};
		ASSERT_EQ(0, q35_submit(s->queue, &job, 1, &point, 1, &point));
		if (i % 3 == 0)
			ASSERT_EQ(0, q35_submit(s->queue, NULL, 0, &point, 1, &point));
	}
	ASSERT_EQ(0, q35_wait(point, Q35_FOREVER));
	words = q35_buffer_map(s->arena);
	for (i = 0; i < 65 * 2048 && words[i] == 0x5a5a1234; i++)
		;
	EXPECT_EQ(65 * 2048, i);
}

TEST_F(library, many_buffers_keep_their_contents)
{
	enum { COUNT = 300 };
	struct q35_buffer *buffers[COUNT];
	struct side *s = &self->sides[0];
	uint64_t seed = 6;
	unsigned int round, i;
	size_t j;

	memset(buffers, 0, sizeof(buffers));
	for (round = 0; round < 3; round++) {
		for (i = round % 2; i < COUNT; i += 1 + round) {
			size_t size = 4 * (1 + random_below(&seed, 12000));
			struct q35_job fill = {.kind = Q35_JOB_FILL};

			q35_buffer_destroy(buffers[i]); /* perhaps with its fill in flight */
			ASSERT_EQ(0, q35_buffer_create(s->dev, i % 2 ? Q35_DEVICE : Q35_HOST, size,
						       &buffers[i]));
			fill.fill.dst = buffers[i];
			fill.fill.size = size;
			fill.fill.value = i + 1;
			ASSERT_EQ(0, q35_submit(s->queue, &fill, 1, NULL, 0, NULL));
		}
	}
	ASSERT_EQ(0, run(s->queue, NULL, 0));
	for (i = 0; i < COUNT; i++) {
		const uint32_t *words = q35_buffer_map(buffers[i]);

		for (j = 0; j < q35_buffer_size(buffers[i]) / 4 && words[j] == i + 1; j++)
			;
		EXPECT_EQ(q35_buffer_size(buffers[i]) / 4, j) TH_LOG("buffer %u", i);
		q35_buffer_destroy(buffers[i]);
	}
}

struct worker {
	struct side *sides;
	uint64_t seed;
	char wrong[200];
};

static const char *work(struct worker *w)
{
	enum { DIM = 96, ROWS = 3, ROUNDS = 20 };
	float x[ROWS * DIM], y[2][ROWS * DIM];
	struct q35_matrix *mats[2];
	struct q35_buffer *buf;
	struct q35_queue *queue;
	struct q35_job copy = {.kind = Q35_JOB_COPY};
	struct q35 *dev = w->sides[0].dev;
	const char *wrong = NULL;
	unsigned int round, side, i;

	for (side = 0; side < 2; side++) {
		if (random_matrix(w->sides[side].dev, w->seed, DIM, DIM, 0, 0, &mats[side]))
			return q35_error(w->sides[side].dev);
	}
	if (q35_queue_create(dev, 1, 0, &queue) ||
	    q35_buffer_create(dev, Q35_DEVICE, 2 * sizeof(x), &buf))
		return q35_error(dev);
	copy.copy = (struct q35_copy){
		.src = buf, .dst = buf, .dst_offset = sizeof(x), .size = sizeof(x)};
	for (round = 0; round < ROUNDS && !wrong; round++) {
		for (i = 0; i < ROWS * DIM; i++)
			x[i] = random_normal(&w->seed);
		for (side = 0; side < 2 && !wrong; side++) {
			if (q35_matmul(w->sides[side].dev, mats[side], ROWS, x, y[side]))
				wrong = q35_error(w->sides[side].dev);
		}
		if (!wrong && memcmp(y[0], y[1], sizeof(y[0])))
			wrong = "wrong product";
		memcpy(q35_buffer_map(buf), x, sizeof(x));
		if (!wrong && run(queue, &copy, 1))
			wrong = q35_error(dev);
		if (!wrong && memcmp((char *)q35_buffer_map(buf) + sizeof(x), x, sizeof(x)))
			wrong = "wrong copy";
	}
	q35_buffer_destroy(buf);
	q35_queue_destroy(queue);
	for (side = 0; side < 2; side++)
		q35_matrix_destroy(mats[side]);
	return wrong;
}

static void *work_thread(void *arg)
{
	struct worker *w = arg;
	const char *wrong = work(w);

	snprintf(w->wrong, sizeof(w->wrong), "%s", wrong ? wrong : "");
	return NULL;
}

TEST_F(library, threads_share_a_handle)
{
	struct worker workers[4];
	pthread_t threads[4];
	unsigned int i;

	for (i = 0; i < 4; i++) {
		workers[i] = (struct worker){self->sides, 100 + i, ""};
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, work_thread, &workers[i]));
	}
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
		EXPECT_STREQ("", workers[i].wrong);
	}
}

TEST_HARNESS_MAIN
