/*
 * Verifies attached sites in /proc/PID/mem. Fed with binaries and pids by loader.c and the
 * commands. A site with a semaphore is armed when that is not 0; one without is when a trap
 * stands in the place of its no-op. Owns nothing between calls.
 */
#include "user/semaphore.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "user/base/cleanup.h"

enum { PARTS = 64 }; /* mappings of one file in one process */

struct part {
	uint64_t offset, size, start;
	bool write, execute;
};

struct layout {
	const struct osp_binary *binary;
	struct part parts[PARTS];
	size_t count;
};

static int note_part(void *arg, const struct osp_mapping *m)
{
	struct layout *l = arg;

	if (osp_binary_has_mapping(l->binary, m) && l->count < PARTS)
		l->parts[l->count++] = (struct part){.offset = m->offset,
						     .size = m->end - m->start,
						     .start = m->start,
						     .write = m->write,
						     .execute = m->execute};
	return 0;
}

/* Where the process has a byte of the file; a writable part of it if `write`, else code. */
static bool find_address(const struct layout *l, uint64_t offset, bool write, uint64_t *address)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct part *p = &l->parts[i];

		if (!(write ? p->write : p->execute) || offset < p->offset ||
		    offset - p->offset >= p->size)
			continue;
		*address = p->start + (offset - p->offset);
		return true;
	}
	return false;
}

/* True if the instruction was replaced by the machine's breakpoint. */
static bool is_trap(const uint8_t code[4])
{
#if defined(__aarch64__)
	return code[3] == 0xd4 && (code[2] & 0xe0) == 0x20;
#else
	return code[0] == 0xcc;
#endif
}

static int look(const struct layout *l, int memory, struct osp_armed_site *s)
{
	const struct osp_elf_site *elf = s->site->elf;
	bool counted = elf->semaphore != 0;
	size_t size = elf->own ? 4 : 2;
	uint16_t word[2] = {0};
	uint8_t code[4];
	uint64_t at;
	int r;

	s->armed = OSP_ARMED_HIDDEN;
	s->semaphore = s->carry = 0;
	if (elf->refusal || !find_address(l, counted ? elf->semaphore : elf->offset, counted, &at))
		return 0;
	r = counted ? osp_process_peek(memory, at, word, size)
		    : osp_process_peek(memory, at, code, sizeof(code));
	if (r == -EIO)
		return 0;
	if (r)
		return r;
	s->semaphore = word[0];
	s->carry = word[1];
	s->armed = (counted ? word[0] || word[1] : is_trap(code)) ? OSP_ARMED : OSP_ARMED_NOT;
	return 0;
}

int osp_semaphore_scan(const struct osp_binary *binary, uint32_t pid,
		       int (*fn)(void *arg, const struct osp_armed_site *s), void *arg)
{
	struct layout *l _cleanup_free_ = calloc(1, sizeof(*l));
	int memory _cleanup_close_ = -1, r;

	if (!l)
		return -ENOMEM;
	l->binary = binary;
	r = osp_process_mappings(pid, note_part, l);
	if (!r && l->count)
		r = osp_process_open_memory(pid, &memory);
	for (size_t i = 0; !r && l->count && i < binary->count; i++) {
		struct osp_armed_site s = {.site = &binary->sites[i]};

		r = look(l, memory, &s);
		if (!r)
			r = fn(arg, &s);
	}
	return r;
}

struct verdict {
	size_t unarmed;
	bool hidden;
};

static int judge(void *arg, const struct osp_armed_site *s)
{
	struct verdict *v = arg;

	/* Another recorder's half is not ours. */
	bool up = !s->site->elf->semaphore ? s->armed == OSP_ARMED
		  : s->site->carried	   ? s->carry != 0
					   : s->semaphore != 0;

	if (!s->site->attached || up)
		return 0;
	v->unarmed++;
	v->hidden = v->hidden || s->armed == OSP_ARMED_HIDDEN;
	return 0;
}

int osp_semaphore_verify(const struct osp_binary *binary, uint32_t pid, size_t *unarmed,
			 const char **reason)
{
	struct verdict v = {0};
	int r = osp_semaphore_scan(binary, pid, judge, &v);

	if (r)
		return r;
	*unarmed = v.unarmed;
	*reason =
		!v.unarmed ? NULL
		: v.hidden ? "the process has that part of the file not mapped"
		: binary->elf->shared_page
			? "two writable segments share the page of its semaphores (lld's default) - link with -z separate-loadable-segments, or with another linker"
			: "its semaphores are still 0: the process runs another copy of the file (an overlay file system, perhaps) - name the lower file with -e";
	return 0;
}
