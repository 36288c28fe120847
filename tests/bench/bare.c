/*
 * The floor of start-up: opens and loads the same BPF object by libbpf's skeleton and nothing
 * else, as outspan has it loaded for a catalogue of own points and a ring of `bytes`.
 *
 *   bare RING_BYTES       prints "ready: loaded", ends at once
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>

#include "bpf/event.h"

#include "gen/outspan.skel.h"

int main(int argc, char **argv)
{
	struct outspan_bpf *s = argc == 2 ? outspan_bpf__open() : NULL;

	if (!s)
		return 1;
	bpf_map__set_max_entries(s->maps.events, (uint32_t)strtoul(argv[1], NULL, 10));
	bpf_program__set_autoload(s->progs.on_foreign, false);
	if (outspan_bpf__load(s))
		return 1;
	fprintf(stderr, "ready: loaded\n");
	return 0;
}
