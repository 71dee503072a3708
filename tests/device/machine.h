/* SPDX-License-Identifier: MIT */
/*
 * A machine of tools/q35-qemu without a guest: QEMU's qtest protocol does what a processor would do,
 * while the processor sleeps in firmware that does nothing else; QMP does what an administrator
 * would. To be run in the repository's top directory.
 */
#ifndef TEST_MACHINE_H
#define TEST_MACHINE_H

#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "register_tests.h"

#define FIRMWARE_SIZE 0x10000
#define REGS 0xe0000000u /* where the test puts BAR0 */
#define MSIX 0xe0100000u /* BAR4 */
#define MEMORY 0xe4000000u /* BAR2, 64 MiB at most */
#define MACHINE_ARGUMENTS 40

/* Offsets in configuration space and in capabilities. */
#define PCI_COMMAND 0x04
#define PCI_COMMAND_MEMORY 0x2
#define PCI_COMMAND_MASTER 0x4
#define PCI_BAR(n) (0x10 + 4 * (n))
#define PCI_CAPABILITIES 0x34
#define PCI_CAP_EXPRESS 0x10
#define PCI_CAP_MSIX 0x11
#define EXPRESS_DEVCTL 0x08
#define EXPRESS_FLR (1u << 15)

struct machine {
	pid_t qemu;
	FILE *to, *from; /* qtest */
	FILE *qmp_to, *qmp_from;
	uint32_t function; /* of the card: bus << 8 | slot << 3 */
	char answer[16384]; /* the newest of QMP */
};

static inline void write_firmware(char *path)
{
	static uint8_t image[FIRMWARE_SIZE];
	int fd = mkstemp(path);

	/* At the reset vector: hlt, and again after an interrupt, of which there is none. */
	memcpy(image + FIRMWARE_SIZE - 16, "\xf4\xeb\xfd", 3);
	if (fd < 0 || write(fd, image, sizeof(image)) != sizeof(image))
		ksft_exit_fail_msg("%s: %s\n", path, strerror(errno));
	close(fd);
}

/* ---- The qtest protocol: a command a line, and its answer ---- */

/* The answer's words after "OK"; interrupts that are reported in between are not of interest. */
__attribute__((format(printf, 2, 3))) static inline const char *qtest(struct machine *m,
								      const char *format, ...)
{
	static char line[16384];
	va_list args;

	va_start(args, format);
	vfprintf(m->to, format, args);
	va_end(args);
	fputc('\n', m->to);
	fflush(m->to);
	do {
		if (!fgets(line, sizeof(line), m->from))
			ksft_exit_fail_msg("QEMU is gone\n");
	} while (!strncmp(line, "IRQ ", 4));
	if (strncmp(line, "OK", 2))
		ksft_exit_fail_msg("QEMU answers: %s\n", line);
	return line + 2;
}

/* size: b, w, l, q */
static inline uint64_t load(struct machine *m, char size, uint64_t address)
{
	return strtoull(qtest(m, "read%c 0x%llx", size, (unsigned long long)address), NULL, 0);
}

static inline void store(struct machine *m, char size, uint64_t address, uint64_t value)
{
	qtest(m, "write%c 0x%llx 0x%llx", size, (unsigned long long)address,
	      (unsigned long long)value);
}

static inline uint32_t config_rd_at(struct machine *m, uint32_t function, uint32_t offset)
{
	qtest(m, "outl 0xcf8 0x%x", 0x80000000 | function << 8 | (offset & ~3u));
	return strtoull(qtest(m, "inl 0xcfc"), NULL, 0) >> 8 * (offset & 3);
}

static inline void config_wr_at(struct machine *m, uint32_t function, uint32_t offset,
				uint32_t value)
{
	qtest(m, "outl 0xcf8 0x%x", 0x80000000 | function << 8 | offset);
	qtest(m, "outl 0xcfc 0x%x", value);
}

/* Where the capability is in configuration space, or 0. */
static inline uint32_t capability_at(struct machine *m, uint32_t function, uint8_t id)
{
	uint32_t at = config_rd_at(m, function, PCI_CAPABILITIES) & 0xff;

	while (at && (config_rd_at(m, function, at) & 0xff) != id)
		at = config_rd_at(m, function, at) >> 8 & 0xff;
	return at;
}

/* ---- The card ---- */

static inline uint32_t config_rd(struct machine *m, uint32_t offset)
{
	return config_rd_at(m, m->function, offset);
}

static inline void config_wr(struct machine *m, uint32_t offset, uint32_t value)
{
	config_wr_at(m, m->function, offset, value);
}

static inline uint32_t capability(struct machine *m, uint8_t id)
{
	return capability_at(m, m->function, id);
}

static inline uint32_t machine_rd(void *opaque, uint32_t offset)
{
	return load(opaque, 'l', REGS + offset);
}

static inline void machine_wr(void *opaque, uint32_t offset, uint32_t value)
{
	store(opaque, 'l', REGS + offset, value);
}

static inline struct bus machine_bus(struct machine *m)
{
	return (struct bus){.rd = machine_rd, .wr = machine_wr, .opaque = m, .slow = true};
}

/* As firmware does it; command: what of PCI_COMMAND besides. */
static inline void place_bars(struct machine *m, uint32_t command)
{
	const uint32_t bars[] = {REGS, 0, MEMORY, 0, MSIX, 0};
	uint32_t i;

	for (i = 0; i < ARRAY_SIZE(bars); i++)
		config_wr(m, PCI_BAR(i), bars[i]);
	config_wr(m, PCI_COMMAND, PCI_COMMAND_MEMORY | command);
}

static inline void function_level_reset(struct machine *m)
{
	uint32_t at = capability(m, PCI_CAP_EXPRESS) + EXPRESS_DEVCTL;

	config_wr(m, at, config_rd(m, at) | EXPRESS_FLR);
}

/* ---- QMP ---- */

/* Reads up to the answer, or the event, that has the words; false if it is an error. */
static inline bool qmp_expect(struct machine *m, const char *words)
{
	do {
		if (!fgets(m->answer, sizeof(m->answer), m->qmp_from))
			ksft_exit_fail_msg("QEMU is gone\n");
		if (!strncmp(m->answer, "{\"error\"", 8))
			return false;
	} while (!strstr(m->answer, words));
	return true;
}

/* arguments: JSON without the braces. */
__attribute__((format(printf, 3, 4))) static inline bool qmp(struct machine *m, const char *command,
							     const char *arguments, ...)
{
	va_list args;

	fprintf(m->qmp_to, "{\"execute\": \"%s\", \"arguments\": {", command);
	va_start(args, arguments);
	vfprintf(m->qmp_to, arguments, args);
	va_end(args);
	fputs("}}\n", m->qmp_to);
	fflush(m->qmp_to);
	return qmp_expect(m, "\"return\"");
}

/* ---- Life ---- */

/* With arguments besides, up to NULL. The card's BARs are to be placed. */
static inline void machine_start(struct machine *m, uint32_t function, const char *const more[])
{
	const char *argument[MACHINE_ARGUMENTS] = {
		"q35-qemu", "-nodefaults", "-no-user-config", "-machine",   "q35",
		"-accel",   "tcg",	   "-display",	      "none",	    "-m",
		"64M",	    "-qtest",	   "stdio",	      "-qtest-log", "none",
		"-bios",
	};
	char firmware[] = "/tmp/q35-machine.XXXXXX", chardev[64];
	int to[2], from[2], control[2], n;

	for (n = 0; argument[n]; n++)
		;
	argument[n++] = firmware;
	argument[n++] = "-mon";
	argument[n++] = "chardev=qmp,mode=control";
	argument[n++] = "-chardev";
	argument[n++] = chardev;
	while (*more && n < MACHINE_ARGUMENTS - 1)
		argument[n++] = *more++;
	write_firmware(firmware);
	if (pipe(to) || pipe(from) || socketpair(AF_UNIX, SOCK_STREAM, 0, control))
		ksft_exit_fail_msg("no pipes: %s\n", strerror(errno));
	snprintf(chardev, sizeof(chardev), "socket,id=qmp,fd=%d", control[1]);
	m->function = function;
	m->qemu = fork();
	if (!m->qemu) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(to[0], 0);
		dup2(from[1], 1);
		close(to[1]);
		close(from[0]);
		close(control[0]);
		execv("tools/q35-qemu", (char **)(uintptr_t)argument);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	close(control[1]);
	m->to = fdopen(to[1], "w");
	m->from = fdopen(from[0], "r");
	m->qmp_to = fdopen(dup(control[0]), "w");
	m->qmp_from = fdopen(control[0], "r");
	if (!qmp_expect(m, "\"QMP\"") || !qmp(m, "qmp_capabilities", " "))
		ksft_exit_fail_msg("QMP: %s\n", m->answer);
	unlink(firmware); /* it has been read */
}

/* Its exit status, or 128 and more for a signal; a sanitizer's complaint is not 0. */
static inline int machine_stop(struct machine *m)
{
	int status;

	qmp(m, "quit", " ");
	fclose(m->qmp_to);
	fclose(m->qmp_from);
	fclose(m->to);
	fclose(m->from);
	if (waitpid(m->qemu, &status, 0) != m->qemu)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif /* TEST_MACHINE_H */
