#!/bin/bash
# What cannot work is refused before the program starts: the culprit is named,
# and nothing is left behind.
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/tools/lazymem_lib.sh
. "$(dirname "$0")/lazymem_lib.sh"
# shellcheck source=tests/tools/lazymem_run_start_lib.sh
. "$(dirname "$0")/lazymem_run_start_lib.sh"
cd "$work"

# refuses_run STATUS TEXT ARGUMENT...: and `touch started`, which follows the
# arguments, is not executed.
refuses_run() {
	local expected=$1 text=$2
	shift 2
	refuses "$expected" "$text" run "$@" touch started
	[ ! -e started ] || fail "the program was started: $*"
}

# The command line. These need no permission for anything.
refuses 2 'run needs a program' run
refuses 2 'run needs a program' run --memory a=b
refuses 2 'run needs a program' run --memory a=b --
refuses 2 'the name of the program is empty' run --memory a=b ''
refuses_run 2 'run needs --memory'
refuses_run 2 'unknown option --nosuch' --nosuch
refuses_run 2 'unknown option -x' -x
refuses_run 2 'option --stats takes no value' --stats=yes
refuses 2 'option --memory needs a value' run --memory
for value in '' a =b a= =; do
	refuses_run 2 "--memory $value is not PATH=IMAGE" --memory "$value"
done
refuses_run 2 '--prefetch some' --memory a=b --prefetch some
refuses_run 2 '--record: a file name is empty' --memory a=b --record ''
refuses_run 2 '--replay: a file name is empty' --memory a=b --replay ''
many=()
for ((i = 0; i < 65; i++)); do
	many+=(--memory "a$i=b")
done
refuses_run 2 'more than 64 memories' "${many[@]}"
mkdir 'a,b'
(cd 'a,b' && touch x y && refuses 2 'must have no comma' run --memory "a=x,y" true)
succeeds run --help
grep -q '^usage: lazymem run ' output || fail "run --help: no usage"

needs_run
empty good 1048576
good=(--memory "$memory/good=image")

# One run inside another.
run run "${good[@]}" "$program" run "${good[@]}" touch started
[ "$status" -eq 1 ] || fail "status $status of a run inside a run"
grep -q 'LAZYMEM_RUN is set' errors || fail "a run inside a run is not named"
[ ! -e started ] || fail "the inner program was started"

# ---- the program ------------------------------------------------------------------

# refuses_program TEXT NAME...
refuses_program() {
	local text=$1
	shift
	refuses 1 "$text" run "${good[@]}" "$@"
	refuses 1 "$text" run --stats "${good[@]}" "$@"
}

refuses_program 'nosuchprogram: there is no such program' nosuchprogram
refuses_program './nosuch: No such file' ./nosuch
refuses_program '.: Permission denied' .
cp "$(command -v touch)" own
chmod -x own
refuses_program './own: Permission denied' ./own started
chmod +x own
printf 'echo text\n' >text
: >nothing
printf '#!/nosuch/interpreter -x\n' >orphan
printf '#!%s/turn\n' "$work" >turn
printf '\177ELF' >stump
chmod +x text nothing orphan turn stump
refuses_program './text: is neither an ELF program nor a script' ./text
refuses_program './nothing: Exec format error' ./nothing
refuses_program '/nosuch/interpreter: No such file' ./orphan
refuses_program "./orphan: its interpreter, /nosuch/interpreter, cannot" ./orphan
refuses_program 'too many scripts' ./turn
refuses_program './stump: is truncated' ./stump
if cc -static -o static -x c - <<<'int main(void) { return 0; }' 2>/dev/null; then
	refuses_program './static: is statically linked' ./static
	printf '#!%s/static\n' "$work" >script
	chmod +x script
	refuses_program 'static: is statically linked' ./script
fi
if cc -m32 -o narrow -x c - <<<'int main(void) { return 0; }' 2>/dev/null; then
	refuses_program './narrow: is a program of 32 bits' ./narrow
fi
# A program for a machine that is not this one: the 18th byte says which.
cp own foreign
printf '\363' | dd of=foreign bs=1 seek=18 conv=notrunc status=none
refuses_program './foreign: is a program for another machine' ./foreign started
if [ "$(id -u)" -eq 0 ] && ! findmnt -no OPTIONS -T . | grep -qw nosuid; then
	cp own setuid
	chown 65534 setuid
	chmod u+s setuid
	refuses_program './setuid: is setuid' ./setuid started
	cp own setgid
	chgrp 65534 setgid
	chmod g+s setgid
	refuses_program './setgid: is setgid' ./setgid started
fi
[ ! -e started ] || fail "a refused program was started"

# As the shell would look for it: PATH, and what may not be executed is passed over.
mkdir first second
printf 'no program\n' >first/tool
printf '#!/bin/sh\necho "second $*"\n' >second/tool
chmod +x second/tool
(PATH=$work/first:$work/second:$PATH && succeeds run "${good[@]}" tool --stats -x --memory)
[ "$(cat output)" = 'second --stats -x --memory' ] || fail "the arguments are not those of the tool"

# ---- images ----------------------------------------------------------------------

at=$memory/good
refuses_run 1 'nosuch: No such file' --memory "$at=nosuch"
refuses_run 1 'Is a directory' --memory "$at=first"
: >hollow
refuses_run 1 'hollow is empty' --memory "$at=hollow"
refuses_run 1 'nosuch' --memory "$at=image,nosuch"
"$make_file" trace run.trace 4096 - 0 8192
refuses_run 1 'is a trace, and no memory image' --memory "$at=run.trace"
"$make_file" elf core
refuses_run 1 'its format, elf, cannot be restored from' --memory "$at=core"
refuses_run 1 'its format, elf, cannot be restored from' --create --memory "$memory/new=core"
succeeds create image snapshot
head -c 5000 snapshot >broken
refuses_run 1 'broken' --memory "$at=broken"
refuses_run 1 'is no raw image' --memory "$at=image,snapshot"
sha256sum image snapshot >before
refuses_run 1 'is also a file of an image' --create --memory "$work/image=image"
cp image "$memory/base"
succeeds create "$memory/base" "$memory/parent"
succeeds create --parent "$memory/parent" image "$memory/child"
refuses_run 1 'parent: is also a file of an image' \
	--create --memory "$memory/parent=$memory/child"
refuses_run 1 'base: is also a file of an image' --create --memory "$memory/base=image,$memory/base"
sha256sum --quiet -c before || fail "an image has changed"
cmp -s image "$memory/base" || fail "an image has changed"

# ---- traces -----------------------------------------------------------------------

refuses_run 1 'nosuch/trace: no trace can be written there: No such file' \
	"${good[@]}" --record nosuch/trace
refuses_run 1 'first: is no regular file' "${good[@]}" --record first
refuses_run 1 '/dev/null: is no regular file' "${good[@]}" --record /dev/null
refuses_run 1 'image: is also a file of an image' "${good[@]}" --record image
refuses_run 1 'good: is a memory' "${good[@]}" --record "$at"

# gives_up TEXT TRACE IMAGE: the trace is not used, and the program is started.
gives_up() {
	succeeds run --memory "$at=$3" --replay "$2" touch started
	[ -e started ] || fail "not started without the trace $2"
	rm started
	grep -q "$1" errors && grep -q 'going on without it' errors || fail "no message about $2"
}
gives_up 'nosuch' nosuch image
gives_up 'image' image image
"$make_file" trace foreign.trace 4096 "$(printf '%064d' 1)" 0 8192
gives_up 'trace of another image' foreign.trace image
gives_up 'trace of another image' foreign.trace snapshot
"$make_file" trace own.trace 4096 ./image 0 8192
for trace in run.trace own.trace; do
	succeeds run "${good[@]}" --replay "$trace" true
	[ ! -s errors ] || fail "a complaint about $trace, which is sound"
done

# ---- the files to be mapped --------------------------------------------------------

refuses_run 1 'nosuch: No such file or directory; --create makes it' \
	--memory "$memory/nosuch=image"
refuses_run 1 'No such file or directory' --create --memory "$memory/nosuch/file=image"
mkdir "$memory/directory"
refuses_run 1 'directory: Is a directory' --memory "$memory/directory=image"
mkfifo "$memory/fifo"
refuses_run 1 'fifo: is no regular file' --memory "$memory/fifo=image"
if [ "$(stat -f -c %T .)" != tmpfs ]; then
	truncate -s 1048576 plain
	refuses_run 1 'plain: is on neither tmpfs nor hugetlbfs' --memory plain=image
	cp image full
	refuses_run 1 'full: is on neither tmpfs nor hugetlbfs' --create --memory full=snapshot
	same image full
	refuses_run 1 'fresh: is on neither tmpfs nor hugetlbfs' --create --memory fresh=image
	[ ! -e fresh ] || fail "what was made on another file system is left behind"
fi
empty short 1044480
refuses_run 1 'has 1044480 bytes, and the image' --memory "$memory/short=image"
empty long 1052672
refuses_run 1 'so it must have 1048576' --memory "$memory/long=image"
empty touched 1048576
printf x | dd of="$memory/touched" bs=1 seek=5000 conv=notrunc status=none
refuses_run 1 'has 4096 bytes of memory already' --memory "$memory/touched=image"
ln "$memory/good" "$memory/twin"
refuses_run 1 'twin: is the same file as' "${good[@]}" --memory "$memory/twin=image"
refuses_run 1 'long: has 1052672 bytes' "${good[@]}" --memory "$memory/long=image"

# --create makes it, or empties it, but not under somebody who uses it.
mkdir "$memory/made"
succeeds run --create --memory "$memory/made/a=image" touch started
rm started
[ "$(stat -c '%s %a %b' "$memory/made/a")" = '1048576 600 0' ] || fail "it is not made well"
cp image "$memory/made/a"
succeeds run --create --memory "$memory/made/a=image" true
[ "$(stat -c '%s %b' "$memory/made/a")" = '1048576 0' ] || fail "it is not emptied"
head -c 4097 image >odd
succeeds run --create --memory "$memory/made/a=odd" true
[ "$(stat -c %s "$memory/made/a")" = 8192 ] || fail "the length is not in whole pages"
cp image "$memory/made/a"
exec 9<>"$memory/made/a"
refuses_run 1 'a: is in use by another process' --create --memory "$memory/made/a=image"
exec 9>&-
same image "$memory/made/a"
rm "$memory/made/a"
refuses_run 1 'touched2: is the same file as' --create --memory "$memory/made/b=image" \
	--memory "$memory/touched2=image" --memory "$memory/made/../touched2=image"
[ -z "$(ls -A "$memory/made")" ] && [ ! -e "$memory/touched2" ] || fail "left behind by a refusal"

# A pool of huge pages that is too small, and one that is not.
if [ "$(id -u)" -eq 0 ] && mkdir huge &&
	mount -t hugetlbfs -o size=4M,pagesize=2M none huge 2>/dev/null; then
	truncate -s 4096M big
	run run --create --memory "huge/a=big" touch started
	huge_status=$status
	left=$(ls -A huge)
	umount -l huge
	[ "$huge_status" -eq 1 ] || fail "status $huge_status of too few huge pages"
	grep -q 'huge/a: needs 2048 pages of 2.00 MiB, and' errors || fail "huge pages are not named"
	[ -z "$left" ] && [ ! -e started ] || fail "started with too few huge pages"
fi

# A tmpfs that is smaller than the memory is only warned of.
if [ "$(id -u)" -eq 0 ] && mkdir small && mount -t tmpfs -o size=512K none small 2>/dev/null; then
	run run --create --memory "small/a=image" true
	umount -l small
	[ "$status" -eq 0 ] || fail "status $status on a small tmpfs"
	grep -q 'small/a: warning: .*512 KiB' errors || fail "no warning of a small tmpfs"
fi
