/*
 * Remembers who receives for whom (user/receivers.h): fed by delivery.c with receipts that were
 * seen, asked about those that were not. Owns its table, which is bounded.
 */
#include "user/receivers.h"

#include <errno.h>
#include <stdlib.h>

#include "user/base/cleanup.h"
#include "user/base/hash.h"
#include "user/base/map.h"
#include "user/base/rows.h"

enum { SUBSCRIBERS = 1 << 16, ROWS_MAX = 1 << 24 };

/* When the receipts of a process were looked at; to_ns 0 = still are. */
struct watched {
	uint32_t process;
	int64_t from_ns, to_ns;
};

struct osp_receivers {
	const struct osp_session *session; /* borrowed */
	struct osp_map processes;	   /* by subscriber: struct osp_process_row, or &several */
	struct watched *watched;
	size_t watched_count;
	bool told; /* the session says what was attached; a replayed one does not */
};

static struct osp_process_row several; /* more than one process has received for the subscriber */

static int take(struct osp_receivers *r, const struct osp_roles *roles,
		const struct osp_attach_row *row)
{
	int e;

	r->told = true;
	if (osp_roles_of_probe(roles, row->provider, row->probe) != OSP_ROLE_RECEIVED)
		return 0;
	e = osp_rows_grow((void **)&r->watched, r->watched_count, sizeof(*r->watched), ROWS_MAX);
	if (!e)
		r->watched[r->watched_count++] =
			(struct watched){row->process, row->from_ns, row->to_ns};
	return e;
}

int osp_receivers_new(struct osp_receivers **out, const struct osp_session *s,
		      const struct osp_roles *roles)
{
	_cleanup_(osp_receivers_free) struct osp_receivers *r = calloc(1, sizeof(*r));
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_part part;
	int e = r ? osp_store_parts(s->store, OSP_PART_ATTACH, &c) : -ENOMEM;

	if (e)
		return e;
	r->session = s;
	osp_map_init(&r->processes, SUBSCRIBERS, osp_hash_secret[0]);
	while (!e && !(e = osp_cursor_next_part(c, &part)))
		e = take(r, roles, &part.attach);
	if (e < 0)
		return e;
	*out = TAKE_PTR(r);
	return 0;
}

void osp_receivers_free(struct osp_receivers **r)
{
	if (!*r)
		return;
	osp_map_clear(&(*r)->processes);
	free((*r)->watched);
	free(*r);
	*r = NULL;
}

const void *osp_receivers_key(const struct osp_value *v, size_t *size)
{
	if (!v)
		return NULL;
	if (v->type < OSP_VALUE_STR) {
		*size = v->type == OSP_VALUE_BOOL ? sizeof(v->boolean) : sizeof(v->u64);
		return &v->u64;
	}
	*size = v->size;
	return v->size && v->size == v->true_size ? v->data : NULL;
}

int osp_receivers_add(struct osp_receivers *r, const struct osp_value *subscriber, uint32_t process)
{
	const struct osp_process_row *p = osp_session_process(r->session, process), *before;
	size_t size;
	const void *key = osp_receivers_key(subscriber, &size);
	int e;

	if (!key || !p)
		return 0;
	before = osp_map_find(&r->processes, key, size);
	if (before == p)
		return 0;
	e = osp_map_add(&r->processes, key, size, before ? &several : (void *)p);
	return e == -ENOSPC ? 0 : e;
}

static bool was_watched(const struct osp_receivers *r, const struct osp_process_row *p,
			int64_t from_ns, int64_t to_ns)
{
	for (size_t i = 0; i < r->watched_count; i++) {
		const struct watched *w = &r->watched[i];

		if (w->process == p->key && w->from_ns <= from_ns &&
		    (!w->to_ns || w->to_ns >= to_ns || (p->end_ns && w->to_ns >= p->end_ns)))
			return true;
	}
	return !r->told;
}

bool osp_receivers_were_seen(const struct osp_receivers *r, const struct osp_value *subscriber,
			     int64_t from_ns, int64_t to_ns)
{
	size_t size;
	const void *key = osp_receivers_key(subscriber, &size);
	const struct osp_process_row *p = key ? osp_map_find(&r->processes, key, size) : NULL;

	return p && p != &several && was_watched(r, p, from_ns, to_ns);
}
