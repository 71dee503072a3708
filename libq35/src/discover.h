/* SPDX-License-Identifier: MIT */
/*
 * Which cards does this machine have, and if none is usable, why not?
 *
 * From sysfs, because drmGetDevices2() finds no accel node where there is no /dev/dri.
 */
#ifndef Q35_DISCOVER_H
#define Q35_DISCOVER_H

#include <stddef.h>

#define Q35_DRIVER_NAME "q35"
#define Q35_SYSFS "/sys"
#define Q35_NODE_SIZE 64
#define Q35_NO_CARD 1

/*
 * Puts the device node of the card at PCI address pci, or of the first card if pci is NULL, into
 * node. sysfs is where that is mounted: Q35_SYSFS but in tests. Q35_NO_CARD: there is no such card at
 * all; -ENOENT with a sentence in q35_error(NULL): there is one, but nothing drives it.
 */
int q35_discover(const char *sysfs, const char *pci, char node[Q35_NODE_SIZE]);

#endif /* Q35_DISCOVER_H */
