// SPDX-License-Identifier: MIT
/* Ends the guest: QEMU's isa-debug-exit turns the byte into its exit status, 2 * byte + 1. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <unistd.h>

#define DEBUG_EXIT_PORT 0xf4

int main(int argc, char **argv)
{
	if (argc != 2 || iopl(3)) {
		perror("leave");
		return 1;
	}
	outb(atoi(argv[1]), DEBUG_EXIT_PORT);
	pause(); /* QEMU acts on it a moment later */
	return 0;
}
