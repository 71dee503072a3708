// SPDX-License-Identifier: MIT
/*
 * GEMM on the card gives the bits of the reference kernel, wherever its operands lie: the
 * reference gets them in one piece, the card in pages.
 */
#include <errno.h>
#include <math.h>

#include "card.h"
#include "kselftest_harness.h"

FIXTURE(card)
{
	struct card c;
	uint64_t seed;
};

FIXTURE_SETUP(card)
{
	card_start(&self->c, 2, 2);
	self->seed = 35;
}

FIXTURE_TEARDOWN(card)
{
	ASSERT_TRUE(card_destroy(&self->c));
}

/* One operand: the reference's copy of it and the card's. */
struct operand {
	void *p;
	size_t size;
	uint64_t va;
};

struct shape {
	uint32_t m, n, k;
	uint16_t act_block, group;
	uint8_t x_type, aux_type, y_type, activation, combine, meta_flags;
	bool bias, in_place; /* y is aux */
	uint32_t gap; /* elements between the rows of x, aux and y */
};

static uint32_t type_size(uint8_t type)
{
	return type == Q35_HW_F32 ? 4 : type == Q35_HW_I8 ? 1 : 2;
}

static struct operand operand(struct card *c, size_t size, unsigned int place)
{
	struct operand o = {.size = size, .va = card_alloc(c, size, place)};

	if (posix_memalign(&o.p, 64, size))
		abort();
	memset(o.p, 0, size);
	return o;
}

static void upload(struct card *c, const struct operand *o)
{
	card_poke(c, o->va, o->p, o->size);
}

static void random_matrix(uint64_t *seed, void *p, uint8_t type, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		float f = random_float(seed);

		if (type == Q35_HW_F32)
			((float *)p)[i] = f;
		else if (type == Q35_HW_F16)
			((uint16_t *)p)[i] = q35_f32_to_f16(f);
		else if (type == Q35_HW_BF16)
			((uint16_t *)p)[i] = q35_f32_to_bf16(f);
		else
			((int8_t *)p)[i] = (int)(random_u32(seed) % 255) - 127;
	}
}

static void random_meta(uint64_t *seed, const struct shape *s, uint8_t *meta)
{
	size_t row = (size_t)q35_div_up(s->n, Q35_BLOCK_N) * Q35_BLOCK_N;
	size_t groups = q35_format_groups(s->k, s->group), i;
	bool multiplier = s->meta_flags & Q35_META_MULTIPLIER;
	size_t scales = multiplier ? row : groups * row;

	random_matrix(seed, meta, Q35_HW_F16, scales);
	meta += scales * 2;
	if (multiplier) {
		for (i = 0; i < groups * row; i++)
			*meta++ = random_u32(seed);
	}
	if (s->meta_flags & Q35_META_ZERO)
		random_matrix(seed, meta, Q35_HW_F16, groups * row);
}

/* Runs the product on the card with its operands placed as said; true if it matches. */
static bool matches(struct card *c, uint64_t *seed, const struct shape *s, unsigned int place)
{
	uint32_t x_size = type_size(s->x_type), aux_size = type_size(s->aux_type);
	uint32_t y_size = type_size(s->y_type), scales;
	uint32_t x_stride = (s->k + s->gap) * x_size, aux_stride = (s->n + s->gap) * aux_size;
	uint32_t y_stride = (s->n + s->gap) * y_size;
	struct operand x, x_scale, tiles, meta, codebook, bias, aux, y;
	struct q35_hw_desc desc = {.op = Q35_OP_GEMM};
	struct q35_product p;
	void *scratch, *result;
	size_t size;
	bool ok;

	scales = s->act_block ? q35_div_up(s->k, s->act_block) : 1;
	x = operand(c, (size_t)s->m * x_stride, place | READONLY);
	x_scale = operand(c, (size_t)s->m * scales * 4, place | READONLY);
	tiles = operand(c, q35_format_tiles_size(s->n, s->k), place | READONLY);
	meta = operand(c, q35_format_meta_size(s->n, s->k, s->group, s->meta_flags),
		       place | READONLY);
	codebook = operand(c, Q35_CODEBOOK_BYTES, place | READONLY);
	bias = operand(c, (size_t)s->n * 4, place | READONLY);
	aux = operand(c, (size_t)s->m * aux_stride, place);
	y = operand(c, (size_t)s->m * y_stride, place);

	random_matrix(seed, x.p, s->x_type, x.size / x_size);
	random_matrix(seed, x_scale.p, Q35_HW_F32, x_scale.size / 4);
	random_bytes(seed, tiles.p, tiles.size);
	random_meta(seed, s, meta.p);
	random_bytes(seed, codebook.p, codebook.size);
	random_matrix(seed, bias.p, Q35_HW_F32, s->n);
	random_matrix(seed, aux.p, s->aux_type, aux.size / aux_size);
	random_bytes(seed, y.p, y.size);
	if (s->in_place) {
		free(y.p);
		y = aux;
	}
	upload(c, &x);
	upload(c, &x_scale);
	upload(c, &tiles);
	upload(c, &meta);
	upload(c, &codebook);
	upload(c, &bias);
	upload(c, &aux);
	upload(c, &y);

	desc.gemm = (struct q35_hw_gemm){
		.x_va = x.va,
		.x_scale_va = s->x_type == Q35_HW_I8 ? x_scale.va : 0,
		.tiles_va = tiles.va,
		.meta_va = meta.va,
		.codebook_va = codebook.va,
		.bias_va = s->bias ? bias.va : 0,
		.aux_va = s->combine ? aux.va : 0,
		.y_va = y.va,
		.m = s->m,
		.n = s->n,
		.k = s->k,
		.x_stride = x_stride,
		.aux_stride = s->combine ? aux_stride : 0,
		.y_stride = y_stride,
		.act_block = s->act_block,
		.group = s->group,
		.x_type = s->x_type,
		.aux_type = s->aux_type,
		.y_type = s->y_type,
		.activation = s->activation,
		.combine = s->combine,
		.window_bits = 8,
		.meta_flags = s->meta_flags,
	};
	p = (struct q35_product){
		.m = s->m,
		.n = s->n,
		.k = s->k,
		.act_block = s->act_block,
		.group = s->group,
		.x_type = s->x_type,
		.aux_type = s->aux_type,
		.y_type = s->y_type,
		.activation = s->activation,
		.combine = s->combine,
		.meta_flags = s->meta_flags,
		.x_stride = x_stride,
		.aux_stride = aux_stride,
		.y_stride = y_stride,
		.x = x.p,
		.x_scale = s->x_type == Q35_HW_I8 ? x_scale.p : NULL,
		.tiles = tiles.p,
		.meta = meta.p,
		.codebook = codebook.p,
		.bias = s->bias ? bias.p : NULL,
		.aux = s->combine ? aux.p : NULL,
		.y = y.p,
	};
	if (posix_memalign(&scratch, 64, q35_scratch_size(&p)))
		abort();
	q35_kernels_ref.prepare(&p, scratch, 0, s->m);
	q35_kernels_ref.gemm(&p, scratch, tiles.p, 0, q35_div_up(s->n, Q35_BLOCK_N));

	ok = run(c, 0, &desc) == Q35_FAULT_NONE;
	size = y.size;
	result = malloc(size);
	card_peek(c, y.va, result, size);
	ok = ok && !memcmp(result, y.p, size);

	free(result);
	free(scratch);
	free(x.p);
	free(x_scale.p);
	free(tiles.p);
	free(meta.p);
	free(codebook.p);
	free(bias.p);
	free(aux.p);
	if (!s->in_place)
		free(y.p);
	return ok;
}

static const unsigned int places[] = {LOCAL, SYSTEM, SCATTERED, SYSTEM | SCATTERED};

#define EXPECT_MATCHES(...)                                                        \
	do {                                                                       \
		const struct shape s = {__VA_ARGS__};                              \
		size_t i;                                                          \
		for (i = 0; i < ARRAY_SIZE(places); i++)                           \
			EXPECT_TRUE(matches(&self->c, &self->seed, &s, places[i])) \
		TH_LOG("placed %u: " #__VA_ARGS__, places[i]);                     \
	} while (0)

TEST_F(card, shapes)
{
	EXPECT_MATCHES(.m = 1, .n = 1, .k = 1);
	EXPECT_MATCHES(.m = 1, .n = 64, .k = 64, .act_block = 64);
	EXPECT_MATCHES(.m = 3, .n = 65, .k = 7, .act_block = 32);
	EXPECT_MATCHES(.m = 5, .n = 127, .k = 1001, .act_block = 128);
	EXPECT_MATCHES(.m = 17, .n = 200, .k = 333, .act_block = 0);
}

TEST_F(card, more_than_one_part)
{
	EXPECT_MATCHES(.m = 1, .n = 3000, .k = 2000, .act_block = 128);
	EXPECT_MATCHES(.m = 64, .n = 320, .k = 512, .act_block = 128, .group = 128,
		       .meta_flags = Q35_META_ZERO, .bias = true);
}

TEST_F(card, more_than_one_round)
{
	EXPECT_MATCHES(.m = 60, .n = 70, .k = 40000, .act_block = 128, .group = 256);
	EXPECT_MATCHES(.m = 40000, .n = 3, .k = 5, .act_block = 32);
}

TEST_F(card, types)
{
	uint8_t x, y;

	for (x = Q35_HW_F32; x <= Q35_HW_I8; x++)
		for (y = Q35_HW_F32; y <= Q35_HW_BF16; y++)
			EXPECT_MATCHES(.m = 9, .n = 100, .k = 300, .act_block = 64, .x_type = x,
				       .y_type = y, .aux_type = (y + 1) % 3,
				       .combine = Q35_HW_COMBINE_MUL, .gap = 3);
}

TEST_F(card, scales)
{
	EXPECT_MATCHES(.m = 4, .n = 200, .k = 1000, .act_block = 128, .group = 128);
	EXPECT_MATCHES(.m = 4, .n = 200, .k = 1000, .act_block = 0, .group = 256,
		       .meta_flags = Q35_META_ZERO);
	EXPECT_MATCHES(.m = 4, .n = 3000, .k = 1000, .act_block = 32, .group = 128,
		       .meta_flags = Q35_META_MULTIPLIER);
	EXPECT_MATCHES(.m = 4, .n = 3000, .k = 1000, .act_block = 128, .group = 256,
		       .meta_flags = Q35_META_MULTIPLIER | Q35_META_ZERO);
	EXPECT_MATCHES(.m = 4, .n = 200, .k = 1000, .meta_flags = Q35_META_ZERO);
}

TEST_F(card, epilogue)
{
	uint8_t activation, combine;

	for (activation = 0; activation <= Q35_HW_ACT_GELU; activation++)
		for (combine = 0; combine <= Q35_HW_COMBINE_MUL; combine++)
			EXPECT_MATCHES(.m = 3, .n = 70, .k = 100, .act_block = 32, .bias = true,
				       .activation = activation, .combine = combine, .gap = 5);
}

TEST_F(card, y_may_be_aux)
{
	EXPECT_MATCHES(.m = 30, .n = 2000, .k = 500, .act_block = 128, .in_place = true,
		       .combine = Q35_HW_COMBINE_ADD, .gap = 1);
}

/* Rows too far apart to be looked at as one range. */
TEST_F(card, far_strides)
{
	struct card *c = &self->c;
	const uint64_t stride = 6 << 20;
	uint64_t va = card_alloc(c, 4 * PAGE, LOCAL), row[5], x = card_alloc(c, 4 * PAGE, LOCAL);
	struct q35_hw_desc desc = {.op = Q35_OP_GEMM};
	float one = 1.0f, y;
	uint16_t scale = 0x3c00; /* 1.0 in half precision */
	int i;

	/* y[m][0] = 127 * (1 / 127) * code, the code 3 whatever the window. */
	for (i = 0; i < Q35_CODEBOOK_BYTES; i++)
		*card_byte(c, va + i) = 3;
	card_poke(c, va + PAGE, &scale, 2);
	card_poke(c, x, &one, 4);
	for (i = 0; i < 5; i++) {
		row[i] = VA_BASE + (512ull << 20) + i * stride;
		*pte_of(c, row[i], 0) =
			frame_alloc(c, LOCAL) | Q35_PTE_VALID | Q35_PTE_LEAF | Q35_PTE_WRITABLE;
	}
	desc.gemm = (struct q35_hw_gemm){
		.x_va = x,
		.tiles_va = va + 2 * PAGE,
		.meta_va = va + PAGE,
		.codebook_va = va,
		.y_va = row[0],
		.m = 5,
		.n = 1,
		.k = 1,
		.x_stride = 0, /* the same row five times */
		.y_stride = stride,
		.window_bits = 8,
	};
	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	for (i = 0; i < 5; i++) {
		memcpy(&y, frame_host(c, *pte_of(c, row[i], 0)), 4);
		EXPECT_EQ(y, 3.0f);
	}
	/* A row that is not there is reported, not the gap before it. */
	ASSERT_TRUE(queue_reset(c, 0));
	*pte_of(c, row[3], 0) = 0;
	wr(c, VREG(1, INVALIDATE), 1);
	queue_enable(c, 0);
	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_UNMAPPED);
	EXPECT_EQ(rd64(c, QREG(0, FAULT_ADDR_LO)), row[3]);
	EXPECT_EQ(rd(c, QREG(0, FAULT_INFO)), Q35_FAULT_WRITE);
}

TEST_F(card, a_row_with_a_nan_leaves_its_neighbours_alone)
{
	struct card *c = &self->c;
	uint64_t va = card_alloc(c, 16 * PAGE, LOCAL), x = card_alloc(c, PAGE, LOCAL);
	uint64_t y = card_alloc(c, PAGE, LOCAL);
	struct q35_hw_desc desc = {.op = Q35_OP_GEMM};
	float nan_value = NAN, out[3][8];
	int i;

	desc.gemm = (struct q35_hw_gemm){
		.x_va = x,
		.tiles_va = va,
		.meta_va = va + PAGE,
		.codebook_va = va + 2 * PAGE,
		.y_va = y,
		.m = 3,
		.n = 8,
		.k = 8,
		.x_stride = 32,
		.y_stride = 32,
		.window_bits = 8,
	};
	card_poke(c, x + 32 + 12, &nan_value, 4);
	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	card_peek(c, y, out, sizeof(out));
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(out[0][i], 0);
		EXPECT_TRUE(isnan(out[1][i]));
		EXPECT_EQ(out[2][i], 0);
	}
}

/* All operands up against the guard pages behind both memories. */
TEST_F(card, operands_end_where_memory_ends)
{
	struct card *c = &self->c;
	const uint32_t n = 64, k = 8;
	struct q35_hw_desc desc = {.op = Q35_OP_GEMM};
	uint64_t va = card_alloc(c, 4 * PAGE, LOCAL), last_local, last_system;

	last_local = VA_BASE + (256ull << 20);
	last_system = last_local + (2 << 20);
	*pte_of(c, last_local, 0) = (MEMORY_SIZE - PAGE) | Q35_PTE_LOCAL | Q35_PTE_VALID |
				    Q35_PTE_LEAF | Q35_PTE_WRITABLE;
	*pte_of(c, last_system, 0) = (SYSTEM_BASE + SYSTEM_SIZE - PAGE) | Q35_PTE_VALID |
				     Q35_PTE_LEAF | Q35_PTE_WRITABLE;
	desc.gemm = (struct q35_hw_gemm){
		.x_va = last_system + PAGE - k * 4,
		.tiles_va = last_local + PAGE - 256, /* 224 bytes, 64-byte aligned */
		.meta_va = last_system + PAGE - 128 - 64,
		.codebook_va = va,
		.y_va = va + PAGE,
		.m = 1,
		.n = n,
		.k = k,
		.window_bits = 8,
	};
	EXPECT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	/* 64-byte multiples of 224 bytes come at every second block of 8 inputs: exactly to the end. */
	desc.gemm.k = 2 * k;
	desc.gemm.x_va = last_system + PAGE - 2 * k * 4;
	desc.gemm.tiles_va = last_local + PAGE - 448;
	desc.gemm.meta_va = last_local + PAGE - 128;
	desc.gemm.y_va = last_system + PAGE - n * 4;
	EXPECT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	desc.gemm.codebook_va = last_local + PAGE - Q35_CODEBOOK_BYTES;
	desc.gemm.bias_va = last_local + PAGE - n * 4;
	EXPECT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
}

static struct q35_hw_desc small_product(struct card *c)
{
	uint64_t va = card_alloc(c, 32 * PAGE, LOCAL);

	return (struct q35_hw_desc){.op = Q35_OP_GEMM,
				    .gemm = {.x_va = card_alloc(c, 8 * PAGE, SYSTEM),
					     .tiles_va = va,
					     .meta_va = va + 16 * PAGE,
					     .codebook_va = va + 20 * PAGE,
					     .y_va = card_alloc(c, 8 * PAGE, LOCAL),
					     .m = 10,
					     .n = 100,
					     .k = 300,
					     .x_stride = 1200,
					     .y_stride = 400,
					     .window_bits = 8}};
}

TEST_F(card, counters_follow_the_roofline)
{
	struct card *c = &self->c;
	struct q35_hw_desc desc = small_product(c);
	uint64_t local = 2 * 38 * 224 + 128 * 2 + 512 + 10 * 400, link = 10 * 1200;
	uint64_t array = 3 * (128 * 304 / 256); /* 10 rows in passes of 4 by 256 weights */
	uint64_t link_cycles = (link + 9) / 10, cycles = array;

	if (cycles < link_cycles)
		cycles = link_cycles;
	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	EXPECT_EQ(rd64(c, QCOUNTER(0, MACS)), 10 * 100 * 300);
	EXPECT_EQ(rd64(c, QCOUNTER(0, MEMORY)), local);
	EXPECT_EQ(rd64(c, QCOUNTER(0, LINK)), link);
	EXPECT_EQ(rd64(c, QCOUNTER(0, CYCLES)), cycles);
	EXPECT_EQ(rd64(c, QCOUNTER(0, STALLS)), cycles - array);
	EXPECT_EQ(rd64(c, QCOUNTER(0, JOBS)), 1);

	queue_start(c, 1, 4, 0);
	ASSERT_EQ(run(c, 1, &desc), Q35_FAULT_NONE);
	EXPECT_EQ(rd64(c, QCOUNTER(1, MACS)), 10 * 100 * 300);
	EXPECT_EQ(rd64(c, Q35_REG_COUNTERS + Q35_COUNTER_MACS), 2 * 10 * 100 * 300);
	EXPECT_EQ(rd64(c, Q35_REG_COUNTERS + Q35_COUNTER_JOBS), 2);
	ASSERT_TRUE(queue_reset(c, 0));
	EXPECT_EQ(rd64(c, QCOUNTER(0, MACS)), 0);
	EXPECT_EQ(rd64(c, Q35_REG_COUNTERS + Q35_COUNTER_MACS), 2 * 10 * 100 * 300);
}

TEST_F(card, weights_count_once_whatever_the_rounds)
{
	struct card *c = &self->c;
	struct q35_hw_desc desc = small_product(c);

	desc.gemm.m = 40000;
	desc.gemm.n = desc.gemm.k = 8;
	desc.gemm.x_stride = desc.gemm.y_stride = 0;
	ASSERT_EQ(run(c, 0, &desc), Q35_FAULT_NONE);
	EXPECT_EQ(rd64(c, QCOUNTER(0, MEMORY)), 224 + 128 + 512 + 40000 * 8 * 4);
	EXPECT_EQ(rd64(c, QCOUNTER(0, LINK)), 40000 * 8 * 4);
}

TEST_F(card, each_operand_missing_is_a_fault_at_its_address)
{
	struct card *c = &self->c;
	struct q35_hw_desc good = small_product(c), desc;
	const uint64_t hole = VA_BASE + (900ull << 20);
	size_t i;

	good.gemm.aux_va = card_alloc(c, 8 * PAGE, LOCAL);
	good.gemm.aux_stride = 400;
	good.gemm.combine = Q35_HW_COMBINE_ADD;
	good.gemm.bias_va = card_alloc(c, PAGE, LOCAL);
	ASSERT_EQ(run(c, 0, &good), Q35_FAULT_NONE);
	for (i = 0; i < 8; i++) {
		if (i == 1)
			continue; /* x_scale_va, below */
		desc = good;
		((uint64_t *)&desc.gemm)[i] = hole;
		EXPECT_EQ(run(c, 0, &desc), Q35_FAULT_UNMAPPED);
		EXPECT_EQ(rd64(c, QREG(0, FAULT_ADDR_LO)), hole) TH_LOG("address %zu", i);
		EXPECT_EQ(rd(c, QREG(0, FAULT_INFO)), i == 7 ? Q35_FAULT_WRITE : 0);
		ASSERT_TRUE(queue_reset(c, 0));
		queue_enable(c, 0);
	}
	desc = good;
	desc.gemm.x_type = Q35_HW_I8;
	desc.gemm.x_scale_va = hole;
	EXPECT_EQ(run(c, 0, &desc), Q35_FAULT_UNMAPPED);
	EXPECT_EQ(rd64(c, QREG(0, FAULT_ADDR_LO)), hole);
}

/* Whom the environment asks for is looked up once, not when a product needs them. */
TEST(kernels_that_are_not_there_are_missed_at_once)
{
	static struct card c;

	setenv("Q35_ISA", "mmx", 1);
	EXPECT_EQ(-EINVAL, q35_asic_init(&c.asic, &c.asic.config, &c.asic.host));
	unsetenv("Q35_ISA");
}

TEST_HARNESS_MAIN
