// SPDX-License-Identifier: MIT
/*
 * figures-data: what figures show that no benchmark has measured but follows from the format itself, as
 * tables for gnuplot.
 *
 *	figures-data size	models of LLaMA's family: bytes in some formats
 *	figures-data packing	the bits of a tile's first output
 */
#include <stdio.h>
#include <string.h>

#include "format.h"
#include "q35.h"

/* Published shapes (Touvron et al. 2023 a, b; Grattafiori et al. 2024). */
static const struct model {
	const char *name;
	uint32_t layers, width, hidden, keys, vocabulary; /* keys: outputs of the key matrix */
} models[] = {
	{"7B", 32, 4096, 11008, 4096, 32000},	   {"13B", 40, 5120, 13824, 5120, 32000},
	{"34B", 48, 8192, 22016, 1024, 32000},	   {"70B", 80, 8192, 28672, 1024, 32000},
	{"405B", 126, 16384, 53248, 1024, 128256},
};

enum coding { F16, INT4, T8, CODINGS };

static double matrix_bytes(enum coding coding, uint32_t n, uint32_t k)
{
	struct q35_weights w;

	switch (coding) {
	case F16:
		return 2.0 * n * k;
	case INT4: /* and an fp16 scale a column */
		return 0.5 * n * k + 2.0 * n;
	default:
		q35_weights_init(&w, Q35_T8, n, k);
		return (double)q35_tiles_size(n, k) +
		       (double)q35_meta_size(n, k, w.group, w.meta_flags);
	}
}

/* Embeddings, which are looked up, and norms stay f16. */
static double model_bytes(const struct model *m, enum coding coding)
{
	const double layer = 2 * matrix_bytes(coding, m->width, m->width) +
			     2 * matrix_bytes(coding, m->keys, m->width) +
			     2 * matrix_bytes(coding, m->hidden, m->width) +
			     matrix_bytes(coding, m->width, m->hidden);
	const double rest = matrix_bytes(F16, m->vocabulary, m->width) +
			    matrix_bytes(F16, 2 * m->layers + 1, m->width);

	return m->layers * layer + matrix_bytes(coding, m->vocabulary, m->width) + rest;
}

static void print_sizes(void)
{
	size_t i;
	int c;

	printf("model\tF16\tINT4\tT8\n");
	for (i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		printf("%s", models[i].name);
		for (c = 0; c < CODINGS; c++)
			printf("\t%.4g", 1e-9 * model_bytes(&models[i], (enum coding)c));
		putchar('\n');
	}
}

/*
 * A line a new bit of the weights: its place in the stream, the weight that it belongs to, whether that
 * is at an odd position; then the first bit of the weight's window and the bit after it.
 */
static void print_packing(void)
{
	int position, bit = 0, bits, end;

	printf("bit\tposition\todd\tbegin\tend\n");
	for (position = 0; position < Q35_TILE_K; position++) {
		bits = position % 2 ? Q35_ODD_BITS : Q35_EVEN_BITS;
		for (end = bit + bits; bit < end; bit++)
			printf("%d\t%d\t%d\t%d\t%d\n", bit, position, position % 2,
			       end - Q35_WINDOW_BITS, end);
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "size"))
		print_sizes();
	else if (argc == 2 && !strcmp(argv[1], "packing"))
		print_packing();
	else
		return fprintf(stderr, "usage: figures-data size|packing\n"), 2;
	return fflush(stdout) || ferror(stdout);
}
