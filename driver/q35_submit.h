/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef Q35_SUBMIT_H
#define Q35_SUBMIT_H

#define Q35_MAX_SYNCS 256 /* cap of drm_q35_submit.syncs */

#endif /* Q35_SUBMIT_H */
