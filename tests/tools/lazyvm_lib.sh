#!/bin/bash
# lazyvm_lib.sh - what the tests of lazyvm share. Sourced after lib.sh; the second argument of a
# test is the directory of the payloads, the third how much memory a large guest
# has, the fourth the lazymem command.

# shellcheck disable=SC2034,SC2154 # the tests use these; lib.sh has set those
payloads=$2
large=$3
lazymem=$4
guests=()
trap 'end_guests; rm -rf "$work"' EXIT

# end_guests: those that a test has left behind when it failed. Their memory is free again
# after it.
end_guests() {
	local guest
	for guest in "${guests[@]}"; do
		kill -KILL "$guest" 2>/dev/null || true
	done
	for guest in "${guests[@]}"; do
		wait "$guest" 2>/dev/null || true
	done
}

# needs_kvm: skip where guests cannot run.
needs_kvm() {
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip "no permission for /dev/kvm, or there is none"
	run run --memory 4M --argument 1 "$payloads/fill"
	[ "$status" -ne 0 ] || return 0
	! grep -qE 'userfaultfd|/dev/kvm|KVM_' "$work/errors" || skip "$(cat "$work/errors")"
	fail "the smallest guest does not run: status $status"
}

# needs_hugetlb MOST: huge pages of 2 MiB that a test may take, at most MOST: in $huge_pages.
# Those of the test before may not all be free yet.
needs_hugetlb() {
	local pool=/sys/kernel/mm/hugepages/hugepages-2048kB tries
	[ -d "$pool" ] || skip "no huge pages of 2 MiB"
	for ((tries = 0; tries < 200; tries++)); do
		huge_pages=$(($(cat $pool/free_hugepages) - $(cat $pool/resv_hugepages)))
		[ "$huge_pages" -lt 11 ] || break
		sleep 0.05
	done
	# Other tests use the pool, too.
	huge_pages=$((huge_pages * 3 / 4))
	[ "$huge_pages" -le "$1" ] || huge_pages=$1
	[ "$huge_pages" -ge 8 ] || skip "less than 11 huge pages of 2 MiB are free"
}

# start NAME ARGUMENT...: a guest in the background. It prints to NAME.serial, its control socket
# is NAME.socket, and what the program complains of is in NAME.errors.
start() {
	local name=$1
	shift
	rm -f "$name.serial"
	: >"$name.serial"
	"$program" "$@" --control "$name.socket" --serial "$name.serial" 2>"$name.errors" &
	guests+=($!)
	last_guest=$!
}

# await FILE COUNT PATTERN: until so many lines match. A guest prints letter by letter, so the last
# line may be half a line: whoever reads a number in it has PATTERN go to its end.
await() {
	local tries
	for ((tries = 0; tries < 4000; tries++)); do
		[ "$(grep -cE -- "$3" "$1")" -lt "$2" ] || return 0
		kill -0 "$last_guest" 2>/dev/null || [ "$(grep -cE -- "$3" "$1")" -ge "$2" ] ||
			fail "the guest ended before '$3': $(cat "$1" "${1%.*}.errors")"
		sleep 0.05
	done
	fail "no '$3' in $1: $(cat "$1")"
}

# await_each FILE WORD: until each of two vCPUs has said how many pages it has so.
await_each() {
	local vcpu
	for vcpu in 0 1; do
		await "$1" 1 "^[a-z]+: vcpu $vcpu $2 [0-9]+ pages\$"
	done
}

# await_nbdkit FILE: until it listens, which it says in its --pidfile.
await_nbdkit() {
	local tries
	for ((tries = 0; tries < 4000; tries++)); do
		[ ! -s "$1" ] || return 0
		sleep 0.05
	done
	fail "nbdkit does not listen: $(cat nbd.errors)"
}

# await_socket NAME: until it can be asked.
await_socket() {
	local tries
	for ((tries = 0; tries < 4000; tries++)); do
		"$program" status --control "$1.socket" >/dev/null 2>&1 && return
		kill -0 "$last_guest" 2>/dev/null || fail "the guest ended: $(cat "$1.errors")"
		sleep 0.05
	done
	fail "nobody listens on $1.socket"
}

# ends STATUS: the last guest, by itself.
ends() {
	local ended=0
	wait "$last_guest" || ended=$?
	[ "$ended" -eq "$1" ] || fail "a guest ended with status $ended, not $1: $(cat ./*.errors)"
}

# ask NAME COMMAND [OPERAND...]: on the control socket.
ask() {
	local name=$1 command=$2
	shift 2
	succeeds "$command" --control "$name.socket" "$@"
}

# refused NAME TEXT COMMAND [OPERAND...]: answered with an error that has TEXT in it.
refused() {
	local name=$1 text=$2 command=$3
	shift 3
	refuses 1 "$text" "$command" --control "$name.socket" "$@"
}

# sound FILE...: no guest has found a bad page.
sound() {
	! grep -hE 'BAD|refused' "$@" >&2 || fail "a guest found a bad page: $*"
}

# pages FILE WORD VCPU: the number in the first line of that vCPU that says WORD.
pages() {
	sed -nE "s/^[a-z]+: vcpu $3 $2 ([0-9]+).*/\1/p" "$1" | sed -n 1p
}

# checked_as_filled BEFORE AFTER: the restored guest has checked what the first one filled.
checked_as_filled() {
	local vcpu
	for vcpu in 0 1; do
		[ -n "$(pages "$1" filled "$vcpu")" ] || fail "vCPU $vcpu has filled nothing"
		[ "$(pages "$1" filled "$vcpu")" = "$(pages "$2" checked "$vcpu")" ] ||
			fail "vCPU $vcpu has not checked what it filled: $(cat "$2")"
	done
	! grep -q filled "$2" || fail "a restored guest began anew"
}
