// SPDX-License-Identifier: MIT
#include "session.h"

#include <stdio.h>
#include <string.h>

#include "command.h"

int session_open(struct session *s, const char *path, bool plain)
{
	s->path = path;
	if (q35_file_open(path, &s->file))
		return fail("%s", q35_error(NULL));
	if (llama_read_shape(s->file, path, &s->shape))
		return FAILED;
	if (!plain && !llama_is_quantized(s->file))
		return fail("%s: is not quantized; run q35 quantize first", path);
	if (tokenizer_load(s->file, path, &s->tokenizer))
		return FAILED;
	if (tokenizer_vocabulary(s->tokenizer) != s->shape.vocabulary)
		return fail("%s: %zu tokens, but embeddings for %u", path,
			    tokenizer_vocabulary(s->tokenizer), s->shape.vocabulary);
	return DONE;
}

int session_start(struct session *s, const char *device, uint32_t positions, bool compare)
{
	if (q35_open(strcmp(device, "auto") ? device : NULL, &s->device))
		return fail("%s", q35_error(NULL));
	if (llama_load(s->device, s->file, s->path, positions, &s->model))
		return FAILED;
	if (!compare)
		return DONE;
	if (q35_open("cpu", &s->reference_device))
		return fail("%s", q35_error(NULL));
	return llama_load(s->reference_device, s->file, s->path, positions, &s->reference);
}

void session_close(struct session *s)
{
	llama_free(s->model);
	llama_free(s->reference);
	q35_close(s->device);
	q35_close(s->reference_device);
	tokenizer_free(s->tokenizer);
	q35_file_close(s->file);
}

static int compare(struct session *s, const float *logits, const float *reference, uint32_t rows)
{
	const size_t row_size = s->shape.vocabulary * sizeof(*logits);
	uint32_t row, i, got, wanted;

	for (row = 0; row < rows; row++) {
		for (i = 0; memcmp(logits, reference, row_size) && i < s->shape.vocabulary; i++) {
			memcpy(&got, &logits[i], sizeof(got));
			memcpy(&wanted, &reference[i], sizeof(wanted));
			if (got != wanted)
				return fail(
					"token %llu, logit %u: %g (0x%08x), on the CPU %g (0x%08x)",
					(unsigned long long)s->compared, i, logits[i], got,
					reference[i], wanted);
		}
		s->compared++;
		logits += s->shape.vocabulary;
		reference += s->shape.vocabulary;
	}
	return DONE;
}

int session_feed(struct session *s, const uint32_t *tokens, uint32_t count, bool all,
		 const float **logits)
{
	const bool want_all = all || s->reference; /* every token's logits are compared */
	const double started = now();
	const float *reference;

	if (llama_feed(s->model, tokens, count, want_all, logits))
		return FAILED;
	s->seconds += now() - started;
	if (s->reference) {
		if (llama_feed(s->reference, tokens, count, true, &reference) ||
		    compare(s, *logits, reference, count))
			return FAILED;
	}
	if (want_all && !all)
		*logits += (size_t)(count - 1) * s->shape.vocabulary;
	return DONE;
}

void session_rewind(struct session *s)
{
	llama_rewind(s->model);
	if (s->reference)
		llama_rewind(s->reference);
}

static int get(struct session *s, struct q35_info *info, struct q35_counters *counters)
{
	if (q35_get_info(s->device, info))
		return fail("%s", q35_error(s->device));
	return llama_counters(s->model, counters);
}

int session_report(struct session *s)
{
	const struct llama_work *work = llama_work(s->model);
	struct q35_counters c;
	struct q35_info info;

	if (get(s, &info, &c))
		return FAILED;
	fprintf(stderr,
		"device      %s%s%s%s: %llu jobs in %llu submissions, %.3f GMAC, %s of weights\n",
		info.name, info.is_card ? "" : " (", info.is_card ? "" : info.isa,
		info.is_card ? "" : " kernels)", (unsigned long long)work->jobs,
		(unsigned long long)work->submissions, (double)work->macs * 1e-9,
		human_bytes(work->weight_bytes));
	if (info.is_card) {
		fprintf(stderr,
			"card says   %llu jobs, %.3f GMAC, device memory %s, link %s, busy %.3f s of wall time\n",
			(unsigned long long)c.jobs, (double)c.macs * 1e-9,
			human_bytes(c.memory_bytes), human_bytes(c.link_bytes),
			(double)c.busy_ns * 1e-9);
		fprintf(stderr,
			"time model  %llu cycles, %.1f %% of them stalls: %.2f ms on silicon of %u lanes at %u MHz, memory %u GB/s, link %u GB/s; no wall time\n",
			(unsigned long long)c.cycles,
			c.cycles ? 100.0 * (double)c.stall_cycles / (double)c.cycles : 0,
			info.clock_mhz ? (double)c.cycles / (info.clock_mhz * 1e3) : 0, info.lanes,
			info.clock_mhz, info.memory_gbps, info.link_gbps);
	} else {
		fprintf(stderr, "busy        %.3f s of wall time in products\n",
			(double)c.busy_ns * 1e-9);
	}
	if (s->reference)
		fprintf(stderr,
			"compared    %llu tokens x %u logits: the same bits as on the CPU\n",
			(unsigned long long)s->compared, s->shape.vocabulary);
	return DONE;
}

int session_report_json(struct session *s, json_t *json)
{
	const struct llama_work *work = llama_work(s->model);
	struct q35_counters c;
	struct q35_info info;
	json_t *part;

	if (get(s, &info, &c))
		return FAILED;
	part = json_pack(
		"{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "device",
		info.name, "is_card", info.is_card, "jobs", (json_int_t)work->jobs, "submissions",
		(json_int_t)work->submissions, "macs", (json_int_t)work->macs, "weight_bytes",
		(json_int_t)work->weight_bytes, "counted_jobs", (json_int_t)c.jobs, "counted_macs",
		(json_int_t)c.macs, "model_cycles", (json_int_t)c.cycles, "model_stall_cycles",
		(json_int_t)c.stall_cycles, "memory_bytes", (json_int_t)c.memory_bytes,
		"link_bytes", (json_int_t)c.link_bytes, "busy_ns", (json_int_t)c.busy_ns);
	if (s->reference)
		json_object_set_new(json, "compared_tokens", json_integer((json_int_t)s->compared));
	return json_object_update_new(json, part) ? fail("out of memory") : DONE;
}
