/*
 * The cost of an empty hit: this program attaches a BPF program that does nothing to a stub of its
 * own and calls it. Stubs: ours (the one-byte no-op first), and the longer no-ops alone, which a
 * kernel may turn into a call instead of a trap. Prints one line of JSON: ns per call by stub and
 * attach form, CPU time of the least of several rounds; null = cannot be attached here, with the
 * reason on stderr.
 * usage: hit [CALLS]
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <outspan/op.h>

#include "gen/hit.skel.h"
#include "user/kernel.h"

enum { ROUNDS = 7 };

OUTSPAN_EXTERN(bench_wanted)
OUTSPAN_EXTERN_STUB(bench_hit)

#ifdef __x86_64__
#define LONG_STUBS                                                                                 \
	__asm__(".pushsection .text\n"                                                             \
		".balign 64\nbench_nop5: .byte 0x0f,0x1f,0x44,0,0\n ret\n"                         \
		".balign 64\nbench_nop10: .byte 0x66,0x2e,0x0f,0x1f,0x84,0,0,0,0,0\n ret\n"        \
		".popsection\n");                                                                  \
	extern void bench_nop5(void);                                                              \
	extern void bench_nop10(void);
LONG_STUBS
#endif

static void call_ours(void)
{
	OUTSPAN_SITE(bench_hit, bench_wanted, 0, "bench", "hit", 0x1);
	bench_hit(1, NULL, 0, 0, 0, 0);
}

static const struct stub {
	const char *name;
	void (*call)(void);
	const void *at;
} stubs[] = {
	{"nop1", call_ours, (const void *)(uintptr_t)bench_hit},
#ifdef __x86_64__
	{"nop5", bench_nop5, (const void *)(uintptr_t)bench_nop5},
	{"nop10", bench_nop10, (const void *)(uintptr_t)bench_nop10},
#endif
};

/* The place of an address in the file it was loaded from; 0 = not found. */
static uint64_t file_offset(const void *address)
{
	uintptr_t at = (uintptr_t)address, from, to, offset;
	uint64_t found = 0;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %*s %lx", &from, &to, &offset) == 3 && at >= from &&
		    at < to)
			found = at - from + offset;
	if (maps)
		fclose(maps);
	return found;
}

static double least_ns(void (*call)(void), long calls)
{
	double least = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		struct timespec a, b;
		double ns;

		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
		for (long i = 0; i < calls; i++)
			call();
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
		ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) /
		     (double)calls;
		least = ns < least ? ns : least;
	}
	return least;
}

static void print(const char *stub, const char *form, double ns)
{
	static int count;

	printf("%s\"%s_%s\": ", count++ ? ", " : "", stub, form);
	if (ns >= 0)
		printf("%.2f", ns);
	else
		printf("null");
}

static double measure_multi(const struct hit_bpf *skel, const struct stub *stub, long calls)
{
	uint64_t offset = file_offset(stub->at), none = 0;
	struct osp_kernel_sites site = {"/proc/self/exe", &offset, &none, &none, 1};
	int fd = osp_kernel_link_multi(bpf_program__fd(skel->progs.empty_multi), &site);
	double ns;

	if (fd < 0) {
		fprintf(stderr, "%s by uprobe_multi: %s (%d)\n", stub->name, strerror(-fd), -fd);
		return -1;
	}
	ns = least_ns(stub->call, calls);
	close(fd);
	return ns;
}

static double measure_perf(const struct hit_bpf *skel, const struct stub *stub, long calls)
{
	struct bpf_link *link = bpf_program__attach_uprobe(skel->progs.empty_perf, false, -1,
							   "/proc/self/exe", file_offset(stub->at));
	double ns;

	if (!link) {
		fprintf(stderr, "%s by perf event: %s (%d)\n", stub->name, strerror(errno), errno);
		return -1;
	}
	ns = least_ns(stub->call, calls);
	bpf_link__destroy(link);
	return ns;
}

int main(int argc, char **argv)
{
	long calls = argc > 1 ? atol(argv[1]) : 100000;
	struct hit_bpf *skel = hit_bpf__open();

	if (skel && osp_kernel_has_multi())
		bpf_program__set_expected_attach_type(skel->progs.empty_multi,
						      (enum bpf_attach_type)OSP_ATTACH_MULTI_TYPE);
	if (!skel || hit_bpf__load(skel)) {
		fprintf(stderr, "hit: the BPF program does not load: %s\n", strerror(errno));
		return 1;
	}
	printf("{");
	for (size_t i = 0; i < sizeof(stubs) / sizeof(*stubs); i++) {
		print(stubs[i].name, "unattached", least_ns(stubs[i].call, calls * 10));
		print(stubs[i].name, "uprobe_multi", measure_multi(skel, &stubs[i], calls));
		print(stubs[i].name, "perf_event", measure_perf(skel, &stubs[i], calls));
	}
	printf("}\n");
	hit_bpf__destroy(skel);
	return 0;
}
