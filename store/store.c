/*
 * The store contract above its drivers: which driver a URI names, the check of every part before
 * a driver sees it, and all that is derived on reading (flat spans, traces, ids). Commands and
 * the recorder call it; it calls one driver's table of functions. It owns cursors.
 */
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/driver.h"
#include "store/part.h"
#include "store/unpack.h"
#include "user/base/cleanup.h"
#include "user/base/text.h"

static const struct osp_store_ops *const drivers[] = {&osp_store_mem, &osp_store_sqlite};

enum cursor_kind { CURSOR_TRACES, CURSOR_SPANS, CURSOR_PARTS };

/* What readers need to know of the session. */
struct about {
	uint64_t id; /* 0 = it has none */
	bool ended;  /* its recorder closed the books */
};

struct osp_cursor {
	enum cursor_kind kind;
	struct osp_store *store; /* borrowed: the caller closes the store after the cursor */
	struct osp_arena arena;	 /* what was handed out last */
	uint64_t *traces;	 /* TRACES, SPANS: still to come from `at` on */
	size_t trace_count, at;
	struct osp_span *spans; /* SPANS: of the trace before `at` */
	size_t span_count, span_at;
	struct about session;
	struct osp_scanner *scanner; /* PARTS */
};

int osp_store_fail(struct osp_store *s, int code, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(s->error, sizeof(s->error), format, ap);
	va_end(ap);
	return code;
}

const char *osp_store_error(const struct osp_store *s)
{
	return s->error;
}

int osp_store_open(struct osp_store **out, const char *uri, enum osp_store_mode mode,
		   char error[512])
{
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
		const char *scheme = drivers[i]->scheme;
		size_t n = strlen(scheme);
		int r;

		if (strncmp(uri, scheme, n) || uri[n] != ':')
			continue;
		r = drivers[i]->open(out, uri + n + 1, mode, error);
		if (!r)
			(*out)->writable = mode != OSP_STORE_READ;
		return r;
	}
	snprintf(error, 512, "store %.200s: unknown kind - use sqlite:PATH or mem:", uri);
	return -EINVAL;
}

int osp_store_close(struct osp_store **s, bool clean)
{
	return *s ? (*s)->ops->close(s, clean) : 0;
}

/* Checks a part; what rows of one form have in common only once. */
static int check(struct osp_store *s, const struct osp_part *part, char *text, size_t room)
{
	uint64_t form = part->kind == OSP_PART_ROW ? part->row.form : 0;
	uint64_t *known = &s->forms[form % OSP_STORE_FORMS];
	int r = osp_part_check(part, form && *known == form, text, room);

	if (!r && form)
		*known = form;
	return r;
}

int osp_store_add(struct osp_store *s, const struct osp_part *parts, size_t count)
{
	char text[300];

	if (!s->writable)
		return osp_store_fail(s, -EROFS, "the session was opened for reading");
	for (size_t i = 0; i < count; i++)
		if (check(s, &parts[i], text, sizeof(text)))
			return osp_store_fail(s, -EINVAL, "part %zu: %s", i, text);
	return count ? s->ops->write(s, parts, count) : 0;
}

int osp_store_write(struct osp_store *s, const struct osp_part *parts, size_t count)
{
	int r = osp_store_add(s, parts, count);

	return r ? r : s->ops->commit(s);
}

int osp_store_flush(struct osp_store *s)
{
	int r = s->writable ? s->ops->commit(s) : 0;

	return r || !s->writable ? r : s->ops->flush(s);
}

int osp_store_forget(struct osp_store *s, int64_t before_ns, bool *more)
{
	int r;

	*more = false;
	if (!s->writable)
		return osp_store_fail(s, -EROFS, "the session was opened for reading");
	r = s->ops->commit(s);
	return r ? r : s->ops->forget(s, before_ns, more);
}

int osp_store_save(struct osp_store *s, const char *path, bool overwrite)
{
	int r = s->writable ? s->ops->commit(s) : 0;

	return r ? r : s->ops->save(s, path, overwrite);
}

static int copy_kind(struct osp_store *from, struct osp_store *to, enum osp_part_kind kind)
{
	struct osp_scan q = {.kind = kind};
	struct osp_arena arena = {NULL};
	struct osp_scanner *c = NULL;
	struct osp_part part;
	int r = from->ops->scan(from, &q, &c);

	while (!r && !(r = from->ops->next(c, &arena, &part))) {
		r = osp_store_write(to, &part, 1);
		if (r)
			osp_store_fail(from, r, "%s", to->error);
		osp_arena_reset(&arena);
	}
	if (c)
		from->ops->end(&c);
	osp_arena_clear(&arena);
	return r < 0 ? r : 0;
}

int osp_store_copy(struct osp_store *s, const char *path, bool overwrite)
{
	struct osp_store *to = NULL;
	int r = osp_store_sqlite.open(&to, path, overwrite ? OSP_STORE_OVERWRITE : OSP_STORE_CREATE,
				      s->error);

	if (r)
		return r;
	to->writable = true;
	for (int kind = OSP_PART_ROW; !r && kind <= OSP_PART_CATALOGUE; kind++)
		r = copy_kind(s, to, (enum osp_part_kind)kind);
	if (r)
		osp_store_close(&to, false);
	else if ((r = osp_store_close(&to, true)))
		osp_store_fail(s, r, "%s: could not be finished", path);
	return r;
}

void osp_trace_id(uint8_t id[16], uint64_t session, uint64_t root_id)
{
	for (int i = 0; i < 8; i++) {
		id[i] = (uint8_t)(root_id >> (56 - 8 * i));
		id[8 + i] = (uint8_t)(session >> (56 - 8 * i));
	}
}

/* ---- reading one trace ---- */

/* A growing array of rows or edges in an arena; the old copy stays behind in the arena. */
struct list {
	void *data;
	size_t count, room, size;
};

static void *add_to(struct list *l, struct osp_arena *arena)
{
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 8;
		void *data = osp_arena_alloc(arena, room, l->size);

		if (!data)
			return NULL;
		if (l->count)
			memcpy(data, l->data, l->count * l->size);
		l->data = data;
		l->room = room;
	}
	return (uint8_t *)l->data + l->size * l->count++;
}

static int read_list(struct osp_store *s, const struct osp_scan *q, struct list *l,
		     struct osp_arena *arena)
{
	struct osp_scanner *c = NULL;
	struct osp_part part;
	int r = s->ops->scan(s, q, &c);

	if (r)
		return r;
	while (!(r = s->ops->next(c, arena, &part))) {
		void *to = add_to(l, arena);

		if (!to) {
			r = -ENOMEM;
			break;
		}
		memcpy(to, q->kind == OSP_PART_ROW ? (void *)&part.row : (void *)&part.edge,
		       l->size);
	}
	s->ops->end(&c);
	return r < 0 ? r : 0;
}

static int by_target(const void *a, const void *b)
{
	const struct osp_edge *x = a, *y = b;

	if (x->to != y->to)
		return x->to < y->to ? -1 : 1;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return strcmp(x->rule, y->rule);
}

static int by_source(const void *a, const void *b)
{
	const struct osp_edge *x = a, *y = b;

	return x->from != y->from ? (x->from < y->from ? -1 : 1) : by_target(a, b);
}

/* Each link once, by (to, from, rule), and a copy by (from, to, rule). */
static int sort_edges(struct list *l, struct osp_arena *arena, struct osp_unpack_input *in)
{
	struct osp_edge *to = l->data, *from = osp_arena_alloc(arena, l->count, sizeof(*from));
	size_t n = 0;

	if (!from)
		return -ENOMEM;
	if (l->count)
		qsort(to, l->count, sizeof(*to), by_target);
	for (size_t i = 0; i < l->count; i++)
		if (!n || by_target(&to[n - 1], &to[i]))
			to[n++] = to[i];
	if (n) {
		memcpy(from, to, n * sizeof(*from));
		qsort(from, n, sizeof(*from), by_source);
	}
	in->to = to;
	in->from = from;
	in->to_count = in->from_count = n;
	return 0;
}

static int load_trace(struct osp_store *s, uint64_t trace, bool heads, struct osp_arena *arena,
		      struct osp_span **spans, size_t *count)
{
	struct list rows = {.size = sizeof(struct osp_row)};
	struct list edges = {.size = sizeof(struct osp_edge)};
	struct osp_scan q = {.kind = OSP_PART_ROW, .trace = trace, .heads = heads};
	struct osp_unpack_input in = {.trace = trace};
	int r = read_list(s, &q, &rows, arena);

	q.kind = OSP_PART_EDGE;
	r = r ? r : read_list(s, &q, &edges, arena);
	if (r)
		return r;
	in.rows = rows.data;
	in.row_count = rows.count;
	r = sort_edges(&edges, arena, &in);
	r = r ? r : osp_unpack_spans(spans, count, &in, arena);
	return r ? osp_store_fail(s, r, "no memory for trace %" PRIu64, trace) : 0;
}

static int read_session(struct osp_store *s, struct about *out)
{
	struct osp_scan q = {.kind = OSP_PART_SESSION};
	struct osp_arena arena = {NULL};
	struct osp_scanner *c = NULL;
	struct osp_part part;
	int r = s->ops->scan(s, &q, &c);

	*out = (struct about){0};
	if (r)
		return r;
	while (!(r = s->ops->next(c, &arena, &part))) {
		if (!strcmp(part.session.name, OSP_SESSION_ID))
			out->id = strtoull(part.session.value, NULL, 16);
		out->ended |= !strcmp(part.session.name, OSP_SESSION_ENDED);
	}
	s->ops->end(&c);
	osp_arena_clear(&arena);
	return r < 0 ? r : 0;
}

/* ---- cursors ---- */

static int new_cursor(struct osp_store *s, enum cursor_kind kind, struct osp_cursor **out)
{
	struct osp_cursor *c = calloc(1, sizeof(*c));

	if (!c)
		return osp_store_fail(s, -ENOMEM, "no memory");
	c->kind = kind;
	c->store = s;
	*out = c;
	return 0;
}

void osp_cursor_close(struct osp_cursor **c)
{
	if (!*c)
		return;
	if ((*c)->scanner)
		(*c)->store->ops->end(&(*c)->scanner);
	osp_arena_clear(&(*c)->arena);
	free((*c)->traces);
	free(*c);
	*c = NULL;
}

int osp_store_traces(struct osp_store *s, const struct osp_trace_query *q, struct osp_cursor **out)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	size_t limit;
	int r;

	if (q->limit < -1)
		return osp_store_fail(s, -EINVAL, "limit %" PRId64 ": below -1", q->limit);
	r = new_cursor(s, CURSOR_TRACES, &c);
	if (!r)
		r = read_session(s, &c->session);
	if (!r)
		r = s->ops->traces(s, &c->traces, &c->trace_count);
	if (r)
		return r;
	limit = q->limit < 0 ? c->trace_count : (size_t)q->limit;
	if (limit < c->trace_count && q->newest)
		c->at = c->trace_count - limit;
	else if (limit < c->trace_count)
		c->trace_count = limit;
	*out = TAKE_PTR(c);
	return 0;
}

int osp_cursor_next_trace(struct osp_cursor *c, struct osp_trace *t)
{
	struct osp_span *spans;
	size_t count = 0;

	/* a patch may have emptied a trace since the list was read */
	while (!count) {
		int r;

		if (c->at == c->trace_count)
			return 1;
		osp_arena_reset(&c->arena);
		r = load_trace(c->store, c->traces[c->at++], true, &c->arena, &spans, &count);
		if (r)
			return r;
	}
	osp_unpack_trace(t, spans, count, c->session.ended);
	osp_trace_id(t->id, c->session.id, t->root_id);
	return 0;
}

int osp_store_trace(struct osp_store *s, const struct osp_span *spans, size_t count,
		    struct osp_trace *t)
{
	struct about session;
	int r = count ? read_session(s, &session) : osp_store_fail(s, -ENOENT, "no such trace");

	if (r)
		return r;
	osp_unpack_trace(t, spans, count, session.ended);
	osp_trace_id(t->id, session.id, t->root_id);
	return 0;
}

int osp_store_spans(struct osp_store *s, uint64_t trace, struct osp_cursor **out)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	int r = new_cursor(s, CURSOR_SPANS, &c);

	if (!r && !trace) {
		r = s->ops->traces(s, &c->traces, &c->trace_count);
	} else if (!r) {
		c->traces = malloc(sizeof(*c->traces));
		if (!c->traces)
			return osp_store_fail(s, -ENOMEM, "no memory");
		c->traces[0] = trace;
		c->trace_count = 1;
	}
	if (!r)
		*out = TAKE_PTR(c);
	return r;
}

/* Until there is a span to hand out. 1: there is none any more. */
static int load_next(struct osp_cursor *c)
{
	while (c->span_at == c->span_count) {
		int r;

		if (c->at == c->trace_count)
			return 1;
		osp_arena_reset(&c->arena);
		c->span_at = c->span_count = 0;
		r = load_trace(c->store, c->traces[c->at++], false, &c->arena, &c->spans,
			       &c->span_count);
		if (r)
			return r;
	}
	return 0;
}

int osp_cursor_next_span(struct osp_cursor *c, struct osp_span *span)
{
	int r = load_next(c);

	if (!r)
		*span = c->spans[c->span_at++];
	return r;
}

int osp_cursor_next_spans(struct osp_cursor *c, const struct osp_span **spans, size_t *count)
{
	int r = load_next(c);

	if (r)
		return r;
	*spans = c->spans + c->span_at;
	*count = c->span_count - c->span_at;
	c->span_at = c->span_count;
	return 0;
}

int osp_store_parts(struct osp_store *s, enum osp_part_kind kind, struct osp_cursor **out)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_scan q = {.kind = kind};
	int r;

	if ((unsigned)kind > OSP_PART_CATALOGUE)
		return osp_store_fail(s, -EINVAL, "unknown kind of part %d", kind);
	r = new_cursor(s, CURSOR_PARTS, &c);
	if (!r)
		r = s->ops->scan(s, &q, &c->scanner);
	if (!r)
		*out = TAKE_PTR(c);
	return r;
}

int osp_cursor_next_part(struct osp_cursor *c, struct osp_part *part)
{
	osp_arena_reset(&c->arena);
	return c->store->ops->next(c->scanner, &c->arena, part);
}

/* ---- finding ---- */

int osp_store_find_span(struct osp_store *s, uint64_t span_id, uint64_t *trace)
{
	return s->ops->find(s, span_id, trace);
}

/* The span ids whose hexadecimal form begins as the prefix does. */
static int id_range(const char *prefix, uint64_t *first, uint64_t *last)
{
	size_t length = strlen(prefix), digits = length < 16 ? length : 16;

	if (!length || length > 32 || strspn(prefix, "0123456789abcdefABCDEF") != length)
		return -EINVAL;
	*first = *last = 0;
	for (size_t i = 0; i < 16; i++) {
		char digit[2] = {i < digits ? prefix[i] : '0', 0};
		uint64_t value = strtoull(digit, NULL, 16);

		*first = *first << 4 | value;
		*last = *last << 4 | (i < digits ? value : 15);
	}
	return 0;
}

/* Whether the id of this trace begins so: 1, 0 or an error. */
static int trace_has_prefix(struct osp_store *s, uint64_t trace, uint64_t session,
			    const char *prefix)
{
	struct osp_arena arena = {NULL};
	struct osp_span *spans;
	size_t count = 0;
	uint8_t id[16];
	char hex[33];
	int r = load_trace(s, trace, true, &arena, &spans, &count);

	if (!r && count) {
		osp_trace_id(id, session, spans[0].id);
		osp_text_hex(hex, id, sizeof(id));
		r = !strncasecmp(hex, prefix, strlen(prefix));
	}
	osp_arena_clear(&arena);
	return r;
}

/* Goes through the operations whose ids begin so: the root of the trace is one of them. */
static int search_roots(struct osp_store *s, const struct osp_scan *q, uint64_t session,
			const char *prefix, uint64_t *key)
{
	struct osp_arena arena = {NULL};
	struct osp_scanner *c = NULL;
	struct osp_part part;
	uint64_t last = 0;
	int r = s->ops->scan(s, q, &c);

	while (!r && !(r = s->ops->next(c, &arena, &part))) {
		osp_arena_reset(&arena);
		if (part.row.trace == *key || part.row.trace == last)
			continue;
		last = part.row.trace;
		r = trace_has_prefix(s, last, session, prefix);
		if (r == 1 && *key)
			r = osp_store_fail(s, -EEXIST, "%.40s: several traces begin so", prefix);
		if (r == 1)
			*key = last;
		r = r < 0 ? r : 0;
	}
	if (c)
		s->ops->end(&c);
	osp_arena_clear(&arena);
	return r < 0 ? r : 0;
}

int osp_store_find_trace(struct osp_store *s, const char *prefix, uint64_t *trace)
{
	struct osp_scan q = {.kind = OSP_PART_ROW, .heads = true};
	struct about session;
	uint64_t key = 0;
	int r = id_range(prefix, &q.first, &q.last);

	if (r)
		return osp_store_fail(s, r, "%.40s: expected 1 to 32 hexadecimal digits", prefix);
	r = read_session(s, &session);
	r = r ? r : search_roots(s, &q, session.id, prefix, &key);
	if (r)
		return r;
	if (!key)
		return osp_store_fail(s, -ENOENT, "no trace %.40s", prefix);
	*trace = key;
	return 0;
}
