#!/bin/bash
# guest.sh - what guest-image.sh and qemu-guest.sh share: of what a small Linux
# guest is made. To be sourced, after setup.sh.

# kernel_package: the package that linux-image-cloud-amd64 stands for.
kernel_package() {
	apt-cache depends linux-image-cloud-amd64 2>/dev/null |
		awk '$1 == "Depends:" && $2 ~ /^linux-image-/ && !found++ { print $2 }'
}

# fetch_kernel DIRECTORY: unpack its package into DIRECTORY/kernel.
fetch_kernel() {
	local directory=$1 package
	package=$(kernel_package)
	if [ -z "$package" ]; then
		apt_get update
		package=$(kernel_package)
	fi
	[ -n "$package" ] || die "apt knows no package linux-image-cloud-amd64"
	say "unpacking $package"
	download "$directory" "$package" || { apt_get update && download "$directory" "$package"; } ||
		die "cannot download $package"
	dpkg-deb -x "$directory/$package"_*.deb "$directory/kernel"
	rm "$directory/$package"_*.deb
}

# download DIRECTORY PACKAGE...
download() {
	(cd "$1" && shift && apt-get -qq -o APT::Sandbox::User=root download "$@")
}

# add_busybox TREE
add_busybox() {
	cp "$(command -v busybox)" "$1/bin/busybox"
	ln -s busybox "$1/bin/sh"
}

# pack_initramfs TREE FILE
pack_initramfs() {
	(cd "$1" && find . | LC_ALL=C sort | cpio --quiet -o -H newc) >"$2"
}
