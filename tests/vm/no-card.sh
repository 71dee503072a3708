#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest without the card, the driver loaded: libq35 falls back to the CPU, and says so. KTAP.
# vm: -c none
. /kselftest/kselftest/ktap_helpers.sh

ktap_print_header
ktap_set_plan 3
q35 info --device >/tmp/info 2>&1
if grep -qw cpu /tmp/info; then
	ktap_test_pass "without a card the CPU is used"
else
	sed 's/^/# /' /tmp/info
	ktap_test_fail "without a card the CPU is used"
fi
if Q35_DEVICE=/dev/accel/accel0 q35 info --device >/dev/null 2>/tmp/error ||
	! grep -q /dev/accel/accel0 /tmp/error; then
	sed 's/^/# /' /tmp/error
	ktap_test_fail "a card that was asked for by name is missed"
else
	ktap_test_pass "a card that was asked for by name is missed"
fi
if rmmod q35; then
	ktap_test_pass "the driver leaves"
else
	ktap_test_fail "the driver leaves"
fi
[ "$KTAP_CNT_FAIL" = 0 ]
