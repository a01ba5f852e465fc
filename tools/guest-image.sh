#!/bin/bash
# guest-image.sh - the memory of a real Linux guest in a file: boot Debian's
# cloud kernel in software emulation, let it work for a while, stop it, and
# write its memory out.
set -euo pipefail
# shellcheck source=tools/setup.sh
. "$(dirname "$0")/setup.sh"
# shellcheck source=tools/guest.sh
. "$(dirname "$0")/guest.sh"

usage() {
	cat <<'END'
usage: tools/guest-image.sh [--memory MIB] [--core FILE] IMAGE

Write the memory of a Linux guest to IMAGE, raw, from guest address 0 on.

  --memory MIB  memory of the guest (default: 512; from 256 to 2048)
  --core FILE   write it to FILE as an ELF core as well
  --help        print this

The guest is Debian's cloud kernel and busybox, booted by QEMU without KVM and
without a network. Its files are the kernel's modules; it reads, sorts and
compresses them, and is stopped in the middle of that. Takes about a minute and
needs root or sudo for packages that are missing; the kernel is unpacked from
its package, not installed.
END
}

memory=512
core=
image=

parse() {
	while [ $# -gt 0 ]; do
		case $1 in
		--help)
			usage
			exit 0
			;;
		--memory | --core)
			[ $# -ge 2 ] || die "$1 needs a value; see --help"
			;;
		-*) die "unknown option $1; see --help" ;;
		*)
			[ -z "$image" ] || die "more than one image: $1; see --help"
			image=$1
			shift
			continue
			;;
		esac
		case $1 in
		--memory) memory=$2 ;;
		--core) core=$2 ;;
		esac
		shift 2
	done
	[ -n "$image" ] || die "no image is named; see --help"
	case $memory in
	*[!0-9]* | '') die "--memory $memory is no number of MiB" ;;
	esac
	[ "$memory" -ge 256 ] && [ "$memory" -le 2048 ] ||
		die "--memory $memory is not from 256 to 2048 MiB"
}

# check_output FILE: before anything takes time.
check_output() {
	local directory
	directory=$(dirname "$1")
	[ -d "$directory" ] || die "$1: there is no directory $directory"
	[ -w "$directory" ] || die "$1: $directory is not writable"
	[ ! -d "$1" ] || die "$1 is a directory"
}

work=
qemu=

clean_up() {
	if [ -n "$qemu" ]; then
		kill "$qemu" 2>/dev/null || true
	fi
	[ -z "$work" ] || rm -rf "$work"
	rm -f "$image.part"
	[ -z "$core" ] || rm -f "$core.part"
}

# ---- what the guest is made of ---------------------------------------------------

# The first process of the guest. Everything that runs is a busybox program;
# the last ones are stopped in the middle of their work.
write_init() {
	cat <<'END'
#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mkdir -p /tmp
mount -t tmpfs none /tmp
find /files -type f | sort >/tmp/list
xargs sha256sum </tmp/list >/tmp/sums
xargs strings -n 6 </tmp/list | head -n 400000 >/tmp/words
sort /tmp/words | uniq -c | sort -rn >/tmp/counts
gzip -c /tmp/words >/tmp/words.gz
tar -cf - /files 2>/dev/null | head -c 16000000 >/tmp/archive.tar
awk '{ n[length($0)]++; last[length($0)] = $0 } END { for (i in n) print i, n[i], last[i] }' /tmp/words >/tmp/lengths
sh -c 'while :; do sort /tmp/words | md5sum; done' >/dev/null &
sh -c 'while :; do gzip -c /tmp/archive.tar | wc -c; done' >/dev/null &
awk '{ line[NR] = $0 } END { while (1) for (i in line) n += length(line[i]) }' /tmp/counts &
sleep 3
echo the guest has worked
sleep 1000000
END
}

# The files of the guest: modules, as they are in every Linux guest, up to a
# fifth of its memory.
write_initramfs() {
	local tree=$work/tree limit=$((memory * 1024 / 5)) taken=0 file size
	say "making the guest's files"
	mkdir -p "$tree"/{bin,dev,files,proc,sys}
	add_busybox "$tree"
	while read -r size file; do
		[ $((taken + size)) -le "$limit" ] || break
		taken=$((taken + size))
		cp "$file" "$tree/files/"
	done < <(find "$work/kernel/lib/modules" -name '*.ko' -printf '%k %p\n' | sort -k 2)
	cp "$work"/kernel/boot/System.map-* "$work"/kernel/boot/config-* "$tree/files/"
	write_init >"$tree/init"
	chmod 755 "$tree/init"
	pack_initramfs "$tree" "$work/initramfs"
}

# ---- the guest -------------------------------------------------------------------

boot() {
	say "booting the guest with $memory MiB"
	mkfifo "$work/monitor.in" "$work/monitor.out"
	qemu-system-x86_64 -accel tcg -m "$memory" -nodefaults -no-user-config -no-reboot \
		-display none -nic none -serial "file:$work/console" \
		-chardev "pipe,id=monitor,path=$work/monitor" -mon chardev=monitor,mode=readline \
		-kernel "$work"/kernel/boot/vmlinuz-* -initrd "$work/initramfs" \
		-append "console=ttyS0 quiet panic=-1" >"$work/qemu.log" 2>&1 &
	qemu=$!
	exec 3<>"$work/monitor.in" 4<>"$work/monitor.out"
}

# die_of_guest TEXT...: with the last words of both.
die_of_guest() {
	tail -n 5 "$work/qemu.log" "$work/console" >&2 2>/dev/null || true
	die "$@"
}

wait_for_guest() {
	local deadline=$((SECONDS + 300))
	say "waiting for it to have worked"
	until grep -qs 'the guest has worked' "$work/console"; do
		kill -0 "$qemu" 2>/dev/null || die_of_guest "the guest has ended by itself"
		[ "$SECONDS" -lt "$deadline" ] || die_of_guest "the guest does not get ready"
		sleep 0.5
	done
}

# QEMU carries out one command after the other, and then ends.
dump() {
	local bytes=$((memory * 1024 * 1024))
	say "writing its memory"
	: >"$image.part"
	printf 'stop\npmemsave 0 %d "%s"\n' "$bytes" "$(realpath "$image.part")" >&3
	if [ -n "$core" ]; then
		: >"$core.part"
		printf 'dump-guest-memory "%s"\n' "$(realpath "$core.part")" >&3
	fi
	printf 'quit\n' >&3
	wait "$qemu" || die_of_guest "QEMU has failed"
	qemu=
	[ "$(stat -c %s "$image.part")" -eq "$bytes" ] ||
		die_of_guest "the image is not as long as the memory: is the disk full?"
	if [ -n "$core" ]; then
		[ "$(stat -c %s "$core.part")" -gt "$bytes" ] ||
			die_of_guest "the core is shorter than the memory: is the disk full?"
		mv "$core.part" "$core"
	fi
	mv "$image.part" "$image"
}

parse "$@"
check_output "$image"
[ -z "$core" ] || check_output "$core"
install_packages qemu-system-x86 busybox-static cpio
trap clean_up EXIT
work=$(mktemp -d "${TMPDIR:-/var/tmp}/guest-image.XXXXXX")
fetch_kernel "$work"
write_initramfs
boot
wait_for_guest
dump
say "written: $image${core:+ and $core}"
