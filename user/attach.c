/*
 * Keeps the list of attached binaries: links, leases, site numbers. Fed by loader.c; uses links.c
 * and lease.c. A binary somebody wants to overwrite goes through three states: attached; given up
 * (detached, lease released); and, once a lease can be had again, attached as it then is. Owns
 * the links and the leases; the binaries belong to their table.
 */
#include "user/attach.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/form.h"
#include "user/lease.h"
#include "user/links.h"
#include "user/shape.h"

enum {
	RETRY_MS = 100, /* between attempts to get a lease back from a writer */
	WARNINGS = 10,	/* refused sites named one by one per binary */
	SITES_MAX = 1 << 24,
};

/*
 * All our own sites of a binary share a link: closing two of them takes a grace period more (40 ms)
 * than closing one. When they are switched they are linked anew, all of them, and then the old link
 * is closed; the kernel side takes a step that traps twice for it once (bpf/twice.h). It cannot for
 * foreign sites: each foreign point has a link of its own, so that a site that stays keeps its one.
 */
enum { OWN_LINKS = 2, LINKS_MAX = OWN_LINKS + OSP_CATALOGUE_POINTS };

struct attachment {
	struct attachment *next;
	struct osp_binary *binary;	    /* borrowed: the table's */
	struct osp_links *links[LINKS_MAX]; /* our own, then by point; NULL = none */
	struct osp_links *mapped;	    /* of a dynamic linker's notice, or NULL */
	struct osp_attach_result result;
	uint32_t first_site;
	bool given_up; /* waits for a writer */
};

struct osp_attach {
	struct osp_attach_programs programs;
	enum osp_attach_form form;
	struct osp_wanted wanted;
	struct attachment *first;
	bool wide; /* our own sites are attached at their multi-byte no-op */
	struct osp_leases *leases;
	uint32_t next_site;
	size_t given_up;
	bool numbered[OSP_EVENT_NUMBERS]; /* tables that the kernel side has */
};

int osp_attach_new(struct osp_attach **out, const struct osp_attach_programs *p,
		   const struct osp_loader_options *o, enum osp_attach_form form)
{
	struct osp_attach *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	*a = (struct osp_attach){.programs = *p, .form = form, .wanted = o->wanted, .next_site = 1};
	r = osp_leases_open(&a->leases);
	if (r) {
		free(a);
		return osp_err(r, "open the descriptor for lease notices");
	}
	*out = a;
	return 0;
}

void osp_attach_free(struct osp_attach **a)
{
	if (!*a)
		return;
	osp_attach_clear(*a);
	osp_leases_close(&(*a)->leases);
	free(*a);
	*a = NULL;
}

enum osp_attach_form osp_attach_form(const struct osp_attach *a)
{
	return a->form;
}

/* ---- one binary ---- */

/* What to do with a site that can be attached. A stub without the no-op to carry at traps. */
static enum osp_use use_of(const struct osp_attach *a, const struct osp_site *s)
{
	enum osp_use use = osp_form_use(&a->wanted, s->point);

	return use == OSP_USE_CARRY && !s->elf->carry ? OSP_USE_TRAP : use;
}

/* The upper half of a point's word is the count of those who have it carried. */
static void fill_hook(const struct osp_attach *a, struct osp_hook *hook, const struct osp_site *s,
		      bool carried, uint32_t site)
{
	/* The one-byte no-op stands before the other. */
	unsigned int wide = a->wide && s->elf->own && s->elf->form == OSP_ELF_FORM_NOP_10;

	*hook = (struct osp_hook){
		.offset = carried ? s->elf->carry : s->elf->offset + wide,
		.semaphore = s->elf->semaphore + (carried ? 2 : 0),
		.cookie = (uint64_t)site << 32 | (uint32_t)s->numbers << 16 | s->point->number,
	};
}

/* Operands of a foreign site, for the kernel side. */
static int add_spec(struct osp_attach *a, const struct osp_site *s, uint32_t site)
{
	struct osp_site_spec spec;
	int r = osp_shape_order(&spec, s->point, &s->elf->spec, s->elf->operands);

	if (!r && bpf_map_update_elem(a->programs.sites, &site, &spec, BPF_ANY))
		r = -errno;
	return r;
}

/* What the kernel side needs to know which points lost steps were of. */
static int add_numbers(struct osp_attach *a, const struct osp_binary *b)
{
	for (size_t i = 0; i < b->count; i++) {
		uint32_t table = b->sites[i].numbers;

		if (!table || a->numbered[table])
			continue;
		if (bpf_map_update_elem(a->programs.numbers, &table, b->sites[i].table, BPF_ANY))
			return -errno;
		a->numbered[table] = true;
	}
	return 0;
}

static enum osp_use use_now(const struct osp_site *s)
{
	return !s->attached ? OSP_USE_NONE : s->carried ? OSP_USE_CARRY : OSP_USE_TRAP;
}

/* What is to be done with the sites of a binary. Arrays of its count of sites; owned. */
struct plan {
	enum osp_use *use; /* to come; only of sites that can be attached */
	size_t *which;	   /* the sites of the link at hand */
	struct osp_hook *hooks;
	bool own;		/* something changes at our own sites */
	bool broken[LINKS_MAX]; /* links that do not stay: to be closed */
};

static void clear_plan(struct plan *p)
{
	free(p->use);
	free(p->which);
	free(p->hooks);
}

/* Links of foreign points that nobody wants now; that of our own sites, if anything is to change there. */
static void break_links(struct plan *p, const struct osp_binary *b)
{
	for (size_t i = 0; i < b->count; i++) {
		const struct osp_site *s = &b->sites[i];

		if (use_now(s) == p->use[i])
			continue;
		if (!s->point->foreign)
			p->own = true;
		else if (s->attached)
			p->broken[s->link] = true;
	}
	for (size_t i = 0; i < OWN_LINKS; i++)
		p->broken[i] = p->own;
}

static int init_plan(struct plan *p, const struct osp_attach *a, struct attachment *at)
{
	const struct osp_binary *b = at->binary;
	size_t n = b->count ? b->count : 1;

	p->use = calloc(n, sizeof(*p->use));
	p->which = calloc(n, sizeof(*p->which));
	p->hooks = calloc(n, sizeof(*p->hooks));
	if (!p->use || !p->which || !p->hooks)
		return -ENOMEM;
	for (size_t i = 0; i < b->count; i++)
		p->use[i] = b->sites[i].state == OSP_SITE_KNOWN ? use_of(a, &b->sites[i])
								: OSP_USE_NONE;
	break_links(p, b);
	return 0;
}

/* The sites that a link is for: those of a foreign point, or all our own. */
static size_t list_sites(const struct plan *p, const struct osp_binary *b,
			 const struct osp_point *foreign)
{
	size_t n = 0;

	for (size_t i = 0; i < b->count; i++) {
		const struct osp_point *point = b->sites[i].point;

		if (p->use[i] != OSP_USE_NONE && (foreign ? point == foreign : !point->foreign))
			p->which[n++] = i;
	}
	return n;
}

/* Nothing could be made in its place. */
static void keep_link(struct plan *p, const struct osp_site *s)
{
	if (s->attached)
		p->broken[s->link] = false;
}

/* Links the sites of the list, at that place. */
static int link_list(struct osp_attach *a, struct attachment *at, struct plan *p, size_t n,
		     uint16_t place)
{
	struct osp_binary *b = at->binary;
	bool foreign = place >= OWN_LINKS;
	int r = 0;

	for (size_t k = 0; !r && k < n; k++) {
		struct osp_site *s = &b->sites[p->which[k]];
		uint32_t site = at->first_site + (uint32_t)p->which[k];

		if (foreign)
			r = add_spec(a, s, site);
		fill_hook(a, &p->hooks[k], s, p->use[p->which[k]] == OSP_USE_CARRY, site);
	}
	if (r)
		return r;
	r = osp_links_open(&at->links[place], foreign ? a->programs.foreign : a->programs.step,
			   a->form, b->fd, p->hooks, n);
	p->broken[place] = false;
	for (size_t k = 0; k < n; k++) {
		struct osp_site *s = &b->sites[p->which[k]];

		s->reason = p->hooks[k].reason;
		if (r) {
			keep_link(p, s);
			continue;
		}
		s->attached = !s->reason;
		s->carried = p->use[p->which[k]] == OSP_USE_CARRY;
		s->link = place;
	}
	return r;
}

/* All our own sites, if any of them changes. */
static int link_own(struct osp_attach *a, struct attachment *at, struct plan *p)
{
	size_t n = p->own ? list_sites(p, at->binary, NULL) : 0;

	return n ? link_list(a, at, p, n, at->links[0] != NULL) : 0;
}

/* The foreign points that have no link yet, each once. */
static int link_foreign(struct osp_attach *a, struct attachment *at, struct plan *p)
{
	bool tried[OSP_CATALOGUE_POINTS] = {false};
	int r = 0;

	for (size_t i = 0; i < at->binary->count; i++) {
		const struct osp_point *point = at->binary->sites[i].point;
		int e;

		if (p->use[i] == OSP_USE_NONE || !point->foreign || tried[point->number] ||
		    at->links[OWN_LINKS + point->number])
			continue;
		tried[point->number] = true;
		e = link_list(a, at, p, list_sites(p, at->binary, point),
			      (uint16_t)(OWN_LINKS + point->number));
		r = r ? r : e;
	}
	return r;
}

/* Sites of links that are closed are in new ones by now, if they stay. */
static void close_broken(struct attachment *at, const struct plan *p)
{
	struct osp_links *old[LINKS_MAX] = {NULL};

	for (size_t i = 0; i < at->binary->count; i++) {
		struct osp_site *s = &at->binary->sites[i];

		if (s->attached && p->broken[s->link])
			s->attached = s->carried = false;
	}
	for (size_t i = 0; i < LINKS_MAX; i++)
		if (p->broken[i]) {
			old[i] = at->links[i];
			at->links[i] = NULL;
		}
	osp_links_close_all(old, LINKS_MAX);
}

/*
 * Attaches what is wanted and is not, then detaches what is and is not wanted: a site that stays
 * is never without a link. Links that could be made stay even if others could not.
 */
static int link_sites(struct osp_attach *a, struct attachment *at)
{
	struct plan p _cleanup_(clear_plan) = {0};
	int r = init_plan(&p, a, at), e;

	if (r)
		return r;
	r = link_own(a, at, &p);
	e = link_foreign(a, at, &p);
	close_broken(at, &p);
	return r ? r : e;
}

static int link_linker(struct osp_attach *a, struct attachment *at)
{
	struct osp_hook hook = {.offset = at->binary->linker_offset};

	if (!hook.offset)
		return 0;
	return osp_links_open(&at->mapped, a->programs.mapped, a->form, at->binary->fd, &hook, 1);
}

static void count_sites(const struct osp_attach *a, struct attachment *at)
{
	struct osp_attach_result *r = &at->result;

	r->wanted = r->attached = r->carried = r->refused = 0;
	for (size_t i = 0; i < at->binary->count; i++) {
		const struct osp_site *s = &at->binary->sites[i];

		/* What the file itself rules out was wanted, too, if the level asks for the point. */
		if (!s->point || osp_form_use(&a->wanted, s->point) == OSP_USE_NONE)
			continue;
		r->wanted++;
		r->attached += s->attached;
		r->carried += s->attached && s->carried;
		r->refused += !s->attached;
	}
}

static void tell_refused(const struct osp_attach *a, const struct attachment *at)
{
	size_t told = 0;

	for (size_t i = 0; i < at->binary->count; i++) {
		const struct osp_site *s = &at->binary->sites[i];

		if (!s->point || s->attached || !s->reason ||
		    osp_form_use(&a->wanted, s->point) == OSP_USE_NONE)
			continue;
		if (told++ < WARNINGS)
			osp_warn("%s:%s in %s is not traced: %s", s->elf->provider, s->elf->probe,
				 at->binary->path, s->reason);
	}
	if (told > WARNINGS)
		osp_warn("%zu more points in %s are not traced - see outspan probes",
			 told - WARNINGS, at->binary->path);
}

static void take_lease(struct attachment *at)
{
	int r = osp_lease_take(at->binary->fd);

	at->result.leased = !r;
	at->result.lease_error = r;
	if (r)
		osp_warn(
			"no lease on %s: %s - replace it by rename while it is traced: overwriting it in place may crash its next start",
			at->binary->path, strerror(-r));
}

static void unlink_all(struct attachment *at)
{
	struct osp_links *all[LINKS_MAX + 1];

	memcpy(all, at->links, sizeof(at->links));
	all[LINKS_MAX] = TAKE_PTR(at->mapped);
	memset(at->links, 0, sizeof(at->links));
	osp_links_close_all(all, LINKS_MAX + 1);
	for (size_t i = 0; i < at->binary->count; i++)
		at->binary->sites[i].attached = false;
}

/*
 * Attaches what the level asks for; the lease comes first, so that what was read is what is
 * attached. Links that could be made stay even if others could not. */
static int link_binary(struct osp_attach *a, struct attachment *at)
{
	int r, linker;

	if (a->next_site > SITES_MAX)
		return -ENOMEM;
	at->first_site = a->next_site;
	a->next_site += at->binary->count ? (uint32_t)at->binary->count : 1;
	at->result = (struct osp_attach_result){0};
	take_lease(at);
	if (osp_binary_is_changed(at->binary))
		return -ESTALE;
	r = add_numbers(a, at->binary);
	if (r)
		return r;
	r = link_sites(a, at);
	linker = link_linker(a, at);
	count_sites(a, at);
	tell_refused(a, at);
	if (linker)
		osp_warn("%s: objects that programs load later are not noticed: %s",
			 at->binary->path, strerror(-linker));
	return at->result.attached ? 0 : r;
}

static struct attachment **find_attachment(struct osp_attach *a, const struct osp_binary *b)
{
	struct attachment **at = &a->first;

	while (*at && (*at)->binary != b)
		at = &(*at)->next;
	return at;
}

static void drop_attachment(struct osp_attach *a, struct attachment **where)
{
	struct attachment *at = *where;

	unlink_all(at);
	if (at->result.leased)
		osp_lease_release(at->binary->fd);
	a->given_up -= at->given_up;
	at->binary->attachment = NULL;
	*where = at->next;
	free(at);
}

int osp_attach_add(struct osp_attach *a, struct osp_binary *b, struct osp_attach_result *result)
{
	struct attachment *at = b->attachment;
	int r;

	if (at) {
		*result = at->result;
		return 0;
	}
	*result = (struct osp_attach_result){0};
	if (b->fd < 0)
		return 0;
	at = calloc(1, sizeof(*at));
	if (!at)
		return -ENOMEM;
	at->binary = b;
	at->next = a->first;
	a->first = at;
	b->attachment = at;
	r = link_binary(a, at);
	*result = at->result;
	if (!r)
		return 0;
	drop_attachment(a, &a->first);
	return osp_err(r, "attach %s", b->path);
}

int osp_attach_switch(struct osp_attach *a, const struct osp_wanted *wanted, size_t *attached)
{
	int r = 0;

	a->wanted = *wanted;
	*attached = 0;
	for (struct attachment *at = a->first; at; at = at->next) {
		int e = at->given_up ? 0 : link_sites(a, at);

		if (e)
			osp_err(e, "attach %s anew", at->binary->path);
		r = r ? r : e;
		count_sites(a, at);
		*attached += at->given_up ? 0 : at->result.attached;
	}
	return r;
}

/* Takes the links of all binaries' sites out of their attachments. */
static size_t take_links(struct osp_attach *a, struct osp_links **to)
{
	size_t n = 0;

	for (struct attachment *at = a->first; at; at = at->next)
		for (int i = 0; i < LINKS_MAX; i++)
			if (at->links[i])
				to[n++] = TAKE_PTR(at->links[i]);
	return n;
}

static size_t take_mapped(struct osp_attach *a, struct osp_links **to)
{
	size_t n = 0;

	for (struct attachment *at = a->first; at; at = at->next)
		if (at->mapped)
			to[n++] = TAKE_PTR(at->mapped);
	return n;
}

/* The linkers' files: their leases are not to be released before the probes are gone. */
static size_t take_leases(struct osp_attach *a, int *files)
{
	size_t n = 0;

	for (struct attachment *at = a->first; at; at = at->next) {
		if (!at->mapped || !at->result.leased)
			continue;
		files[n++] = at->binary->fd;
		at->result.leased = false;
	}
	return n;
}

/*
 * All sites side by side. Nobody waits for the linkers' notices: they count nothing and hold no
 * semaphore, and a second grace period would double the time to stop.
 */
static void unlink_everything(struct osp_attach *a)
{
	struct osp_links **all _cleanup_free_ = NULL;
	int *files _cleanup_free_ = NULL;
	size_t n = 0, held;

	for (struct attachment *at = a->first; at; at = at->next)
		n += LINKS_MAX;
	all = calloc(n ? n : 1, sizeof(struct osp_links *));
	files = calloc(n ? n : 1, sizeof(*files));
	if (!all || !files)
		return; /* they are closed one by one */
	n = take_links(a, all);
	osp_links_close_all(all, n);
	held = take_leases(a, files);
	n = take_mapped(a, all);
	osp_links_abandon_all(all, n, files, held);
}

void osp_attach_clear(struct osp_attach *a)
{
	unlink_everything(a);
	while (a->first)
		drop_attachment(a, &a->first);
}

void osp_attach_use_wide(struct osp_attach *a)
{
	a->wide = true;
}

/* ---- files that somebody wants to overwrite ---- */

int osp_attach_lease_fd(const struct osp_attach *a)
{
	return osp_leases_fd(a->leases);
}

int osp_attach_timeout_ms(const struct osp_attach *a)
{
	return a->given_up ? RETRY_MS : -1;
}

/* First detach, then release: in this order the writer never meets a probe. */
static void give_up(struct osp_attach *a, struct attachment *at, osp_loader_change_fn fn, void *arg)
{
	fn(arg, OSP_LOADER_DETACHED, true, at->binary);
	unlink_all(at);
	osp_lease_release(at->binary->fd);
	at->result.leased = false;
	at->given_up = true;
	a->given_up++;
	fn(arg, OSP_LOADER_DETACHED, false, at->binary);
}

/* Once no writer is left, the file is read and attached as it is now. */
static void try_again(struct osp_attach *a, struct osp_binaries *binaries, struct attachment *at,
		      osp_loader_change_fn fn, void *arg)
{
	int r = osp_lease_take(at->binary->fd);

	if (r == -EAGAIN)
		return;
	if (!r)
		osp_lease_release(at->binary->fd);
	at->given_up = false;
	a->given_up--;
	fn(arg, OSP_LOADER_REATTACHED, true, at->binary);
	r = osp_binaries_reload(binaries, at->binary);
	if (r >= 0)
		r = at->binary->known || at->binary->linker_offset ? link_binary(a, at) : -ENOEXEC;
	fn(arg, r < 0 ? OSP_LOADER_GONE : OSP_LOADER_REATTACHED, false, at->binary);
	if (r < 0)
		drop_attachment(a, find_attachment(a, at->binary));
}

int osp_attach_handle(struct osp_attach *a, struct osp_binaries *binaries, osp_loader_change_fn fn,
		      void *arg)
{
	osp_leases_clear(a->leases);
	for (struct attachment *at = a->first, *next; at; at = next) {
		next = at->next;
		if (at->given_up)
			try_again(a, binaries, at, fn, arg);
		else if (at->result.leased && osp_lease_is_broken(at->binary->fd))
			give_up(a, at, fn, arg);
	}
	return 0;
}
