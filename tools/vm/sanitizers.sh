#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Builds, once, a kernel with sanitizers from Debian's linux-source and writes where it is to a
# makefile fragment, as tools/setup.sh does for Debian's own.
#
#	tools/vm/sanitizers.sh SERIES MAKEFILE		SERIES: 6.12, or 7 for the newest 7.x
#
# It is kept in the cache, under kernel/sanitizers-VERSION-HASH, laid out like Debian's; HASH is of
# all that decides what comes out: sanitizers/ beside this, and this.
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/q35
options=$top/tools/vm/sanitizers
export LC_ALL=C
unset MAKEFLAGS MAKELEVEL MFLAGS

say() { echo "sanitizer kernel, $SECONDS s: $*"; }

# Make's output is in the log; a line now and then says how far it is.
make_it() { # TARGET…
	(while sleep 30; do say "$(grep -c '^  CC ' "$log") files compiled"; done) &
	local ticker=$! status=0
	nice make -C "$tree" -j"$(nproc)" "$@" >>"$log" 2>&1 </dev/null || status=$?
	kill $ticker
	wait $ticker 2>/dev/null || true
	[ $status = 0 ] || { tail -n 30 "$log"; say "failed; all of its output is in $log"; exit 1; } >&2
}

# Every option asked for must be there: merge_config.sh only warns of what another option forbids, and
# some go by other names in other versions.
check_config() {
	local line missing=''
	while read -r line; do
		grep -qxF "$line" "$tree/.config" || missing+=" ${line%%=*}"
	done < <(grep '^CONFIG' "$options/config" | grep -v '=n$')
	[ -z "$missing" ] || say "not in this version:$missing"
	for line in KASAN_INLINE PROVE_LOCKING UBSAN DEBUG_KMEMLEAK DMA_API_DEBUG FAILSLAB KUNIT; do
		grep -qx "CONFIG_$line=y" "$tree/.config" || { say "lacks $line" >&2; exit 1; }
	done
}

build() { # into $new, laid out like Debian's packages
	local source release
	rm -rf "$new"
	mkdir -p "$tree" "$new/boot"
	source=$(dpkg-deb -f "$deb" Package)
	say "unpacking $source"
	dpkg-deb --fsys-tarfile "$deb" | tar -xO "./usr/src/$source.tar.xz" | xz -dc -T0 |
		tar -x -C "$tree" --strip-components=1
	cat "$options/Kconfig" >>"$tree/Kconfig"
	say "building; later runs find it in $final"
	make_it tinyconfig
	(cd "$tree" && nice scripts/kconfig/merge_config.sh -m .config "$options/config") >>"$log" 2>&1
	make_it olddefconfig
	check_config
	make_it bzImage modules
	release=$(cat "$tree/include/config/kernel.release")
	cp "$tree/arch/x86/boot/bzImage" "$new/boot/vmlinuz-$release"
	mkdir -p "$new/lib/modules/$release"
	ln -s ../../../build "$new/lib/modules/$release/build"
	cp "$tree/modules.builtin" "$new/lib/modules/$release/"
	touch "$new/lib/modules/$release/modules.dep"
	# What remains is what modules are built with.
	find "$tree" -mindepth 1 -maxdepth 1 -type d ! -name arch ! -name include ! -name scripts \
		! -name tools -exec rm -rf {} +
	find "$tree/arch" -mindepth 1 -maxdepth 1 -type d ! -name x86 -exec rm -rf {} +
	find "$tree" \( -name '*.o' -o -name '*.a' -o -name 'vmlinux*' \) ! -name vmlinux.lds \
		-type f -delete
}

deb=$("$top/tools/setup.sh" --source "$1")
version=$(dpkg-deb -f "$deb" Version)
hash=$(cat "$options"/* "$0" | sha256sum | cut -c1-8)
final=$cache/kernel/sanitizers-$version-$hash
new=$cache/kernel/.sanitizers.new
tree=$new/build
log=$cache/kernel/sanitizers.log

exec 9>"$cache/kernel/sanitizers.lock"
[ -e "$final" ] || flock 9
if [ ! -e "$final" ]; then
	: >"$log"
	build
	mv "$new" "$final"
	say "done"
fi
release=$(ls "$final/lib/modules")
cat >"$2.new" <<END
# Written by tools/vm/sanitizers.sh
KERNEL_RELEASE := $release
KERNEL_ROOT := $final
END
mv "$2.new" "$2"
