#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Makes a Debian 12 or 13 ready for Q35 and writes what make needs to know to a makefile fragment.
#
#	tools/setup.sh MAKEFILE		packages to build and run; the cache
#	tools/setup.sh --lint		packages for `make lint` besides
#	tools/setup.sh --bench		packages for `make bench` and `make figures` besides
#	tools/setup.sh --in-tree	packages for `make check-in-tree` besides
#	tools/setup.sh --source SERIES	Debian's kernel source, 6.12 or 7 (the newest 7.x), and
#					packages to build it; prints the .deb's name
#
# The cache, ${XDG_CACHE_HOME:-~/.cache}/q35, holds
#	kernel/RELEASE/			Debian's kernel image, modules and headers, unpacked, not installed
#	linux-source/VERSION/		kselftest and what lint needs, out of Debian's kernel source
#	linux-source/*.deb		all of that source, for kernels of our own: tools/vm/sanitizers.sh
#	qemu/VERSION/orig.tar.xz	source of the QEMU that is installed
#	qemu/VERSION/in-tree/		all of it with the card in it, built: qemu-device/in-tree.sh
#	qemu/VERSION/include-tree/	headers out of it, by qemu-device/headers.sh TARBALL DIRECTORY
#	apt/				package lists; apt's own configuration is not touched
# Whatever has its final name there is complete: it is made under another name and renamed.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/q35
apt=$cache/apt
top=$(cd "$(dirname "$0")/.." && pwd)
export LC_ALL=C APT_CONFIG=$apt/apt.conf PATH=$PATH:/usr/sbin:/sbin

build_packages=(
	gcc libc6-dev pkgconf libdrm-dev libjansson-dev # libq35 and the tools
	libglib2.0-dev python3              # the card: QEMU's headers, some of which are generated
	pahole kmod                         # the module's BTF; depmod, modinfo
	gcc-multilib                        # a test of the driver as 32-bit programs see it
	qemu-system-x86 busybox-static cpio # the guest
	xz-utils rsync                      # unpacking; kselftest's install
)
lint_packages=(clang clang-format coccinelle cppcheck shellcheck sparse pahole perl)
bench_packages=(libopenblas0-pthread gnuplot-nox jq)
bench_tools=(npm git cmake g++) # packages too, but they may have come by another way
in_tree_packages=(meson ninja-build python3-venv clang libclang-rt-dev)
source_packages=(bc bison flex libelf-dev libssl-dev)

say() { echo "set-up, ${SECONDS} s: $*"; }
die() { echo "set-up: $*" >&2; exit 1; }

installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
version() { dpkg-query -W -f='${Version}' "$1"; }
upstream() { sed -E 's/^[0-9]+://; s/-[^-]*$//' <<<"$1"; } # 1:10.0.2+ds-2+deb13u1 -> 10.0.2+ds

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		command -v sudo >/dev/null || die "sudo is missing; as root run: $*"
		sudo APT_CONFIG="$APT_CONFIG" LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"
	fi
}

# Output is shown only of a command that fails.
quietly() {
	local log
	log=$(mktemp)
	if ! "$@" </dev/null >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
}

# "URI SUITE" of each of the system's sources, of either notation.
system_sources() {
	cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
		sed -nE 's/^deb +(\[[^]]*\] +)?([^ ]+) +([^ ]+) .*/\2 \3/p' || true
	cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk '
		function flush(i, j) {
			for (i in uris)
				for (j in suites)
					print uris[i], suites[j]
			delete uris; delete suites
		}
		{ key = tolower($1); sub(/^[^ ]+ +/, "") }
		key == "uris:" { split($0, uris) }
		key == "suites:" { split($0, suites) }
		key == "" { flush() }
		END { flush() }' || true
}

# The lists of our own: Debian from the system's mirror, with backports and sources.
apt_update() {
	local mirror security key list=$apt/sources.list
	mkdir -p "$apt"/lists/partial "$apt"/cache
	mirror=$(system_sources | awk -v s="$codename" '$2 == s { print $1; exit }')
	security=$(system_sources | awk -v s="$codename-security" '$2 == s { print $1; exit }')
	: "${mirror:=http://deb.debian.org/debian}"
	key=$(ls /usr/share/keyrings/debian-archive-keyring.{gpg,pgp} 2>/dev/null | head -1) || true
	{
		echo "deb $mirror $codename main"
		echo "deb $mirror $codename-updates main"
		[ -z "$security" ] || echo "deb $security $codename-security main"
		[ "$codename" = trixie ] || echo "deb $mirror $codename-backports main"
		echo "deb $mirror trixie-backports main" # linux-source, for today's kselftest
		echo "deb-src $mirror $codename-backports main"
		echo "deb-src $mirror trixie main" # QEMU: bookworm's comes from there
		[ -z "$security" ] || [ "$codename" != trixie ] ||
			echo "deb-src $security $codename-security main"
	} | sed -E "s|^(deb[^ ]*) |\1 [signed-by=$key] |" >"$list"
	if [ "$codename" = bookworm ]; then
		cat >"$apt/preferences" <<-END
			Package: src:qemu src:seabios src:linux src:linux-signed-amd64 src:meson
			Pin: release n=bookworm-backports
			Pin-Priority: 500
		END
	else
		: >"$apt/preferences"
	fi
	cat >"$APT_CONFIG" <<-END
		Dir::Etc::sourcelist "$list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "$apt/preferences";
		Dir::Etc::preferencesparts "/dev/null";
		Dir::State::lists "$apt/lists";
		Dir::Cache::pkgcache "$apt/cache/pkgcache.bin";
		Dir::Cache::srcpkgcache "$apt/cache/srcpkgcache.bin";
		Acquire::Languages "none";
		APT::Sandbox::User "root";
		DPkg::Lock::Timeout "300";
	END
	say "package lists of $mirror ($codename, backports)"
	# One list that is not to be had is no reason to stop: what depends on it says so.
	quietly apt-get -qq update || say "not all package lists could be had"
}

install_packages() {
	say "installing $*"
	as_root true # the password, if any, before the output is hidden
	DEBIAN_FRONTEND=noninteractive quietly as_root apt-get -qq -y -o Dpkg::Use-Pty=0 \
		--no-install-recommends install "$@" || die "apt-get could not install them"
}

missing_packages() {
	dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
		sed -n 's/ installed$//p' | grep -vxFf - <(printf '%s\n' "$@") || true
	if installed qemu-system-x86 &&
		dpkg --compare-versions "$(version qemu-system-x86)" lt 1:10.0; then
		echo qemu-system-x86
	fi
	if [[ " $* " = *" meson "* ]] && installed meson && # what QEMU 10.0 asks for
		dpkg --compare-versions "$(version meson)" lt 1.5; then
		echo meson
	fi
}

fetch_kernel() { # into kernel/.new
	local packages new=$cache/kernel/.new deb
	packages=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts \
		--no-breaks --no-replaces --no-enhances linux-image-amd64 linux-headers-amd64 |
		grep -xE 'linux-(image|modules|headers|kbuild)-[0-9].*' | grep -v unsigned | sort -u)
	[ -n "$packages" ] || die "no kernel 6.12 or newer in the package lists"
	say "kernel: $(grep -m1 image <<<"$packages"), unpacked into the cache"
	rm -rf "$new"
	mkdir -p "$new/deb" "$new/usr/lib"
	ln -s usr/lib "$new/lib" # where Debian 12's packages and 13's meet
	# shellcheck disable=SC2086 # a list of names
	(cd "$new/deb" && quietly apt-get -qq download $packages) || die "no kernel packages"
	for deb in "$new"/deb/*.deb; do
		dpkg -x "$deb" "$new"
	done
	rm -r "$new/deb"
}

finish_kernel() { # kernel/.new -> kernel/RELEASE, kernel/current
	local new=$cache/kernel/.new release headers final
	release=$(ls "$new/lib/modules")
	final=$cache/kernel/$release
	headers=usr/src/linux-headers-$release
	# The one absolute path in there.
	sed -i "s|/usr/src/|$final/usr/src/|" "$new/$headers/Makefile"
	ln -sfn "$final/$headers" "$new/lib/modules/$release/build"
	depmod -b "$new" "$release"
	rm -rf "$final"
	mv "$new" "$final"
	ln -sfn "$release" "$cache/kernel/current"
}

fetch_linux_source() { # into linux-source/.new, a .deb
	local package new=$cache/linux-source/.new
	package=$(apt-cache search --names-only '^linux-source-[0-9.]+$' | cut -d' ' -f1 |
		sort -V | tail -1)
	[ -n "$package" ] || die "no linux-source in the package lists"
	say "kselftest, checkpatch, coccinelle's scripts: out of $package"
	rm -rf "$new"
	mkdir -p "$new"
	(cd "$new" && quietly apt-get -qq download "$package") || die "no $package"
}

whole_source() { # of series $1: the .deb that is there, or a new one
	local deb name new=$cache/linux-source/.deb
	deb=$(find "$cache/linux-source" -maxdepth 1 -name "linux-source-$1[._]*.deb" | sort -V | tail -1)
	if [ -z "$deb" ]; then
		apt_update >&2
		name=$(apt-cache search --names-only "^linux-source-${1//./\\.}(\\.[0-9]+)?\$" |
			cut -d' ' -f1 | sort -V | tail -1)
		[ -n "$name" ] || die "no linux-source-$1 in the package lists"
		say "downloading $name" >&2
		rm -rf "$new"
		mkdir -p "$new"
		(cd "$new" && quietly apt-get -qq download "$name") || die "no $name"
		deb=$cache/linux-source/$(basename "$new"/*.deb)
		mv "$new"/*.deb "$deb"
	fi
	echo "$deb"
}

finish_linux_source() {
	local new=$cache/linux-source/.new deb name version t s
	deb=$(ls "$new"/*.deb)
	name=$(dpkg-deb -f "$deb" Package)
	version=$(dpkg-deb -f "$deb" Version)
	t=$name/tools/testing/selftests
	s=$name/scripts
	dpkg-deb --fsys-tarfile "$deb" | tar -xO "./usr/src/$name.tar.xz" | xz -dc |
		tar -x -C "$new" --strip-components=1 \
			"$t"/{Makefile,lib.mk,kselftest.h,kselftest_harness.h,run_kselftest.sh,kselftest} \
			"$name"/tools/scripts/Makefile.{include,arch} \
			"$s"/{subarch.include,checkpatch.pl,spelling.txt,const_structs.checkpatch,coccinelle}
	rm "$deb"
	rm -rf "$cache/linux-source/$version"
	mv "$new" "$cache/linux-source/$version"
	ln -sfn "$version" "$cache/linux-source/current"
}

# Of the release installed if its source is whole on the mirror, else of the nearest one with the
# same major.minor, whose headers fit as well: the card checks that when it is loaded.
fetch_qemu_source() { # of upstream version $1
	local want=$1 have uri file hash
	while read -r have; do
		read -r uri file _ hash < <(apt-get --print-uris --only-source source "qemu=$have" |
			sed "s/'//g" | grep -F .orig.tar.xz) || continue
		say "QEMU's headers: out of $file"
		mkdir -p "$cache/qemu/$want"
		quietly /usr/lib/apt/apt-helper download-file "$uri" \
			"$cache/qemu/$want/orig.new" "$hash" || continue
		mv "$cache/qemu/$want/orig.new" "$cache/qemu/$want/orig.tar.xz"
		return
	done < <(apt-cache showsrc qemu | sed -n 's/^Version: //p' |
		grep -E "^1:${want%.*}\." | sort -uVr |
		awk -v w="1:$want-" 'index($0, w) { print; next } { rest = rest $0 "\n" }
			END { printf "%s", rest }')
	die "the source of QEMU ${want%.*} is not to be had"
}

make_qemu_headers() { # from and to directory $1
	local script=$top/qemu-device/headers.sh
	rm -rf "$1/include-tree" "$1/include-tree.new"
	bash "$script" "$1/orig.tar.xz" "$1/include-tree.new"
	cksum <"$script" >"$1/include-tree.new/made-by"
	mv "$1/include-tree.new" "$1/include-tree"
}

qemu_headers_current() {
	local script=$top/qemu-device/headers.sh
	[ ! -e "$script" ] || [ "$(cat "$1/include-tree/made-by" 2>/dev/null)" = "$(cksum <"$script")" ]
}

# ---------------------------------------------------------------------------------------------

[ "$(uname -m)" = x86_64 ] || die "Q35 needs an x86-64 machine, this is $(uname -m)"
codename=$(. /etc/os-release 2>/dev/null && [ "${ID:-}" = debian ] && echo "$VERSION_CODENAME") || true
case $codename in
bookworm | trixie) ;;
*)
	die "only Debian 12 and 13 are known here. Wanted: the like of ${build_packages[*]} with" \
		"QEMU 10.0, linux-image and linux-headers 6.12 or newer, linux-source, QEMU's source"
	;;
esac

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9

case ${1:-} in
--lint | --bench | --in-tree)
	case $1 in
	--lint) more=("${lint_packages[@]}") ;;
	--bench) more=("${bench_packages[@]}") ;;
	--in-tree) more=("${in_tree_packages[@]}") ;;
	esac
	mapfile -t missing < <(missing_packages "${more[@]}")
	if [ "$1" = --bench ]; then
		for tool in "${bench_tools[@]}"; do
			command -v "$tool" >/dev/null || missing+=("$tool")
		done
	fi
	[ ${#missing[@]} = 0 ] || { apt_update; install_packages "${missing[@]}"; }
	exit
	;;
--source)
	mapfile -t missing < <(missing_packages "${source_packages[@]}")
	[ ${#missing[@]} = 0 ] || { apt_update; install_packages "${missing[@]}"; } >&2
	whole_source "$2"
	exit
	;;
esac

mapfile -t missing < <(missing_packages "${build_packages[@]}")
kernel=$cache/kernel/current
source=$cache/linux-source/current
[ -e "$kernel" ] || need_kernel=1
[ -e "$source/scripts/coccinelle" ] || need_source=1
if [ ${#missing[@]} != 0 ] || [ "${need_kernel-}${need_source-}" ]; then
	apt_update
	updated=1
fi

# Downloads and unpacking beside apt's work, then what needs the packages that it has installed.
jobs=()
[ -z "${need_kernel-}" ] || { fetch_kernel & jobs+=($!); }
[ -z "${need_source-}" ] || { fetch_linux_source & jobs+=($!); }
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
qemu=$cache/qemu/$(upstream "$(version qemu-system-x86)")
if [ ! -e "$qemu/orig.tar.xz" ]; then
	[ "${updated-}" ] || apt_update
	fetch_qemu_source "${qemu##*/}"
fi
for job in "${jobs[@]}"; do
	wait "$job"
done

jobs=()
[ -z "${need_source-}" ] || { finish_linux_source & jobs+=($!); }
[ -z "${need_kernel-}" ] || { finish_kernel & jobs+=($!); }
qemu_headers_current "$qemu" || make_qemu_headers "$qemu"
for job in "${jobs[@]}"; do
	wait "$job"
done

release=$(readlink "$kernel")
cat >"$1.new" <<END
# Written by tools/setup.sh
KERNEL_RELEASE := $release
KERNEL_ROOT := $cache/kernel/$release
KSELFTEST := $cache/linux-source/$(readlink "$source")/tools/testing/selftests
CHECKPATCH := $cache/linux-source/$(readlink "$source")/scripts/checkpatch.pl
QEMU_TREE := $qemu/include-tree
SETUP_PARTS := \$(KERNEL_ROOT) \$(KSELFTEST) $qemu/orig.tar.xz
END
mv "$1.new" "$1"
say "done"
