#!/bin/bash
# `lazymem run` is not to be noticed by the program, nor by who started it; nor
# is the parent that waits with --stats.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
# shellcheck source=tests/tools/lazymem_run_start_lib.sh
. "$(dirname "$0")/lazymem_run_start_lib.sh"
cd "$work"
needs_run
empty file 1048576
silent=("$program" run --memory "$memory/file=image" --)
stats=("$program" run --stats --memory "$memory/file=image" --)

# ends_as EXPECTED COMMAND...: the status, as wait(2) has it.
ends_as() {
	local expected=$1 got
	shift
	got=$(perl -e 'system { $ARGV[0] } @ARGV; print $?' -- "$@" 2>errors)
	[ "$got" = "$expected" ] || fail "wait status $got, not $expected: $*"
}

# A core dump that our system writes has the bit 128 in the status; only one is.
ulimit -c 0
for status in 0 1 2 77 125 126 127 255; do
	ends_as $((status * 256)) "${silent[@]}" sh -c "exit $status"
	[ ! -s errors ] || fail "not silent"
	ends_as $((status * 256)) "${stats[@]}" sh -c "exit $status"
	[ "$(cat errors)" = 'lazymem run: no memory has been mapped' ] || fail "no summary"
done
for signal in HUP INT QUIT KILL SEGV PIPE TERM USR1; do
	ends_as "$(kill -l $signal)" "${silent[@]}" sh -c "kill -s $signal \$\$"
	ends_as "$(kill -l $signal)" "${stats[@]}" sh -c "kill -s $signal \$\$"
	grep -q '^lazymem run: ' errors || fail "no summary after SIG$signal"
done

# What the program sees: standard input and output, the directory, the environment,
# descriptors, and what is ignored and blocked.
for how in silent stats; do
	declare -n lazily=$how
	[ "$(echo text | "${lazily[@]}" cat 2>errors)" = text ] || fail "$how: standard input"
	[ "$("${lazily[@]}" pwd 2>errors)" = "$work" ] || fail "$how: another directory"
	env | grep -v '^_=' | sort >plain
	"${lazily[@]}" env 2>errors | grep -vE '^(LD_PRELOAD|LAZYMEM_RUN|_)=' | sort >seen
	diff plain seen >output || fail "$how: another environment"
	perl -e 'opendir(D, "/proc/self/fd"); print join(" ", sort grep(!/^\./, readdir(D)))' >plain
	"${lazily[@]}" perl -e 'opendir(D, "/proc/self/fd"); $own = (split(/:/, $ENV{LAZYMEM_RUN}))[0];
		print join(" ", sort grep(!/^\./ && $_ ne $own, readdir(D)))' >seen 2>errors
	diff plain seen >output || fail "$how: other descriptors"
	for caller in '' '$SIG{HUP} = $SIG{CHLD} = $SIG{USR2} = "IGNORE";' \
		'sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM, SIGCHLD, SIGPIPE));'; do
		start=(perl -MPOSIX=:signal_h -e "$caller exec { \$ARGV[0] } @ARGV" --)
		"${start[@]}" grep '^Sig' /proc/self/status >plain
		"${start[@]}" "${lazily[@]}" grep '^Sig' /proc/self/status >seen 2>errors
		grep -v SigQ plain >expected
		grep -v SigQ seen | diff expected - >output || fail "$how: other signals: $caller"
	done
done

# LD_PRELOAD: ours, and then what it was.
LD_PRELOAD=libm.so.6 "${stats[@]}" sh -c 'echo "$LD_PRELOAD $LAZYMEM_RUN"' >output 2>errors
grep -q '^/.*/liblazymem-run.so:libm.so.6 [0-9]*:libm.so.6$' output || fail "LD_PRELOAD is lost"
"${stats[@]}" sh -c 'echo "$LD_PRELOAD $LAZYMEM_RUN"' >output 2>errors
grep -q '^/[^:]*/liblazymem-run.so [0-9]*$' output || fail "LD_PRELOAD has more than ours"

# A caller that ignores SIGCHLD would not be told the status; we are.
(trap '' CHLD && ends_as 1280 "${stats[@]}" sh -c 'exit 5') || fail "the status is lost"

# A program that the kernel cannot execute after all: its loader, a file here, is none.
sed 's#/lib64/ld-linux#./././/ld-linux#' "$(command -v touch)" >lame
printf '%100s\n' none >ld-linux-x86-64.so.2
chmod +x lame ld-linux-x86-64.so.2
if ! cmp -s lame "$(command -v touch)"; then
	for how in silent stats; do
		declare -n lazily=$how
		ends_as 256 "${lazily[@]}" ./lame started
		[ "$(cat errors)" = 'lazymem: ./lame: cannot be executed: Accessing a corrupted shared library' ] ||
			fail "$how: what cannot be executed is not told"
	done
fi

# Standard descriptors that are closed stay closed, and are no place for files.
"${stats[@]}" sh -c 'ls /proc/self/fd/0 2>/dev/null; exit 6' 0<&- 1>output 2>errors || status=$?
[ "$status" -eq 6 ] && [ ! -s output ] || fail "standard input is not closed"
cp image "$memory/full"
! "$program" run --memory "$memory/full=image" true 2>&- || fail "a full file was taken"
same image "$memory/full"

# Nobody who reads our messages.
status=0
"${stats[@]}" sh -c 'exit 6' 2>&- || status=$?
[ "$status" -eq 6 ] || fail "the status is lost without standard error"
statuses=0
"${stats[@]}" sh -c 'sleep 0.1; exit 6' 2>&1 >output | true || statuses=${PIPESTATUS[0]}
[ "$statuses" -eq 6 ] || fail "the status is lost when nobody reads"

# ---- signals while it runs ---------------------------------------------------------

# in_background SCRIPT: with --stats, in a group of its own; it says ready.
in_background() {
	: >said
	set -m
	"${stats[@]}" sh -c "$1" </dev/null >said 2>errors &
	process=$!
	set +m
	until_says ready said
}

# until_says TEXT FILE
until_says() {
	local tries
	for ((tries = 0; tries < 10000; tries++)); do
		! grep -q "$1" "$2" || return 0
		sleep 0.01
	done
	fail "nobody says: $1"
}

ends() {
	status=0
	wait $process 2>/dev/null || status=$?
	[ "$status" -eq "$1" ] || fail "status $status, not $1"
}

loop='while :; do sleep 0.02; done'
for signal in TERM HUP INT QUIT USR2 ALRM WINCH; do
	in_background "trap 'echo got $signal; exit 9' $signal; echo ready; $loop"
	kill -s $signal $process
	ends 9
	grep -q "got $signal" said || fail "SIG$signal was not passed on"
done
in_background "echo ready; $loop"
kill -s TERM $process
ends 143

# SIGUSR1 is for us.
in_background "trap 'exit 9' TERM; echo ready; $loop"
kill -s USR1 $process
until_says 'lazymem run: ' errors
kill -s TERM $process
ends 9
[ "$(wc -l <errors)" -eq 2 ] || fail "not one summary on demand and one at the end"

# The group is stopped and goes on.
in_background "trap 'exit 9' TERM; echo ready; $loop"
kill -s TSTP -- -$process
for ((tries = 0; tries < 10000; tries++)); do
	states=$(ps -o stat= --ppid $process -p $process | cut -c1 | tr -d '\n')
	[ "$states" != TT ] || break
	sleep 0.01
done
[ "$states" = TT ] || fail "the group is not stopped: $states"
kill -s CONT -- -$process
kill -s TERM $process
ends 9

# Who kills the parent has not killed the program.
in_background "echo \$\$; trap 'exit 9' TERM; echo ready; $loop"
kill -s KILL $process
ends 137
child=$(head -1 said)
kill -0 "$child" || fail "the program is gone with its parent"
kill -s TERM "$child"

# What the terminal sends comes to both, and is not passed on besides.
if command -v script >/dev/null; then
	cat >count <<-'END'
		n=0
		trap 'n=$((n + 1))' INT
		touch ready
		for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done
		echo "count $n"
	END
	printf '%q ' "${stats[@]}" sh count >typed
	{
		for ((tries = 0; tries < 10000; tries++)); do
			[ ! -e ready ] || break
			sleep 0.01
		done
		printf '\003'
		sleep 2
	} | script -qec 'bash typed' /dev/null >screen || true
	grep -q 'count 1' screen || fail "SIGINT of the terminal: $(tr -d '\0' <screen)"
fi
