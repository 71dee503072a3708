// SPDX-License-Identifier: MIT
#include "machine.h"

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define PREFETCH 4096 /* bytes; as much as libq35's kernels */
#define ROUNDS 400000 /* half a millisecond: waking threads must not count */
#define CHAINS 12 /* of dependent multiplications: enough for any latency */

/* Of all bytes, so that the compiler may leave none unread. */
static unsigned int fold(const void *sums, size_t size)
{
	unsigned int word, sum = 0;
	size_t i;

	for (i = 0; i < size; i += sizeof(word)) {
		memcpy(&word, (const char *)sums + i, sizeof(word));
		sum ^= word;
	}
	return sum;
}

__attribute__((target("avx512f"))) static unsigned int read_512(const char *at, size_t size,
								bool ahead)
{
	__m512i sum[4] = {0};
	size_t i, j;

	for (i = 0; i + 256 <= size; i += 256) {
#pragma GCC unroll 4
		for (j = 0; j < 4; j++) {
			if (ahead)
				_mm_prefetch(at + i + 64 * j + PREFETCH, _MM_HINT_T0);
			sum[j] = _mm512_xor_si512(sum[j], _mm512_loadu_si512(at + i + 64 * j));
		}
	}
	for (; i < size; i += 64)
		sum[0] = _mm512_xor_si512(sum[0], _mm512_loadu_si512(at + i));
	return fold(sum, sizeof(sum));
}

__attribute__((target("avx2"))) static unsigned int read_256(const char *at, size_t size,
							     bool ahead)
{
	__m256i sum[4] = {0};
	size_t i, j;

	for (i = 0; i + 128 <= size; i += 128) {
		if (ahead) {
			_mm_prefetch(at + i + PREFETCH, _MM_HINT_T0);
			_mm_prefetch(at + i + PREFETCH + 64, _MM_HINT_T0);
		}
#pragma GCC unroll 4
		for (j = 0; j < 4; j++)
			sum[j] = _mm256_xor_si256(
				sum[j], _mm256_loadu_si256((const __m256i *)(at + i + 32 * j)));
	}
	for (; i < size; i += 32)
		sum[0] = _mm256_xor_si256(sum[0], _mm256_loadu_si256((const __m256i *)(at + i)));
	return fold(sum, sizeof(sum));
}

static unsigned int read_64(const char *at, size_t size, bool ahead)
{
	const uint64_t *words = (const uint64_t *)at;
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < size / 8; i++) {
		if (ahead && i % 8 == 0)
			__builtin_prefetch(at + 8 * i + PREFETCH);
		sum ^= words[i];
	}
	return fold(&sum, sizeof(sum));
}

unsigned int machine_read(const void *memory, size_t size, bool ahead)
{
	if (__builtin_cpu_supports("avx512f"))
		return ahead ? read_512(memory, size, true) : read_512(memory, size, false);
	if (__builtin_cpu_supports("avx2"))
		return ahead ? read_256(memory, size, true) : read_256(memory, size, false);
	return read_64(memory, size, ahead);
}

/* The empty assembly keeps the compiler from working the sums out, or leaving them out. */
__attribute__((target("avx512f,avx512vnni"))) static double multiply_512(void)
{
	__m512i sum[CHAINS] = {0}, a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
	int i, j;

	for (i = 0; i < ROUNDS; i++) {
#pragma GCC unroll 16
		for (j = 0; j < CHAINS; j++) {
			sum[j] = _mm512_dpbusd_epi32(sum[j], a, b);
			__asm__ volatile("" : "+v"(sum[j]));
		}
	}
	return 64.0 * CHAINS * ROUNDS;
}

__attribute__((target("avx2"))) static double multiply_256(void)
{
	__m256i sum[CHAINS] = {0}, a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
	const __m256i ones = _mm256_set1_epi16(1);
	int i, j;

	for (i = 0; i < ROUNDS; i++) {
#pragma GCC unroll 16
		for (j = 0; j < CHAINS; j++) {
			__asm__ volatile("" : "+x"(a));
			sum[j] = _mm256_add_epi32(
				sum[j], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
			__asm__ volatile("" : "+x"(sum[j]));
		}
	}
	return 32.0 * CHAINS * ROUNDS;
}

static double multiply_8(void)
{
	unsigned int sum = 0;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		sum += (unsigned int)(i & 0xff) * 5;
		__asm__ volatile("" : "+r"(sum));
	}
	return ROUNDS;
}

double machine_multiply(void)
{
	if (__builtin_cpu_supports("avx512vnni"))
		return multiply_512();
	if (__builtin_cpu_supports("avx2"))
		return multiply_256();
	return multiply_8();
}
