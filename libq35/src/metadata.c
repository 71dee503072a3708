// SPDX-License-Identifier: MIT
/* A model file's metadata: looking up keys and converting values. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "file.h"

size_t q35_value_size(uint32_t type)
{
	switch (type) {
	case GGUF_U8:
	case GGUF_I8:
	case GGUF_BOOL:
		return 1;
	case GGUF_U16:
	case GGUF_I16:
		return 2;
	case GGUF_U32:
	case GGUF_I32:
	case GGUF_F32:
		return 4;
	case GGUF_U64:
	case GGUF_I64:
	case GGUF_F64:
		return 8;
	default:
		return 0;
	}
}

static bool get_unsigned(uint32_t type, const uint8_t *data, uint64_t *value)
{
	if (type != GGUF_U8 && type != GGUF_U16 && type != GGUF_U32 && type != GGUF_U64)
		return false;
	*value = 0;
	memcpy(value, data, q35_value_size(type));
	return true;
}

static bool get_signed(uint32_t type, const uint8_t *data, int64_t *value)
{
	unsigned int spare = 64 - 8 * (unsigned int)q35_value_size(type);
	uint64_t bits = 0;

	if (type != GGUF_I8 && type != GGUF_I16 && type != GGUF_I32 && type != GGUF_I64)
		return false;
	memcpy(&bits, data, q35_value_size(type));
	*value = (int64_t)(bits << spare) >> spare;
	return true;
}

static bool get_f64(uint32_t type, const uint8_t *data, double *value)
{
	uint64_t u;
	int64_t i;
	float f;

	if (get_unsigned(type, data, &u)) {
		*value = (double)u;
	} else if (get_signed(type, data, &i)) {
		*value = (double)i;
	} else if (type == GGUF_F32) {
		memcpy(&f, data, sizeof(f));
		*value = f;
	} else if (type == GGUF_F64) {
		memcpy(value, data, sizeof(*value));
	} else {
		return false;
	}
	return true;
}

int q35_entry_u64(const struct q35_entry *entry, uint64_t *value)
{
	int64_t i;

	if (get_unsigned(entry->type, entry->data, value))
		return 0;
	if (!get_signed(entry->type, entry->data, &i) || i < 0)
		return -EINVAL;
	*value = (uint64_t)i;
	return 0;
}

static int compare_key(const void *key, const void *entry)
{
	return strcmp(key, (*(const struct q35_entry *const *)entry)->key);
}

const struct q35_entry *q35_file_entry(const struct q35_file *file, const char *key)
{
	const struct q35_entry **found;

	found = bsearch(key, file->by_key, file->entry_count, sizeof(*found), compare_key);
	return found ? *found : NULL;
}

size_t q35_file_keys(const struct q35_file *file)
{
	return file->entry_count;
}

const char *q35_file_key(const struct q35_file *file, size_t index)
{
	return index < file->entry_count ? file->entries[index].key : NULL;
}

static int find(const struct q35_file *file, const char *key, const struct q35_entry **e)
{
	*e = q35_file_entry(file, key);
	return *e ? 0 : q35_fail(NULL, -ENOENT, "%s: no key %s", file->path, key);
}

static int wrong_type(const struct q35_file *file, const char *key, const char *wanted)
{
	return q35_fail(NULL, -EINVAL, "%s: key %s is not %s", file->path, key, wanted);
}

int q35_file_u64(const struct q35_file *file, const char *key, uint64_t *value)
{
	const struct q35_entry *e;
	int ret = find(file, key, &e);

	if (!ret && q35_entry_u64(e, value))
		ret = wrong_type(file, key, "a natural number");
	return ret;
}

int q35_file_f64(const struct q35_file *file, const char *key, double *value)
{
	const struct q35_entry *e;
	int ret = find(file, key, &e);

	if (!ret && !get_f64(e->type, e->data, value))
		ret = wrong_type(file, key, "a number");
	return ret;
}

int q35_file_bool(const struct q35_file *file, const char *key, int *value)
{
	const struct q35_entry *e;
	int ret = find(file, key, &e);

	if (!ret && (e->type != GGUF_BOOL || e->data[0] > 1))
		ret = wrong_type(file, key, "a bool");
	if (!ret)
		*value = e->data[0];
	return ret;
}

int q35_file_string(const struct q35_file *file, const char *key, const char **s, size_t *size)
{
	const struct q35_entry *e;
	int ret = find(file, key, &e);

	if (!ret && e->type != GGUF_STRING)
		ret = wrong_type(file, key, "a string");
	if (!ret) {
		*s = (const char *)e->data;
		*size = e->size;
	}
	return ret;
}

int q35_file_array(const struct q35_file *file, const char *key, uint64_t *count)
{
	const struct q35_entry *e;
	int ret = find(file, key, &e);

	if (!ret && e->type != GGUF_ARRAY)
		ret = wrong_type(file, key, "an array");
	if (!ret)
		*count = e->count;
	return ret;
}

static int find_element(const struct q35_file *file, const char *key, uint64_t index,
			const struct q35_entry **e)
{
	int ret = find(file, key, e);

	if (!ret && (*e)->type != GGUF_ARRAY)
		ret = wrong_type(file, key, "an array");
	if (!ret && index >= (*e)->count)
		ret = q35_fail(NULL, -EINVAL, "%s: key %s has only %llu elements", file->path, key,
			       (unsigned long long)(*e)->count);
	return ret;
}

int q35_file_array_string(const struct q35_file *file, const char *key, uint64_t index,
			  const char **s, size_t *size)
{
	const struct q35_entry *e;
	uint64_t length;
	int ret = find_element(file, key, index, &e);

	if (!ret && e->element != GGUF_STRING)
		ret = wrong_type(file, key, "an array of strings");
	if (!ret) {
		memcpy(&length, e->strings[index], sizeof(length));
		*s = (const char *)e->strings[index] + sizeof(length);
		*size = length;
	}
	return ret;
}

int q35_file_array_f64(const struct q35_file *file, const char *key, uint64_t index, double *value)
{
	const struct q35_entry *e;
	int ret = find_element(file, key, index, &e);

	if (!ret && !get_f64(e->element, e->data + index * q35_value_size(e->element), value))
		ret = wrong_type(file, key, "an array of numbers");
	return ret;
}
