/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef Q35_RECOVERY_H
#define Q35_RECOVERY_H

struct pci_error_handlers;
struct q35_device;

extern const struct pci_error_handlers q35_recovery_handlers;

void q35_recovery_init(struct q35_device *q35);
void q35_recovery_fini(struct q35_device *q35);

#endif /* Q35_RECOVERY_H */
