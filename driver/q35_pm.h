/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef Q35_PM_H
#define Q35_PM_H

struct dev_pm_ops;

extern const struct dev_pm_ops q35_pm_ops;

#endif /* Q35_PM_H */
