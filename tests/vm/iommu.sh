#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest with an IOMMU that translates: the card's DMA addresses are none of memory's, and nothing but
# what the driver has mapped can be reached. KTAP.
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

driver=/sys/bus/pci/drivers/q35
address=$(cd $driver && echo 0000:*)
type=/sys/bus/pci/devices/$address/iommu_group/type

translated() {
	grep -q DMA "$type"
}

# Its next client finds the IOMMU passing the card through, or translating again.
become() { # TYPE
	echo "$address" >$driver/unbind && echo "$1" >"$type" && echo "$address" >$driver/bind &&
		grep -qx "$1" "$type" && program driver_submit
}

no_fault() {
	! dmesg | grep "DMAR: .*fault"
}

ktap_print_header
ktap_set_plan 7
check "the card is behind the IOMMU" translated
check "jobs run" program driver_submit
check "address spaces hold" program driver_vm
check "buffers come and go" program driver_memory
check "jobs run while the IOMMU passes the card through" become identity
check "jobs run once it translates again" become DMA
check "the card has reached for nothing that was not mapped" no_fault
[ "$KTAP_CNT_FAIL" = 0 ]
