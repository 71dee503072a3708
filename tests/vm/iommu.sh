#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest with an IOMMU: the card's DMA addresses are none of memory's, and nothing but what the
# driver has mapped can be reached. KTAP.
# vm: -k intel_iommu=on -k iommu.strict=1 -c vram=256M,x-fault=hang-fill
. /kselftest/kselftest/ktap_helpers.sh

check() { # NAME COMMAND…
	name=$1
	shift
	if "$@"; then ktap_test_pass "$name"; else ktap_test_fail "$name"; fi
}

program() { # NAME
	"/kselftest/q35/$1" >/tmp/log 2>&1
	status=$?
	sed 's/^/# /' /tmp/log
	return $status
}

translated() {
	group=$(echo /sys/bus/pci/drivers/q35/0000:*/iommu_group)
	grep -q DMA "$group/type"
}

no_fault() {
	! dmesg | grep "DMAR: .*fault"
}

ktap_print_header
ktap_set_plan 5
check "the card is behind the IOMMU" translated
check "jobs run" program driver_submit
check "address spaces hold" program driver_vm
check "buffers come and go" program driver_memory
check "the card has reached for nothing that was not mapped" no_fault
[ "$KTAP_CNT_FAIL" = 0 ]
