// SPDX-License-Identifier: MIT
/*
 * safetensors: a u64 length, a JSON header of that length, then the tensors' data, which must
 * cover the rest of the file without holes or overlaps.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "error.h"
#include "file.h"

#define HEADER_MAX_BYTES 100000000 /* the reference implementation's limit */
#define NAME_MAX_BYTES 255

static const struct {
	const char *name;
	int type; /* enum q35_tensor_type */
	uint32_t bytes;
} dtypes[] = {
	{"F32", Q35_TENSOR_F32, 4},	  {"F16", Q35_TENSOR_F16, 2},
	{"BF16", Q35_TENSOR_BF16, 2},	  {"I8", Q35_TENSOR_I8, 1},
	{"I32", Q35_TENSOR_I32, 4},	  {"F64", Q35_TENSOR_OTHER, 8},
	{"I64", Q35_TENSOR_OTHER, 8},	  {"U64", Q35_TENSOR_OTHER, 8},
	{"U32", Q35_TENSOR_OTHER, 4},	  {"I16", Q35_TENSOR_OTHER, 2},
	{"U16", Q35_TENSOR_OTHER, 2},	  {"U8", Q35_TENSOR_OTHER, 1},
	{"BOOL", Q35_TENSOR_OTHER, 1},	  {"F8_E4M3", Q35_TENSOR_OTHER, 1},
	{"F8_E5M2", Q35_TENSOR_OTHER, 1},
};

static bool get_u64(const json_t *json, uint64_t *value)
{
	if (!json_is_integer(json) || json_integer_value(json) < 0)
		return false;
	*value = (uint64_t)json_integer_value(json);
	return true;
}

/* Returns what is wrong with the shape, or NULL. A scalar reads as one dimension of 1. */
static const char *parse_shape(const json_t *json, struct q35_tensor *t)
{
	size_t i, dims = json_array_size(json);

	if (!json_is_array(json))
		return "has no shape";
	if (dims > 4)
		return "has more than 4 dimensions";
	for (i = 0; i < 4; i++)
		t->shape[i] = 1;
	for (i = 0; i < dims; i++) {
		if (!get_u64(json_array_get(json, i), &t->shape[i]))
			return "has a dimension that is not a natural number";
		if (t->shape[i] == 0)
			return "has a dimension of zero";
	}
	t->dims = dims ? (uint32_t)dims : 1;
	return NULL;
}

/* Returns what is wrong with the tensor, or NULL; data is of size bytes. */
static const char *parse_tensor(const json_t *json, struct q35_tensor *t, const uint8_t *data,
				uint64_t size)
{
	const char *dtype = json_string_value(json_object_get(json, "dtype")), *wrong;
	const json_t *offsets = json_object_get(json, "data_offsets");
	uint64_t begin, end, expected;
	size_t i;

	if (!json_is_object(json))
		return "is not an object";
	wrong = parse_shape(json_object_get(json, "shape"), t);
	if (wrong)
		return wrong;
	if (json_array_size(offsets) != 2 || !get_u64(json_array_get(offsets, 0), &begin) ||
	    !get_u64(json_array_get(offsets, 1), &end) || begin > end)
		return "has no valid data_offsets";
	if (end > size)
		return "has data past the end of the file: truncated";
	if (!dtype)
		return "has no dtype";
	for (i = 0; i < sizeof(dtypes) / sizeof(dtypes[0]); i++)
		if (!strcmp(dtypes[i].name, dtype))
			break;
	if (i == sizeof(dtypes) / sizeof(dtypes[0]))
		return "has an unknown dtype";
	if (!q35_shape_bytes(t->shape, t->dims, dtypes[i].bytes, &expected) ||
	    expected != end - begin)
		return "has data_offsets that do not fit its shape";
	t->type = dtypes[i].type;
	t->data = data + begin;
	t->size = expected;
	return NULL;
}

static int by_data(const void *a, const void *b)
{
	const struct q35_tensor *x = a, *y = b;

	return (x->data > y->data) - (x->data < y->data);
}

/* The header's order is anyone's; afterwards the tensors are in the order of their data. */
static int check_extents(struct q35_file *file, const uint8_t *data)
{
	size_t i;

	qsort(file->tensors, file->tensor_count, sizeof(*file->tensors), by_data);
	for (i = 0; i < file->tensor_count; i++) {
		const struct q35_tensor *t = &file->tensors[i];

		if ((const uint8_t *)t->data != data)
			return q35_fail(NULL, -EBADMSG,
					"%s: tensor %s does not begin where the one before it ends",
					file->path, t->name);
		data += t->size;
	}
	if (data != file->map + file->size)
		return q35_fail(NULL, -EBADMSG, "%s: bytes after the last tensor", file->path);
	return 0;
}

static int parse_metadata(struct q35_file *file, json_t *json)
{
	json_t *value;
	const char *key;

	if (!json_is_object(json))
		return q35_fail(NULL, -EBADMSG, "%s: __metadata__ is not an object", file->path);
	file->entries = calloc(json_object_size(json) + 1, sizeof(*file->entries));
	if (!file->entries)
		return q35_fail(NULL, -ENOMEM, "%s: out of memory", file->path);
	json_object_foreach(json, key, value)
	{
		struct q35_entry *e = &file->entries[file->entry_count];

		if (!q35_name_valid(key, strlen(key), UINT16_MAX))
			return q35_fail(NULL, -EBADMSG,
					"%s: the name of a metadata key is not text", file->path);
		if (!json_is_string(value))
			return q35_fail(NULL, -EBADMSG, "%s: the value of key %s is not a string",
					file->path, key);
		e->key = strdup(key);
		if (!e->key)
			return q35_fail(NULL, -ENOMEM, "%s: out of memory", file->path);
		e->type = GGUF_STRING;
		e->data = (const uint8_t *)json_string_value(value);
		e->size = json_string_length(value);
		e->count = e->size;
		file->entry_count++;
	}
	return 0;
}

static int parse_header(struct q35_file *file, json_t *header, const uint8_t *data)
{
	uint64_t size = (uint64_t)(file->map + file->size - data);
	const char *name, *wrong;
	json_t *value;
	int ret;

	if (!json_is_object(header))
		return q35_fail(NULL, -EBADMSG, "%s: the header is not an object", file->path);
	file->tensors = calloc(json_object_size(header) + 1, sizeof(*file->tensors));
	if (!file->tensors)
		return q35_fail(NULL, -ENOMEM, "%s: out of memory", file->path);
	json_object_foreach(header, name, value)
	{
		struct q35_tensor *t = &file->tensors[file->tensor_count];

		if (!strcmp(name, "__metadata__")) {
			ret = parse_metadata(file, value);
			if (ret)
				return ret;
			continue;
		}
		if (!q35_name_valid(name, strlen(name), NAME_MAX_BYTES))
			return q35_fail(NULL, -EBADMSG,
					"%s: a tensor's name is not text of 1 to %d bytes",
					file->path, NAME_MAX_BYTES);
		wrong = parse_tensor(value, t, data, size);
		if (wrong)
			return q35_fail(NULL, -EBADMSG, "%s: tensor %s %s", file->path, name,
					wrong);
		t->name = strdup(name);
		if (!t->name)
			return q35_fail(NULL, -ENOMEM, "%s: out of memory", file->path);
		file->tensor_count++;
	}
	return check_extents(file, data);
}

int q35_safetensors_parse(struct q35_file *file)
{
	json_error_t error;
	uint64_t size;

	if (file->size < sizeof(size))
		return q35_fail(NULL, -EBADMSG, "%s: truncated in the header", file->path);
	memcpy(&size, file->map, sizeof(size));
	if (size > HEADER_MAX_BYTES)
		return q35_fail(NULL, -EBADMSG, "%s: the header has more than %d bytes", file->path,
				HEADER_MAX_BYTES);
	if (size > file->size - sizeof(size))
		return q35_fail(NULL, -EBADMSG, "%s: truncated in the header", file->path);
	file->json = json_loadb((const char *)file->map + sizeof(size), size,
				JSON_REJECT_DUPLICATES, &error);
	if (!file->json) /* jansson's text quotes the input, which may hold anything */
		return q35_fail(NULL, -EBADMSG, "%s: the header is not valid JSON at byte %d",
				file->path, error.position);
	return parse_header(file, file->json, file->map + sizeof(size) + size);
}
