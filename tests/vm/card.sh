#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest with the card: what users meet before the driver is loaded and without permission, the
# kernel selftests, and the driver's coming and going. KTAP.
# vm: -n -c x-fault=hang-fill
. /kselftest/kselftest/ktap_helpers.sh

# Succeeds if the command fails with one line on stderr that has all words of $1 in it.
refused() { # WORDS COMMAND…
	words=$1
	shift
	"$@" >/dev/null 2>/tmp/refusal && { echo "# succeeded: $*"; return 1; }
	sed 's/^/# /' /tmp/refusal
	[ "$(wc -l </tmp/refusal)" = 1 ] || return 1
	for word in $words; do
		grep -q "$word" /tmp/refusal || { echo "# no word of: $word"; return 1; }
	done
}

check() { # NAME COMMAND…
	name=$1
	shift
	if "$@"; then ktap_test_pass "$name"; else ktap_test_fail "$name"; fi
}

as_nobody() {
	su nobody -s /bin/sh -c "$*"
}

# Linux 7.3 takes virtio's ports for closed once the system has slept; it finds them anew.
# shellcheck disable=SC2154 # init's
reconnect() {
	serial=$(readlink -f "/sys/class/virtio-ports/${output##*/}/device")
	serial=$(basename "$(dirname "$serial")")
	exec >/dev/null 2>&1
	echo "$serial" >/sys/bus/pci/drivers/virtio-pci/unbind
	echo "$serial" >/sys/bus/pci/drivers/virtio-pci/bind
	# The node is there a moment before the port can be opened.
	until [ -c "$output" ] && (: >"$output") 2>/dev/null; do sleep 0.1; done
	exec >"$output" 2>&1
}

selftests() {
	mkdir -p /out/kselftest
	# Without a name after it -p takes the next option for the directory.
	/kselftest/run_kselftest.sh -o $((300 * ${q35_slow:-1})) -p /out/kselftest 2>&1 | sed 's/^/# /' >/out/kselftest.txt
	reconnect
	cat /out/kselftest.txt
	! grep -q '^# not ok' /out/kselftest.txt && grep -q '^# ok' /out/kselftest.txt
}

works() {
	q35 info --device | sed 's/^/# /'
	q35 info --device | grep -q /dev/accel/accel0
}

unload_and_load() {
	rmmod q35 && insmod /lib/q35/q35.ko && works
}

ktap_print_header
ktap_set_plan 7
check "a card without its driver is named, and what to do" refused "0000: driver insmod" q35 info --device
check "a node that is not there is named" refused "/dev/accel/accel0" \
	env Q35_DEVICE=/dev/accel/accel0 q35 info --device
check "the driver loads" /lib/q35/load
check "the card is found" works
check "a node without permission is named" refused "/dev/accel/accel0 ermission" as_nobody q35 info --device
check "the kernel selftests pass" selftests
check "the driver leaves and returns" unload_and_load
[ "$KTAP_CNT_FAIL" = 0 ]
