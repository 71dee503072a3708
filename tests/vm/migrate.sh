#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest whose card is kept busy while migrate.qmp moves it to other QEMUs and back in time: every
# result has the CPU's bits. KTAP.
# sanitizers: no
# vm: -Q tests/vm/migrate.qmp -m 512M -c vram=64M
. /kselftest/kselftest/ktap_helpers.sh

ktap_print_header
ktap_set_plan 1
# shellcheck disable=SC2154
exec 7<>"$control"
{
	until [ -e /tmp/busy ]; do sleep 0.1; done
	echo busy >&7
	read -r _ <&7
	touch /tmp/stop
} &
if /kselftest/q35/cards_steady >/tmp/log 2>&1; then
	ktap_test_pass "results are the same bits all along"
else
	ktap_test_fail "results are the same bits all along"
fi
sed 's/^/# /' /tmp/log
[ "$KTAP_CNT_FAIL" = 0 ]
