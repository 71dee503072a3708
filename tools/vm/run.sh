#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Boots Debian's stock kernel with the card in QEMU, runs a command there, shows its output as it
# comes and exits with its status.
#
#	tools/vm/run.sh [OPTION]… [COMMAND…]
#
#	-f FILE[:PATH]	put FILE (or directory) there in the guest, as /FILE's name if no PATH; repeatable
#	-o DIRECTORY	where the guest's /out goes to, and console.txt [build/vm/out]
#	-d DEVICE	of QEMU's, with its properties, beside the cards; repeatable
#	-g PROPERTY	of all of QEMU's devices of a type: TYPE.NAME=VALUE; repeatable
#	-c PROPERTIES	of the card, such as vram=256M; -c none: no card; repeatable: several cards
#	-n		don't load the driver; the guest's /lib/q35/load does
#	-s CPUS		[2]
#	-m MEMORY	[2G]
#	-t SECONDS	before the guest is given up [600]
#	-k ARGUMENTS	more for the kernel's command line
#	-q		QEMU's monitor in the guest: QMP at the virtio port named q35.monitor
#	-Q SCRIPT	run it on the host beside the guest, for QMP, see below
#	-i		a shell on the console instead of a command
#
# COMMAND is a line of sh, run as root. KVM is used where it works. The kernel and its modules are those
# that $Q35_KERNEL's setup.mk and vm/modules say, the build directory's if that is not set.
# shellcheck disable=SC2054 # QEMU's arguments have commas
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
build=${Q35_BUILD:-$top/build}
for_kernel=${Q35_KERNEL:-$build}
eval "$(sed -n 's/^\(KERNEL_[A-Z]*\) := \(.*\)/\1=\2/p' "$for_kernel/setup.mk")"
kernel=$KERNEL_ROOT/boot/vmlinuz-$KERNEL_RELEASE

files=() devices=() cards=() append='' smp=2 memory=2G limit=600 interactive='' monitor='' script='' out=$build/vm/out
while getopts f:o:d:g:c:ns:m:t:k:qQ:i option; do
	case $option in
	f) files+=("$OPTARG") ;;
	o) out=$OPTARG ;;
	d) devices+=(-device "$OPTARG") ;;
	g) devices+=(-global "$OPTARG") ;;
	c) cards+=("$OPTARG") ;;
	n) append+=' q35_load=no' ;;
	s) smp=$OPTARG ;;
	m) memory=$OPTARG ;;
	t) limit=$OPTARG ;;
	k) append+=" $OPTARG" ;;
	q) monitor=1 ;;
	Q) script=$OPTARG ;;
	i) interactive=1 append+=' q35_shell=yes' ;;
	*) sed -n '/^#	tools/,/^#$/p' "$0" >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))

work=$(mktemp -d "${TMPDIR:-/tmp}/q35-vm.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

# ---- The guest's files

place() { # FILE PATH
	mkdir -p "$root/$(dirname "$2")"
	cp -rL "$1" "$root/$2"
}

mkdir -p "$root"/{bin,etc,lib,lib64,usr/bin,usr/lib}
place /bin/busybox bin/busybox
place "$top/tools/vm/init" init
place "$build/vm/leave" usr/bin/leave
place /usr/bin/timeout usr/bin/timeout # kselftest's runner needs more than busybox' can
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
place "$for_kernel/vm/modules" lib/q35
for file in libq35.so.0:usr/lib/libq35.so.0 q35:usr/bin/q35 example:usr/bin/example; do
	[ ! -e "$build/${file%%:*}" ] || place "$build/${file%%:*}" "${file#*:}"
done
for file in "${files[@]}"; do
	place "${file%%:*}" "$(case $file in *:*) echo "${file#*:}" ;; *) basename "$file" ;; esac)"
done
printf '%s\n' "$*" >"$root/command"

# The shared objects that programs ask for, at the host's paths. What is no program, ldd refuses.
mapfile -t programs < <(find "$root" -type f -perm /111)
{ LD_LIBRARY_PATH=$build ldd "${programs[@]}" 2>/dev/null || true; } |
	sed -nE 's/^.*[[:space:]](\/[^ ]+) \(0x.*/\1/p' | sort -u |
	while read -r file; do
		[[ $file = "$build"/* ]] || place "$file" "$file"
	done

(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$work/initramfs"
rm -rf "$root"

# ---- QEMU

qemu=$top/tools/q35-qemu

rm -rf "$out"
mkdir -p "$out"
arguments=(
	-nodefaults -no-user-config -machine q35,kernel-irqchip=split -cpu max -smp "$smp" -m "$memory" -no-reboot
	-display none -kernel "$kernel" -initrd "$work/initramfs"
	-device isa-debug-exit,iobase=0xf4,iosize=0x04
	-chardev "pipe,id=watch,path=$work/watch" -mon chardev=watch,mode=readline
	-device virtio-serial-pci
	-chardev "file,id=files,path=$work/files.tar"
	-device virtserialport,chardev=files,name=q35.files
)
# QEMU 10.0's TCG, running several processors at once, loses writes to the memory of a local APIC while a BAR
# comes or goes: the guest then stands still. An x2APIC is no memory; for it Linux wants an IOMMU that
# remaps interrupts. A guest that wants to have DMA remapped as well says intel_iommu=on.
arguments+=(-device intel-iommu,intremap=on,eim=on)
append=" intel_iommu=off$append"
[ "$("$top/tools/vm/accelerator.sh")" = tcg ] || arguments+=(-accel kvm)
arguments+=(-accel tcg)
arguments+=("${devices[@]}")
[ ${#cards[@]} != 0 ] || cards=('')
for card in "${cards[@]}"; do
	[ "$card" = none ] || [ ! -e "$build/q35-accel.so" ] ||
		arguments+=(-device "q35-accel${card:+,$card}")
done

# QEMU connects to itself.
[ ! "$monitor" ] || arguments+=(
	-chardev "socket,id=monitor,path=$work/monitor,server=on,wait=off"
	-mon chardev=monitor,mode=control
	-chardev "socket,id=guest-monitor,path=$work/monitor"
	-device virtserialport,chardev=guest-monitor,name=q35.monitor
)

# A stale tick in a slow guest must not make the kernel doubt its timer; nor, while it identifies the
# processor, must KASAN of Linux 7.3 take its own shadow for that of four-level page tables. Warnings and
# worse go to the console; all of the log comes with the files, if the guest lives to send it.
append="console=ttyS0 no_timer_check no5lvl panic=-1 oops=panic loglevel=5$append"
# A guest that has not finished in time gets an interrupt at which the kernel panics and shows what each
# task is at and which timers are pending, also while the system sleeps.
append="unknown_nmi_panic panic_print=5 no_console_suspend $append"
if [ "$interactive" ]; then
	arguments+=(-chardev "stdio,id=console,mux=on,signal=off,logfile=$out/console.txt"
		-serial chardev:console -mon chardev=console)
	limit=0
	echo "Booting; leave with 'exit' or Ctrl-A X."
else
	arguments+=(-chardev "file,id=console,path=$out/console.txt,append=on" -serial chardev:console
		-chardev file,id=output,path=/dev/stdout
		-device virtserialport,chardev=output,name=q35.output)
fi

# The script talks QMP through the pipes $Q35_QMP.in and .out, and to the guest's $control through
# $Q35_CONTROL.in and .out. A drive holds snapshots. When QEMU has left and there is a file
# $Q35_STATE, the machine goes on from that in another QEMU. If the script fails, so does the run.
if [ "$script" ]; then
	export Q35_QMP=$work/qmp Q35_CONTROL=$work/control Q35_STATE=$work/state
	mkfifo "$Q35_QMP".{in,out} "$Q35_CONTROL".{in,out}
	truncate -s 1M "$work/snapshots"
	arguments+=(-chardev "pipe,id=qmp,path=$Q35_QMP" -mon chardev=qmp,mode=control
		-chardev "pipe,id=control,path=$Q35_CONTROL"
		-device virtserialport,chardev=control,name=q35.control
		-drive "if=none,id=snapshots,format=raw,snapshot=on,file=$work/snapshots")
fi

run_qemu() {
	# The kernel has a minute to tell.
	timeout --foreground -k 5 $((limit ? limit + 60 : 0)) "$qemu" "${arguments[@]}" -append "$append" "$@" || return
	if [ "$script" ] && [ -e "$Q35_STATE" ]; then
		mv "$Q35_STATE" "$work/incoming"
		run_qemu -incoming "file:$work/incoming"
	fi
}

mkfifo "$work"/watch.{in,out} "$work/end"
watch() { # with a shell's own means: nothing is left of it when it is killed
	read -r -t "$limit" <>"$work/end" || true
	touch "$work/late"
	echo nmi 1<>"$work/watch.in"
}

status=0
if [ "$interactive" ]; then
	run_qemu || status=$?
else
	if [ "$script" ]; then
		"$top/$script" >"$out/script.txt" 2>&1 </dev/null &
		beside=$!
	fi
	watch &
	watcher=$!
	# The pipe, because QEMU opens /dev/stdout anew, which would truncate a file.
	run_qemu </dev/null | cat || status=${PIPESTATUS[0]}
	kill "$watcher" 2>/dev/null || true
fi
if [ "$script" ]; then
	kill "$beside" 2>/dev/null && sleep 0.1
	script_status=0
	wait "$beside" || script_status=$?
	if [ $script_status != 0 ]; then
		echo "vm: $script ended with status $script_status" >&2
		tail -n 25 "$out/script.txt" >&2
		exit 125
	fi
fi
tar -C "$out" -xf "$work/files.tar" 2>/dev/null || true
if [ $((status % 2)) = 1 ] && [ $status -ge 33 ]; then
	exit $(((status - 33) / 2)) # 2 * (what init says + 16) + 1
fi
if [ -e "$work/late" ]; then
	echo "vm: given up after $limit s; what its tasks were at is in $out/console.txt" >&2
elif [ "$interactive" ] && [ $status = 0 ]; then
	exit 0 # Ctrl-A X
else
	echo "vm: the guest did not finish; QEMU's status is $status" >&2
fi
# What led to the kernel's panic, and what then waited without end; or the last lines.
[ "$interactive" ] || awk '
	{ line[NR] = $0 }
	/Kernel panic/ && !panic { panic = NR }
	/task:.* state:/ { waits = panic && /state:D/ }
	waits && !/\]  \? |\] R[A-Z0-9]+: / { blocked = blocked $0 "\n" }
	/<\/TASK>/ { waits = 0 }
	END {
		last = panic ? panic + 2 : NR
		for (i = last - (panic ? 100 : 40); i <= last; i++)
			if (i in line)
				print line[i]
		printf "%s", blocked
	}' "$out/console.txt" >&2
exit 125
