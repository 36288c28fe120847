#!/bin/bash
# The build matrix: the same program under many compilers, options and linkers. Of each build:
#  - it prints what it prints without trace points, and computes no argument for an unwanted point;
#  - every site has its two notes, once, and they say the truth (tools/notes.py);
#  - traced (as root), every step arrives whole and in order: by itself (matrix.expected), and carried
#    by its operation (matrix.carried).
# usage: matrix.sh [BUILD_DIR] [NAME...]    prints TAP
set -u
cd "$(dirname "$0")/../.."
out=${1:-build}; [ $# -gt 0 ] && shift
only="$*"
here=$PWD/tests/probes
work=$(realpath -m "$out/tests/probes/matrix")
rm -rf "$work"; mkdir -p "$work/include/outspan"
names=job__started,job__asked,job__part_begun,job__part_sent,job__inner_begun,job__inner_done
names=$names,job__part_done,job__finished,job__exit,job__spill,child__begun,child__done,child__spill,context
copies=
n=0

make -s --no-print-directory O="$out" "$out/outspan-generate" >&2 || exit 1
cp probes/op*.h "$work/include/outspan/"
"$out/outspan-generate" header $here/tiny.yaml >"$work/include/outspan/tiny.h" || exit 1
gcc -O1 "$here/attach.c" -o "$work/attach" -lelf || exit 1
cd "$work" || exit 1 # where some builds leave their profiles

# Can this machine trace at all? The reason, if not.
no_trace=
[ "$(id -u)" = 0 ] || no_trace="not root"
[ -n "$no_trace" ] || [ -r /sys/bus/event_source/devices/uprobe/type ] || no_trace="no uprobe events here"

tap() { # tap NAME OK TEXT
	n=$((n + 1))
	if [ "$2" = 0 ]; then echo "ok $n - $1"; else echo "not ok $n - $1"; echo "$3" | sed 's/^/# /'; fi
}
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }

# Value of the parent: the id that the job took, unknown beforehand, low 16 bits zero.
traced() { # traced OPTION FILE [LIBRARY]
	ASAN_OPTIONS=detect_stack_use_after_return=0 "$work/attach" $1 ${3:+-l "$3"} "$2" 2>&1 |
		grep -v '^traced work=1$' |
		sed -E '/child__begun/s/=[0-9a-f]+0000 stamp=same [0-9a-f]+0000$/=PARENT stamp=same PARENT/
			/^  seq=0 number=9 /s/ [0-9a-f]+0000$/ PARENT/'
	return "${PIPESTATUS[0]}"
}

examine() { # examine NAME FILE [LIBRARY]
	local said notes got code
	said=$("$2" 2>&1) || { tap "$1" 1 "untraced: exit $? $said"; return; }
	[ "$said" = "untraced work=0" ] || { tap "$1" 1 "untraced: $said"; return; }
	if [ -z "${3:-}" ]; then
		notes=$(python3 $here/tools/notes.py $copies "$2" tiny $names) || { tap "$1" 1 "$notes"; return; }
	fi
	if [ -n "$no_trace" ]; then
		tap "$1" 0; return
	fi
	got=$(traced "" "$2" "${3:-}"); code=$?
	if [ $code = 77 ]; then no_trace=$got; tap "$1" 0; return; fi
	notes=$(diff <(echo "$got") $here/matrix.expected)
	tap "$1, traced" $? "$notes"
	notes=$(diff <(traced -k "$2" "${3:-}") $here/matrix.carried)
	tap "$1, carried" $? "$notes"
}

chosen() { [ -z "$only" ] || [[ " $only " == *" $1 "* ]]; }

build() { # build NAME COMMAND...: compiles both halves and examines the result
	local name=$1 f="$work/$1" err
	shift
	chosen "$name" || return 0
	command -v "$1" >/dev/null || { skip "$name" "no $1"; return; }
	err=$("$@" -I"$work/include" -I$here $here/matrix.c $here/matrix2.c -o "$f" 2>&1) ||
		{ tap "$name" 1 "$* : $err"; return; }
	[ -z "$err" ] || { tap "$name" 1 "$* warns: $err"; return; }
	examine "$name" "$f"
}

stripped() { # stripped NAME COMMAND...: strips a build and examines what is left
	local name=$1 f="$work/$1" err
	shift
	chosen "$name" || return 0
	command -v "$1" >/dev/null || { skip "$name" "no $1"; return; }
	err=$(gcc -O2 -g -I"$work/include" -I$here $here/matrix.c $here/matrix2.c -o "$f" 2>&1 && "$@" "$f" 2>&1) ||
		{ tap "$name" 1 "$err"; return; }
	examine "$name" "$f"
}

shared() { # shared NAME COMPILER FLAGS...: the second half in a shared object
	local name=$1 f="$work/$1" cc=$2 err
	shift 2
	chosen "$name" || return 0
	command -v "$cc" >/dev/null || { skip "$name" "no $cc"; return; }
	err=$("$cc" "$@" -fPIC -shared -I"$work/include" -I$here $here/matrix2.c -o "$f.so" 2>&1 &&
		"$cc" "$@" -I"$work/include" -I$here $here/matrix.c "$f.so" -o "$f" 2>&1) ||
		{ tap "$name" 1 "$err"; return; }
	examine "$name" "$f" "$f.so"
}

empty() { # empty NAME COMMAND...: built with OUTSPAN_NO_PROBES nothing of them is left
	local name=$1 f="$work/$1" text
	shift
	chosen "$name" || return 0
	text=$("$@" -DOUTSPAN_NO_PROBES -I"$work/include" -I$here $here/matrix.c $here/matrix2.c -o "$f" 2>&1 && "$f")
	[ "$text" = "without probes work=0" ] || { tap "$name" 1 "$text"; return; }
	text=$(readelf -nsSW "$f" 2>&1 | grep -E 'stapsdt|outspan_tiny|\.probes|note.outspan')
	tap "$name" $((! $? )) "$text"
}

# While a recorder asks for contexts, a program sends its own: the trace of its operation, the span
# that is innermost. Its id is known from the child's parent.
contexts() {
	local name=$1 f="$work/gcc-O2" got
	chosen "$name" || return 0
	[ -z "$no_trace" ] || { skip "$name" "$no_trace"; return; }
	got=$("$work/attach" -c "$f" 2>&1 | python3 -c '
import sys
lines = [line.split() for line in sys.stdin if line.startswith("tiny:")]
op = next(int(w[6], 16) for w in lines if w[0] == "tiny:child__begun")
swap = lambda word: int.from_bytes(int(word, 16).to_bytes(8, "little"), "big")
sent = [w[6:] for w in lines if w[0] == "tiny:job__part_sent"]
assert len(sent) == 2 and op % 65536 == 0 and op, (op, sent)
for size, n, words in zip((3, 10), (1, 3), sent):
    assert int(words[0], 16) == size and words[1] == "2000000019", words
    assert swap(words[2]) and swap(words[3]) == op and words[2:4] == sent[0][2:4], words
    assert swap(words[4]) == op + n and words[5] == "1", words
print("contexts are as they should be")' 2>&1)
	[ "$got" = "contexts are as they should be" ]
	tap "$name" $? "$got"
}

strict="-Wall -Wextra -Werror"
for cc in gcc clang; do
	cxx=$([ $cc = gcc ] && echo g++ || echo clang++)
	for o in O0 O1 O2 O3 Os; do build $cc-$o $cc -$o $strict; done
	build $cc-c11 $cc -std=c11 -pedantic -O2 $strict
	build $cc-cxx $cxx -x c++ -std=c++11 -O2 $strict
	build $cc-cxx20 $cxx -x c++ -std=c++20 -O2 $strict
	build $cc-checked $cc -DOUTSPAN_CHECKED -O2 $strict
	build $cc-gc $cc -O2 -ffunction-sections -fdata-sections -Wl,--gc-sections
	build $cc-nopie $cc -O2 -no-pie -fno-pie
	build $cc-pie $cc -O2 -pie -fPIE
	build $cc-static $cc -O2 -static
	build $cc-staticpie $cc -O2 -static-pie
	build $cc-ssp $cc -O2 -fstack-protector-all
	build $cc-instrument $cc -O2 -finstrument-functions
	build $cc-asan $cc -O1 -fsanitize=address,undefined
	build $cc-tsan $cc -O1 -fsanitize=thread
	build $cc-coverage $cc -O1 --coverage
	build $cc-cet $cc -O2 -fcf-protection=full
	build $cc-omit $cc -O2 -fomit-frame-pointer -fno-plt
	build $cc-gold $cc -O2 -fuse-ld=gold
	build $cc-gold-gc-icf $cc -O2 -ffunction-sections -fuse-ld=gold -Wl,--gc-sections -Wl,--icf=all
	build $cc-lld $cc -O2 -fuse-ld=lld
	build $cc-lld-gc-icf $cc -O2 -ffunction-sections -fuse-ld=lld -Wl,--gc-sections -Wl,--icf=all
	shared $cc-shared $cc -O2
	shared $cc-shared-lld $cc -O2 -fuse-ld=lld
done
build gcc-lto gcc -O2 -flto
build gcc-lto-one gcc -O2 -flto -flto-partition=one
build gcc-lto-max gcc -O2 -flto=auto -flto-partition=max
build gcc-pta gcc -O3 -fipa-pta -flto
build gcc-clash gcc -O2 -fstack-protector-all -fstack-clash-protection
build gcc-pg gcc -O2 -pg
build gcc-patchable gcc -O2 -fpatchable-function-entry=8,2
build gcc-medium gcc -O2 -mcmodel=medium
build gcc-intel gcc -O2 -masm=intel
build clang-lto-lld clang -O2 -flto -fuse-ld=lld
build clang-lto-gold clang -O2 -flto -fuse-ld=gold
build clang-profile clang -O1 -fprofile-instr-generate -fcoverage-mapping
copies=--copies
build clang-thinlto-lld clang -O2 -flto=thin -fuse-ld=lld
copies=
stripped gcc-stripped strip
stripped gcc-strip-all strip --strip-all
stripped gcc-eu-strip eu-strip
empty gcc-none gcc -O2 $strict
empty clang-none clang -O2 $strict
empty gxx-none g++ -x c++ -O0 $strict
contexts contexts
[ -z "$no_trace" ] || [ -n "$only" ] || skip "tracing the builds" "$no_trace"
echo "1..$n"
