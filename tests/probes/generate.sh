#!/bin/bash
# The generator: deterministic, its headers stand alone, and they compile for arm64, too.
# usage: generate.sh [BUILD_DIR]    prints TAP
set -u
cd "$(dirname "$0")/../.."
out=${1:-build} n=0
work=$out/tests/probes/generate
rm -rf "$work"; mkdir -p "$work/outspan" "$work/arm64/sys"
make -s --no-print-directory O="$out" "$out/outspan-generate" >&2 || exit 1
cp probes/op*.h "$work/outspan/"

tap() { # tap NAME OK TEXT
	n=$((n + 1))
	if [ "$2" = 0 ]; then echo "ok $n - $1"; else echo "not ok $n - $1"; echo "$3" | sed 's/^/# /'; fi
}

for yaml in probes/catalogue/*.yaml tests/probes/tiny.yaml; do
	name=$(basename "$yaml" .yaml)
	"$out/outspan-generate" header "$yaml" >"$work/outspan/$name.h"
	text=$(env -i LC_ALL=C MALLOC_PERTURB_=165 "$out/outspan-generate" header "$yaml" | cmp - "$work/outspan/$name.h" 2>&1)
	tap "$name: twice the same header" $? "$text"
	sed "s/^ *#.*//" "$yaml" >"$work/$name.yaml"
	text=$("$out/outspan-generate" header "$work/$name.yaml" | cmp - "$work/outspan/$name.h" 2>&1)
	tap "$name: comments and the path of the catalogue change nothing" $? "$text"
	for cc in "gcc -std=c11 -x c" "clang -std=c11 -x c" "g++ -std=c++11 -x c++" "clang++ -std=c++11 -x c++"; do
		text=$($cc -pedantic -Wall -Wextra -Wshadow -Werror -I"$work" -include "outspan/$name.h" -fsyntax-only - </dev/null 2>&1)
		tap "$name: compiles alone: $cc" $? "$text"
	done
done

# A foreign catalogue has no header; a broken one says where.
text=$("$out/outspan-generate" header tests/e2e/shop.yaml 2>&1 >/dev/null)
[ $? = 1 ]; tap "a catalogue without points of its own has no header" $? "$text"
printf 'provider: p\nabi: 1\noperations: {a: {start: S}}\n' >"$work/broken.yaml"
text=$("$out/outspan-generate" header "$work/broken.yaml" 2>&1)
[ "$text" = "error: $work/broken.yaml:3: operations.a: states: expected a map of states" ]
tap "a broken catalogue is refused with file, line and key" $? "$text"
text=$("$out/outspan-generate" header probes/catalogue/lonelypsp.yaml 2>&1 >/dev/full)
[ $? = 1 ]; tap "a full disk is not a header" $? "$text"

# arm64: no libc for it here, so the five functions that op.h takes from one are declared by hand.
cat >"$work/arm64/string.h" <<-'END'
	#include <stddef.h>
	void *memcpy(void *, const void *, size_t);
	void *memset(void *, int, size_t);
	int memcmp(const void *, const void *, size_t);
END
echo 'void abort(void);' >"$work/arm64/stdlib.h"
echo 'int getpid(void);' >"$work/arm64/unistd.h"
echo 'int pthread_atfork(void (*)(void), void (*)(void), void (*)(void));' >"$work/arm64/pthread.h"
printf '#include <stddef.h>\n#define GRND_NONBLOCK 1\ntypedef long ssize_t;\nssize_t getrandom(void *, size_t, unsigned);\n' >"$work/arm64/sys/random.h"
text=$(clang --target=aarch64-linux-gnu -ffreestanding -nostdlibinc -isystem "$work/arm64" -I"$work" -Wall -Wextra -Werror -O2 \
	-c tests/probes/off.c -o "$work/arm64.o" 2>&1)
tap "arm64: compiles" $? "$text"
text=$(readelf -nW "$work/arm64.o" 2>&1)
grep -A2 'Name: job__finished' <<<"$text" | grep -q 'Arguments: 8@x0 8@x1 8@x2 8@x3 8@x4 8@x5'
tap "arm64: notes name its registers" $? "$text"
text=$(llvm-objdump -d --no-show-raw-insn "$work/arm64.o" 2>&1)
grep -A3 'job__finished>:' <<<"$text" | awk 'NR > 1 {print $2}' | tr '\n' ' ' | grep -q '^nop ret nop '
tap "arm64: the stub is a no-op, a return and a no-op" $? "$text"
echo "1..$n"
