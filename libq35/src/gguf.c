// SPDX-License-Identifier: MIT
/*
 * GGUF, versions 2 and 3: magic, version, counts, metadata, tensor descriptions, then the tensors'
 * data from the next multiple of the alignment on. Written from the format's description in ggml's
 * docs/gguf.md. Allocations follow counts only after the file has proved long enough for them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "file.h"

#define NAME_MAX_BYTES 255
#define KEY_MAX_BYTES 65535
#define NESTING_MAX 4
#define ALIGNMENT_MAX (1u << 20)

/* The least that an entry or a tensor's description takes: name length, one byte of name, … */
#define ENTRY_MIN_BYTES (8 + 1 + 4 + 1)
#define TENSOR_MIN_BYTES (8 + 1 + 4 + 8 + 4 + 8)

struct cursor {
	const uint8_t *p, *end;
};

/* Elements and bytes of a block, by ggml's number of the type; 0: a number without a type. */
static const struct {
	uint16_t elements, bytes;
} ggml_types[] = {
	[0] = {1, 4},	   [1] = {1, 2},      [2] = {32, 18},	 [3] = {32, 20},
	[6] = {32, 22},	   [7] = {32, 24},    [8] = {32, 34},	 [9] = {32, 36},
	[10] = {256, 84},  [11] = {256, 110}, [12] = {256, 144}, [13] = {256, 176},
	[14] = {256, 210}, [15] = {256, 292}, [16] = {256, 66},	 [17] = {256, 74},
	[18] = {256, 98},  [19] = {256, 50},  [20] = {32, 18},	 [21] = {256, 110},
	[22] = {256, 82},  [23] = {256, 136}, [24] = {1, 1},	 [25] = {1, 2},
	[26] = {1, 4},	   [27] = {1, 8},     [28] = {1, 8},	 [29] = {256, 56},
	[30] = {1, 2},	   [34] = {256, 54},  [35] = {256, 66},	 [39] = {32, 17},
};

static uint64_t left(const struct cursor *c)
{
	return (uint64_t)(c->end - c->p);
}

static bool take(struct cursor *c, void *out, size_t size)
{
	if (left(c) < size)
		return false;
	memcpy(out, c->p, size);
	c->p += size;
	return true;
}

static bool take_string(struct cursor *c, const uint8_t **s, uint64_t *size)
{
	if (!take(c, size, sizeof(*size)) || *size > left(c))
		return false;
	*s = c->p;
	c->p += *size;
	return true;
}

static char *copy_name(const uint8_t *s, uint64_t size)
{
	char *name = malloc(size + 1);

	if (name) {
		memcpy(name, s, size);
		name[size] = '\0';
	}
	return name;
}

/* Passes count values. Returns what is wrong with them, or NULL. */
static const char *skip_values(struct cursor *c, uint32_t type, uint64_t count, int depth)
{
	size_t size = q35_value_size(type);
	const uint8_t *s;
	uint64_t n;

	if (size) {
		if (count > left(c) / size)
			return "is truncated";
		c->p += count * size;
		return NULL;
	}
	if (type == GGUF_STRING) {
		while (count--)
			if (!take_string(c, &s, &n))
				return "is truncated";
		return NULL;
	}
	if (type != GGUF_ARRAY)
		return "has a type unknown to GGUF";
	if (depth == NESTING_MAX)
		return "has arrays nested too deeply";
	while (count--) {
		const char *wrong;
		uint32_t element;

		if (!take(c, &element, sizeof(element)) || !take(c, &n, sizeof(n)))
			return "is truncated";
		wrong = skip_values(c, element, n, depth + 1);
		if (wrong)
			return wrong;
	}
	return NULL;
}

static int index_strings(struct q35_entry *e)
{
	struct cursor c = {e->data, e->data + e->size};
	const uint8_t *s;
	uint64_t i, size;

	/* skip_values() found count strings, so there are 8 * count bytes at least */
	e->strings = calloc(e->count ? e->count : 1, sizeof(*e->strings));
	if (!e->strings)
		return -ENOMEM;
	for (i = 0; i < e->count; i++) {
		e->strings[i] = c.p;
		take_string(&c, &s, &size);
	}
	return 0;
}

/* Returns what is wrong with the value, or NULL. */
static const char *parse_value(struct cursor *c, struct q35_entry *e)
{
	const char *wrong;

	if (!take(c, &e->type, sizeof(e->type)))
		return "is truncated";
	e->count = 1;
	if (e->type == GGUF_STRING) {
		if (!take_string(c, &e->data, &e->count))
			return "is truncated";
		e->size = e->count;
		return NULL;
	}
	if (e->type != GGUF_ARRAY) {
		e->data = c->p;
		e->size = q35_value_size(e->type);
		return skip_values(c, e->type, 1, 0);
	}
	if (!take(c, &e->element, sizeof(e->element)) || !take(c, &e->count, sizeof(e->count)))
		return "is truncated";
	e->data = c->p;
	wrong = skip_values(c, e->element, e->count, 1);
	e->size = (uint64_t)(c->p - e->data);
	return wrong;
}

static int parse_entry(struct q35_file *file, struct cursor *c)
{
	struct q35_entry *e = &file->entries[file->entry_count];
	const char *wrong;
	const uint8_t *s;
	uint64_t size;

	if (!take_string(c, &s, &size))
		return q35_fail(NULL, -EBADMSG, "%s: truncated in the name of metadata key %zu",
				file->path, file->entry_count);
	if (!q35_name_valid(s, size, KEY_MAX_BYTES))
		return q35_fail(NULL, -EBADMSG, "%s: the name of metadata key %zu is not text",
				file->path, file->entry_count);
	e->key = copy_name(s, size);
	if (!e->key)
		return q35_fail(NULL, -ENOMEM, "%s: out of memory", file->path);
	file->entry_count++;

	wrong = parse_value(c, e);
	if (wrong)
		return q35_fail(NULL, -EBADMSG, "%s: the value of key %s %s", file->path, e->key,
				wrong);
	if (e->type == GGUF_ARRAY && e->element == GGUF_STRING && index_strings(e))
		return q35_fail(NULL, -ENOMEM, "%s: key %s: out of memory", file->path, e->key);
	return 0;
}

/* Returns what is wrong with the shape, or NULL; size 0: the type's size is not known. */
static const char *tensor_bytes(const struct q35_tensor *t, uint32_t type, uint64_t *size)
{
	uint64_t row = t->shape[t->dims - 1];
	uint32_t i;

	for (i = 0; i < t->dims; i++)
		if (t->shape[i] == 0)
			return "has a dimension of zero";
	*size = 0;
	if (type >= sizeof(ggml_types) / sizeof(ggml_types[0]) || !ggml_types[type].elements)
		return q35_shape_bytes(t->shape, t->dims, 1, &row) ? NULL : "is too large";
	if (row % ggml_types[type].elements)
		return "has rows that are not whole blocks";
	row /= ggml_types[type].elements;
	if (!q35_shape_bytes(t->shape, t->dims - 1, ggml_types[type].bytes, size) ||
	    __builtin_mul_overflow(*size, row, size))
		return "is too large";
	return NULL;
}

static int known_type(uint32_t type)
{
	switch (type) {
	case Q35_TENSOR_F32:
	case Q35_TENSOR_F16:
	case Q35_TENSOR_I8:
	case Q35_TENSOR_I32:
	case Q35_TENSOR_BF16:
		return (int)type;
	default:
		return Q35_TENSOR_OTHER;
	}
}

/* The offset goes to *offset: where the data begins is known only after the last description. */
static int parse_tensor(struct q35_file *file, struct cursor *c, uint64_t *offset)
{
	struct q35_tensor *t = &file->tensors[file->tensor_count];
	const char *wrong;
	const uint8_t *s;
	uint64_t size;
	uint32_t i, type;

	if (!take_string(c, &s, &size))
		return q35_fail(NULL, -EBADMSG, "%s: truncated in the name of tensor %zu",
				file->path, file->tensor_count);
	if (!q35_name_valid(s, size, NAME_MAX_BYTES))
		return q35_fail(NULL, -EBADMSG,
				"%s: the name of tensor %zu is not text of 1 to %d bytes",
				file->path, file->tensor_count, NAME_MAX_BYTES);
	t->name = copy_name(s, size);
	if (!t->name)
		return q35_fail(NULL, -ENOMEM, "%s: out of memory", file->path);
	file->tensor_count++;

	if (!take(c, &t->dims, sizeof(t->dims)))
		goto truncated;
	if (t->dims < 1 || t->dims > 4)
		return q35_fail(NULL, -EBADMSG, "%s: tensor %s has %u dimensions, not 1 to 4",
				file->path, t->name, t->dims);
	for (i = 0; i < 4; i++)
		t->shape[i] = 1;
	for (i = t->dims; i--;) /* GGUF puts the innermost first */
		if (!take(c, &t->shape[i], sizeof(t->shape[i])))
			goto truncated;
	if (!take(c, &type, sizeof(type)) || !take(c, offset, sizeof(*offset)))
		goto truncated;
	t->type = known_type(type);
	wrong = tensor_bytes(t, type, &t->size);
	if (wrong)
		return q35_fail(NULL, -EBADMSG, "%s: tensor %s %s", file->path, t->name, wrong);
	return 0;

truncated:
	return q35_fail(NULL, -EBADMSG, "%s: truncated in the description of tensor %s", file->path,
			t->name);
}

static int by_data(const void *a, const void *b)
{
	const struct q35_tensor *x = *(const struct q35_tensor *const *)a;
	const struct q35_tensor *y = *(const struct q35_tensor *const *)b;

	return (x->data > y->data) - (x->data < y->data);
}

/* No two tensors may share bytes; one of unknown type reaches up to the next one. */
static int check_extents(struct q35_file *file)
{
	const uint8_t *end = file->map + file->size;
	struct q35_tensor **order;
	size_t i;
	int ret = 0;

	order = calloc(file->tensor_count ? file->tensor_count : 1, sizeof(*order));
	if (!order)
		return q35_fail(NULL, -ENOMEM, "%s: out of memory", file->path);
	for (i = 0; i < file->tensor_count; i++)
		order[i] = &file->tensors[i];
	qsort(order, file->tensor_count, sizeof(*order), by_data);

	for (i = 0; i < file->tensor_count && !ret; i++) {
		struct q35_tensor *t = order[i], *next = NULL;
		const uint8_t *data = t->data, *limit = end;

		if (i + 1 < file->tensor_count) {
			next = order[i + 1];
			limit = next->data;
		}
		if (!t->size)
			t->size = (uint64_t)(limit - data);
		if (t->size > (uint64_t)(end - data))
			ret = q35_fail(NULL, -EBADMSG, "%s: truncated in the data of tensor %s",
				       file->path, t->name);
		else if (next && (t->size > (uint64_t)(limit - data) || data == limit))
			ret = q35_fail(NULL, -EBADMSG, "%s: tensors %s and %s overlap", file->path,
				       t->name, next->name);
	}
	free(order);
	return ret;
}

static int place_tensors(struct q35_file *file, struct cursor *c, const uint64_t *offsets)
{
	const struct q35_entry *e = NULL;
	uint64_t alignment = GGUF_ALIGNMENT, start;
	size_t i;

	for (i = 0; i < file->entry_count; i++)
		if (!strcmp(file->entries[i].key, "general.alignment"))
			e = &file->entries[i];
	if (e && (q35_entry_u64(e, &alignment) || !alignment || alignment > ALIGNMENT_MAX ||
		  alignment & (alignment - 1)))
		return q35_fail(NULL, -EBADMSG,
				"%s: general.alignment is not a power of two up to %u", file->path,
				ALIGNMENT_MAX);
	if (!file->tensor_count)
		return 0;
	start = (uint64_t)(c->p - file->map);
	start = (start + alignment - 1) & ~(alignment - 1);
	if (start >= file->size)
		return q35_fail(NULL, -EBADMSG, "%s: truncated before the tensors' data",
				file->path);
	for (i = 0; i < file->tensor_count; i++) {
		struct q35_tensor *t = &file->tensors[i];

		if (offsets[i] % alignment)
			return q35_fail(NULL, -EBADMSG,
					"%s: tensor %s: its offset is not a multiple of %llu",
					file->path, t->name, (unsigned long long)alignment);
		if (offsets[i] >= file->size - start)
			return q35_fail(NULL, -EBADMSG,
					"%s: truncated: the data of tensor %s lies past its end",
					file->path, t->name);
		t->data = file->map + start + offsets[i];
	}
	return check_extents(file);
}

int q35_gguf_parse(struct q35_file *file)
{
	struct cursor c = {file->map, file->map + file->size};
	uint64_t *offsets = NULL, tensors, entries, i;
	uint32_t magic, version;
	int ret = 0;

	if (!take(&c, &magic, sizeof(magic)) || !take(&c, &version, sizeof(version)) ||
	    !take(&c, &tensors, sizeof(tensors)) || !take(&c, &entries, sizeof(entries)))
		return q35_fail(NULL, -EBADMSG, "%s: truncated in the header", file->path);
	if (version < 2 || version > GGUF_VERSION)
		return q35_fail(NULL, -EBADMSG, "%s: GGUF version %u%s, not 2 or 3", file->path,
				version & 0xffff ? version : __builtin_bswap32(version),
				version & 0xffff ? "" : " in big-endian order");
	if (entries > left(&c) / ENTRY_MIN_BYTES)
		return q35_fail(NULL, -EBADMSG, "%s: truncated: too short for %llu metadata keys",
				file->path, (unsigned long long)entries);
	if (tensors > left(&c) / TENSOR_MIN_BYTES)
		return q35_fail(NULL, -EBADMSG, "%s: truncated: too short for %llu tensors",
				file->path, (unsigned long long)tensors);

	file->entries = calloc(entries + 1, sizeof(*file->entries));
	file->tensors = calloc(tensors + 1, sizeof(*file->tensors));
	offsets = calloc(tensors + 1, sizeof(*offsets));
	if (!file->entries || !file->tensors || !offsets)
		ret = q35_fail(NULL, -ENOMEM, "%s: out of memory", file->path);
	for (i = 0; i < entries && !ret; i++)
		ret = parse_entry(file, &c);
	for (i = 0; i < tensors && !ret; i++)
		ret = parse_tensor(file, &c, &offsets[i]);
	if (!ret)
		ret = place_tensors(file, &c, offsets);
	free(offsets);
	return ret;
}
