/* SPDX-License-Identifier: MIT */
/*
 * Model files for libq35: reads GGUF and safetensors, writes GGUF. Files are mapped, never copied
 * whole; every length, count and offset in them is hostile until checked. Conventions as in q35.h;
 * sentences are q35_error(NULL)'s and name the file and the tensor or key.
 *
 * A quantized model is an ordinary GGUF file. A Q35 matrix NAME of n x k is three tensors of
 * standard types, in the layouts of libq35/kernels/format.h:
 *	NAME.q35_tiles	I8  [ceil(n/64)][ceil(k/8)][224]
 *	NAME.q35_meta	I8  [q35_meta_size()]
 *	NAME.q35_shape	I32 [4]: n, k, group, meta_flags
 * and the file carries q35.version (u32, 1), q35.format (string), q35.window_bits (u32) and
 * q35.codebook (array of 512 i8), so that it can be decoded without this library.
 */
#ifndef Q35_MODEL_H
#define Q35_MODEL_H

#include "q35.h"

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct q35_file;

/* Values of ggml; tensors of other types can be listed but not read. */
enum q35_tensor_type {
	Q35_TENSOR_F32 = 0,
	Q35_TENSOR_F16 = 1,
	Q35_TENSOR_I8 = 24,
	Q35_TENSOR_I32 = 26,
	Q35_TENSOR_BF16 = 30,
	Q35_TENSOR_OTHER = -1,
};

struct q35_tensor {
	const char *name;
	int type; /* enum q35_tensor_type */
	uint32_t dims; /* 1 … 4 */
	uint64_t shape[4]; /* outermost first, row-major, as in safetensors; unused: 1 */
	const void *data; /* in the mapped file, little-endian, any alignment */
	uint64_t size; /* bytes */
};

/*
 * -ENOENT, -EACCES, -EISDIR, -EBADMSG: not a GGUF or safetensors file, truncated or inconsistent.
 * The file stays mapped: whoever truncates it before q35_file_close() gets us a SIGBUS.
 */
int q35_file_open(const char *path, struct q35_file **file);
void q35_file_close(struct q35_file *file);

size_t q35_file_tensors(const struct q35_file *file);
const struct q35_tensor *q35_file_tensor(const struct q35_file *file, size_t index);
const struct q35_tensor *q35_file_find(const struct q35_file *file, const char *name); /* or NULL */

/* Rows of the tensor's outermost dimension as f32; F32, F16 and BF16 only, else -EINVAL. */
int q35_tensor_read(const struct q35_tensor *tensor, uint64_t row, uint64_t count, float *out);

/* The Q35 matrix called name: w points into the file. -ENOENT if there is none. */
int q35_file_weights(const struct q35_file *file, const char *name, struct q35_weights *w);

/*
 * GGUF metadata; safetensors' string map reads as strings. -ENOENT no such key, -EINVAL another
 * type. Strings are not NUL-terminated and live as long as the file.
 */
size_t q35_file_keys(const struct q35_file *file);
const char *q35_file_key(const struct q35_file *file, size_t index);
int q35_file_u64(const struct q35_file *file, const char *key, uint64_t *value); /* any integer */
int q35_file_f64(const struct q35_file *file, const char *key, double *value); /* any number */
int q35_file_bool(const struct q35_file *file, const char *key, int *value);
int q35_file_string(const struct q35_file *file, const char *key, const char **s, size_t *size);
int q35_file_array(const struct q35_file *file, const char *key, uint64_t *count);
int q35_file_array_string(const struct q35_file *file, const char *key, uint64_t index,
			  const char **s, size_t *size);
int q35_file_array_f64(const struct q35_file *file, const char *key, uint64_t index, double *value);

/*
 * Writing: describe everything, then begin, then write each tensor's bytes in the order in which
 * they were described, then finish. The file appears under its name at finish, whole, or never.
 */
struct q35_writer;

int q35_writer_create(const char *path, struct q35_writer **writer);
int q35_writer_copy_metadata(struct q35_writer *writer, const struct q35_file *from);
int q35_writer_u32(struct q35_writer *writer, const char *key, uint32_t value);
int q35_writer_string(struct q35_writer *writer, const char *key, const char *value);
int q35_writer_i8_array(struct q35_writer *writer, const char *key, const int8_t *values, size_t n);
int q35_writer_tensor(struct q35_writer *writer, const char *name, int type, uint32_t dims,
		      const uint64_t *shape);
int q35_writer_begin(struct q35_writer *writer);
int q35_writer_data(struct q35_writer *writer, const void *data, size_t size);
int q35_writer_finish(struct q35_writer *writer);
void q35_writer_destroy(struct q35_writer *writer); /* removes what was not finished */

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* Q35_MODEL_H */
