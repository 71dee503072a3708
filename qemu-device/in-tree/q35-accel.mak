# SPDX-License-Identifier: GPL-2.0-or-later
# A machine with nothing in it but what the card's tests want.
CONFIG_Q35=y
CONFIG_Q35_ACCEL=y
CONFIG_PCIE_PORT=y
CONFIG_VTD=y
