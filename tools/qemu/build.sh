#!/bin/bash
# build.sh - what qemu-guest.sh makes before the first guest runs: lazymem, the
# guest itself, the page-at-a-time handler, and a newer QEMU beside the installed one.
# To be sourced, after setup.sh and guest.sh.
# shellcheck disable=SC2154 # root_dir is of setup.sh
# shellcheck disable=SC2034 # backports_* are for the script that sources this

qemu_dir=$root_dir/tools/qemu
guest_packages=(build-essential qemu-system-x86 busybox-static cpio util-linux)
command -v python3 >/dev/null || guest_packages+=(python3)

# build_lazymem: sets lazymem to the program.
build_lazymem() {
	install_packages cmake ninja-build pkg-config liburing-dev libzstd-dev liblz4-dev
	say "building lazymem"
	build "$root_dir/build-qemu-guest" -DCMAKE_BUILD_TYPE=Release -DLAZYMEM_TESTS=OFF \
		-DLAZYMEM_EXAMPLES=OFF
	lazymem=$root_dir/build-qemu-guest/tools/lazymem/lazymem
}

# write_task TREE NAME COMMAND: a program of the guest, that prints what it has found.
write_task() {
	printf '#!/bin/sh\n%s\n' "$3" >"$1/task/$2"
	chmod 755 "$1/task/$2"
}

write_tasks() {
	write_task "$1" sort 'head -n 8000 /tmp/words | sort | uniq -c | sort -rn | md5sum'
	write_task "$1" gzip 'gzip -c /tmp/words | md5sum'
	write_task "$1" inflate 'gunzip -c /tmp/words.gz | md5sum'
	write_task "$1" http 'wget -q -O - http://127.0.0.1/words | md5sum'
}

# build_guest DIRECTORY: DIRECTORY/vmlinuz and DIRECTORY/initramfs.
build_guest() {
	local tree=$1/tree module
	fetch_kernel "$1"
	say "making the guest"
	mkdir -p "$tree"/{bin,dev,files,modules,proc,sys,task}
	add_busybox "$tree"
	gcc -O2 -static -pthread -o "$tree/bin/workload" "$qemu_dir/workload.c"
	for module in virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci \
		virtio_balloon; do
		cp "$1"/kernel/lib/modules/*/kernel/drivers/virtio/"$module".ko "$tree/modules/"
	done
	cp "$1"/kernel/boot/config-* "$tree/files/"
	find "$1"/kernel/lib/modules/*/kernel/net -name '*.ko' | LC_ALL=C sort | sed -n 1,150p |
		xargs cp -t "$tree/files"
	write_tasks "$tree"
	install -m 755 "$qemu_dir/init" "$tree/init"
	pack_initramfs "$tree" "$1/initramfs"
	mv "$1"/kernel/boot/vmlinuz-* "$1/vmlinuz"
	rm -rf "$tree" "$1/kernel"
}

# build_page_at_a_time DIRECTORY: the library that is compared with.
build_page_at_a_time() {
	gcc -O2 -shared -fPIC -pthread -o "$1/page_at_a_time.so" "$qemu_dir/page_at_a_time.c"
}

# qemu_version PROGRAM: as 7.2.22.
qemu_version() {
	"$1" --version | awk 'NR == 1 { print $4 }'
}

# backports_apt DIRECTORY COMMAND...: apt-get with bookworm-backports and nothing
# else, in a state of its own.
backports_apt() {
	local directory=$1
	shift
	apt-get -qq -o APT::Sandbox::User=root -o Dir::Etc::sourceparts=- \
		-o Dir::Etc::sourcelist="$directory/sources.list" \
		-o Dir::State::lists="$directory/lists" -o Dir::Cache="$directory/cache" "$@"
}

# unpack_backports DIRECTORY: sets backports_qemu, backports_data and
# backports_libraries; or says why it cannot be had, and fails.
unpack_backports() {
	local directory=$1/backports package
	mkdir -p "$directory"/{lists/partial,cache/archives/partial,packages}
	printf 'deb [signed-by=%s] http://deb.debian.org/debian bookworm-backports main\n' \
		/usr/share/keyrings/debian-archive-keyring.gpg >"$directory/sources.list"
	say "unpacking the QEMU of bookworm-backports"
	if ! backports_apt "$directory" update >"$directory/log" 2>&1 ||
		! (cd "$directory/packages" && backports_apt "$directory" download \
			qemu-system-x86 qemu-system-common qemu-system-data) >>"$directory/log" 2>&1; then
		say "skipped: bookworm-backports cannot be had here: $(grep -m 1 '^[EW]: ' "$directory/log")"
		return 1
	fi
	for package in "$directory"/packages/*.deb; do
		dpkg-deb -x "$package" "$directory/root"
	done
	backports_qemu=$directory/root/usr/bin/qemu-system-x86_64
	backports_data=$directory/root/usr/share/qemu:/usr/share/seabios
	backports_libraries=$directory/root/usr/lib/x86_64-linux-gnu
	fetch_libraries "$directory"
}

# missing_libraries: what that QEMU still needs.
missing_libraries() {
	LD_LIBRARY_PATH=$backports_libraries ldd "$backports_qemu" | awk '/not found/ { print $1 }'
}

# fetch_libraries DIRECTORY: packages of libraries that are not installed are
# unpacked beside that QEMU; the installed QEMU is linked with nearly the same ones.
fetch_libraries() {
	local packages=$1/packages package
	[ -n "$(missing_libraries)" ] || return 0
	for package in $(dpkg-deb -f "$packages"/qemu-system-x86_*.deb Depends |
		tr ',' '\n' | awk '$1 ~ /^lib/ { print $1 }'); do
		[ -n "$(missing_packages "$package")" ] || continue
		download "$packages" "$package" || continue
		dpkg-deb -x "$packages/${package}"_*.deb "$1/root"
	done
	[ -z "$(missing_libraries)" ] && return 0
	say "skipped: the QEMU of bookworm-backports lacks $(missing_libraries | tr '\n' ' ')"
	return 1
}
