/*
 * Reads USDT sites out of ELF files with libelf. Fed with descriptors of files that processes
 * have mapped (user/target.c), feeds everything that attaches. Addresses in notes are link-time
 * ones and may have been moved by prelink; .stapsdt.base tells by how much. Owns what it returns:
 * the sites and one block for all their strings.
 */
#include "user/elf.h"

#include <elf.h>
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/operand.h"

#if defined(__aarch64__)
enum { MACHINE = EM_AARCH64 };
#else
enum { MACHINE = EM_X86_64 };
#endif

enum {
	SECTIONS = 65536,
	SEGMENTS = 256,
	SYMBOLS = 20 << 20, /* symbol table entries looked at for one file */
	STRINGS = 16 << 20,
	NOTE_STAPSDT = 3,
	NOTE_OUTSPAN = 1,
	NOTE_OUTSPAN_HEAD = 40,
	CARRY_MAX = 64, /* bytes from a stub's no-op to the one behind its return */
};

/* Blocks of strings: sites point into them, so none ever moves. */
struct osp_elf_memory {
	struct osp_elf_memory *next;
	size_t used, size;
	char bytes[];
};

struct reader {
	Elf *elf;
	int fd;
	GElf_Phdr segments[SEGMENTS];
	size_t segment_count;
	size_t names;	 /* section of section names */
	uint64_t base;	 /* address of .stapsdt.base, 0 = none */
	size_t capacity; /* of out->sites */
	size_t strings, note_bytes, symbols;
	struct osp_elf *out;
};

static const char *const refusals[] = {
#define X(id, text) text,
	OSP_ELF_REFUSALS(X)
#undef X
};

const char *osp_elf_refusal_to_str(enum osp_elf_refusal r)
{
	return refusals[r];
}

const char *osp_elf_form_to_str(enum osp_elf_form f)
{
	static const char *const names[OSP_ELF_FORM_COUNT] = {"nop", "nop+nop5", "nop+nop10",
							      "long nop", "other"};

	return names[f];
}

static void end_elf(Elf **e)
{
	if (*e)
		elf_end(*e);
}

/* ---- memory ---- */

static const char *keep_string(struct reader *r, const char *text, size_t size)
{
	struct osp_elf_memory *m = r->out->memory;
	size_t block = size + 1 > 65536 ? size + 1 : 65536;
	char *to;

	if (!m || m->size - m->used < size + 1) {
		if (r->strings + block > STRINGS)
			return NULL;
		m = malloc(sizeof(*m) + block);
		if (!m)
			return NULL;
		*m = (struct osp_elf_memory){.next = r->out->memory, .size = block};
		r->out->memory = m;
		r->strings += block;
	}
	to = m->bytes + m->used;
	memcpy(to, text, size);
	to[size] = 0;
	m->used += size + 1;
	return to;
}

void osp_elf_free(struct osp_elf **e)
{
	if (!*e)
		return;
	for (struct osp_elf_memory *m = (*e)->memory, *next; m; m = next) {
		next = m->next;
		free(m);
	}
	free((*e)->sites);
	free(*e);
	*e = NULL;
}

static struct osp_elf_site *add_site(struct reader *r)
{
	struct osp_elf *e = r->out;
	struct osp_elf_site *sites;

	if (e->count == OSP_ELF_SITES)
		return NULL;
	if (e->count == r->capacity) {
		size_t capacity = r->capacity ? r->capacity * 2 : 64;

		sites = realloc(e->sites, capacity * sizeof(*sites));
		if (!sites)
			return NULL;
		e->sites = sites;
		r->capacity = capacity;
	}
	e->sites[e->count] = (struct osp_elf_site){0};
	return &e->sites[e->count];
}

/* ---- segments and sections ---- */

static int read_segments(struct reader *r)
{
	size_t n;

	if (elf_getphdrnum(r->elf, &n))
		return -EBADMSG;
	for (size_t i = 0; i < n && i < SEGMENTS; i++) {
		GElf_Phdr *p = &r->segments[r->segment_count];

		if (!gelf_getphdr(r->elf, (int)i, p))
			return -EBADMSG;
		if (p->p_type == PT_LOAD && p->p_offset + p->p_filesz >= p->p_offset)
			r->segment_count++;
	}
	return 0;
}

/* File offset of a link-time address in a segment that has the flag. False: in none. */
static bool find_offset(const struct reader *r, uint64_t address, uint32_t flag, uint64_t *offset)
{
	for (size_t i = 0; i < r->segment_count; i++) {
		const GElf_Phdr *p = &r->segments[i];

		if (!(p->p_flags & flag) || address < p->p_vaddr ||
		    address - p->p_vaddr >= p->p_filesz)
			continue;
		*offset = address - p->p_vaddr + p->p_offset;
		return true;
	}
	return false;
}

/* lld's default layout: the kernel then raises the wrong copy in processes started later. */
static bool is_shared_page(const struct reader *r, uint64_t offset)
{
	uint64_t mask = (uint64_t)sysconf(_SC_PAGESIZE) - 1, page = offset & ~mask;
	int segments = 0;

	for (size_t i = 0; i < r->segment_count; i++) {
		const GElf_Phdr *p = &r->segments[i];

		if ((p->p_flags & PF_W) && page >= (p->p_offset & ~mask) &&
		    page < p->p_offset + p->p_filesz)
			segments++;
	}
	return segments > 1;
}

static const char *section_name(const struct reader *r, const GElf_Shdr *h)
{
	const char *name = elf_strptr(r->elf, r->names, h->sh_name);

	return name ? name : "";
}

/* The next section whose header can be read, from *scn on. */
static bool next_section(const struct reader *r, Elf_Scn **scn, GElf_Shdr *h)
{
	while ((*scn = elf_nextscn(r->elf, *scn)))
		if (elf_ndxscn(*scn) < SECTIONS && gelf_getshdr(*scn, h))
			return true;
	return false;
}

static int open_elf(struct reader *r, int fd)
{
	GElf_Ehdr head;

	elf_version(EV_CURRENT);
	r->fd = fd;
	r->elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!r->elf || elf_kind(r->elf) != ELF_K_ELF)
		return -ENOEXEC;
	if (!gelf_getehdr(r->elf, &head) || gelf_getclass(r->elf) != ELFCLASS64 ||
	    head.e_machine != MACHINE || (head.e_type != ET_EXEC && head.e_type != ET_DYN))
		return -ENOEXEC;
	if (elf_getshdrstrndx(r->elf, &r->names))
		return -EBADMSG;
	return read_segments(r);
}

/* ---- symbols ---- */

static int find_in_table(struct reader *r, Elf_Scn *scn, const GElf_Shdr *h, const char *name,
			 GElf_Sym *out)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t n = h->sh_entsize ? h->sh_size / h->sh_entsize : 0;

	for (size_t i = 0; data && i < n; i++) {
		const char *s;

		if (r->symbols++ >= SYMBOLS || !gelf_getsym(data, (int)i, out))
			return -ENOENT;
		s = out->st_shndx ? elf_strptr(r->elf, h->sh_link, out->st_name) : NULL;
		if (s && !strcmp(s, name))
			return 0;
	}
	return -ENOENT;
}

static int find_symbol(struct reader *r, uint32_t table, const char *name, GElf_Sym *out)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr h;

	while (next_section(r, &scn, &h))
		if (h.sh_type == table && !find_in_table(r, scn, &h, name, out))
			return 0;
	return -ENOENT;
}

static int find_address(void *arg, const char *name, uint64_t *address)
{
	struct reader *r = arg;
	GElf_Sym s;

	if (find_symbol(r, SHT_SYMTAB, name, &s) && find_symbol(r, SHT_DYNSYM, name, &s))
		return -ENOENT;
	*address = s.st_value;
	return 0;
}

int osp_elf_find_function(int fd, const char *name, uint64_t *offset)
{
	struct reader *r _cleanup_free_ = calloc(1, sizeof(*r));
	Elf *elf _cleanup_(end_elf) = NULL;
	GElf_Sym s;
	int e;

	if (!r)
		return -ENOMEM;
	e = open_elf(r, fd);
	elf = r->elf;
	if (e)
		return e;
	if (find_symbol(r, SHT_DYNSYM, name, &s) && find_symbol(r, SHT_SYMTAB, name, &s))
		return -ENOENT;
	return find_offset(r, s.st_value, PF_X, offset) ? 0 : -ENOENT;
}

/* ---- notes ---- */

struct note {
	GElf_Nhdr head;
	const char *owner;
	const uint8_t *desc;
};

/* Takes a NUL-terminated string of at most `max` bytes from the description. */
static const char *take_string(const uint8_t **p, const uint8_t *end, size_t max, size_t *size)
{
	const char *text = (const char *)*p;
	const uint8_t *nul = memchr(*p, 0, (size_t)(end - *p));

	if (!nul || (size_t)(nul - *p) > max)
		return NULL;
	*size = (size_t)(nul - *p);
	*p = nul + 1;
	return text;
}

static uint64_t moved(const struct reader *r, uint64_t address, uint64_t base)
{
	return r->base && base ? address + (r->base - base) : address;
}

static enum osp_elf_form read_form(const struct reader *r, uint64_t offset)
{
	uint8_t b[8] = {0};

	if (pread(r->fd, b, sizeof(b), (off_t)offset) <= 0)
		return OSP_ELF_FORM_OTHER;
	if (MACHINE == EM_AARCH64)
		return memcmp(b, "\x1f\x20\x03\xd5", 4) ? OSP_ELF_FORM_OTHER : OSP_ELF_FORM_NOP;
	if (!memcmp(b, "\x0f\x1f", 2) || !memcmp(b, "\x66\x0f\x1f", 3) ||
	    !memcmp(b, "\x66\x2e\x0f\x1f", 4) || !memcmp(b, "\x66\x90", 2))
		return OSP_ELF_FORM_LONG;
	if (b[0] != 0x90)
		return OSP_ELF_FORM_OTHER;
	if (!memcmp(b + 1, "\x66\x2e\x0f\x1f\x84", 5))
		return OSP_ELF_FORM_NOP_10;
	return memcmp(b + 1, "\x0f\x1f\x44\x00\x00", 5) ? OSP_ELF_FORM_NOP : OSP_ELF_FORM_NOP_5;
}

/* Fills in what follows from the addresses. */
static void place_site(struct reader *r, struct osp_elf_site *s, uint64_t semaphore)
{
	struct osp_operand_site at = {
		.machine = MACHINE, .address = s->address, .symbol = find_address, .arg = r};
	int n = osp_operand_parse(&s->spec, s->args, &at);

	s->operands = n < 0 ? 0 : (uint32_t)n;
	if (n < 0)
		s->refusal = OSP_ELF_REFUSAL_OPERANDS;
	if (semaphore && !find_offset(r, semaphore, PF_W, &s->semaphore))
		s->refusal = OSP_ELF_REFUSAL_SEMAPHORE;
	if (s->semaphore && is_shared_page(r, s->semaphore))
		r->out->shared_page = true;
	if (!find_offset(r, s->address, PF_X, &s->offset))
		s->refusal = OSP_ELF_REFUSAL_CODE;
	else
		s->form = read_form(r, s->offset);
}

/* A note of sys/sdt.h's form. False: it cannot be read. */
static bool read_stapsdt(struct reader *r, const struct note *n)
{
	const uint8_t *p = n->desc + 24, *end = n->desc + n->head.n_descsz;
	size_t provider_size, probe_size, args_size;
	const char *provider, *probe, *args;
	struct osp_elf_site *s;
	uint64_t word[3];

	if (n->head.n_descsz < 24)
		return false;
	memcpy(word, n->desc, sizeof(word));
	provider = take_string(&p, end, OSP_ELF_NAME, &provider_size);
	probe = provider ? take_string(&p, end, OSP_ELF_NAME, &probe_size) : NULL;
	args = probe ? take_string(&p, end, OSP_ELF_ARGS, &args_size) : NULL;
	if (!args)
		return false;
	if (!word[0]) {
		r->out->zero_notes++;
		return true;
	}
	s = add_site(r);
	if (!s)
		return false;
	s->provider = keep_string(r, provider, provider_size);
	s->probe = keep_string(r, probe, probe_size);
	s->args = keep_string(r, args, args_size);
	if (!s->provider || !s->probe || !s->args)
		return false;
	s->address = moved(r, word[0], word[1]);
	place_site(r, s, word[2] ? moved(r, word[2], word[1]) : 0);
	r->out->count++;
	return true;
}

/* Index of the first site at the address (sites are sorted by now), or the count. */
static size_t find_first(const struct reader *r, uint64_t address)
{
	size_t low = 0, high = r->out->count;
	uint64_t offset;

	if (!find_offset(r, address, PF_X, &offset))
		return high;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (r->out->sites[middle].offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * The no-op behind the stub's return, where attaching makes a point wanted without a trap. A note
 * may say anything, so the code itself must: whoever attached elsewhere would trap, or worse.
 */
static uint64_t find_carry(const struct reader *r, const struct osp_elf_site *s, uint32_t distance)
{
	static const uint8_t x86[] = {0xc3, 0x90};
	static const uint8_t arm[] = {0xc0, 0x03, 0x5f, 0xd6, 0x1f, 0x20, 0x03, 0xd5};
	const uint8_t *expected = MACHINE == EM_AARCH64 ? arm : x86;
	size_t size = MACHINE == EM_AARCH64 ? sizeof(arm) : sizeof(x86), before = size / 2;
	uint8_t code[sizeof(arm)];
	uint64_t at;

	if (distance < before || distance > CARRY_MAX || s->semaphore % 4 ||
	    !find_offset(r, s->address + distance - before, PF_X, &at))
		return 0;
	if (pread(r->fd, code, size, (off_t)at) != (ssize_t)size || memcmp(code, expected, size))
		return 0;
	return at + before;
}

/* What our generator says of the site at the same address and of the same name. */
static bool read_outspan(struct reader *r, const struct note *n)
{
	const uint8_t *p = n->desc + NOTE_OUTSPAN_HEAD, *end = n->desc + n->head.n_descsz;
	const char *provider, *probe;
	uint32_t word[10]; /* abi, number, address, base, digest, carry, 0 */
	uint64_t wide[3];
	size_t size;

	if (n->head.n_descsz < NOTE_OUTSPAN_HEAD)
		return false;
	memcpy(word, n->desc, sizeof(word));
	memcpy(wide, n->desc + 8, sizeof(wide));
	provider = take_string(&p, end, OSP_ELF_NAME, &size);
	probe = provider ? take_string(&p, end, OSP_ELF_NAME, &size) : NULL;
	if (!probe)
		return false;
	for (size_t i = find_first(r, moved(r, wide[0], wide[1])); i < r->out->count; i++) {
		struct osp_elf_site *s = &r->out->sites[i];

		if (s->address != moved(r, wide[0], wide[1]))
			break;
		if (strcmp(s->provider, provider) || strcmp(s->probe, probe))
			continue;
		s->own = true;
		s->abi = word[0];
		s->number = word[1];
		s->digest = wide[2];
		s->carry = find_carry(r, s, word[8]);
	}
	return true;
}

static bool read_build_id(struct reader *r, const struct note *n)
{
	struct osp_elf *e = r->out;

	if (e->build_id_size || !n->head.n_descsz || n->head.n_descsz > OSP_ELF_BUILD_ID)
		return true;
	memcpy(e->build_id, n->desc, n->head.n_descsz);
	e->build_id_size = n->head.n_descsz;
	return true;
}

static const struct note_kind {
	const char *owner;
	uint32_t type;
	bool (*read)(struct reader *r, const struct note *n);
} stapsdt_notes[] = {{"stapsdt", NOTE_STAPSDT, read_stapsdt},
		     {"GNU", NT_GNU_BUILD_ID, read_build_id}},
  outspan_notes[] = {{"outspan", NOTE_OUTSPAN, read_outspan}};

static void read_note(struct reader *r, const struct note *n, const struct note_kind *kinds,
		      size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (n->head.n_type == kinds[i].type &&
		    n->head.n_namesz == strlen(kinds[i].owner) + 1 &&
		    !memcmp(n->owner, kinds[i].owner, n->head.n_namesz) && !kinds[i].read(r, n))
			r->out->bad_notes++;
}

static void read_section(struct reader *r, Elf_Scn *scn, const struct note_kind *kinds,
			 size_t count)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t at = 0, next, owner, desc;
	struct note n;

	if (!data || !data->d_buf) {
		r->out->bad_notes++;
		return;
	}
	while ((next = gelf_getnote(data, at, &n.head, &owner, &desc)) > 0) {
		n.owner = (const char *)data->d_buf + owner;
		n.desc = (const uint8_t *)data->d_buf + desc;
		read_note(r, &n, kinds, count);
		at = next;
	}
	/* libelf stops at the end and at the first note that does not fit alike. */
	if (at < data->d_size)
		r->out->bad_notes++;
}

static void read_notes(struct reader *r, const struct note_kind *kinds, size_t count)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr h;

	r->note_bytes = 0;
	while (next_section(r, &scn, &h)) {
		if (h.sh_type != SHT_NOTE || !h.sh_size || h.sh_flags & SHF_COMPRESSED)
			continue;
		if (h.sh_size > OSP_ELF_NOTE_BYTES - r->note_bytes) {
			r->out->bad_notes++;
			continue;
		}
		r->note_bytes += h.sh_size;
		read_section(r, scn, kinds, count);
	}
}

static void find_base(struct reader *r)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr h;

	while (next_section(r, &scn, &h))
		if (!strcmp(section_name(r, &h), ".stapsdt.base"))
			r->base = h.sh_addr;
}

/* ---- all sites together ---- */

static int compare_sites(const void *a, const void *b)
{
	const struct osp_elf_site *x = a, *y = b;
	int c = x->offset < y->offset ? -1 : x->offset > y->offset;

	c = c ? c : strcmp(x->provider, y->provider);
	return c ? c : strcmp(x->probe, y->probe);
}

/* A note that is there twice counts once; two points at one address are both refused. */
static void settle_sites(struct osp_elf *e)
{
	size_t kept = 0;

	if (e->count)
		qsort(e->sites, e->count, sizeof(*e->sites), compare_sites);
	for (size_t i = 0; i < e->count; i++) {
		struct osp_elf_site *s = &e->sites[i], *last = kept ? &e->sites[kept - 1] : NULL;

		if (last && !compare_sites(last, s) && last->semaphore == s->semaphore)
			continue;
		if (last && last->offset == s->offset && !last->refusal) {
			last->refusal = OSP_ELF_REFUSAL_SHARED;
			s->refusal = OSP_ELF_REFUSAL_SHARED;
		} else if (last && last->offset == s->offset && !s->refusal) {
			s->refusal = last->refusal;
		}
		e->sites[kept++] = *s;
	}
	e->count = kept;
}

int osp_elf_read(struct osp_elf **out, int fd)
{
	struct reader *r _cleanup_free_ = calloc(1, sizeof(*r));
	struct osp_elf *file _cleanup_(osp_elf_free) = calloc(1, sizeof(*file));
	Elf *elf _cleanup_(end_elf) = NULL;
	int e;

	if (!r || !file)
		return -ENOMEM;
	r->out = file;
	e = open_elf(r, fd);
	elf = r->elf;
	if (e)
		return e;
	find_base(r);
	read_notes(r, stapsdt_notes, sizeof(stapsdt_notes) / sizeof(stapsdt_notes[0]));
	settle_sites(file);
	read_notes(r, outspan_notes, sizeof(outspan_notes) / sizeof(outspan_notes[0]));
	*out = TAKE_PTR(file);
	return 0;
}
