#!/bin/sh
# SPDX-License-Identifier: MIT
# In a guest with two empty slots of native hot-plug: cards come by QMP's device_add, work, and go
# again with jobs in flight, on request and by surprise, while the other one works on. KTAP.
# Not with lockdep: it complains of pciehp's own locks at the first card, and is off from there.
# sanitizers: no
# vm: -q -g ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off -d pcie-root-port,id=slot1,slot=1,chassis=1,mem-reserve=4M,pref64-reserve=64M -d pcie-root-port,id=slot2,slot=2,chassis=2,mem-reserve=4M,pref64-reserve=64M -c none
. /kselftest/kselftest/ktap_helpers.sh

limit=$((60 * ${q35_slow:-1})) # seconds

for port in /sys/class/virtio-ports/*; do
	[ "$(cat "$port/name")" != q35.monitor ] || exec 3<>"/dev/${port##*/}"
done

# Programs have the monitor too, for their $Q35_TRIGGER.
cat >/tmp/monitor.inc <<'END'
expect() { # WORDS: in a line of the monitor
	while read -r -t "$limit" answer <&3; do
		case $answer in
		*"$1"*) return ;;
		*'"error"'*) break ;;
		esac
	done
	echo "# no $1: $answer"
	return 1
}

monitor() { # COMMAND ARGUMENTS
	echo "{\"execute\":\"$1\",\"arguments\":{$2}}" >&3
	expect '"return"'
}

ask_to_go() { # SLOT
	monitor device_del "\"id\":\"card$1\""
}

pull() { # SLOT
	monitor qom-set "\"path\":\"/machine/peripheral/card$1\",\"property\":\"x-fault\",\"value\":\"removed\""
}
END
. /tmp/monitor.inc

device() { echo "/sys/bus/pci/devices/0000:0$1:00.0"; }

program() { # SLOT NAME
	Q35_CARD=$(basename "$(device "$1")") timeout $((4 * limit)) "/kselftest/q35/$2"
}

# Runs a command, with its output as KTAP's comments.
quietly() {
	"$@" >/tmp/log 2>&1
	status=$?
	sed 's/^/# /' /tmp/log
	return $status
}

works() { # SLOT
	for _ in $(seq $((10 * limit))); do
		[ ! -e "$(device "$1")/driver" ] || break
		sleep 0.1
	done
	[ -e "$(device "$1")/driver" ] && Q35_WORKS=1 quietly program "$1" cards_hostile
}

plug() { # SLOT
	monitor device_add "\"driver\":\"q35-accel\",\"id\":\"card$1\",\"bus\":\"slot$1\",\"vram\":16777216,\"x-fault\":\"hang-fill\"" &&
		works "$1"
}

# The removal program on a card, which is then to be gone: for QEMU, and for the guest.
leaves() { # SLOT HOW
	export Q35_TRIGGER="limit=$limit; . /tmp/monitor.inc; $2 $1"
	quietly program "$1" cards_removal && gone "$1"
}

gone() { # SLOT
	expect DEVICE_DELETED || return
	for _ in $(seq $((5 * limit))); do
		[ -e "$(device "$1")" ] || ! is_off "$1" || return 0
		sleep 0.2
	done
	return 1
}

# The guest turns off an empty slot's power, and what is plugged in before it has done so leaves with
# it. When asked for that again, its log says which it is.
is_off() { # SLOT
	before=$(dmesg | grep -c "Slot($1): Already disabled")
	echo 0 2>/dev/null >"/sys/bus/pci/slots/$1/power"
	[ "$(dmesg | grep -c "Slot($1): Already disabled")" != "$before" ]
}

undriven() { ! ls /sys/bus/pci/drivers/q35/0000:* 2>/dev/null; }

# On the first card, while the second one goes and comes.
keep_busy() {
	rm -f /tmp/busy /tmp/stop
	Q35_DEVICE=/dev/accel/$(basename "$(device 1)"/accel/accel*) \
		timeout $((8 * limit)) /kselftest/q35/cards_steady >/tmp/steady 2>&1 &
	steady=$!
	for _ in $(seq $((10 * limit))); do
		[ ! -e /tmp/busy ] || return 0
		sleep 0.1
	done
}

was_never_disturbed() {
	touch /tmp/stop
	wait "$steady" && return
	sed 's/^/# /' /tmp/steady
	return 1
}

# Both cards have a job in flight when they go, one on request and one by surprise.
both_leave() {
	Q35_TRIGGER='touch /tmp/ready' program 2 cards_removal >/tmp/second 2>&1 &
	second=$!
	for _ in $(seq $((10 * limit))); do
		[ ! -e /tmp/ready ] || break
		sleep 0.1
	done
	export Q35_TRIGGER="limit=$limit; . /tmp/monitor.inc; ask_to_go 1; pull 2"
	quietly program 1 cards_removal || return
	wait "$second" || { sed 's/^/# /' /tmp/second; return 1; }
	gone 2 && gone 1
}

check() { # NAME COMMAND…
	name=$1
	shift
	if "$@"; then ktap_test_pass "$name"; else ktap_test_fail "$name"; fi
}

ktap_print_header
ktap_set_plan 13
check "the monitor answers" monitor qmp_capabilities ''
check "there is no card" undriven
check "a card that is plugged in works" plug 1
check "a second one works beside it" plug 2
check "a card goes on request, with jobs in flight" leaves 1 ask_to_go
check "the other one works on" works 2
check "a card in the same slot works" plug 1
keep_busy
check "a card is pulled out, with jobs in flight" leaves 2 pull
check "another one in its slot works" plug 2
check "all the while the first one's results were right" was_never_disturbed
check "both go at once" both_leave
check "no card is left" undriven
check "the driver leaves" rmmod q35
[ "$KTAP_CNT_FAIL" = 0 ]
