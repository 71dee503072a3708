// SPDX-License-Identifier: MIT
/* Writes GGUF version 3. */
#define _GNU_SOURCE /* fallocate() */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "file.h"
#include "output.h"

struct value {
	char *key;
	uint8_t *bytes; /* encoded: type, headers, payload */
	size_t size;
};

struct described {
	char *name;
	uint32_t type, dims;
	uint64_t shape[4]; /* outermost first */
	uint64_t size;
};

struct q35_writer {
	char *path;
	struct q35_output out;
	int error; /* -errno of the first write that failed */
	struct value *values;
	size_t value_count;
	struct described *tensors;
	size_t tensor_count;
	bool begun;
	size_t current; /* tensor that the next bytes belong to */
	uint64_t done; /* bytes of it that are written */
};

static int no_memory(const struct q35_writer *w)
{
	return q35_fail(NULL, -ENOMEM, "%s: out of memory", w->path);
}

static int io_error(const struct q35_writer *w, int error) /* negative */
{
	return q35_fail(NULL, error, "%s: cannot be written: %s", w->path,
			q35_output_reason(error));
}

static uint64_t padding(uint64_t size)
{
	return -size % GGUF_ALIGNMENT;
}

int q35_writer_create(const char *path, struct q35_writer **writer)
{
	struct q35_writer *w = calloc(1, sizeof(*w));
	int ret;

	if (!w)
		return q35_fail(NULL, -ENOMEM, "%s: out of memory", path);
	w->path = strdup(path);
	if (!w->path) {
		ret = q35_fail(NULL, -ENOMEM, "%s: out of memory", path);
	} else {
		ret = q35_output_open(&w->out, path);
		ret = ret ? io_error(w, ret) : 0;
	}
	if (ret) {
		q35_writer_destroy(w);
		return ret;
	}
	*writer = w;
	return 0;
}

void q35_writer_destroy(struct q35_writer *w)
{
	size_t i;

	if (!w)
		return;
	q35_output_discard(&w->out);
	for (i = 0; i < w->value_count; i++) {
		free(w->values[i].key);
		free(w->values[i].bytes);
	}
	for (i = 0; i < w->tensor_count; i++)
		free(w->tensors[i].name);
	free(w->values);
	free(w->tensors);
	free(w->path);
	free(w);
}

/* The value to be filled in: the one that key has, emptied, or a new one. */
static struct value *value_for(struct q35_writer *w, const char *key)
{
	struct value *v;
	size_t i;

	for (i = 0; i < w->value_count; i++) {
		v = &w->values[i];
		if (!strcmp(v->key, key)) {
			free(v->bytes);
			v->bytes = NULL;
			v->size = 0;
			return v;
		}
	}
	v = reallocarray(w->values, w->value_count + 1, sizeof(*v));
	if (!v)
		return NULL;
	w->values = v;
	v += w->value_count;
	*v = (struct value){.key = strdup(key)};
	if (!v->key)
		return NULL;
	w->value_count++;
	return v;
}

static int put_value(struct q35_writer *w, const char *key, uint32_t type, const void *header,
		     size_t header_size, const void *data, size_t size)
{
	struct value *v;
	uint8_t *bytes;

	if (w->begun)
		return q35_fail(NULL, -EINVAL, "%s: key %s comes after the beginning", w->path,
				key);
	if (!q35_name_valid(key, strlen(key), UINT16_MAX))
		return q35_fail(NULL, -EINVAL, "%s: a metadata key is not text", w->path);
	v = value_for(w, key);
	bytes = malloc(sizeof(type) + header_size + size);
	if (!v || !bytes) {
		free(bytes);
		return no_memory(w);
	}
	v->bytes = bytes;
	v->size = sizeof(type) + header_size + size;
	memcpy(bytes, &type, sizeof(type));
	if (header_size)
		memcpy(bytes + sizeof(type), header, header_size);
	if (size)
		memcpy(bytes + sizeof(type) + header_size, data, size);
	return 0;
}

struct __attribute__((packed)) array_header {
	uint32_t element;
	uint64_t count;
};

int q35_writer_copy_metadata(struct q35_writer *w, const struct q35_file *from)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < from->entry_count && !ret; i++) {
		const struct q35_entry *e = &from->entries[i];
		struct array_header array = {e->element, e->count};

		if (!strcmp(e->key, "general.alignment")) /* of that file, not of this one */
			continue;
		if (e->type == GGUF_STRING)
			ret = put_value(w, e->key, e->type, &e->count, sizeof(e->count), e->data,
					e->size);
		else if (e->type == GGUF_ARRAY)
			ret = put_value(w, e->key, e->type, &array, sizeof(array), e->data,
					e->size);
		else
			ret = put_value(w, e->key, e->type, NULL, 0, e->data, e->size);
	}
	return ret;
}

int q35_writer_u32(struct q35_writer *w, const char *key, uint32_t value)
{
	return put_value(w, key, GGUF_U32, NULL, 0, &value, sizeof(value));
}

int q35_writer_string(struct q35_writer *w, const char *key, const char *value)
{
	uint64_t size = strlen(value);

	return put_value(w, key, GGUF_STRING, &size, sizeof(size), value, size);
}

int q35_writer_i8_array(struct q35_writer *w, const char *key, const int8_t *values, size_t n)
{
	struct array_header array = {GGUF_I8, n};

	return put_value(w, key, GGUF_ARRAY, &array, sizeof(array), values, n);
}

static uint32_t element_size(int type)
{
	switch (type) {
	case Q35_TENSOR_F32:
	case Q35_TENSOR_I32:
		return 4;
	case Q35_TENSOR_F16:
	case Q35_TENSOR_BF16:
		return 2;
	case Q35_TENSOR_I8:
		return 1;
	default:
		return 0;
	}
}

int q35_writer_tensor(struct q35_writer *w, const char *name, int type, uint32_t dims,
		      const uint64_t *shape)
{
	struct described *t;
	uint64_t size;
	size_t i;

	if (w->begun)
		return q35_fail(NULL, -EINVAL, "%s: tensor %s comes after the beginning", w->path,
				name);
	if (!q35_name_valid(name, strlen(name), GGUF_NAME_MAX))
		return q35_fail(NULL, -EINVAL, "%s: tensor name %s is not text of 1 to %d bytes",
				w->path, name, GGUF_NAME_MAX);
	for (i = 0; i < w->tensor_count; i++)
		if (!strcmp(w->tensors[i].name, name))
			return q35_fail(NULL, -EINVAL, "%s: tensor %s occurs twice", w->path, name);
	if (!element_size(type) || dims < 1 || dims > 4 ||
	    !q35_shape_bytes(shape, dims, element_size(type), &size) || !size)
		return q35_fail(NULL, -EINVAL, "%s: tensor %s has an unusable type or shape",
				w->path, name);

	t = reallocarray(w->tensors, w->tensor_count + 1, sizeof(*t));
	if (!t)
		return no_memory(w);
	w->tensors = t;
	t += w->tensor_count;
	*t = (struct described){.name = strdup(name), .type = (uint32_t)type, .dims = dims};
	if (!t->name)
		return no_memory(w);
	memcpy(t->shape, shape, dims * sizeof(*shape));
	t->size = size;
	w->tensor_count++;
	return 0;
}

static void put(struct q35_writer *w, const void *data, size_t size)
{
	if (fwrite(data, 1, size, w->out.file) != size && !w->error)
		w->error = -errno;
}

static void put_string(struct q35_writer *w, const char *s)
{
	uint64_t size = strlen(s);

	put(w, &size, sizeof(size));
	put(w, s, size);
}

static void pad(struct q35_writer *w, uint64_t size)
{
	static const uint8_t zeros[GGUF_ALIGNMENT];

	put(w, zeros, padding(size));
}

static int flushed(struct q35_writer *w)
{
	if (!w->error && fflush(w->out.file))
		w->error = -errno;
	return w->error ? io_error(w, w->error) : 0;
}

/* Asks for all the room at once, so that a disk too small is found out before hours of work. */
static int reserve(struct q35_writer *w, uint64_t header)
{
	uint64_t total = header;
	size_t i;

	for (i = 0; i < w->tensor_count; i++)
		if (__builtin_add_overflow(total, w->tensors[i].size + GGUF_ALIGNMENT, &total) ||
		    total > INT64_MAX)
			return io_error(w, -EFBIG);
	total = header;
	for (i = 0; i < w->tensor_count; i++)
		total += w->tensors[i].size + padding(w->tensors[i].size);
	if (total && fallocate(fileno(w->out.file), 0, 0, (off_t)total) && errno != EOPNOTSUPP &&
	    errno != ENOSYS && errno != EINTR)
		return io_error(w, -errno);
	return 0;
}

int q35_writer_begin(struct q35_writer *w)
{
	const uint32_t magic = GGUF_MAGIC, version = GGUF_VERSION;
	uint64_t counts[2] = {w->tensor_count, w->value_count}, offset = 0;
	long header;
	size_t i;
	uint32_t d;
	int ret;

	if (w->begun)
		return q35_fail(NULL, -EINVAL, "%s: begun twice", w->path);
	w->begun = true;
	put(w, &magic, sizeof(magic));
	put(w, &version, sizeof(version));
	put(w, counts, sizeof(counts));
	for (i = 0; i < w->value_count; i++) {
		put_string(w, w->values[i].key);
		put(w, w->values[i].bytes, w->values[i].size);
	}
	for (i = 0; i < w->tensor_count; i++) {
		const struct described *t = &w->tensors[i];

		put_string(w, t->name);
		put(w, &t->dims, sizeof(t->dims));
		for (d = t->dims; d--;) /* GGUF puts the innermost first */
			put(w, &t->shape[d], sizeof(t->shape[d]));
		put(w, &t->type, sizeof(t->type));
		put(w, &offset, sizeof(offset));
		offset += t->size + padding(t->size);
	}
	ret = flushed(w);
	if (ret)
		return ret;
	header = ftell(w->out.file);
	if (header < 0)
		return io_error(w, -errno);
	pad(w, (uint64_t)header);
	return reserve(w, (uint64_t)header + padding((uint64_t)header));
}

int q35_writer_data(struct q35_writer *w, const void *data, size_t size)
{
	const struct described *t = &w->tensors[w->current];

	if (!w->begun || w->current == w->tensor_count || size > t->size - w->done)
		return q35_fail(NULL, -EINVAL, "%s: more data than was described", w->path);
	put(w, data, size);
	w->done += size;
	if (w->done == t->size) {
		pad(w, t->size);
		w->current++;
		w->done = 0;
	}
	return w->error ? io_error(w, w->error) : 0;
}

int q35_writer_finish(struct q35_writer *w)
{
	int ret;

	if (!w->begun || w->current != w->tensor_count)
		return q35_fail(NULL, -EINVAL, "%s: less data than was described", w->path);
	ret = flushed(w);
	if (ret)
		return ret;
	ret = q35_output_finish(&w->out);
	return ret ? io_error(w, ret) : 0;
}
