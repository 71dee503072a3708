/* SPDX-License-Identifier: MIT */
/*
 * libq35: matrix products straight from 3.5-bit weights, on a Q35 accelerator card or, with the
 * same bits in every result, on the CPU.
 *
 *	struct q35 *dev;
 *	struct q35_matrix *mat;
 *
 *	q35_open(NULL, &dev);
 *	q35_matrix_from_f32(dev, Q35_T8, n, k, w, &mat);	w[n][k], row-major
 *	q35_matmul(dev, mat, m, x, y);				y[m][n] = x[m][k] * w^T
 *	q35_matrix_destroy(mat);
 *	q35_close(dev);
 *
 * Conventions
 * - Functions return 0 or a negative errno; q35_error() has the sentence that goes with it.
 *   Nothing is printed, nothing aborts, and on failure no output argument has been changed.
 * - Sizes, offsets and strides are bytes; dimensions are elements; N counts outputs (rows of the
 *   weight matrix), K inputs, M rows of activations. Dimensions are 1 … 131072.
 * - Deadlines are absolute nanoseconds of CLOCK_MONOTONIC; Q35_FOREVER never passes.
 * - What a create function returns belongs to the caller, who destroys it before the handle.
 *   Destroying NULL does nothing.
 * - A handle may be used by several threads at a time; a queue, buffer or matrix by one at a time.
 *
 * The number format and the exact arithmetic are in libq35/kernels/format.h.
 */
#ifndef Q35_H
#define Q35_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define Q35_FOREVER INT64_MAX

/* ---- Device -------------------------------------------------------------------------------- */

struct q35; /* an open card, or the CPU backend */

/*
 * Opens what name says: "cpu", a device node such as "/dev/accel/accel0", or a PCI address such as
 * "0000:00:04.0". NULL means $Q35_DEVICE if that is set, else the first card, else the CPU. Only
 * the absence of any card falls back to the CPU; a card that cannot be opened is an error.
 * -ENOENT no such device, -EACCES no permission, -EPROTO driver or card of an unknown version,
 * -ENOMEM. The sentence is q35_error(NULL)'s.
 */
int q35_open(const char *name, struct q35 **dev);
void q35_close(struct q35 *dev);

/*
 * The calling thread's last failure on dev, or with NULL its last failure in a function that has
 * no device. Never NULL; valid until the same thread's next failure.
 */
const char *q35_error(const struct q35 *dev);

struct q35_info {
	char name[64]; /* node of the card, or "cpu" */
	char isa[16]; /* CPU backend: kernels in use; card: "card" */
	int is_card;
	uint32_t version; /* of the card: major << 16 | minor; 0 on the CPU */
	uint64_t memory_total, memory_free; /* device memory; 0 on the CPU */
	uint32_t queues;
	uint32_t max_jobs; /* a call of q35_submit() */
	uint32_t lanes, clock_mhz, memory_gbps, link_gbps; /* the card's time model; 0 on the CPU */
};

int q35_get_info(struct q35 *dev, struct q35_info *info);

/* ---- Quantization -------------------------------------------------------------------------- */

enum q35_format {
	Q35_T8 = 0, /* trellis code, 8-bit windows: the default */
	Q35_S_MINMAX = 1, /* scalar 4/3-bit grid over each column's range, scale and zero-point */
	Q35_S_LLOYD = 2, /* scalar 4/3-bit Lloyd–Max levels, scale and zero-point */
	/* Trellis codes of 7-bit windows and less: faster on some processors, less exact. */
	Q35_T7 = 3,
	Q35_T6 = 4,
	Q35_T5 = 5,
	Q35_T4 = 6,
};

/* As users write it: "t8", "s-minmax". NULL: there is no such format; they are without gaps. */
const char *q35_format_name(enum q35_format format);

#define Q35_CODEBOOK_SIZE 512

/*
 * A quantized matrix in host memory: a view, so that it can lie in a mapped file. The layouts of
 * tiles and meta are in format.h; their sizes are q35_tiles_size() and q35_meta_size().
 */
struct q35_weights {
	uint32_t n, k;
	uint16_t group; /* inputs that share a scale: 128, 256; 0: the whole column */
	uint8_t window_bits; /* 8 */
	uint8_t meta_flags; /* Q35_META_* of q35_hw.h */
	int8_t codebook[Q35_CODEBOOK_SIZE]; /* even table, odd table */
	const void *tiles, *meta;
};

size_t q35_tiles_size(uint32_t n, uint32_t k);
size_t q35_meta_size(uint32_t n, uint32_t k, uint16_t group, uint8_t meta_flags);

/* Fills in what the format fixes: group 0, window, meta_flags, codebook. */
void q35_weights_init(struct q35_weights *w, enum q35_format format, uint32_t n, uint32_t k);

struct q35_quantize_stats {
	double sum, sum_squares; /* of the weights */
	double error_squares; /* of weight minus its quantized value */
	uint64_t count; /* weights, padding excluded */
};

struct q35_quantize_options {
	enum q35_format format;
	unsigned int threads; /* 0: one per online CPU */
	/*
	 * Puts rows row … row + count - 1 into out[count][k]. Called with rising row, count at most
	 * 64, by one thread at a time. A negative errno stops the call, which returns it.
	 */
	int (*read)(void *context, uint32_t row, uint32_t count, float *out);
	/* Rows done so far; called by one thread at a time; not 0 stops the call: -ECANCELED. */
	int (*progress)(void *context, uint32_t rows);
	void *context;
};

/*
 * Quantizes the matrix that options->read delivers into tiles and meta, which the caller has
 * allocated (q35_tiles_size(), q35_meta_size(), any alignment), and points w at them. w is as
 * q35_weights_init() left it, or with a codebook of the caller's own. Never holds more of the
 * source than 64 rows a thread. The result does not depend on threads or processor.
 * -EDOM: NaN or infinity; the sentence names row and column. -ERANGE: weights of a row are beyond
 * what f16 scales can reach (8e6 for T8); it names the row. -EINVAL, -ENOMEM, -ECANCELED.
 * stats may be NULL.
 */
int q35_quantize(const struct q35_quantize_options *options, struct q35_weights *w, void *tiles,
		 void *meta, struct q35_quantize_stats *stats);

/*
 * Calibration: quantization for the inputs that a matrix will meet, rather than for each weight's
 * own sake. What matters of inputs x is their second moments, the sum of x x^T over typical ones: with
 * them the errors of some weights make up for those of others (GPTQ), and lie where inputs are
 * small. Products come out more exact, on inputs of the same kind, while single weights are further
 * from what they were.
 *
 *	q35_calibration_create(k, 0, &cal);
 *	q35_calibration_add(cal, m, x);			as often as wanted
 *	q35_calibration_finish(cal, Q35_DAMPING);
 *	q35_quantize_calibrated(&options, cal, &w, tiles, meta, NULL);
 *	q35_calibration_destroy(cal);
 *
 * One calibration serves all matrices that read the same inputs, one after the other or at a time.
 * It takes 8 k^2 bytes until finished, 12 k^2 while that is being done, 4 k^2 afterwards.
 */
struct q35_calibration;

/* Share of the inputs' mean square that is added to each input's: what is usual. */
#define Q35_DAMPING 0.01

/* threads: 0: one per online CPU. -EINVAL k, -ENOMEM. */
int q35_calibration_create(uint32_t k, unsigned int threads, struct q35_calibration **cal);
void q35_calibration_destroy(struct q35_calibration *cal);

/* x[m][k]: m inputs more; m may be 0. -EBUSY: it is finished. */
int q35_calibration_add(struct q35_calibration *cal, uint32_t m, const float *x);

/*
 * The second moments so far, [k][k], of which the upper triangle (row <= column) counts, for who has
 * them from elsewhere. They belong to cal; NULL once it is finished.
 */
double *q35_calibration_moments(struct q35_calibration *cal);

/*
 * Prepares cal for use, which takes k^3 / 6 multiplications. damping makes up for having seen few
 * inputs; it is needed if they were fewer than k or depend on one another. -EDOM: the moments are
 * not finite, all zero or, damped, not positive definite; the sentence names the input. -EINVAL
 * damping, -EBUSY, -ENOMEM. After -EDOM and -ENOMEM cal can only be destroyed.
 */
int q35_calibration_finish(struct q35_calibration *cal, double damping);

/*
 * q35_quantize() with cal, which is finished and of w's k inputs, else -EINVAL; NULL: without.
 * Scales are as q35_quantize() chooses them. Takes 256 bytes a thread for each input more, and some
 * k / 2 multiplications a weight. The result does not depend on threads or processor either.
 */
int q35_quantize_calibrated(const struct q35_quantize_options *options,
			    const struct q35_calibration *cal, struct q35_weights *w, void *tiles,
			    void *meta, struct q35_quantize_stats *stats);

/* Rows row … row + count - 1 of the quantized matrix back as out[count][k]. */
int q35_dequantize(const struct q35_weights *w, uint32_t row, uint32_t count, float *out);

/* ---- Matrices and the simple product ------------------------------------------------------- */

struct q35_matrix; /* quantized weights in device memory */

/* Copies w to the device. -ENOSPC: device memory is full. */
int q35_matrix_create(struct q35 *dev, const struct q35_weights *w, struct q35_matrix **mat);
int q35_matrix_from_f32(struct q35 *dev, enum q35_format format, uint32_t n, uint32_t k,
			const float *w, struct q35_matrix **mat);
void q35_matrix_destroy(struct q35_matrix *mat);

/*
 * y[m][n] = x[m][k] * w^T with activation blocks of 128, synchronous, through buffers of the
 * handle's own. -EIO: the card refused or lost the job; q35_error() says why.
 */
int q35_matmul(struct q35 *dev, const struct q35_matrix *mat, uint32_t m, const float *x, float *y);

/* ---- Buffers ------------------------------------------------------------------------------- */

struct q35_buffer;

enum q35_memory {
	Q35_HOST = 0, /* cached host memory that the device reads and writes over PCIe */
	Q35_DEVICE = 1, /* device memory; the CPU's view of it is write-combined: reads are slow */
};

/* Zeroed. On the CPU backend both kinds are ordinary memory. */
int q35_buffer_create(struct q35 *dev, enum q35_memory where, size_t size, struct q35_buffer **buf);
void q35_buffer_destroy(struct q35_buffer *buf); /* waits for jobs that use it */
void *q35_buffer_map(struct q35_buffer *buf); /* the same address at every call; never NULL */
size_t q35_buffer_size(const struct q35_buffer *buf);

/* ---- Jobs ---------------------------------------------------------------------------------- */

enum q35_type { Q35_F32 = 0, Q35_F16 = 1, Q35_BF16 = 2, Q35_I8 = 3 };
enum q35_activation { Q35_NONE = 0, Q35_RELU = 1, Q35_SILU = 2, Q35_GELU = 3 };
enum q35_combine { Q35_REPLACE = 0, Q35_ADD = 1, Q35_MUL = 2 };

struct q35_operand { /* [rows][columns] in a buffer; buffer NULL: absent */
	struct q35_buffer *buffer;
	size_t offset; /* multiple of the element's size */
	size_t stride; /* from row to row, multiple of the element's size; 0: dense */
	enum q35_type type;
};

/* y = combine(activation(x * w^T + bias), aux) */
struct q35_gemm {
	const struct q35_matrix *w;
	uint32_t m;
	struct q35_operand x; /* [m][k] */
	struct q35_operand x_scale; /* [m][ceil(k / act_block)] F32, dense; only if x is I8 */
	struct q35_operand bias; /* [n] F32, optional */
	struct q35_operand aux; /* [m][n], if combine is not Q35_REPLACE; may be y itself */
	struct q35_operand y; /* [m][n], not I8 */
	uint32_t act_block; /* inputs that share an activation scale: 32, 64, 128; 0: the row */
	enum q35_activation activation;
	enum q35_combine combine;
};

struct q35_copy { /* ranges must not overlap */
	struct q35_buffer *src, *dst;
	size_t src_offset, dst_offset, size;
};

struct q35_fill { /* offset and size are multiples of 4 */
	struct q35_buffer *dst;
	size_t offset, size;
	uint32_t value;
};

enum q35_job_kind { Q35_JOB_GEMM = 1, Q35_JOB_COPY = 2, Q35_JOB_FILL = 3 };

struct q35_job {
	enum q35_job_kind kind;
	int barrier; /* start only when all earlier jobs of the queue are complete */
	union {
		struct q35_gemm gemm;
		struct q35_copy copy;
		struct q35_fill fill;
	};
};

struct q35_queue;

/* priority 0 lowest … 3 highest; timeout_ms 0: the driver's default. -ENOSPC: no queue is free. */
int q35_queue_create(struct q35 *dev, unsigned int priority, unsigned int timeout_ms,
		     struct q35_queue **queue);
void q35_queue_destroy(struct q35_queue *queue); /* abandons what is not complete */

struct q35_point { /* a moment of a queue: complete when all work up to there is */
	struct q35_queue *queue;
	uint64_t value;
};

/*
 * Hands over count jobs, all or none, in one call to the driver, and returns the point at which the
 * last is complete. They begin when the after_count points in after, of this handle, are over, even
 * if their work has failed: only waiting for those points tells. Buffers and matrices may be
 * destroyed, never changed, before the jobs are complete. On the CPU backend the work is done within
 * the call. done may be NULL. -EINVAL: the sentence names the job and the field. -EIO: the queue
 * has failed.
 */
int q35_submit(struct q35_queue *queue, const struct q35_job *jobs, size_t count,
	       const struct q35_point *after, size_t after_count, struct q35_point *done);

/* 0 complete, -ETIME deadline passed, -EIO the work failed: q35_error() says how. */
int q35_wait(struct q35_point point, int64_t deadline_ns);

struct q35_counters { /* of one queue, since its creation; see PERF_QUERY in q35_accel.h */
	uint64_t cycles, macs, memory_bytes, link_bytes, stall_cycles, jobs, busy_ns;
};

/* On the CPU backend macs, jobs and busy_ns count, the rest is 0. */
int q35_get_counters(struct q35_queue *queue, struct q35_counters *counters);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* Q35_H */
