/* SPDX-License-Identifier: MIT */
/*
 * A model file in memory, as the two readers leave it. The readers check every length, count and
 * offset; what is in these structures can be followed without further thought.
 */
#ifndef Q35_FILE_H
#define Q35_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "q35_model.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "model files are read in place");

#define GGUF_MAGIC 0x46554747u /* "GGUF" */
#define GGUF_VERSION 3
#define GGUF_ALIGNMENT 32 /* of tensor data, unless general.alignment says otherwise */
#define GGUF_NAME_MAX 63 /* bytes of a tensor's name that ggml has room for */

enum gguf_type {
	GGUF_U8 = 0,
	GGUF_I8 = 1,
	GGUF_U16 = 2,
	GGUF_I16 = 3,
	GGUF_U32 = 4,
	GGUF_I32 = 5,
	GGUF_F32 = 6,
	GGUF_BOOL = 7,
	GGUF_STRING = 8,
	GGUF_ARRAY = 9,
	GGUF_U64 = 10,
	GGUF_I64 = 11,
	GGUF_F64 = 12,
};

struct q35_entry { /* one piece of metadata */
	char *key;
	uint32_t type; /* enum gguf_type */
	uint32_t element; /* type of an array's elements */
	uint64_t count; /* elements of an array, bytes of a string, else 1 */
	const uint8_t *data; /* the value without its headers, any alignment */
	uint64_t size; /* bytes at data */
	const uint8_t **strings; /* of an array of strings: each one's u64 length, bytes follow */
};

struct q35_file {
	char *path;
	const uint8_t *map;
	uint64_t size;

	struct q35_tensor *tensors; /* in the file's order; names are owned */
	size_t tensor_count;
	const struct q35_tensor **by_name;

	struct q35_entry *entries; /* in the file's order */
	size_t entry_count;
	const struct q35_entry **by_key;

	void *json; /* safetensors' header, which owns the strings of entries */
};

/*
 * The readers fill in tensors and entries of a file that is mapped and has neither. Whatever they
 * return, q35_file_close() cleans up.
 */
int q35_gguf_parse(struct q35_file *file);
int q35_safetensors_parse(struct q35_file *file);

/* A name that can be shown: UTF-8 without control characters, 1 … max bytes. */
bool q35_name_valid(const void *name, uint64_t size, uint64_t max);

/* Bytes of size elements of a shape; false on overflow. */
bool q35_shape_bytes(const uint64_t *shape, uint32_t dims, uint64_t element, uint64_t *bytes);

/* NULL if the metadata has no such key. */
const struct q35_entry *q35_file_entry(const struct q35_file *file, const char *key);

/* Bytes of a value of that type; 0 for strings, arrays and unknown types. */
size_t q35_value_size(uint32_t type);

/* -EINVAL: not an integer, or negative. */
int q35_entry_u64(const struct q35_entry *entry, uint64_t *value);

#endif /* Q35_FILE_H */
