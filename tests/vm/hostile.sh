#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest with a card that is told, through QEMU's monitor, to do wrong whatever it can: while a
# client works, and before the driver finds it. Each time the driver must get rid of it, and work with
# it once it is good again. KTAP.
# vm: -q -c id=card
. /kselftest/kselftest/ktap_helpers.sh

# What a client may notice while it works: "works" nothing, "ends" errors.
live="hang:ends mmu-fault:ends slow:works lost-irq:works duplicate-irq:works spurious-irq:works
	seqno-ahead:ends seqno-backward:ends bit-flips:ends bad-caps:works zero-caps:works
	reset-fails:ends card-reset-fails:works dead:ends
	hang+reset-fails:ends hang+card-reset-fails:ends hang+reset-fails+card-reset-fails:ends
	mmu-fault+lost-irq:ends seqno-ahead+reset-fails+card-reset-fails:ends dead+spurious-irq:ends
	bit-flips+lost-irq:ends slow+spurious-irq+duplicate-irq:works"
# What the driver does with a card that is so when it is found.
found="bad-caps:refused zero-caps:refused dead:refused card-reset-fails:refused reset-fails:taken
	spurious-irq:taken duplicate-irq+lost-irq:taken bit-flips:taken bad-caps+dead:refused"

for port in /sys/class/virtio-ports/*; do
	[ "$(cat "$port/name")" != q35.monitor ] || exec 3<>"/dev/${port##*/}"
done
driver=/sys/bus/pci/drivers/q35
address=$(cd $driver && echo 0000:*)
device=/sys/bus/pci/devices/$address

# One command to the monitor; events come between its answers.
monitor() { # JSON
	echo "$1" >&3
	while read -r answer <&3; do
		case $answer in
		*'"return"'*) return ;;
		*'"error"'*) echo "# $answer"; return 1 ;;
		esac
	done
}

be() { # DEFECTS
	monitor "{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"/machine/peripheral/card\",\"property\":\"x-fault\",\"value\":\"$1\"}}"
}

client() { # works or ends
	Q35_WORKS=$([ "$1" = ends ] || echo 1)
	[ "$Q35_WORKS" ] && export Q35_WORKS || unset Q35_WORKS
	timeout $((60 * ${q35_slow:-1})) /kselftest/q35/cards_hostile >/tmp/log 2>&1 && return
	sed 's/^/# /' /tmp/log
	return 1
}

bound() { [ -e "$device/driver" ]; }
unbind() { ! bound || echo "$address" >$driver/unbind; }
bind() { echo "$address" >$driver/bind; }

# Remove it, though it is still as bad; make it good; find it again.
mend() {
	unbind && be "" && echo 1 >"$device/reset" && bind && client works
}

refused() {
	before=$(dmesg | wc -l)
	! bind 2>/dev/null && ! bound && dmesg | tail -n +$((before + 1)) | grep "q35 $address: "
}

taken() { bind && client ends; }

# What the driver has left of a failure, as q35 dump tells it.
told() {
	cat /sys/class/devcoredump/devcd*/data >/tmp/dump && q35 dump /tmp/dump >/tmp/words || return 1
	grep -q '^  card MAGIC  *0x' /tmp/words && grep -q '^  job  *FILL' /tmp/words && return
	sed 's/^/# /' /tmp/words
	return 1
}

check() { # NAME COMMAND…
	name=$1
	shift
	if "$@"; then ktap_test_pass "$name"; else ktap_test_fail "$name"; fi
}

count() { echo $#; }

ktap_print_header
# shellcheck disable=SC2086 # lists of words
ktap_set_plan $(((1 + $(count $live) + $(count $found)) * 2 + 1))
check "the monitor answers" monitor '{"execute":"qmp_capabilities"}'
check "without a defect the card works" client works
for what in $live; do
	be "${what%:*}"
	check "${what%:*}: a client ${what#*:}" client "${what#*:}"
	# The kernel keeps a dump for five minutes.
	[ -e /tmp/dump ] || check "this first failure's dump is told in words" told
	check "${what%:*}: the driver leaves, and returns to a good card" mend
done
for what in $found; do
	unbind
	echo 1 >"$device/reset"
	be "${what%:*}"
	check "${what%:*} when found: ${what#*:}" "${what#*:}"
	check "${what%:*} when found: the driver returns to a good card" mend
done
[ "$KTAP_CNT_FAIL" = 0 ]
