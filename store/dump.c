/*
 * A session as text, for comparing sessions: what a replay made of a capture with what the live
 * run stored, one store with another. Every stored fact is one line; the order is that of the
 * keys, then the derived traces and spans. Fed through the store contract like any reader.
 */
#include "store/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/text.h"

static const char *const sections[] = {
	[OSP_PART_ROW] = "operation",	[OSP_PART_PATCH] = "patch",
	[OSP_PART_EDGE] = "edge",	[OSP_PART_PROCESS] = "process",
	[OSP_PART_ATTACH] = "attach",	[OSP_PART_LOSS] = "loss",
	[OSP_PART_GAP] = "gap",		[OSP_PART_CLOCK] = "clock",
	[OSP_PART_SESSION] = "session", [OSP_PART_CATALOGUE] = "catalogue",
};

static const enum osp_part_kind order[] = {
	OSP_PART_SESSION, OSP_PART_CATALOGUE, OSP_PART_PROCESS, OSP_PART_ATTACH, OSP_PART_LOSS,
	OSP_PART_GAP,	  OSP_PART_CLOCK,     OSP_PART_ROW,	OSP_PART_PATCH,	 OSP_PART_EDGE,
};

static bool is_skipped(const char *const *skip, const char *section, const char *name)
{
	size_t n = strlen(section);

	for (; skip && *skip; skip++) {
		if (!strncmp(*skip, section, n) &&
		    (!(*skip)[n] || (name && (*skip)[n] == ':' && !strcmp(*skip + n + 1, name))))
			return true;
	}
	return false;
}

/* In quotes and escaped, so that a line is a line; nothing at all for NULL. */
static void put_bytes(FILE *f, const void *data, size_t size)
{
	_cleanup_free_ char *text = malloc(4 * size + 1);

	if (!text) {
		fputs("?", f);
		return;
	}
	osp_text_escape(text, 4 * size + 1, data, size);
	fprintf(f, "\"%s\"", text);
}

static void put_text(FILE *f, const char *label, const char *text)
{
	fprintf(f, " %s=", label);
	if (text)
		put_bytes(f, text, strlen(text));
}

static void put_value(FILE *f, const struct osp_value *v)
{
	switch (v->type) {
	case OSP_VALUE_I64:
		fprintf(f, "i64:%" PRId64, v->i64);
		return;
	case OSP_VALUE_U64:
		fprintf(f, "u64:%" PRIu64, v->u64);
		return;
	case OSP_VALUE_F64:
		fprintf(f, "f64:%.17g", v->f64);
		return;
	case OSP_VALUE_BOOL:
		fputs(v->boolean ? "true" : "false", f);
		return;
	case OSP_VALUE_STR:
		put_bytes(f, v->data, v->size);
		break;
	case OSP_VALUE_BYTES:
		fputs("bytes:", f);
		for (uint32_t i = 0; i < v->size; i++)
			fprintf(f, "%02x", ((const uint8_t *)v->data)[i]);
		break;
	}
	if (v->true_size != v->size)
		fprintf(f, "(of %" PRIu32 ")", v->true_size);
}

static void put_attributes(FILE *f, const struct osp_attribute *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fputc(' ', f);
		put_bytes(f, list[i].name, strlen(list[i].name));
		fputc('=', f);
		put_value(f, &list[i].value);
	}
}

static void put_row(FILE *f, const struct osp_row *row)
{
	fprintf(f,
		"operation %016" PRIx64 " trace=%" PRIu64 " parent=%016" PRIx64
		" process=%u tid=%u complete=%d",
		row->id, row->trace, row->parent_id, row->process, row->tid, row->complete);
	put_text(f, "provider", row->provider);
	put_text(f, "side", row->side);
	put_text(f, "layer", row->layer);
	put_text(f, "feature", row->feature);
	fputc('\n', f);
	for (size_t i = 0; i < row->span_count; i++) {
		const struct osp_row_span *s = &row->spans[i];

		fprintf(f, "  span %u in %u", s->number, s->parent);
		put_text(f, "kind_name", s->kind_name);
		put_text(f, "name", s->name);
		fprintf(f, " kind=%d start=%" PRId64 " end=%" PRId64 " status=%d", s->kind,
			s->start_ns, s->end_ns, s->status);
		put_text(f, "code", s->code);
		fprintf(f, " marks=%#x\n", s->marks);
	}
	for (size_t i = 0; i < row->step_count; i++) {
		const struct osp_step *s = &row->steps[i];

		fprintf(f, "  step %" PRId64 " span=%u%s", s->time_ns, s->span,
			s->unexpected ? " unexpected" : "");
		put_text(f, "name", s->name);
		put_attributes(f, row->attributes + (s->attribute_count ? s->first_attribute : 0),
			       s->attribute_count);
		fputc('\n', f);
	}
}

static void put_edge(FILE *f, const struct osp_edge *e)
{
	fprintf(f, "edge %016" PRIx64 " -> %016" PRIx64, e->from, e->to);
	put_text(f, "rule", e->rule);
	put_text(f, "makes", e->makes);
	put_text(f, "evidence", e->evidence);
	put_text(f, "grade", e->grade);
	put_text(f, "also", e->also);
}

static void put_process(FILE *f, const struct osp_process_row *p)
{
	fprintf(f,
		"process %u parent=%u pid=%u namespace_pid=%u uid=%u exec=%u start=%" PRId64
		" seen=%" PRId64 " end=%" PRId64 " exit=%d",
		p->key, p->parent_key, p->pid, p->namespace_pid, p->uid, p->exec_id, p->start_ns,
		p->seen_ns, p->end_ns, p->exit_code);
	put_text(f, "comm", p->comm);
	put_text(f, "exe", p->exe);
	put_text(f, "cmdline", p->cmdline);
}

static void put_loss(FILE *f, const struct osp_loss_row *l)
{
	fprintf(f, "loss %u", l->process);
	put_text(f, "provider", l->provider);
	put_text(f, "probe", l->probe);
	fprintf(f, " hits=%" PRIu64 " stored=%" PRIu64, l->hits, l->stored);
	for (size_t i = 0; i < l->count; i++) {
		put_text(f, "reason", l->reasons[i]);
		fprintf(f, " lost=%" PRIu64, l->lost[i]);
	}
}

static void put_part(FILE *f, const struct osp_part *p)
{
	const struct osp_attach_row *a = &p->attach;

	switch (p->kind) {
	case OSP_PART_ROW:
		put_row(f, &p->row);
		return;
	case OSP_PART_PATCH:
		fprintf(f, "patch %016" PRIx64 " trace=%" PRIu64 " marks=%#x", p->patch.id,
			p->patch.trace, p->patch.marks);
		break;
	case OSP_PART_EDGE:
		put_edge(f, &p->edge);
		break;
	case OSP_PART_PROCESS:
		put_process(f, &p->process);
		break;
	case OSP_PART_ATTACH:
		fprintf(f, "attach %u from=%" PRId64 " to=%" PRId64 " sites=%u", a->process,
			a->from_ns, a->to_ns, a->sites);
		put_text(f, "provider", a->provider);
		put_text(f, "probe", a->probe);
		put_text(f, "level", a->level);
		break;
	case OSP_PART_LOSS:
		put_loss(f, &p->loss);
		break;
	case OSP_PART_GAP:
		fprintf(f, "gap %u from=%" PRId64 " to=%" PRId64 " lost=%" PRIu64, p->gap.process,
			p->gap.from_ns, p->gap.to_ns, p->gap.lost);
		put_text(f, "reason", p->gap.reason);
		break;
	case OSP_PART_CLOCK:
		fprintf(f, "clock %" PRId64 " offset=%" PRId64 " error=%" PRId64, p->clock.boot_ns,
			p->clock.offset_ns, p->clock.error_ns);
		break;
	case OSP_PART_SESSION:
		fputs("session", f);
		put_text(f, "name", p->session.name);
		put_text(f, "value", p->session.value);
		break;
	case OSP_PART_CATALOGUE:
		fputs("catalogue", f);
		put_text(f, "name", p->catalogue.name);
		put_text(f, "text", p->catalogue.text);
		break;
	}
	fputc('\n', f);
}

static int dump_parts(struct osp_store *s, enum osp_part_kind kind, FILE *f,
		      const char *const *skip)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_part part;
	int r;

	if (is_skipped(skip, sections[kind], NULL))
		return 0;
	r = osp_store_parts(s, kind, &c);
	if (r)
		return r;
	while (!(r = osp_cursor_next_part(c, &part))) {
		if (kind == OSP_PART_SESSION && is_skipped(skip, "session", part.session.name))
			continue;
		put_part(f, &part);
	}
	return r < 0 ? r : 0;
}

static int dump_traces(struct osp_store *s, FILE *f)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_trace_query all = {.limit = -1};
	struct osp_trace t;
	char id[33];
	int r = osp_store_traces(s, &all, &c);

	if (r)
		return r;
	while (!(r = osp_cursor_next_trace(c, &t))) {
		osp_text_hex(id, t.id, sizeof(t.id));
		fprintf(f,
			"trace %" PRIu64 " id=%s root=%016" PRIx64 " start=%" PRId64 " end=%" PRId64
			" processes=%u spans=%u links=%u status=%d marks=%#x",
			t.key, id, t.root_id, t.start_ns, t.end_ns, t.processes, t.spans, t.links,
			t.status, t.marks);
		put_text(f, "name", t.root);
		fputc('\n', f);
	}
	return r < 0 ? r : 0;
}

static void put_span(FILE *f, const struct osp_span *s)
{
	fprintf(f,
		"span %" PRIu64 " %016" PRIx64 " parent=%016" PRIx64 " of=%016" PRIx64
		" kind=%d process=%u tid=%u start=%" PRId64 " end=%" PRId64 " status=%d marks=%#x",
		s->trace, s->id, s->parent_id, s->operation, s->kind, s->process, s->tid,
		s->start_ns, s->end_ns, s->status, s->marks);
	put_text(f, "name", s->name);
	put_text(f, "kind_name", s->kind_name);
	put_text(f, "operation", s->operation_name);
	put_text(f, "provider", s->provider);
	put_text(f, "side", s->side);
	put_text(f, "layer", s->layer);
	put_text(f, "feature", s->feature);
	put_text(f, "code", s->code);
	put_attributes(f, s->attributes, s->attribute_count);
	fputc('\n', f);
	for (size_t i = 0; i < s->event_count; i++) {
		fprintf(f, "  event %" PRId64 "%s", s->events[i].time_ns,
			s->events[i].unexpected ? " unexpected" : "");
		put_text(f, "name", s->events[i].name);
		put_attributes(f, s->events[i].attributes, s->events[i].attribute_count);
		fputc('\n', f);
	}
	for (size_t i = 0; i < s->link_count; i++) {
		const struct osp_span_link *l = &s->links[i];

		fprintf(f, "  link %s %016" PRIx64, l->incoming ? "from" : "to", l->span_id);
		put_text(f, "rule", l->rule);
		put_text(f, "makes", l->makes);
		put_text(f, "evidence", l->evidence);
		put_text(f, "grade", l->grade);
		put_text(f, "also", l->also);
		fputc('\n', f);
	}
}

static int dump_spans(struct osp_store *s, FILE *f)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_span span;
	int r = osp_store_spans(s, 0, &c);

	if (r)
		return r;
	while (!(r = osp_cursor_next_span(c, &span)))
		put_span(f, &span);
	return r < 0 ? r : 0;
}

int osp_store_dump(struct osp_store *s, FILE *out, const char *const *skip)
{
	int r = 0;

	for (size_t i = 0; !r && i < sizeof(order) / sizeof(order[0]); i++)
		r = dump_parts(s, order[i], out, skip);
	if (!r && !is_skipped(skip, "trace", NULL))
		r = dump_traces(s, out);
	if (!r && !is_skipped(skip, "span", NULL))
		r = dump_spans(s, out);
	return r ? r : fflush(out) || ferror(out) ? -EIO : 0;
}
