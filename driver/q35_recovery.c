// SPDX-License-Identifier: GPL-2.0-only
/**
 * DOC: Resets by others
 *
 * The PCI core resets the function when somebody asks for it in sysfs, and after errors of the link.
 * For the driver both are a reset of the card with a pause in the middle: before it jobs are parked,
 * the card is stopped if it still answers, and mappings of device memory are taken away; after it
 * everything is put back, and what was not complete runs again.
 *
 * An error that is not fatal may have cost a transaction all the same, and nobody knows which. So the
 * card starts afresh after it as well.
 *
 * The PCI core may never come back, if another driver on the bus gives up. Jobs must end even so:
 * after Q35_RECOVERY_WAIT_MS the card is given up.
 */
#include <linux/pci.h>
#include <linux/pm_runtime.h>

#include <drm/drm_print.h>

#include "q35_device.h"
#include "q35_recovery.h"

#define Q35_RECOVERY_WAIT_MS (60 * MSEC_PER_SEC)

static void q35_recovery_give_up(struct work_struct *work)
{
	struct q35_device *q35 = container_of(work, struct q35_device, recovery_work.work);

	drm_err(&q35->drm, "no end of the recovery from a PCI error, giving the card up\n");
	q35_device_give_up(q35);
}

static void q35_recovery_begin(struct q35_device *q35)
{
	if (!q35->recovering)
		pm_runtime_get_sync(q35->drm.dev);
	q35->recovering = true;
	q35_device_sleep(q35);
}

static void q35_recovery_end(struct q35_device *q35)
{
	cancel_delayed_work_sync(&q35->recovery_work);
	q35_device_wake(q35);
	if (q35->recovering)
		pm_runtime_put_autosuspend(q35->drm.dev);
	q35->recovering = false;
}

static void q35_recovery_reset_prepare(struct pci_dev *pdev)
{
	q35_recovery_begin(pci_get_drvdata(pdev));
}

static void q35_recovery_reset_done(struct pci_dev *pdev)
{
	q35_recovery_end(pci_get_drvdata(pdev));
}

static pci_ers_result_t q35_recovery_error_detected(struct pci_dev *pdev, pci_channel_state_t state)
{
	struct q35_device *q35 = pci_get_drvdata(pdev);

	if (state == pci_channel_io_perm_failure) {
		drm_err(&q35->drm, "the card has failed for good\n");
		q35_device_give_up(q35);
		return PCI_ERS_RESULT_DISCONNECT;
	}
	drm_warn(&q35->drm, "%s PCI error, the card will be reset\n",
		 state == pci_channel_io_frozen ? "fatal" : "non-fatal");
	q35_recovery_begin(q35);
	mod_delayed_work(q35_wq, &q35->recovery_work, msecs_to_jiffies(Q35_RECOVERY_WAIT_MS));
	return PCI_ERS_RESULT_NEED_RESET;
}

static pci_ers_result_t q35_recovery_slot_reset(struct pci_dev *pdev)
{
	struct q35_device *q35 = pci_get_drvdata(pdev);

	pdev->state_saved = true; /* by probe, or when the card last slept */
	pci_restore_state(pdev);
	return q35_read(q35, Q35_REG_MAGIC) == Q35_MAGIC ? PCI_ERS_RESULT_RECOVERED
							 : PCI_ERS_RESULT_DISCONNECT;
}

static void q35_recovery_resume(struct pci_dev *pdev)
{
	q35_recovery_end(pci_get_drvdata(pdev));
}

void q35_recovery_init(struct q35_device *q35)
{
	INIT_DELAYED_WORK(&q35->recovery_work, q35_recovery_give_up);
}

/* The driver is being unbound; there is no other callback at the same time. */
void q35_recovery_fini(struct q35_device *q35)
{
	cancel_delayed_work_sync(&q35->recovery_work);
	if (q35->recovering)
		pm_runtime_put_noidle(q35->drm.dev);
}

const struct pci_error_handlers q35_recovery_handlers = {
	.error_detected = q35_recovery_error_detected,
	.slot_reset = q35_recovery_slot_reset,
	.resume = q35_recovery_resume,
	.reset_prepare = q35_recovery_reset_prepare,
	.reset_done = q35_recovery_reset_done,
};
