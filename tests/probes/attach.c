/*
 * A tracer as small as can be, for the traced half of the build matrix: attaches to every
 * .note.stapsdt site of a program (and of shared objects) through perf events with the semaphore as
 * reference count, runs the program, and prints a line per hit with the step that the operation
 * block holds, taken from a copy of the stack. It shares no code with what it tests.
 *
 *   attach [-c] [-k] [-l OBJECT]... PROGRAM    hits on stdout; exit 77 if this kernel or user cannot
 *
 * -c: raises the control point "context" as well. -k: only ends and spills trap; the other points
 * are attached at the no-op that is never executed, with the upper half of their words, so that
 * their steps are carried: each hit then prints all steps that the block held.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <asm/perf_regs.h>

enum { MAX_SITES = 256, STACK_BYTES = 32768, RING_PAGES = 512 };
#ifdef __x86_64__
enum { CARRY = 12 }; /* from the site to the never-executed no-op */
#else
enum { CARRY = 8 };
#endif

struct site {
	const char *path;
	uint64_t offset, semaphore; /* in the file */
	char provider[32], probe[64];
	uint64_t id;
	int fd;
};

static struct site sites[MAX_SITES];
static size_t site_count;
static bool with_context, carry;

static uint64_t file_offset(Elf *elf, uint64_t address)
{
	size_t n = 0;
	GElf_Phdr ph;

	elf_getphdrnum(elf, &n);
	for (size_t i = 0; i < n; i++)
		if (gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_LOAD &&
		    address >= ph.p_vaddr && address < ph.p_vaddr + ph.p_filesz)
			return address - ph.p_vaddr + ph.p_offset;
	return 0;
}

/* Where the program's operations end, and where their blocks are full. */
static bool traps(const char *probe)
{
	static const char *const names[] = {"job__finished", "job__exit", "child__done",
					    "job__spill", "child__spill"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], probe) == 0)
			return true;
	return false;
}

static void add_site(Elf *elf, const char *path, const char *desc)
{
	struct site *s = &sites[site_count];
	uint64_t address[3];

	memcpy(address, desc, sizeof(address));
	if (!address[0] || site_count == MAX_SITES)
		return;
	s->path = path;
	s->offset = file_offset(elf, address[0]);
	s->semaphore = file_offset(elf, address[2]);
	snprintf(s->provider, sizeof(s->provider), "%s", desc + 24);
	snprintf(s->probe, sizeof(s->probe), "%s", desc + 24 + strlen(s->provider) + 1);
	if (carry && !traps(s->probe)) {
		s->offset += CARRY;
		s->semaphore += 2;
	}
	if ((strcmp(s->probe, "context") == 0 && !with_context) || !s->offset || !s->semaphore)
		return;
	site_count++;
}

static void read_notes(Elf *elf, const char *path, Elf_Data *data)
{
	size_t at = 0, name, desc;
	GElf_Nhdr nh;

	while ((at = gelf_getnote(data, at, &nh, &name, &desc)))
		if (nh.n_type == 3 && strcmp((char *)data->d_buf + name, "stapsdt") == 0)
			add_site(elf, path, (char *)data->d_buf + desc);
}

static void read_object(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	Elf_Scn *scn = NULL;
	size_t names = 0;
	GElf_Shdr sh;

	elf_getshdrstrndx(elf, &names);
	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &sh) &&
		    strcmp(elf_strptr(elf, names, sh.sh_name), ".note.stapsdt") == 0)
			read_notes(elf, path, elf_getdata(scn, NULL));
	elf_end(elf);
	close(fd);
}

static int uprobe_type(void)
{
	FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "re");
	int type = -1;

	if (f && fscanf(f, "%d", &type) != 1)
		type = -1;
	if (f)
		fclose(f);
	return type;
}

static int open_site(struct site *s, pid_t pid, int type, int output)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = (uint32_t)type,
		.config = s->semaphore << 32,
		.uprobe_path = (uint64_t)(uintptr_t)s->path,
		.probe_offset = s->offset,
		.sample_period = 1,
		.sample_type = PERF_SAMPLE_ID | PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER,
		.sample_stack_user = STACK_BYTES,
		.disabled = 1,
		.enable_on_exec = 1,
#ifdef __x86_64__
		.sample_regs_user = 1ull << PERF_REG_X86_DI | 1ull << PERF_REG_X86_SI |
				    1ull << PERF_REG_X86_DX | 1ull << PERF_REG_X86_CX |
				    1ull << PERF_REG_X86_R8 | 1ull << PERF_REG_X86_R9 |
				    1ull << PERF_REG_X86_SP,
#endif
	};

	s->fd = (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (s->fd < 0)
		return -errno;
	if (ioctl(s->fd, PERF_EVENT_IOC_ID, &s->id) ||
	    (output >= 0 && ioctl(s->fd, PERF_EVENT_IOC_SET_OUTPUT, output)))
		return -errno;
	return 0;
}

/* Registers come by number: ax bx cx dx si di bp sp ... r8 r9. */
struct sample {
	struct perf_event_header header;
	uint64_t id, regs_abi, cx, dx, si, di, sp, r8, r9, stack_size;
	unsigned char stack[STACK_BYTES];
	uint64_t stack_used;
};

/* The head of a step, as probes/op_block.h lays it out. */
struct step {
	uint64_t stamp;
	uint32_t sequence;
	uint16_t number, nested;
	uint32_t size, flags;
};

static void print_words(const unsigned char *from, size_t size)
{
	uint64_t words[64];
	size_t count = size / 8 < 64 ? size / 8 : 64;

	memcpy(words, from, 8 * count);
	for (size_t i = 0; i < count; i++)
		printf(" %" PRIx64, words[i]);
}

/* Calls print for each step that was handed over. */
static void each_step(const struct sample *x, const unsigned char *block,
		      void (*print)(const struct sample *, const struct step *,
				    const unsigned char *))
{
	uint32_t used = (uint32_t)x->dx, at = (uint32_t)(x->dx >> 32) & 0x3fffffff;
	struct step s;

	while (at + sizeof(s) <= used) {
		memcpy(&s, block + at, sizeof(s));
		at += sizeof(s);
		if (s.size > used - at)
			printf(" a step beyond the end");
		if (s.size > used - at)
			return;
		print(x, &s, block + at);
		at += s.size;
	}
}

/* The step whose site was hit is the last one. */
static void print_own(const struct sample *x, const struct step *s, const unsigned char *arguments)
{
	if (s->sequence != (uint32_t)x->cx)
		return;
	printf(" stamp=%s", s->stamp == x->r8 ? "same" : "different");
	print_words(arguments, s->size);
}

static void print_carried(const struct sample *x, const struct step *s,
			  const unsigned char *arguments)
{
	static uint64_t last;

	if (s->sequence && s->stamp < last)
		printf(" a stamp before its predecessor's");
	last = s->stamp;
	printf("\n  seq=%" PRIu32 " number=%u nested=%u flags=%" PRIu32, s->sequence, s->number,
	       s->nested, s->flags);
	print_words(arguments, s->size);
	(void)x;
}

static void print_sample(const struct sample *x)
{
	const struct site *s = sites;
	uint64_t at = x->si - x->sp;

	while (s < sites + site_count && s->id != x->id)
		s++;
	printf("%s:%s seq=%" PRIu32 " number=%u nested=%u value=%" PRIx64, s->provider, s->probe,
	       (uint32_t)x->cx, (unsigned)(x->cx >> 32) & 0xffff, (unsigned)(x->cx >> 48), x->r9);
	if (at < STACK_BYTES - 4096)
		each_step(x, x->stack + at, carry ? print_carried : print_own);
	else
		printf(" block not on the stack");
	printf("\n");
}

static void print_hits(struct perf_event_mmap_page *ring)
{
	const char *data = (const char *)ring + ring->data_offset;
	uint64_t head = __atomic_load_n(&ring->data_head, __ATOMIC_ACQUIRE);
	static struct sample x;

	for (uint64_t at = 0; at < head;) {
		struct perf_event_header h;

		memcpy(&h, data + at, sizeof(h));
		if (h.type == PERF_RECORD_SAMPLE && h.size <= sizeof(x)) {
			memcpy(&x, data + at, h.size);
			print_sample(&x);
		} else {
			printf("record of type %u\n", h.type);
		}
		at += h.size;
	}
}

static int skip(const char *why, int code)
{
	printf("%s: %s\n", why, strerror(code));
	return 77;
}

/* Starts the program stopped before its exec. */
static pid_t start(char **argv, int *go)
{
	int p[2];
	pid_t pid;
	char c;

	if (pipe2(p, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		if (read(p[0], &c, 1) == 1)
			execv(argv[0], argv);
		_exit(127);
	}
	close(p[0]);
	*go = p[1];
	return pid;
}

int main(int argc, char **argv)
{
	int type = uprobe_type(), go = -1, status, i = 1;
	struct perf_event_mmap_page *ring = NULL;
	pid_t pid;

	elf_version(EV_CURRENT);
	for (; i < argc && (strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "-k") == 0); i++) {
		with_context |= argv[i][1] == 'c';
		carry |= argv[i][1] == 'k';
	}
	for (; i + 1 < argc && strcmp(argv[i], "-l") == 0; i += 2)
		read_object(argv[i + 1]);
	read_object(argv[i]);
	if (type < 0)
		return skip("no uprobe events in this kernel", ENOENT);
	pid = start(argv + i, &go);
	for (size_t k = 0; k < site_count; k++) {
		int r = open_site(&sites[k], pid, type, k ? sites[0].fd : -1);

		if (r)
			return skip(sites[k].probe, -r);
		if (!k)
			ring = mmap(NULL, (RING_PAGES + 1) * 4096, PROT_READ | PROT_WRITE,
				    MAP_SHARED, sites[0].fd, 0);
		if (ring == MAP_FAILED)
			return skip("ring", errno);
	}
	if (write(go, "x", 1) != 1 || waitpid(pid, &status, 0) != pid)
		return 1;
	printf("exit %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	print_hits(ring);
	return 0;
}
