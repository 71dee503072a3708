// SPDX-License-Identifier: MIT
/* q35 info: what a model file holds, or what a device offers. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "q35_model.h"

#define SHOWN_BYTES 60 /* of a string */

static void print_help(void)
{
	printf("usage: q35 info MODEL [--json]\n"
	       "       q35 info --device[=DEVICE] [--json]\n\n"
	       "Lists the metadata and tensors of a GGUF or safetensors file, or what a device offers.\n\n"
	       "  -d, --device[=DEVICE]  as for q35 generate; without a value the first card\n"
	       "      --json             as JSON\n"
	       "  -h, --help             this text\n");
}

static const char *type_name(int type)
{
	switch (type) {
	case Q35_TENSOR_F32:
		return "F32";
	case Q35_TENSOR_F16:
		return "F16";
	case Q35_TENSOR_BF16:
		return "BF16";
	case Q35_TENSOR_I8:
		return "I8";
	case Q35_TENSOR_I32:
		return "I32";
	default:
		return "other";
	}
}

/* A string of the file may hold anything, escape sequences for the terminal included. */
static json_t *string_value(const char *s, size_t size)
{
	json_t *json = json_stringn(s, size);

	return json ? json : json_sprintf("(%zu bytes that are no UTF-8)", size);
}

/* NULL: out of memory. */
static json_t *value_of(const struct q35_file *file, const char *key)
{
	uint64_t u;
	const char *s;
	size_t size;
	double d;
	int flag;

	if (!q35_file_bool(file, key, &flag))
		return json_boolean(flag);
	if (!q35_file_string(file, key, &s, &size))
		return string_value(s, size);
	if (!q35_file_u64(file, key, &u) && u <= INT64_MAX)
		return json_integer((json_int_t)u);
	if (!q35_file_f64(file, key, &d)) {
		json_t *real = json_real(d); /* not for NaN and infinities */

		return real ? real : json_sprintf("%f", d);
	}
	if (!q35_file_array(file, key, &u))
		return json_sprintf("array of %llu", (unsigned long long)u);
	return json_string("unreadable");
}

static void print_value(const char *key, const json_t *value)
{
	/* in ASCII, which can be cut anywhere and does nothing to a terminal */
	char *text =
		json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));

	if (text && strlen(text) > SHOWN_BYTES)
		printf("%-42s %.*s...\n", key, SHOWN_BYTES, text);
	else
		printf("%-42s %s\n", key, text ? text : "?");
	free(text);
}

static json_t *shape_of(const struct q35_tensor *t)
{
	json_t *shape = json_array();
	uint32_t i;

	for (i = 0; i < t->dims; i++)
		json_array_append_new(shape, json_integer((json_int_t)t->shape[i]));
	return shape;
}

static int list(const struct q35_file *file, bool json)
{
	json_t *metadata = json_object(), *tensors = json_array();
	size_t i;

	for (i = 0; i < q35_file_keys(file); i++) {
		const char *key = q35_file_key(file, i);
		json_t *value = value_of(file, key);

		if (!json)
			print_value(key, value);
		json_object_set_new(metadata, key, value);
	}
	for (i = 0; i < q35_file_tensors(file); i++) {
		const struct q35_tensor *t = q35_file_tensor(file, i);
		json_t *shape = shape_of(t);

		if (!json) {
			char *text = json_dumps(shape, 0);

			printf("%-42s %-5s %s\n", t->name, type_name(t->type), text ? text : "?");
			free(text);
		}
		json_array_append_new(tensors, json_pack("{s:s, s:s, s:o, s:I}", "name", t->name,
							 "type", type_name(t->type), "shape", shape,
							 "bytes", (json_int_t)t->size));
	}
	if (json)
		return print_json(
			json_pack("{s:o, s:o}", "metadata", metadata, "tensors", tensors));
	json_decref(metadata);
	json_decref(tensors);
	return DONE;
}

static int info_model(const char *path, bool json)
{
	struct q35_file *file;
	int ret;

	if (q35_file_open(path, &file))
		return fail("%s", q35_error(NULL));
	ret = list(file, json);
	q35_file_close(file);
	return ret;
}

static void print_device(const struct q35_info *info)
{
	printf("device        %s\n", info->name);
	printf("kernels       %s\n", info->isa);
	if (!info->is_card)
		return;
	printf("version       %u.%u\n", info->version >> 16, info->version & 0xffff);
	printf("memory        %s, %s free\n", human_bytes(info->memory_total),
	       human_bytes(info->memory_free));
	printf("queues        %u\n", info->queues);
	printf("jobs a call   %u\n", info->max_jobs);
	printf("time model    %u lanes at %u MHz, memory %u GB/s, link %u GB/s\n", info->lanes,
	       info->clock_mhz, info->memory_gbps, info->link_gbps);
}

static int info_device(const char *name, bool json)
{
	struct q35_info info;
	struct q35 *dev;
	int ret;

	if (q35_open(name, &dev))
		return fail("%s", q35_error(NULL));
	ret = q35_get_info(dev, &info) ? fail("%s", q35_error(dev)) : DONE;
	q35_close(dev);
	if (ret)
		return ret;
	if (json)
		return print_json(json_pack(
			"{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "device",
			info.name, "isa", info.isa, "is_card", info.is_card, "version",
			(json_int_t)info.version, "memory_total", (json_int_t)info.memory_total,
			"memory_free", (json_int_t)info.memory_free, "queues",
			(json_int_t)info.queues, "max_jobs", (json_int_t)info.max_jobs, "lanes",
			(json_int_t)info.lanes, "clock_mhz", (json_int_t)info.clock_mhz,
			"memory_gbps", (json_int_t)info.memory_gbps, "link_gbps",
			(json_int_t)info.link_gbps));
	print_device(&info);
	return DONE;
}

int command_info(int argc, char **argv)
{
	static const struct option options[] = {
		{"device", optional_argument, NULL, 'd'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *device = NULL;
	bool json = false, of_device = false;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "d::h", options, NULL)) >= 0) {
		switch (c) {
		case 'd':
			of_device = true;
			device = optarg && strcmp(optarg, "auto") ? optarg : NULL;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			print_help();
			return DONE;
		default:
			return usage("info", "%s: no such option", argv[optind - 1]);
		}
	}
	if (of_device && optind == argc - 1 && !device) /* --device NAME, too */
		device = argv[optind++];
	if (optind != argc - !of_device)
		return usage("info", "it takes a model or --device");
	return of_device ? info_device(device, json) : info_model(argv[optind], json);
}
