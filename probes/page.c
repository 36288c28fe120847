/*
 * The reference page of a catalogue (probes/page.h), for whoever looks at traces: what each operation
 * is for, in what order its steps come, what they carry, and what it means when one takes long. Fed
 * by probes/generate.c; probes/draw.c makes the diagrams, probes/markup.h the form. All that is
 * special to a protocol stands in the catalogue.
 */
#include "probes/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probes/draw.h"
#include "user/base/buffer.h"

enum { CELLS = 4, TEXT = 64 * 1024 };

struct page {
	FILE *f;
	const struct osp_catalogue *c;
	const struct osp_markup *form;
	struct osp_buffer cells[CELLS]; /* of the row being made, and texts in general */
	int error;
};

static void put(struct page *p, struct osp_buffer *b, const char *text)
{
	int r = osp_buffer_print(b, "%s", text);

	p->error = p->error ? p->error : r;
}

/* With a comma before all but the first. */
static void put_next(struct page *p, struct osp_buffer *b, const char *text)
{
	put(p, b, b->size ? ", " : "");
	put(p, b, text);
}

static struct osp_buffer *fresh(struct page *p, size_t i)
{
	osp_buffer_reset(&p->cells[i]);
	return &p->cells[i];
}

static const char *text_of(struct page *p, size_t i)
{
	const char *text = osp_buffer_text(&p->cells[i]);

	if (!text)
		p->error = -ENOMEM;
	return text ? text : "";
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

/* ---- arguments ------------------------------------------------------------------------------- */

/* UCUM's units in words; what it has in braces only repeats what the argument means. */
static void put_unit(struct page *p, struct osp_buffer *b, const char *unit)
{
	if (*unit == '{')
		return;
	put(p, b, ", in ");
	put(p, b, !strcmp(unit, "By") ? "bytes" : !strcmp(unit, "s") ? "seconds" : unit);
}

static void put_type(struct page *p, struct osp_buffer *b, const struct osp_arg *a)
{
	static const char *const names[] = {
		"unsigned", "signed", "true or false",	  "float",	 "text",
		"bytes",    "id",     "incoming context", "sent context"};
	char max[32] = "";

	put(p, b, a->enumeration ? "one of" : names[a->type]);
	for (size_t i = 0; a->enumeration && i < a->enumeration->count; i++) {
		put(p, b, i ? ", " : " ");
		put(p, b, a->enumeration->values[i].name);
	}
	if (a->max)
		snprintf(max, sizeof(max), ", %u bytes kept", a->max);
	put(p, b, max);
	if (a->unit)
		put_unit(p, b, a->unit);
}

/* The contexts have no definition of their own: they are what every protocol carries. */
static const char *arg_doc(const struct osp_arg *a)
{
	if (a->type == OSP_TYPE_CONTEXT_OUT)
		return "the trace context that is sent along";
	if (a->type == OSP_TYPE_CONTEXT_IN)
		return "the trace context that came with it";
	return or_empty(a->doc);
}

static bool same_arg(const struct osp_arg *a, const struct osp_arg *b)
{
	return !strcmp(a->name, b->name) && a->type == b->type;
}

static bool came_before(const struct osp_operation *op, size_t point, size_t arg)
{
	const struct osp_arg *a = &op->points[point]->args[arg];

	for (size_t i = 0; i <= point; i++)
		for (size_t k = 0; k < (i < point ? op->points[i]->arg_count : arg); k++)
			if (same_arg(&op->points[i]->args[k], a))
				return true;
	return false;
}

static void print_arg(struct page *p, const char *const *head, const struct osp_arg *a)
{
	static const char *const classes[] = {"public", "internal", "secret", "payload"};
	const char *cells[] = {a->name, arg_doc(a), "", "", classes[a->class]};

	put_type(p, fresh(p, 0), a);
	cells[2] = text_of(p, 0);
	cells[3] = a->type == OSP_TYPE_OP ? "the parent" : a->attribute;
	p->form->row(p->f, head, cells, 5);
}

static void print_args(struct page *p, const struct osp_operation *op)
{
	static const char *const head[] = {"Argument", "Meaning", "Type", "Attribute", "Class"};
	bool any = false;

	for (size_t i = 0; i < op->point_count; i++)
		for (size_t k = 0; k < op->points[i]->arg_count; k++) {
			if (came_before(op, i, k))
				continue;
			if (!any)
				p->form->table(p->f, "Arguments", head, 5);
			any = true;
			print_arg(p, head, &op->points[i]->args[k]);
		}
	if (any)
		p->form->table_end(p->f);
}

/* ---- steps and states ------------------------------------------------------------------------ */

static void print_steps(struct page *p, const struct osp_operation *op)
{
	static const char *const head[] = {"Step", "Meaning", "Level", "Arguments"};

	p->form->table(p->f, "Steps", head, 4);
	for (size_t i = 0; i < op->point_count; i++) {
		const struct osp_point *point = op->points[i];
		const char *cells[] = {point->name, or_empty(point->doc),
				       osp_level_to_str(point->level), ""};

		fresh(p, 0);
		for (size_t k = 0; k < point->arg_count; k++)
			put_next(p, &p->cells[0], point->args[k].name);
		cells[3] = text_of(p, 0);
		p->form->row(p->f, head, cells, 4);
	}
	p->form->table_end(p->f);
}

/* Every step that leads into the state, once. */
static void put_ways_in(struct page *p, struct osp_buffer *b, const struct osp_operation *op,
			size_t state)
{
	for (size_t i = 0; i < op->transition_count; i++) {
		const struct osp_transition *t = &op->transitions[i];
		size_t k = 0;

		if (t->to != state)
			continue;
		while (k < i &&
		       (op->transitions[k].to != state || op->transitions[k].point != t->point))
			k++;
		if (k == i)
			put_next(p, b, t->point->name);
	}
}

/* In a trace, time lies between two steps, and states have no name there: the first step tells. */
static void print_states(struct page *p, const struct osp_operation *op)
{
	static const char *const head[] = {"After", "What is going on", "State"};
	bool any = false;

	for (size_t i = 0; i < op->state_count; i++) {
		const char *cells[] = {"", or_empty(op->slow[i]), op->states[i]};

		if (!op->slow[i])
			continue;
		if (!any)
			p->form->table(p->f, "Where the time goes", head, 3);
		any = true;
		put_ways_in(p, fresh(p, 0), op, i);
		cells[0] = text_of(p, 0);
		p->form->row(p->f, head, cells, 3);
	}
	if (any)
		p->form->table_end(p->f);
}

/* ---- messages and links ---------------------------------------------------------------------- */

static void put_message(struct page *p, struct osp_buffer *b, const struct osp_message *m)
{
	char number[48];

	snprintf(number, sizeof(number), " (type %u, to the %s%s", m->id,
		 m->to_broadcaster ? "broadcaster" : "subscriber", m->path ? ", POST " : "");
	put_next(p, b, m->name);
	put(p, b, number);
	put(p, b, or_empty(m->path));
	put(p, b, ")");
}

static void put_users(struct page *p, struct osp_buffer *b, const struct osp_message *m)
{
	for (size_t i = 0; i < p->c->operation_count; i++)
		for (size_t k = 0; k < p->c->operations[i]->message_count; k++)
			if (p->c->operations[i]->messages[k] == m)
				put_next(p, b, p->c->operations[i]->name);
}

static void print_messages(struct page *p)
{
	static const char *const head[] = {"Message", "Meaning", "On the wire", "Operations"};

	p->form->heading(p->f, 1, "Messages");
	p->form->table(p->f, "", head, 4);
	for (size_t i = 0; i < p->c->message_count; i++) {
		const struct osp_message *m = p->c->messages[i];
		const char *cells[] = {m->name, m->doc, "", ""};
		char wire[200];

		snprintf(wire, sizeof(wire), "type %u to the %s, %s%.120s", m->id,
			 m->to_broadcaster ? "broadcaster" : "subscriber",
			 m->stateful ? "web socket"
			 : m->path   ? "POST "
				     : "body of the answer over HTTP",
			 or_empty(m->path));
		cells[2] = wire;
		put_users(p, fresh(p, 0), m);
		cells[3] = text_of(p, 0);
		p->form->row(p->f, head, cells, 4);
	}
	p->form->table_end(p->f);
}

static void put_side(struct page *p, struct osp_buffer *b, const struct osp_side *side)
{
	for (size_t i = 0; i < side->count; i++) {
		const struct osp_operation *op = side->ends[i].operation;

		put(p, b, i ? " or " : "");
		put(p, b, op->name);
		if (side->ends[i].span < 0)
			continue;
		put(p, b, "/");
		put(p, b, op->spans[side->ends[i].span].name);
	}
}

static void print_links(struct page *p)
{
	static const char *const head[] = {"Link", "Meaning", "Between", "Evidence"};

	p->form->heading(p->f, 1, "How spans of two processes are joined");
	p->form->paragraph(p->f,
			   "The first evidence that both sides have decides; what comes behind "
			   "it corroborates or contradicts. If several spans fit, the link is "
			   "shown as ambiguous, never as a fact.");
	p->form->table(p->f, "", head, 4);
	for (size_t i = 0; i < p->c->link_count; i++) {
		const struct osp_link *l = p->c->links[i];
		const char *cells[] = {l->name, or_empty(l->doc), "", ""};

		fresh(p, 1);
		for (size_t k = 0; k < l->match_count; k++) {
			put_next(p, &p->cells[1], l->matches[k].evidence);
			put(p, &p->cells[1], " (");
			put(p, &p->cells[1], osp_grade_to_str(l->matches[k].grade));
			put(p, &p->cells[1], ")");
		}
		put_side(p, fresh(p, 0), &l->from);
		put(p, &p->cells[0], " -> ");
		put_side(p, &p->cells[0], &l->to);
		cells[2] = text_of(p, 0);
		cells[3] = text_of(p, 1);
		p->form->row(p->f, head, cells, 4);
	}
	p->form->table_end(p->f);
}

/* ---- the parts of the page ------------------------------------------------------------------- */

static void print_spans(struct page *p, const struct osp_operation *op)
{
	for (size_t i = 0; i < op->span_count; i++) {
		struct osp_buffer *b = fresh(p, 0);

		put(p, b, op->spans[i].name);
		put(p, b, ": ");
		put(p, b, or_empty(op->spans[i].doc));
		put(p, b, op->spans[i].context ? "; the other side's span hangs below it" : "");
		p->form->field(p->f, "Span within", text_of(p, 0));
	}
}

static void print_facts(struct page *p, const struct osp_operation *op)
{
	if (op->side)
		p->form->field(p->f, "Runs in", op->side);
	if (op->starts)
		p->form->field(p->f, "Begins when", op->starts);
	fresh(p, 0);
	for (size_t i = 0; i < op->message_count; i++)
		put_message(p, &p->cells[0], op->messages[i]);
	if (op->message_count)
		p->form->field(p->f, "Messages", text_of(p, 0));
	put(p, fresh(p, 0), op->title);
	put(p, &p->cells[0], ", kind ");
	put(p, &p->cells[0], osp_kind_to_str(op->kind));
	p->form->field(p->f, "Shown as", text_of(p, 0));
	print_spans(p, op);
}

static void print_operation(struct page *p, const struct osp_operation *op)
{
	char *text = NULL;

	put(p, fresh(p, 0), op->name);
	put(p, &p->cells[0], op->doc ? ": " : "");
	put(p, &p->cells[0], or_empty(op->doc));
	p->form->heading(p->f, 2, text_of(p, 0));
	print_facts(p, op);
	print_states(p, op);
	print_steps(p, op);
	print_args(p, op);
	p->error = p->error ? p->error : osp_draw_text(op, &text);
	p->form->drawing(p->f, or_empty(text));
	free(text);
	text = NULL;
	p->error = p->error ? p->error : osp_draw_mermaid(op, &text);
	p->form->diagram(p->f, or_empty(text));
	free(text);
}

static void print_overview(struct page *p)
{
	static const char *const head[] = {"Operation", "What it is", "Runs in"};

	p->form->heading(p->f, 1, "Operations at a glance");
	p->form->table(p->f, "", head, 3);
	for (size_t i = 0; i < p->c->operation_count; i++) {
		const struct osp_operation *op = p->c->operations[i];
		const char *cells[] = {op->name, or_empty(op->doc), or_empty(op->side)};

		p->form->row(p->f, head, cells, 3);
	}
	p->form->table_end(p->f);
}

static void print_guide(struct page *p)
{
	p->form->heading(p->f, 1, "How to read this page");
	p->form->paragraph(
		p->f,
		"An operation is one run of an exchange on one side: it becomes a span. It "
		"passes points, which become the span's steps, each with its time and "
		"arguments. Time in a trace lies between two steps. To learn what it is spent "
		"on, find the step before it under \"After\" in the operation's first table: "
		"beside it stands what is going on, and what it usually means if it takes "
		"long.");
	p->form->paragraph(
		p->f, "The drawing shows what may follow what: a state, below it the steps that "
		      "may come in it, and where each leads. An operation ends ok, with an "
		      "error, or unset, and may give a code. \"Any state\" holds what may cut "
		      "it short anywhere.");
	p->form->paragraph(
		p->f, "Levels: essential steps are always recorded; detail adds every step of an "
		      "operation; debug adds a step per part of a message that is sent in parts. "
		      "Classes: public and internal arguments are recorded; secret and payload "
		      "ones leave the kernel only as a keyed hash, cut short, or not at all.");
}

/* True if the list has all points of the operation from here on: then its name is enough. */
static bool lacks_whole(const struct osp_implementation *im, size_t from,
			const struct osp_operation *op)
{
	if (from + op->point_count > im->lack_count)
		return false;
	for (size_t i = 0; i < op->point_count; i++)
		if (im->lacks[from + i] != op->points[i])
			return false;
	return true;
}

static void put_lacks(struct page *p, struct osp_buffer *b, const struct osp_implementation *im)
{
	for (size_t i = 0; i < im->lack_count;) {
		const struct osp_operation *op = im->lacks[i]->operations[0];
		bool whole = lacks_whole(im, i, op);

		put_next(p, b, op->name);
		put(p, b, whole ? "" : ".");
		put(p, b, whole ? "" : im->lacks[i]->name);
		i += whole ? op->point_count : 1;
	}
}

static void print_implementations(struct page *p)
{
	static const char *const head[] = {"Program", "What it has", "Lacks"};

	if (!p->c->implementation_count)
		return;
	p->form->heading(p->f, 1, "What other programs lack");
	p->form->table(p->f, "", head, 3);
	for (size_t i = 0; i < p->c->implementation_count; i++) {
		const struct osp_implementation *im = p->c->implementations[i];
		const char *cells[] = {im->name, or_empty(im->doc), ""};

		put_lacks(p, fresh(p, 0), im);
		cells[2] = text_of(p, 0);
		p->form->row(p->f, head, cells, 3);
	}
	p->form->table_end(p->f);
}

static void print_page(struct page *p)
{
	p->form->begin(p->f, &(struct osp_markup_head){
				     .name = "outspan-trace-points",
				     .section = 7,
				     .brief = "what the trace points of a program tell"});
	if (p->c->docs[0])
		p->form->paragraph(p->f, p->c->docs[0]);
	print_guide(p);
	print_overview(p);
	if (p->c->message_count)
		print_messages(p);
	if (p->c->link_count)
		print_links(p);
	p->form->heading(p->f, 1, "Operations");
	for (size_t i = 0; i < p->c->operation_count; i++)
		print_operation(p, p->c->operations[i]);
	print_implementations(p);
}

int osp_page_print(FILE *f, const struct osp_catalogue *c, const struct osp_markup *form)
{
	struct page p = {.f = f, .c = c, .form = form};

	for (size_t i = 0; i < CELLS; i++)
		p.cells[i] = (struct osp_buffer)OSP_BUFFER_INIT(TEXT);
	print_page(&p);
	for (size_t i = 0; i < CELLS; i++)
		osp_buffer_clear(&p.cells[i]);
	return p.error ? p.error : ferror(f) ? -EIO : 0;
}
