#!/bin/bash
# setup.sh - what test.sh, demo.sh and .ci/run share: packages, permissions and the build.
# To be sourced.

root_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# say TEXT...: what happens next.
say() {
	printf '==> %s\n' "$*"
}

# die TEXT...: this cannot go on.
die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# as_root COMMAND...: with sudo when we are not root.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# can_be_root: without asking anybody for a password that nobody can type.
can_be_root() {
	[ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }
}

# missing_packages PACKAGE...: those that are not installed.
missing_packages() {
	local package
	for package in "$@"; do
		[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
			printf '%s\n' "$package"
	done
}

# install_packages PACKAGE...: what is missing of them.
install_packages() {
	local missing
	mapfile -t missing < <(missing_packages "$@")
	[ "${#missing[@]}" -gt 0 ] || return 0
	command -v apt-get >/dev/null || die "install these first: ${missing[*]}"
	can_be_root || die "root, or a user with sudo, must install: ${missing[*]}"
	say "installing ${missing[*]} (as root: apt-get)"
	apt_get install "${missing[@]}" >/dev/null 2>&1 || {
		apt_get update
		apt_get install "${missing[@]}"
	}
}

apt_get() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y "$@" </dev/null
}

# build DIRECTORY OPTION...: configure and build there; the log is shown when it fails.
build() {
	local directory=$1 log
	shift
	mkdir -p "$directory"
	log=$directory/build.log
	if ! { cmake -S "$root_dir" -B "$directory" -G Ninja "$@" && cmake --build "$directory"; } \
		>"$log" 2>&1 </dev/null; then
		cat "$log" >&2
		die "the build in $directory failed"
	fi
}
