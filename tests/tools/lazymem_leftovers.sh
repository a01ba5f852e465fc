#!/bin/bash
# A signal leaves the old file and nothing beside it; a full disk likewise. Progress
# is shown on a terminal, and only there.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
cd "$work"

mixed image 64
succeeds create image old
[ ! -s "$work/errors" ] || fail "progress was shown in a pipe"
mkdir directory
head -c 400M /dev/urandom >big

# signalled SIGNAL ARGUMENT...: the signal comes when there is a temporary file,
# twice, as timeout(1) sends it.
# The output is directory/out, and was `old` before. With job control, because
# without it a shell starts background jobs with SIGINT ignored.
signalled() {
	local signal=$1 process
	shift
	cp old directory/out
	set -m
	"$program" "$@" >"$work/output" 2>"$work/errors" &
	process=$!
	set +m
	while [ "$(ls -A directory)" = out ] && kill -0 $process 2>/dev/null; do
		sleep 0.01
	done
	kill -s "$signal" $process 2>/dev/null || true
	kill -s "$signal" $process 2>/dev/null || true
	status=0
	wait $process 2>/dev/null || status=$?
}

# interrupted SIGNAL ARGUMENT...: nothing is left of it. Who was done before the signal came is
# started again.
interrupted() {
	local signal=$1 tries
	for ((tries = 0; tries < 20; tries++)); do
		signalled "$@"
		[ "$status" -eq 0 ] || break
	done
	shift
	[ "$status" -gt 128 ] || fail "SIG$signal did not end it: status $status: $*"
	grep -q 'interrupted; nothing was written' "$work/errors" || fail "it does not say so"
	[ "$(ls -A directory)" = out ] || fail "left behind: $(ls -A directory)"
	same old directory/out
}

for signal in INT TERM HUP; do
	interrupted $signal create --compress zstd --level 19 big directory/out
	interrupted $signal export big directory/out
done

# Who ignores a signal goes on ignoring it.
(
	trap '' HUP
	"$program" export image directory/out &
	kill -s HUP $!
	wait $!
) || fail "an ignored signal ended it"
same image directory/out

# On a terminal there is a bar, and it is gone in the end.
if command -v script >/dev/null; then
	for command in "create big new" "export big new" "verify old"; do
		script -qec "$program $command" /dev/null </dev/null >screen
		grep -q '\[.*\] *[0-9]* %' screen || fail "no bar: $command"
		tail -c 200 screen | tr '\r' '\n' | tail -1 | grep -qv '%' || fail "the bar stays: $command"
	done
	rm new
fi

# A full disk.
if [ "$(id -u)" -eq 0 ] && mkdir small && mount -t tmpfs -o size=1M none small 2>/dev/null; then
	refuses 1 'No space left' create big small/out
	refuses 1 'No space left' export big small/out
	left=$(ls -A small)
	umount -l small
	[ -z "$left" ] || fail "left behind: $left"
fi

# A limit on the size of files.
mkdir limited
for command in "create big" "export big"; do
	status=0
	# shellcheck disable=SC2086 # two words are two arguments
	(ulimit -f 64 && exec "$program" $command limited/out) 2>"$work/errors" || status=$?
	[ "$status" -eq 1 ] || fail "status $status beyond a limit: $command"
	grep -q 'File too large' "$work/errors" || fail "it does not name the limit: $command"
	[ -z "$(ls -A limited)" ] || fail "left behind: $(ls -A limited)"
done

# A signal at the worst moments: the temporary file or directory is there.
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
	"$make_file" trace run.trace 4096 - 0 8192
	mkdir calls
	for command in "create image" "export image" "trace union run.trace run.trace" \
		"trace plot run.trace"; do
		for call in mkdir:when=1 fsync:when=1 fsync:when=2 rename:when=1; do
			# shellcheck disable=SC2086 # words are arguments
			strace -qq -o /dev/null -e "inject=$call:signal=SIGINT" \
				"$program" $command calls/out >/dev/null 2>&1 || true
			rm -f calls/out
			[ -z "$(ls -A calls)" ] || fail "left behind: $command, $call"
		done
	done
fi
