// SPDX-License-Identifier: MIT
/* Model files: mapping, looking up and converting what the readers have found. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "error.h"
#include "file.h"
#include "format.h"
#include "kernels.h"

bool q35_name_valid(const void *name, uint64_t size, uint64_t max)
{
	const uint8_t *s = name, *end = s + size;

	if (size < 1 || size > max)
		return false;
	while (s < end) {
		uint32_t c = *s++, least;
		int more;

		if (c < 0x80) {
			if (c < 0x20 || c == 0x7f)
				return false;
			continue;
		}
		if (c >= 0xc2 && c < 0xe0) {
			more = 1;
			least = 0x80;
			c &= 0x1f;
		} else if (c >= 0xe0 && c < 0xf0) {
			more = 2;
			least = 0x800;
			c &= 0x0f;
		} else if (c >= 0xf0 && c < 0xf5) {
			more = 3;
			least = 0x10000;
			c &= 0x07;
		} else {
			return false;
		}
		if (end - s < more)
			return false;
		while (more--) {
			if ((*s & 0xc0) != 0x80)
				return false;
			c = c << 6 | (*s++ & 0x3f);
		}
		/* too long, a C1 control, half of a surrogate pair, or past the last code point */
		if (c < least || c < 0xa0 || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
			return false;
	}
	return true;
}

bool q35_shape_bytes(const uint64_t *shape, uint32_t dims, uint64_t element, uint64_t *bytes)
{
	uint32_t i;

	*bytes = element;
	for (i = 0; i < dims; i++)
		if (__builtin_mul_overflow(*bytes, shape[i], bytes))
			return false;
	return true;
}

static int tensor_order(const void *a, const void *b)
{
	return strcmp((*(const struct q35_tensor *const *)a)->name,
		      (*(const struct q35_tensor *const *)b)->name);
}

static int entry_order(const void *a, const void *b)
{
	return strcmp((*(const struct q35_entry *const *)a)->key,
		      (*(const struct q35_entry *const *)b)->key);
}

/* Sorts both kinds of names for looking up, and refuses names that occur twice. */
static int index_names(struct q35_file *file)
{
	size_t i;

	file->by_name = calloc(file->tensor_count + 1, sizeof(*file->by_name));
	file->by_key = calloc(file->entry_count + 1, sizeof(*file->by_key));
	if (!file->by_name || !file->by_key)
		return q35_fail(NULL, -ENOMEM, "%s: out of memory", file->path);
	for (i = 0; i < file->tensor_count; i++)
		file->by_name[i] = &file->tensors[i];
	for (i = 0; i < file->entry_count; i++)
		file->by_key[i] = &file->entries[i];
	qsort(file->by_name, file->tensor_count, sizeof(*file->by_name), tensor_order);
	qsort(file->by_key, file->entry_count, sizeof(*file->by_key), entry_order);

	for (i = 1; i < file->tensor_count; i++)
		if (!tensor_order(&file->by_name[i - 1], &file->by_name[i]))
			return q35_fail(NULL, -EBADMSG, "%s: two tensors are called %s", file->path,
					file->by_name[i]->name);
	for (i = 1; i < file->entry_count; i++)
		if (!entry_order(&file->by_key[i - 1], &file->by_key[i]))
			return q35_fail(NULL, -EBADMSG, "%s: key %s occurs twice", file->path,
					file->by_key[i]->key);
	return 0;
}

static int map_file(struct q35_file *file)
{
	struct stat st;
	void *map;
	int fd, ret = 0;

	fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us up */
	if (fd < 0)
		return q35_fail(NULL, -errno, "%s: %s", file->path, strerror(errno));
	if (fstat(fd, &st) < 0) {
		ret = q35_fail(NULL, -errno, "%s: %s", file->path, strerror(errno));
	} else if (S_ISDIR(st.st_mode)) {
		ret = q35_fail(NULL, -EISDIR, "%s: %s", file->path, strerror(EISDIR));
	} else if (!S_ISREG(st.st_mode)) {
		ret = q35_fail(NULL, -EBADMSG, "%s: not a regular file", file->path);
	} else if (st.st_size == 0) {
		ret = q35_fail(NULL, -EBADMSG, "%s: the file is empty", file->path);
	} else {
		file->size = (uint64_t)st.st_size;
		map = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (map == MAP_FAILED)
			ret = q35_fail(NULL, -errno, "%s: cannot be mapped: %s", file->path,
				       strerror(errno));
		else
			file->map = map;
	}
	close(fd);
	return ret;
}

static int parse(struct q35_file *file)
{
	uint32_t magic = 0;

	memcpy(&magic, file->map, file->size < sizeof(magic) ? file->size : sizeof(magic));
	if (magic == GGUF_MAGIC)
		return q35_gguf_parse(file);
	if (file->size > 8 && file->map[8] == '{')
		return q35_safetensors_parse(file);
	return q35_fail(NULL, -EBADMSG, "%s: neither a GGUF nor a safetensors file", file->path);
}

int q35_file_open(const char *path, struct q35_file **file)
{
	struct q35_file *f = calloc(1, sizeof(*f));
	int ret;

	if (!f)
		return q35_fail(NULL, -ENOMEM, "%s: out of memory", path);
	f->path = strdup(path);
	if (!f->path) {
		free(f);
		return q35_fail(NULL, -ENOMEM, "%s: out of memory", path);
	}
	ret = map_file(f);
	if (!ret)
		ret = parse(f);
	if (!ret)
		ret = index_names(f);
	if (ret) {
		q35_file_close(f);
		return ret;
	}
	*file = f;
	return 0;
}

void q35_file_close(struct q35_file *file)
{
	size_t i;

	if (!file)
		return;
	for (i = 0; i < file->tensor_count; i++)
		free((char *)file->tensors[i].name);
	for (i = 0; i < file->entry_count; i++) {
		free(file->entries[i].key);
		free(file->entries[i].strings);
	}
	free(file->by_name);
	free(file->by_key);
	free(file->tensors);
	free(file->entries);
	json_decref(file->json);
	if (file->map)
		munmap((void *)file->map, file->size);
	free(file->path);
	free(file);
}

size_t q35_file_tensors(const struct q35_file *file)
{
	return file->tensor_count;
}

const struct q35_tensor *q35_file_tensor(const struct q35_file *file, size_t index)
{
	return index < file->tensor_count ? &file->tensors[index] : NULL;
}

const struct q35_tensor *q35_file_find(const struct q35_file *file, const char *name)
{
	const struct q35_tensor wanted = {.name = name}, *key = &wanted, **found;

	found = bsearch(&key, file->by_name, file->tensor_count, sizeof(*found), tensor_order);
	return found ? *found : NULL;
}

static void widen(const uint8_t *in, uint64_t count, float (*convert)(uint16_t), float *out)
{
	uint64_t i;

	for (i = 0; i < count; i++) {
		uint16_t h;

		memcpy(&h, in + i * sizeof(h), sizeof(h));
		out[i] = convert(h);
	}
}

int q35_tensor_read(const struct q35_tensor *tensor, uint64_t row, uint64_t count, float *out)
{
	const uint8_t *data = tensor->data;
	uint64_t bytes, row_elements;

	if (tensor->type != Q35_TENSOR_F32 && tensor->type != Q35_TENSOR_F16 &&
	    tensor->type != Q35_TENSOR_BF16)
		return q35_fail(NULL, -EINVAL, "tensor %s is not F32, F16 or BF16", tensor->name);
	if (row > tensor->shape[0] || count > tensor->shape[0] - row)
		return q35_fail(NULL, -EINVAL, "tensor %s has only %llu rows", tensor->name,
				(unsigned long long)tensor->shape[0]);
	bytes = tensor->size / tensor->shape[0];
	row_elements = bytes / (tensor->type == Q35_TENSOR_F32 ? sizeof(float) : sizeof(uint16_t));
	data += row * bytes;
	if (tensor->type == Q35_TENSOR_F32)
		memcpy(out, data, count * bytes);
	else if (tensor->type == Q35_TENSOR_F16)
		widen(data, count * row_elements, q35_f16_to_f32, out);
	else
		widen(data, count * row_elements, q35_bf16_to_f32, out);
	return 0;
}

/* Part of a Q35 matrix: an I8 tensor of size bytes. */
static int find_part(const struct q35_file *file, const char *name, const char *part, uint64_t size,
		     const void **data)
{
	const struct q35_tensor *t;
	char full[512];

	snprintf(full, sizeof(full), "%s.%s", name, part);
	t = q35_file_find(file, full);
	if (!t)
		return q35_fail(NULL, -EBADMSG, "%s: Q35 matrix %s has no tensor %s", file->path,
				name, full);
	if (t->type != Q35_TENSOR_I8 || t->size != size)
		return q35_fail(NULL, -EBADMSG, "%s: tensor %s is not I8 of %llu bytes", file->path,
				full, (unsigned long long)size);
	*data = t->data;
	return 0;
}

static int find_codebook(const struct q35_file *file, struct q35_weights *w)
{
	const struct q35_entry *e = q35_file_entry(file, "q35.codebook");
	uint64_t version, window;

	if (q35_file_u64(file, "q35.version", &version) || version != 1)
		return q35_fail(NULL, -EBADMSG, "%s: q35.version is not 1", file->path);
	if (q35_file_u64(file, "q35.window_bits", &window) || window != Q35_WINDOW_BITS)
		return q35_fail(NULL, -EBADMSG, "%s: q35.window_bits is not %d", file->path,
				Q35_WINDOW_BITS);
	if (!e || e->type != GGUF_ARRAY || e->element != GGUF_I8 || e->count != Q35_CODEBOOK_SIZE)
		return q35_fail(NULL, -EBADMSG, "%s: q35.codebook is not an array of %d i8",
				file->path, Q35_CODEBOOK_SIZE);
	w->window_bits = Q35_WINDOW_BITS;
	memcpy(w->codebook, e->data, Q35_CODEBOOK_SIZE);
	return 0;
}

int q35_file_weights(const struct q35_file *file, const char *name, struct q35_weights *w)
{
	const uint32_t dim_max = 1u << Q35_DIM_ORDER_MAX;
	struct q35_weights found = {0};
	const struct q35_tensor *t;
	char full[512];
	int32_t shape[4];
	int ret;

	snprintf(full, sizeof(full), "%s.q35_shape", name);
	t = q35_file_find(file, full);
	if (!t)
		return q35_fail(NULL, -ENOENT, "%s: no Q35 matrix %s", file->path, name);
	if (t->type != Q35_TENSOR_I32 || t->size != sizeof(shape))
		return q35_fail(NULL, -EBADMSG, "%s: tensor %s is not I32 [4]", file->path, full);
	memcpy(shape, t->data, sizeof(shape));
	if (shape[0] < 1 || shape[0] > (int32_t)dim_max || shape[1] < 1 ||
	    shape[1] > (int32_t)dim_max)
		return q35_fail(NULL, -EBADMSG, "%s: tensor %s: dimensions not 1 to %u", file->path,
				full, dim_max);
	if ((shape[2] != 0 && shape[2] != 128 && shape[2] != 256) ||
	    shape[3] & ~(Q35_META_ZERO | Q35_META_MULTIPLIER) ||
	    (shape[3] & Q35_META_MULTIPLIER && !shape[2]))
		return q35_fail(NULL, -EBADMSG, "%s: tensor %s: unknown group or flags", file->path,
				full);
	found.n = (uint32_t)shape[0];
	found.k = (uint32_t)shape[1];
	found.group = (uint16_t)shape[2];
	found.meta_flags = (uint8_t)shape[3];

	ret = find_codebook(file, &found);
	if (!ret)
		ret = find_part(file, name, "q35_tiles", q35_format_tiles_size(found.n, found.k),
				&found.tiles);
	if (!ret)
		ret = find_part(
			file, name, "q35_meta",
			q35_format_meta_size(found.n, found.k, found.group, found.meta_flags),
			&found.meta);
	if (!ret)
		*w = found;
	return ret;
}
