/*
 * The model behind tree.h: rows by id, edges by (from, to, rule), losses by (process, probe);
 * later parts replace earlier ones, patches wait for their row. Keeps copies of everything.
 */
#include "tests/support/tree.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"

struct row {
	uint64_t id;
	bool stored;	/* else only patches have come */
	uint32_t marks; /* of patches */
	struct osp_row row;
};

struct edge {
	struct osp_edge edge;
};

struct loss {
	struct osp_loss_row loss;
	uint64_t lost[32];
	const char *reasons[32]; /* static texts */
};

struct tree {
	struct row *rows;
	struct osp_edge *edges;
	struct loss *losses;
	struct osp_gap_row *gaps;
	struct osp_process_row *processes;
	size_t row_count, edge_count, loss_count, gap_count, process_count;
};

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

/* Another member at the end of an array. */
#define ADD(array, count)                                                                          \
	((array) = must(realloc((array), ((count) + 1) * sizeof(*(array)))),                       \
	 memset(&(array)[count], 0, sizeof(*(array))), &(array)[(count)++])

static const char *copy_text(const char *s)
{
	return s ? must(strdup(s)) : NULL;
}

static void *copy_bytes(const void *p, size_t size)
{
	void *copy = must(malloc(size + 1));

	if (size)
		memcpy(copy, p, size);
	return copy;
}

struct tree *tree_new(void)
{
	return must(calloc(1, sizeof(struct tree)));
}

static void free_row(struct osp_row *r)
{
	for (size_t i = 0; i < r->span_count; i++) {
		free((void *)r->spans[i].kind_name);
		free((void *)r->spans[i].name);
		free((void *)r->spans[i].code);
	}
	for (size_t i = 0; i < r->step_count; i++)
		free((void *)r->steps[i].name);
	for (size_t i = 0; i < r->attribute_count; i++) {
		free((void *)r->attributes[i].name);
		free((void *)r->attributes[i].value.data);
	}
	free((void *)r->spans);
	free((void *)r->steps);
	free((void *)r->attributes);
}

void tree_free(struct tree **tree)
{
	struct tree *t = *tree;

	for (size_t i = 0; i < t->row_count; i++)
		free_row(&t->rows[i].row);
	for (size_t i = 0; i < t->edge_count; i++) {
		free((void *)t->edges[i].rule);
		free((void *)t->edges[i].makes);
		free((void *)t->edges[i].evidence);
		free((void *)t->edges[i].grade);
		free((void *)t->edges[i].also);
	}
	for (size_t i = 0; i < t->loss_count; i++) {
		free((void *)t->losses[i].loss.provider);
		free((void *)t->losses[i].loss.probe);
	}
	for (size_t i = 0; i < t->process_count; i++)
		free((void *)t->processes[i].comm);
	free(t->rows);
	free(t->edges);
	free(t->losses);
	free(t->gaps);
	free(t->processes);
	free(t);
	*tree = NULL;
}

static struct row *find_row(struct tree *t, uint64_t id)
{
	for (size_t i = 0; i < t->row_count; i++)
		if (t->rows[i].id == id)
			return &t->rows[i];
	return NULL;
}

static struct row *make_row(struct tree *t, uint64_t id)
{
	struct row *r = find_row(t, id);

	if (!r) {
		r = ADD(t->rows, t->row_count);
		r->id = id;
	}
	return r;
}

/* A deep copy; provider, side, layer and feature are left out. */
static struct osp_row copy_row(const struct osp_row *r)
{
	struct osp_row_span *spans = copy_bytes(r->spans, r->span_count * sizeof(*spans));
	struct osp_step *steps = copy_bytes(r->steps, r->step_count * sizeof(*steps));
	struct osp_attribute *attributes =
		copy_bytes(r->attributes, r->attribute_count * sizeof(*attributes));
	struct osp_row copy = *r;

	for (size_t i = 0; i < r->span_count; i++) {
		spans[i].kind_name = copy_text(spans[i].kind_name);
		spans[i].name = copy_text(spans[i].name);
		spans[i].code = copy_text(spans[i].code);
	}
	for (size_t i = 0; i < r->step_count; i++)
		steps[i].name = copy_text(steps[i].name);
	for (size_t i = 0; i < r->attribute_count; i++) {
		struct osp_value *v = &attributes[i].value;
		bool sized = v->type == OSP_VALUE_STR || v->type == OSP_VALUE_BYTES;

		attributes[i].name = copy_text(attributes[i].name);
		v->data = sized ? copy_bytes(v->data, v->size) : NULL;
	}
	copy.spans = spans;
	copy.steps = steps;
	copy.attributes = attributes;
	return copy;
}

static void add_row(struct tree *t, const struct osp_row *row)
{
	struct row *r = make_row(t, row->id);

	if (r->stored)
		free_row(&r->row);
	r->row = copy_row(row);
	r->stored = true;
}

static void add_patch(struct tree *t, const struct osp_patch *p)
{
	struct row *r = make_row(t, p->id);

	r->marks |= p->marks;
	if (p->trace)
		r->row.trace = p->trace;
}

static void add_edge(struct tree *t, const struct osp_edge *e)
{
	struct osp_edge *at = NULL;

	for (size_t i = 0; i < t->edge_count; i++)
		if (t->edges[i].from == e->from && t->edges[i].to == e->to &&
		    !strcmp(t->edges[i].rule, e->rule))
			at = &t->edges[i];
	if (at) {
		free((void *)at->rule);
		free((void *)at->makes);
		free((void *)at->evidence);
		free((void *)at->grade);
		free((void *)at->also);
	} else {
		at = ADD(t->edges, t->edge_count);
	}
	*at = (struct osp_edge){e->from,
				e->to,
				copy_text(e->rule),
				copy_text(e->makes),
				copy_text(e->evidence),
				copy_text(e->grade),
				copy_text(e->also),
				false};
}

static void add_loss(struct tree *t, const struct osp_loss_row *l)
{
	struct loss *at = NULL;

	for (size_t i = 0; i < t->loss_count; i++)
		if (t->losses[i].loss.process == l->process &&
		    !strcmp(t->losses[i].loss.provider, l->provider) &&
		    !strcmp(t->losses[i].loss.probe, l->probe))
			at = &t->losses[i];
	if (!at) {
		at = ADD(t->losses, t->loss_count);
		at->loss.provider = copy_text(l->provider);
		at->loss.probe = copy_text(l->probe);
		at->loss.process = l->process;
	}
	at->loss.hits = l->hits;
	at->loss.stored = l->stored;
	at->loss.count = l->count;
	memcpy(at->reasons, l->reasons, l->count * sizeof(*l->reasons));
	memcpy(at->lost, l->lost, l->count * sizeof(*l->lost));
}

static void add_process(struct tree *t, const struct osp_process_row *p)
{
	struct osp_process_row *at = NULL;

	for (size_t i = 0; i < t->process_count; i++)
		if (t->processes[i].key == p->key)
			at = &t->processes[i];
	if (!at)
		at = ADD(t->processes, t->process_count);
	free((void *)at->comm);
	*at = *p;
	at->comm = copy_text(p->comm);
}

int tree_sink(void *arg, const struct osp_part *part)
{
	struct tree *t = arg;

	switch (part->kind) {
	case OSP_PART_ROW:
		add_row(t, &part->row);
		break;
	case OSP_PART_PATCH:
		add_patch(t, &part->patch);
		break;
	case OSP_PART_EDGE:
		add_edge(t, &part->edge);
		break;
	case OSP_PART_LOSS:
		add_loss(t, &part->loss);
		break;
	case OSP_PART_GAP:
		*ADD(t->gaps, t->gap_count) = part->gap;
		break;
	case OSP_PART_PROCESS:
		add_process(t, &part->process);
		break;
	default:
		break;
	}
	return 0;
}

/* ---- printing ---- */

static void print_value(const struct osp_value *v, FILE *out)
{
	char text[2100];

	switch (v->type) {
	case OSP_VALUE_I64:
		fprintf(out, "%" PRId64, v->i64);
		return;
	case OSP_VALUE_U64:
		fprintf(out, "%" PRIu64, v->u64);
		return;
	case OSP_VALUE_F64:
		fprintf(out, "%g", v->f64);
		return;
	case OSP_VALUE_BOOL:
		fprintf(out, "%s", v->boolean ? "true" : "false");
		return;
	case OSP_VALUE_STR:
		osp_text_escape(text, sizeof(text), v->data, v->size);
		fprintf(out, "\"%s\"", text);
		break;
	case OSP_VALUE_BYTES:
		if (v->size == 25) { /* a context of script.h: its name */
			fprintf(out, "%.8s", (const char *)v->data);
			return;
		}
		osp_text_hex(text, v->data, v->size < 1024 ? v->size : 1024);
		fprintf(out, "x:%s", text);
		break;
	}
	if (v->true_size > v->size)
		fprintf(out, "/%u", v->true_size);
}

static void print_marks(uint32_t marks, FILE *out)
{
	static const char *const names[] = {"incomplete",    "began-before", "may-be-cut",
					    "unexpected",    "timed-out",    "ambiguous",
					    "steps-unknown", "reported"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (marks >> i & 1)
			fprintf(out, " [%s]", names[i]);
}

static bool is_fact(const struct osp_edge *e)
{
	return strcmp(e->grade, "ambiguous") != 0;
}

/* The link that makes a span the child of another, or NULL. */
static const struct osp_edge *parent_edge(const struct tree *t, uint64_t id)
{
	for (size_t i = 0; i < t->edge_count; i++)
		if (t->edges[i].to == id && is_fact(&t->edges[i]) &&
		    !strcmp(t->edges[i].makes, "parent"))
			return &t->edges[i];
	return NULL;
}

static uint64_t span_id(const struct row *r, size_t span)
{
	return r->id + r->row.spans[span].number;
}

static bool has_span(const struct tree *t, uint64_t id)
{
	for (size_t i = 0; i < t->row_count; i++)
		for (size_t k = 0; t->rows[i].stored && k < t->rows[i].row.span_count; k++)
			if (span_id(&t->rows[i], k) == id)
				return true;
	return false;
}

static uint64_t parent_of(const struct tree *t, const struct row *r, size_t span)
{
	const struct osp_edge *e;
	uint64_t id = 0;

	if (span)
		return span_id(r, r->row.spans[span].parent);
	e = parent_edge(t, r->id);
	id = e ? e->from : r->row.parent_id;
	return has_span(t, id) ? id : 0;
}

static void print_step(const struct row *r, const struct osp_step *s, int depth, FILE *out)
{
	fprintf(out, "%*s. +%" PRId64 " %s", 2 * depth, "", s->time_ns - r->row.spans[0].start_ns,
		s->name);
	for (uint32_t i = 0; i < s->attribute_count; i++) {
		const struct osp_attribute *a = &r->row.attributes[s->first_attribute + i];

		fprintf(out, " %s=", a->name);
		print_value(&a->value, out);
	}
	fprintf(out, "%s\n", s->unexpected ? " [unexpected]" : "");
}

static const char *kind_text(enum osp_span_kind kind)
{
	static const char *const names[] = {"?",      "INTERNAL", "SERVER",
					    "CLIENT", "PRODUCER", "CONSUMER"};

	return names[kind < 6 ? kind : 0];
}

static const char *status_text(enum osp_span_status status)
{
	static const char *const names[] = {"unset", "ok", "error"};

	return names[status < 3 ? status : 0];
}

static void print_link(const struct osp_edge *e, FILE *out)
{
	fprintf(out, " via %s %s %s", e->rule, e->evidence, e->grade);
	if (e->also)
		fprintf(out, " (%s)", e->also);
}

static void print_span(const struct tree *t, const struct row *r, size_t span, int depth,
		       FILE *out);

struct child {
	const struct row *row;
	size_t span;
};

static int by_start(const void *a, const void *b)
{
	const struct child *x = a, *y = b;
	const struct osp_row_span *s = &x->row->row.spans[x->span],
				  *o = &y->row->row.spans[y->span];
	uint64_t i = span_id(x->row, x->span), k = span_id(y->row, y->span);

	if (s->start_ns != o->start_ns)
		return s->start_ns < o->start_ns ? -1 : 1;
	return i < k ? -1 : i > k;
}

/* Spans of a trace whose parent this is (0: its roots). */
static void print_children(const struct tree *t, uint64_t parent, uint64_t trace, int depth,
			   FILE *out)
{
	struct child *children = NULL;
	size_t count = 0;

	for (size_t i = 0; i < t->row_count; i++) {
		const struct row *r = &t->rows[i];

		for (size_t k = 0; r->stored && k < r->row.span_count; k++) {
			if (parent_of(t, r, k) != parent || r->row.trace != trace)
				continue;
			*ADD(children, count) = (struct child){r, k};
		}
	}
	if (count)
		qsort(children, count, sizeof(*children), by_start);
	for (size_t i = 0; i < count; i++)
		print_span(t, children[i].row, children[i].span, depth, out);
	free(children);
}

static void print_span(const struct tree *t, const struct row *r, size_t span, int depth, FILE *out)
{
	const struct osp_row_span *s = &r->row.spans[span];
	const struct osp_edge *e = span ? NULL : parent_edge(t, r->id);

	fprintf(out, "%*s%s | %s %s p%u @%" PRId64 " +%" PRId64 " %s", 2 * depth, "", s->name,
		s->kind_name, kind_text(s->kind), r->row.process, s->start_ns,
		s->end_ns - s->start_ns, status_text(s->status));
	if (s->code)
		fprintf(out, " %s", s->code);
	print_marks(s->marks | (span ? 0 : r->marks), out);
	if (!span && !r->row.complete)
		fputs(" [open]", out);
	if (e)
		print_link(e, out);
	fputc('\n', out);
	for (size_t i = 0; i < r->row.step_count; i++)
		if (r->row.steps[i].span == span)
			print_step(r, &r->row.steps[i], depth + 1, out);
	print_children(t, span_id(r, span), r->row.trace, depth + 1, out);
}

/* A span's name, for edges that are not part of a tree. */
static void print_name(const struct tree *t, uint64_t id, FILE *out)
{
	for (size_t i = 0; i < t->row_count; i++)
		for (size_t k = 0; t->rows[i].stored && k < t->rows[i].row.span_count; k++)
			if (span_id(&t->rows[i], k) == id) {
				fprintf(out, "%s p%u @%" PRId64, t->rows[i].row.spans[k].name,
					t->rows[i].row.process, t->rows[i].row.spans[k].start_ns);
				return;
			}
	fputs("?", out);
}

static void print_edges(const struct tree *t, FILE *out)
{
	for (size_t i = 0; i < t->edge_count; i++) {
		const struct osp_edge *e = &t->edges[i];

		if (is_fact(e) && !strcmp(e->makes, "parent"))
			continue;
		fprintf(out, "%s ", is_fact(e) ? e->makes : "ambiguous");
		print_name(t, e->from, out);
		fputs(" -> ", out);
		print_name(t, e->to, out);
		print_link(e, out);
		fputc('\n', out);
	}
}

static void print_loss(const struct loss *l, FILE *out)
{
	uint64_t sum = l->loss.stored;

	for (size_t i = 0; i < l->loss.count; i++)
		sum += l->lost[i];
	if (l->loss.hits == l->loss.stored && sum == l->loss.stored)
		return;
	fprintf(out, "loss p%u %s:%s hits %" PRIu64 " stored %" PRIu64, l->loss.process,
		l->loss.provider, l->loss.probe, l->loss.hits, l->loss.stored);
	for (size_t i = 0; i < l->loss.count; i++)
		if (l->lost[i])
			fprintf(out, " %s %" PRIu64, l->reasons[i], l->lost[i]);
	fprintf(out, "%s\n", sum == l->loss.hits ? "" : " DOES NOT CLOSE");
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void print_traces(const struct tree *t, FILE *out)
{
	uint64_t *keys = must(calloc(t->row_count + 1, sizeof(*keys))), last = 0;
	size_t count = 0;

	for (size_t i = 0; i < t->row_count; i++)
		if (t->rows[i].stored)
			keys[count++] = t->rows[i].row.trace;
	qsort(keys, count, sizeof(*keys), by_number);
	for (size_t i = 0; i < count; i++) {
		if (keys[i] == last)
			continue;
		last = keys[i];
		fprintf(out, "trace %" PRIu64 "\n", last);
		print_children(t, 0, last, 1, out);
	}
	free(keys);
}

void tree_print(const struct tree *t, FILE *out)
{
	for (size_t i = 0; i < t->process_count; i++) {
		const struct osp_process_row *p = &t->processes[i];

		fprintf(out, "process p%u %s pid %u", p->key, p->comm[0] ? p->comm : "?", p->pid);
		if (p->parent_key)
			fprintf(out, " child of p%u", p->parent_key);
		if (p->end_ns)
			fprintf(out, " ended @%" PRId64 " code %d", p->end_ns, p->exit_code);
		fputc('\n', out);
	}
	print_traces(t, out);
	print_edges(t, out);
	for (size_t i = 0; i < t->gap_count; i++)
		fprintf(out, "gap p%u @%" PRId64 "..%" PRId64 " lost %" PRIu64 " %s\n",
			t->gaps[i].process, t->gaps[i].from_ns, t->gaps[i].to_ns, t->gaps[i].lost,
			t->gaps[i].reason);
	for (size_t i = 0; i < t->loss_count; i++)
		print_loss(&t->losses[i], out);
}

char *tree_text(const struct tree *t)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = must(open_memstream(&text, &size));

	tree_print(t, out);
	fclose(out);
	return text;
}

/* ---- the log ---- */

static void log_row(const struct osp_row *r, FILE *out)
{
	const struct row row = {.id = r->id, .row = *r};

	fprintf(out, "row %" PRIx64 " trace %" PRIu64 " parent %" PRIx64 " p%u tid %u %s %s\n",
		r->id, r->trace, r->parent_id, r->process, r->tid,
		r->complete ? "complete" : "start", r->provider);
	for (size_t i = 0; i < r->span_count; i++) {
		const struct osp_row_span *s = &r->spans[i];

		fprintf(out, "  span %u in %u %s \"%s\" %d %" PRId64 " %" PRId64 " %d %s %x\n",
			s->number, s->parent, s->kind_name, s->name, (int)s->kind, s->start_ns,
			s->end_ns, (int)s->status, s->code ? s->code : "-", s->marks);
	}
	for (size_t i = 0; i < r->step_count; i++) {
		fprintf(out, "%u", r->steps[i].span);
		print_step(&row, &r->steps[i], 1, out);
	}
}

static void log_loss(const struct osp_loss_row *l, FILE *out)
{
	fprintf(out, "loss p%u %s:%s %" PRIu64 " %" PRIu64, l->process, l->provider, l->probe,
		l->hits, l->stored);
	for (size_t i = 0; i < l->count; i++)
		fprintf(out, " %s %" PRIu64, l->reasons[i], l->lost[i]);
	fputc('\n', out);
}

int tree_log(void *arg, const struct osp_part *part)
{
	FILE *out = arg;

	switch (part->kind) {
	case OSP_PART_ROW:
		log_row(&part->row, out);
		break;
	case OSP_PART_PATCH:
		fprintf(out, "patch %" PRIx64 " %" PRIu64 " %x\n", part->patch.id,
			part->patch.trace, part->patch.marks);
		break;
	case OSP_PART_EDGE:
		fprintf(out, "edge %" PRIx64 " %" PRIx64 " %s", part->edge.from, part->edge.to,
			part->edge.makes);
		print_link(&part->edge, out);
		fputc('\n', out);
		break;
	case OSP_PART_LOSS:
		log_loss(&part->loss, out);
		break;
	case OSP_PART_GAP:
		fprintf(out, "gap p%u %" PRId64 " %" PRId64 " %" PRIu64 " %s\n", part->gap.process,
			part->gap.from_ns, part->gap.to_ns, part->gap.lost, part->gap.reason);
		break;
	case OSP_PART_PROCESS:
		fprintf(out,
			"process p%u in p%u %u %u %u %" PRId64 " %" PRId64 " %" PRId64 " %d %s\n",
			part->process.key, part->process.parent_key, part->process.pid,
			part->process.uid, part->process.exec_id, part->process.start_ns,
			part->process.seen_ns, part->process.end_ns, part->process.exit_code,
			part->process.comm);
		break;
	case OSP_PART_ATTACH:
		fprintf(out, "attach p%u %s:%s %s %" PRId64 " %" PRId64 " %u\n",
			part->attach.process, part->attach.provider, part->attach.probe,
			part->attach.level, part->attach.from_ns, part->attach.to_ns,
			part->attach.sites);
		break;
	case OSP_PART_CLOCK:
		fprintf(out, "clock %" PRId64 " %" PRId64 " %" PRId64 "\n", part->clock.boot_ns,
			part->clock.offset_ns, part->clock.error_ns);
		break;
	case OSP_PART_SESSION:
		fprintf(out, "session %s=%s\n", part->session.name, part->session.value);
		break;
	case OSP_PART_CATALOGUE:
		fprintf(out, "catalogue %s %zu\n", part->catalogue.name,
			strlen(part->catalogue.text));
		break;
	}
	return 0;
}
