#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Builds a QEMU that has the card in its source tree, hw/misc/q35-accel, with clang, its address and undefined-behaviour
# sanitizers and libFuzzer: what no shared object can be in an installed QEMU.
#
#   in-tree.sh TARBALL DIRECTORY
#
# TARBALL is QEMU's source. DIRECTORY/build gets qemu-system-x86_64 and qemu-fuzz-x86_64, with as few
# devices and features as the card's tests need. A second run compiles what has changed since.
set -euo pipefail

usage="usage: in-tree.sh TARBALL DIRECTORY"
tarball=$(realpath "${1:?$usage}")
mkdir -p "${2:?$usage}"
directory=$(realpath "$2")
tree=$directory/tree
build=$directory/build
card=$tree/hw/misc/q35-accel
here=$(cd "$(dirname "$0")" && pwd)
top=$here/..

# Its own place in QEMU's lists; each line once.
insert() { # FILE PATTERN LINE: after the line that matches
    grep -qxF "$3" "$tree/$1" || sed -i "/$2/a\\$3" "$tree/$1"
    grep -qxF "$3" "$tree/$1" || { echo "in-tree.sh: no line like $2 in QEMU's $1" >&2; exit 1; }
}

if [ ! -e "$tree" ]; then
    rm -rf "$tree.new" "$build"
    mkdir "$tree.new"
    tar -xf "$tarball" -C "$tree.new" --strip-components=1 --exclude='*/roms/*'
    # For QEMU's own tests; Debian does without, too.
    sed -i '/^pycotap = /d' "$tree.new/pythondeps.toml"
    # No firmware: Debian leaves it out of the tarball.
    echo 'roms = []' >"$tree.new/pc-bios/meson.build"
    mv "$tree.new" "$tree"
fi
insert hw/misc/Kconfig '^source macio' 'source q35-accel/Kconfig'
insert hw/misc/meson.build "^subdir('macio')" "subdir('q35-accel')"
insert meson.build "^    'hw\/misc'," "    'hw/misc/q35-accel',"
insert tests/qtest/fuzz/meson.build "'generic_fuzz.c'" \
    "specific_fuzz_ss.add(when: 'CONFIG_Q35_ACCEL', if_true: files('q35_accel_fuzz.c'))"

# Only what differs is written, so that only that is compiled.
put() { rsync -rc "$@"; }
mkdir -p "$card"
put "$here"/{q35-accel,dma,faults,migration}.c "$here"/{q35-accel,trace}.h "$here/asic" \
    "$here/in-tree"/{Kconfig,meson.build,trace-events} \
    "$top/libq35/kernels" "$top/driver/q35_hw.h" "$card/"
put "$here/in-tree/q35_accel_fuzz.c" "$tree/tests/qtest/fuzz/"
put "$here/in-tree/q35-accel.mak" "$tree/configs/devices/x86_64-softmmu/"

if [ ! -e "$build/build.ninja" ]; then
    mkdir -p "$build"
    cd "$build"
    echo "QEMU with the card in its tree is configured and built once, for 5 to 15 minutes"
    "$tree/configure" --python=/usr/bin/python3 --cc=clang --cxx=clang++ \
        --target-list=x86_64-softmmu --without-default-features --without-default-devices \
        --with-devices-x86_64=q35-accel --enable-system --enable-tcg --disable-fdt \
        --enable-fuzzing --enable-asan --enable-ubsan >"$directory/configure.log" 2>&1 ||
        { tail -n 20 "$directory/configure.log"; exit 1; }
fi
# Firmware is the installed QEMU's.
mkdir -p "$build/qemu-bundle/usr/local/share/qemu"
ln -sf /usr/share/seabios/bios-256k.bin /usr/share/qemu/kvmvapic.bin \
    "$build/qemu-bundle/usr/local/share/qemu/"
nice ninja --quiet -C "$build" -j"$(nproc)" qemu-system-x86_64 qemu-fuzz-x86_64
