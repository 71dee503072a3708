#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest with a card behind a root port: resets by the PCI core, on request and after errors that
# QEMU's monitor injects, with jobs in flight. KTAP.
# vm: -q -d pcie-root-port,id=root,slot=1,hotplug=off,x-speed=2_5,x-width=1 -c id=card,bus=root,vram=64M,x-fault=reset-fails+hang-fill+slow
. /kselftest/kselftest/ktap_helpers.sh

check() { # NAME COMMAND…
	name=$1
	shift
	if "$@"; then ktap_test_pass "$name"; else ktap_test_fail "$name"; fi
}

# One command to the monitor and its answer. The port takes one opener at a time.
cat >/tmp/monitor <<'END'
for port in /sys/class/virtio-ports/*; do
	[ "$(cat "$port/name")" != q35.monitor ] || exec 3<>"/dev/${port##*/}"
done
echo "$1" >&3
while read -r answer <&3; do
	case $answer in
	*'"error"'*) echo "# $answer"; exit 1 ;;
	*'"return"'*) exit 0 ;;
	esac
done
END
# An error, and time until the PCI core has dealt with it.
cat >/tmp/inject <<'END'
over() { dmesg | grep -c "AER: device recovery"; }
before=$(over)
sh /tmp/monitor "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"pcie_aer_inject_error card $1\"}}" || exit 1
for i in $(seq 300); do
	[ "$(over)" = "$before" ] || break
	sleep 0.1
done
dmesg | grep "AER: device recovery" | tail -n 1 | grep successful
END

with() { # TRIGGER
	Q35_TRIGGER=$1 /kselftest/q35/cards_recovery -f reset >/tmp/log 2>&1
	status=$?
	sed 's/^/# /' /tmp/log
	return $status
}

address=$(cd /sys/bus/pci/drivers/q35 && echo 0000:*)
ktap_print_header
ktap_set_plan 4
check "the monitor answers" sh /tmp/monitor '{"execute":"qmp_capabilities"}'
check "function-level reset is hidden from clients" with "echo 1 >/sys/bus/pci/devices/$address/reset"
check "recovery from a fatal error is hidden from clients" with "sh /tmp/inject MALF_TLP"
check "recovery from a non-fatal error is hidden from clients" with "sh /tmp/inject COMP_TIME"
[ "$KTAP_CNT_FAIL" = 0 ]
