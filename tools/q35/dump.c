// SPDX-License-Identifier: MIT
/*
 * q35 dump: what the driver left of a failure, in words. The dump's lines are described in
 * driver/q35_dump.h, what their numbers mean in driver/q35_hw.h. Whoever hands the file in is not
 * trusted: nothing in it but numbers and printable text gets out.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "q35_hw.h"

#define FIRST_LINE "q35 coredump 1\n"
#define WIDTH 24 /* of the column of names */

struct name {
	uint32_t value;
	const char *name;
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define REG(name)                     \
	{                             \
		Q35_REG_##name, #name \
	}
#define QREG(name)                     \
	{                              \
		Q35_QREG_##name, #name \
	}
#define STATE(name)                     \
	{                               \
		Q35_QUEUE_##name, #name \
	}

static const struct name card_registers[] = {
	REG(MAGIC),	REG(VERSION),	     REG(FEATURES),	   REG(QUEUES),
	REG(VMS),	REG(RING_ORDER_MAX), REG(DMA_BITS),	   REG(VA_BITS),
	REG(MEMORY_LO), REG(MEMORY_HI),	     REG(QUEUE_OFFSET),	   REG(QUEUE_STRIDE),
	REG(VM_OFFSET), REG(VM_STRIDE),	     REG(DOORBELL_OFFSET), REG(DOORBELL_STRIDE),
	REG(WINDOWS),	REG(ACT_BLOCKS),     REG(DIM_ORDER_MAX),   REG(LANES),
	REG(CLOCK_MHZ), REG(MEMORY_GBPS),    REG(LINK_GBPS),	   REG(CONTROL),
	REG(STATUS),	REG(FAULTED_LO),     REG(FAULTED_HI),	   REG(COALESCE),
};

static const struct name queue_registers[] = {
	QREG(CONTROL),	     QREG(STATE),	  QREG(VM),	    QREG(PRIORITY),
	QREG(RING_LO),	     QREG(RING_HI),	  QREG(RING_ORDER), QREG(WRITEBACK_LO),
	QREG(WRITEBACK_HI),  QREG(HEAD),	  QREG(FAULT_CODE), QREG(FAULT_INDEX),
	QREG(FAULT_ADDR_LO), QREG(FAULT_ADDR_HI), QREG(FAULT_INFO),
};

static const struct name states[] = {
	STATE(DISABLED), STATE(IDLE), STATE(RUNNING), STATE(FAULTED), STATE(RESETTING),
};

static const struct name faults[] = {
	{Q35_FAULT_NONE, "none"},
	{Q35_FAULT_UNMAPPED, "UNMAPPED: nothing is mapped there"},
	{Q35_FAULT_PERMISSION, "PERMISSION: the page is read-only"},
	{Q35_FAULT_DESCRIPTOR, "DESCRIPTOR: a field is wrong"},
	{Q35_FAULT_OPCODE, "OPCODE: the card does not know the operation"},
	{Q35_FAULT_BUS, "BUS: what is mapped there is no memory"},
	{Q35_FAULT_RING, "RING: ring or write-back block out of reach"},
};

static const struct name operations[] = {
	{Q35_OP_NOP, "NOP"},   {Q35_OP_GEMM, "GEMM"},	{Q35_OP_COPY, "COPY"},
	{Q35_OP_FILL, "FILL"}, {Q35_OP_FENCE, "FENCE"}, {Q35_OP_TIMESTAMP, "TIMESTAMP"},
};

static const char *name_of(const struct name *names, size_t count, uint32_t value)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (names[i].value == value)
			return names[i].name;
	return "unknown";
}

/* What of a dump is spread over lines. */
struct dump {
	const char *path;
	unsigned int line;
	struct q35_hw_writeback writeback;
	struct q35_hw_desc desc;
};

static void __attribute__((format(printf, 2, 3))) show(const char *name, const char *format, ...)
{
	va_list args;

	printf("  %-*s ", WIDTH, name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static void show_registers(const char *of, const struct name *names, size_t count, uint32_t offset,
			   const uint32_t *words, unsigned int found)
{
	char label[2 * WIDTH];
	unsigned int i;
	size_t n;

	for (i = 0; i < found; i++)
		for (n = 0; n < count; n++) {
			if (names[n].value != offset + i * 4)
				continue;
			snprintf(label, sizeof(label), "%s %s", of, names[n].name);
			if (names == queue_registers && names[n].value == Q35_QREG_STATE)
				show(label, "%#x %s", words[i],
				     name_of(states, COUNT(states), words[i]));
			else
				show(label, "%#x", words[i]);
		}
}

/* "<offset>: <words>" or as many quadwords; false if that is not what the text says. */
static bool parse_numbers(const char *text, uint32_t *offset, uint64_t *numbers, unsigned int most,
			  unsigned int *found)
{
	int used = 0; /* stays so if the colon is missing */

	*found = 0;
	if (sscanf(text, "%" SCNx32 ":%n", offset, &used) != 1 || !used || *offset % 4)
		return false;
	for (text += used; *text != '\n'; text += used)
		if (*found == most ||
		    sscanf(text, " %" SCNx64 "%n", &numbers[(*found)++], &used) != 1)
			return false;
	return *found > 0;
}

static bool show_words(const char *text, const char *of, const struct name *names, size_t count)
{
	uint64_t numbers[8];
	uint32_t words[8], offset;
	unsigned int found, i;

	if (!parse_numbers(text, &offset, numbers, 8, &found))
		return false;
	for (i = 0; i < found; i++)
		words[i] = numbers[i];
	show_registers(of, names, count, offset, words, found);
	return true;
}

/* A line of a structure; x86 is little-endian, as the card is. *complete: it was the last one. */
static bool gather(const char *text, void *structure, size_t size, bool *complete)
{
	uint64_t numbers[4];
	unsigned int found;
	uint32_t offset;

	if (!parse_numbers(text, &offset, numbers, 4, &found) || offset > size ||
	    found * 8 > size - offset)
		return false;
	memcpy((char *)structure + offset, numbers, found * 8);
	*complete = offset + found * 8 == size;
	return true;
}

static void show_gemm(const struct q35_hw_gemm *gemm)
{
	show("shape", "m %u, n %u, k %u", gemm->m, gemm->n, gemm->k);
	show("x", "%#" PRIx64 ", type %u, stride %u, scales at %#" PRIx64, (uint64_t)gemm->x_va,
	     gemm->x_type, gemm->x_stride, (uint64_t)gemm->x_scale_va);
	show("tiles", "%#" PRIx64, (uint64_t)gemm->tiles_va);
	show("meta", "%#" PRIx64 ", group %u, flags %#x", (uint64_t)gemm->meta_va, gemm->group,
	     gemm->meta_flags);
	show("codebook", "%#" PRIx64 ", windows of %u bits", (uint64_t)gemm->codebook_va,
	     gemm->window_bits);
	show("bias", "%#" PRIx64, (uint64_t)gemm->bias_va);
	show("aux", "%#" PRIx64 ", type %u, stride %u, combined by %u", (uint64_t)gemm->aux_va,
	     gemm->aux_type, gemm->aux_stride, gemm->combine);
	show("y", "%#" PRIx64 ", type %u, stride %u, activation %u", (uint64_t)gemm->y_va,
	     gemm->y_type, gemm->y_stride, gemm->activation);
	show("activation block", "%u", gemm->act_block);
}

static void show_job(const struct q35_hw_desc *desc)
{
	show("job", "%s%s%s%s, sequence number %" PRIu64,
	     name_of(operations, COUNT(operations), desc->op),
	     desc->flags & Q35_DESC_BARRIER ? ", barrier" : "",
	     desc->flags & Q35_DESC_NOTIFY ? ", notify" : "",
	     desc->flags & Q35_DESC_IRQ ? ", interrupt" : "", (uint64_t)desc->seqno);
	switch (desc->op) {
	case Q35_OP_GEMM:
		show_gemm(&desc->gemm);
		break;
	case Q35_OP_COPY:
		show("copy", "%" PRIu64 " bytes from %#" PRIx64 " to %#" PRIx64,
		     (uint64_t)desc->copy.size, (uint64_t)desc->copy.src_va,
		     (uint64_t)desc->copy.dst_va);
		break;
	case Q35_OP_FILL:
		show("fill", "%" PRIu64 " bytes at %#" PRIx64 " with %#x",
		     (uint64_t)desc->fill.size, (uint64_t)desc->fill.dst_va, desc->fill.value);
		break;
	case Q35_OP_FENCE:
		show("fence", "%#" PRIx64 " to %#" PRIx64, (uint64_t)desc->fence.value,
		     (uint64_t)desc->fence.va);
		break;
	case Q35_OP_TIMESTAMP:
		show("timestamp", "to %#" PRIx64, (uint64_t)desc->timestamp.va);
		break;
	}
}

static void show_writeback(const struct q35_hw_writeback *writeback)
{
	show("completed", "sequence number %" PRIu64 ", head %#x", (uint64_t)writeback->seqno,
	     writeback->head);
	show("reported fault", "%s, at index %#x",
	     name_of(faults, COUNT(faults), writeback->fault_code), writeback->fault_index);
	show("busy", "%" PRIu64 " ns, last at %" PRIu64 " ns", (uint64_t)writeback->busy_ns,
	     (uint64_t)writeback->time_ns);
}

static bool show_fault(const char *text)
{
	unsigned int code;
	uint64_t address;
	uint32_t info;

	if (sscanf(text, "code %u, info %" SCNx32 ", address %" SCNx64, &code, &info, &address) !=
	    3)
		return false;
	show("fault", "%s", name_of(faults, COUNT(faults), code));
	if (code == Q35_FAULT_DESCRIPTOR)
		show("field", "at byte %#x of the descriptor", info & Q35_FAULT_FIELD);
	else if (code != Q35_FAULT_NONE)
		show("access", "%s %#" PRIx64, info & Q35_FAULT_WRITE ? "write to" : "read of",
		     address);
	return true;
}

static bool show_walk(const char *text)
{
	unsigned int level;
	uint64_t entry;
	char label[WIDTH];

	if (!strcmp(text, "busy\n")) {
		show("page tables", "were just being changed");
		return true;
	}
	if (sscanf(text, "%u: %" SCNx64, &level, &entry) != 2 || level >= Q35_LEVELS)
		return false;
	snprintf(label, sizeof(label), "page tables, level %u", level);
	if (!(entry & Q35_PTE_VALID))
		show(label, "nothing");
	else if (!(entry & Q35_PTE_LEAF))
		show(label, "a table at %#" PRIx64, (uint64_t)(entry & Q35_PTE_FRAME));
	else
		show(label, "%llu KiB of %s memory at %#" PRIx64 ", %s",
		     (1ull << Q35_LEVEL_SHIFT(level)) / 1024,
		     entry & Q35_PTE_LOCAL ? "device" : "host", (uint64_t)(entry & Q35_PTE_FRAME),
		     entry & Q35_PTE_WRITABLE ? "writable" : "read-only");
	return true;
}

/* What is text already; a process may have called itself anything. */
static void show_text(const char *line)
{
	printf("  ");
	for (; *line && *line != '\n'; line++)
		putchar((unsigned char)*line < ' ' || *line == 0x7f ? '?' : *line);
	putchar('\n');
}

/* The rest of the line if it begins so, else NULL. */
static const char *after(const char *line, const char *beginning)
{
	size_t length = strlen(beginning);

	return strncmp(line, beginning, length) ? NULL : line + length;
}

static bool show_line(struct dump *dump, const char *line)
{
	static const char *const texts[] = {
		"reason: ", "time: ", "device: ", "failed queue: ", "submission: ", "ring: "};
	const char *rest;
	bool complete;
	unsigned int q;
	char of[WIDTH];
	size_t i;
	int used;

	for (i = 0; i < COUNT(texts); i++) {
		if (after(line, texts[i])) {
			show_text(line);
			return true;
		}
	}
	rest = after(line, "card ");
	if (rest)
		return show_words(rest, "card", card_registers, COUNT(card_registers));
	if (sscanf(line, "queue %u %n", &q, &used) == 1) {
		snprintf(of, sizeof(of), "queue %u", q);
		return show_words(line + used, of, queue_registers, COUNT(queue_registers));
	}
	rest = after(line, "fault: ");
	if (rest)
		return show_fault(rest);
	rest = after(line, "walk: ");
	if (!rest)
		rest = after(line, "walk ");
	if (rest)
		return show_walk(rest);
	rest = after(line, "write-back ");
	if (rest) {
		if (!gather(rest, &dump->writeback, sizeof(dump->writeback), &complete))
			return false;
		if (complete)
			show_writeback(&dump->writeback);
		return true;
	}
	rest = after(line, "descriptor ");
	if (!rest || !gather(rest, &dump->desc, sizeof(dump->desc), &complete))
		return false;
	if (complete)
		show_job(&dump->desc);
	return true;
}

static int show_dump(struct dump *dump, FILE *file)
{
	char line[512];

	if (!fgets(line, sizeof(line), file) || strcmp(line, FIRST_LINE))
		return ferror(file)
			       ? fail("%s: %s", dump->path, strerror(errno))
			       : fail("%s: no dump of this version; it would begin with \"%.*s\"",
				      dump->path, (int)strlen(FIRST_LINE) - 1, FIRST_LINE);
	dump->line = 1;
	while (fgets(line, sizeof(line), file)) {
		dump->line++;
		if (!strchr(line, '\n') || !show_line(dump, line))
			return fail("%s: line %u is no line of a dump", dump->path, dump->line);
	}
	return ferror(file) ? fail("%s: %s", dump->path, strerror(errno)) : DONE;
}

static void print_help(void)
{
	printf("usage: q35 dump FILE\n\n"
	       "Says in words what the driver left when a job faulted or hung or the card was reset:\n"
	       "/sys/class/devcoredump/devcd*/data, or a copy of it. \"-\" is the standard input.\n\n"
	       "  -h, --help             this text\n");
}

int command_dump(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct dump dump = {0};
	FILE *file;
	int c, ret;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		if (c != 'h')
			return usage("dump", "%s: no such option", argv[optind - 1]);
		print_help();
		return DONE;
	}
	if (optind != argc - 1)
		return usage("dump", "it takes a file");
	dump.path = argv[optind];
	file = strcmp(dump.path, "-") ? fopen(dump.path, "r") : stdin;
	if (!file)
		return fail("%s: %s", dump.path, strerror(errno));
	ret = show_dump(&dump, file);
	if (file != stdin)
		fclose(file);
	if (fflush(stdout) && ret == DONE)
		return fail("standard output: cannot be written");
	return ret;
}
