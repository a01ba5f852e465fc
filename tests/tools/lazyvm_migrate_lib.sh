#!/bin/bash
# lazyvm_migrate_lib.sh - what the tests of migrations share. Sourced after lazyvm_lib.sh; the fifth
# argument of a test is lazyvm_migrate_proxy.
#
# The source is in one network namespace, the destination in another, with a link between
# them that can be cut and made slow. The guest checks all of its memory again and again
# while it writes, and counts: what it has said here and there is one sequence.

# shellcheck disable=SC2034,SC2154 # the tests use these; the other libraries have set those
proxy=$5
left=lazyvm-$$-left
right=lazyvm-$$-right
here=10.9.0.1
there=10.9.0.2
memory=32M
trap 'end_guests; end_network; rm -rf "$work"' EXIT

end_network() {
	ip netns del "$left" 2>/dev/null || true
	ip netns del "$right" 2>/dev/null || true
}

# needs_network: two namespaces and a link; skip where there can be none.
needs_network() {
	needs_kvm
	[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
	command -v ip >/dev/null || skip "no ip(8): package iproute2"
	command -v nbdkit >/dev/null || skip "no nbdkit"
	ip netns add "$left" 2>"$work/errors" || skip "no network namespaces: $(cat "$work/errors")"
	ip netns add "$right"
	ip link add wire netns "$left" type veth peer name wire netns "$right"
	ip -n "$left" addr add $here/24 dev wire
	ip -n "$right" addr add $there/24 dev wire
	ip -n "$left" link set lo up
	ip -n "$right" link set lo up
	link up
}

# link up | down
link() {
	ip -n "$left" link set wire "$1"
	ip -n "$right" link set wire "$1"
}

# slow RATE: of the link, in both directions, as for tc(8).
slow() {
	local space
	command -v tc >/dev/null || skip "no tc(8): package iproute2"
	for space in "$left" "$right"; do
		ip netns exec "$space" tc qdisc replace dev wire root tbf rate "$1" burst 64k \
			latency 50ms 2>"$work/errors" || skip "no tbf: $(cat "$work/errors")"
	done
}

# fast: no longer.
fast() {
	ip netns exec "$left" tc qdisc del dev wire root
	ip netns exec "$right" tc qdisc del dev wire root
}

# run_in NAMESPACE NAME PROGRAM [ARGUMENT...]: in the background; what it prints is in NAME.output
# and NAME.errors, its number in pid[NAME].
declare -A pid
run_in() {
	local space=$1 name=$2
	shift 2
	: >"$name.output"
	: >"$name.errors"
	ip netns exec "$space" "$@" >"$name.output" 2>"$name.errors" &
	pid[$name]=$!
	guests+=($!)
	last_guest=$!
}

# source_of [ARGUMENT...]: a guest that writes and checks; it has written all of its memory.
source_of() {
	: >source.serial
	run_in "$left" source "$program" run --memory "$memory" --vcpus 2 --kind memfd \
		--control source.socket --serial source.serial --argument 0 "$@" "$payloads/writer"
	await source.serial 2 'ended sweep 1$'
}

# destination_of [ARGUMENT...]: $port is where it listens, of all that $listen is.
listen=$there
destination_of() {
	: >destination.serial
	run_in "$right" destination "$program" receive --listen "$listen:0" --kind memfd \
		--control destination.socket --serial destination.serial "$@"
	await destination.output 1 '^listening on port'
	port=$(sed 's/.* //' destination.output)
}

# proxy_of TYPE COUNT COMMAND: $port is from now on one that does so.
proxy_of() {
	run_in "$left" proxy "$proxy" $here $there "$port" "$@"
	await proxy.output 1 '^listening on port'
	port=$(sed 's/.* //' proxy.output)
	host=$here
}
host=$there

# depart [OPTION...]: migrate, and wait.
depart() {
	ask source migrate "$@" "$host:$port"
	grep -q '^migrated to ' "$work/output" || fail "migrated in silence"
}

# begin_departure [OPTION...]: migrate in the background. What comes of it is in departure.output
# and departure.errors.
begin_departure() {
	"$program" migrate --control source.socket "$@" "$host:$port" \
		>departure.output 2>departure.errors &
	departure=$!
}

# departed STATUS: the migration in the background is over.
departed() {
	local ended=0
	wait "$departure" || ended=$?
	[ "$ended" -eq "$1" ] || fail "migrate ended with $ended, not $1: $(cat departure.errors ./*.errors)"
}

# await_state NAME PATTERN: until its status has that.
await_state() {
	local tries
	for ((tries = 0; tries < 4000; tries++)); do
		run status --control "$1.socket"
		! grep -qE -- "$2" "$work/output" || return 0
		kill -0 "${pid[$1]}" 2>/dev/null || break
		sleep 0.02
	done
	fail "the status of $1 is never '$2': $(cat "$work/output" "$work/errors" "$1.errors")"
}

# is_one_sequence: nothing was lost, and nothing has run twice. A guest that runs may be in the
# middle of its last line.
is_one_sequence() {
	cat source.serial destination.serial | sed '$d' | awk '
		/ended sweep/ { if ($6 != ++last[$3]) { print "not in order: " $0; exit 1 } }' ||
		fail "the guest has not gone on where it was"
}

# goes_on NAME: the guest checks all of its memory twice more, and finds no bad page.
goes_on() {
	local sweeps
	last_guest=${pid[$1]}
	sweeps=$(grep -c 'ended sweep' "$1.serial" || true)
	await "$1.serial" $((sweeps + 6)) 'ended sweep'
	sound ./*.serial
}

# ended NAME STATUS: its process has.
ended() {
	last_guest=${pid[$1]}
	ends "$2"
}

# quits NAME: it was told to.
quits() {
	ask "$1" quit
	ended "$1" 0
}

# needs_certificates: skip where none can be made.
needs_certificates() {
	command -v certtool >/dev/null || skip "no certtool: package gnutls-bin"
}

# authority DIRECTORY
authority() {
	mkdir "$1"
	printf 'cn = test\nca\ncert_signing_key\n' >template
	certtool --generate-privkey --ecc --outfile "$1/ca-key.pem" 2>/dev/null
	certtool --generate-self-signed --load-privkey "$1/ca-key.pem" --template template \
		--outfile "$1/ca-cert.pem" 2>/dev/null
}

# certify DIRECTORY: both sides, by the authority there.
certify() {
	local side address
	for side in server client; do
		printf 'cn = test\ntls_www_%s\nsigning_key\n' $side >template
		for address in $here $there; do
			echo "ip_address = $address" >>template
		done
		certtool --generate-privkey --ecc --outfile "$1/$side-key.pem" 2>/dev/null
		certtool --generate-certificate --load-ca-certificate "$1/ca-cert.pem" \
			--load-ca-privkey "$1/ca-key.pem" --load-privkey "$1/$side-key.pem" \
			--template template --outfile "$1/$side-cert.pem" 2>/dev/null
	done
}

# arrived: the guest is there whole, and here no more.
arrived() {
	ended source 0
	goes_on destination
	await destination.errors 1 'has all of its memory'
	is_one_sequence
	quits destination
}

# stays: the guest goes on here, as if nothing had been.
stays() {
	goes_on source
	[ ! -s destination.serial ] || fail "the guest has run in two places"
	is_one_sequence
}
