/*
 * How a session looks on a terminal. Everything that came from a traced process is escaped before
 * it gets here (user/columns.c is the one door), columns are counted in characters, and what is not
 * certain is said in words: marks, ambiguous links, clocks. Fed by cmd_ls.c and cmd_show.c.
 *
 *   send north/7                           [==========]  12.00 ms  sender/4001            ok 200
 *     attempt depot-1                      [==========]  11.80 ms  sender/4001            ok 200
 *       sort north/7                       [==========]  10.00 ms  depot/4002             ok 200
 *         ^ via trace_context (exact)
 */
#include "user/render.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/map.h"
#include "user/base/text.h"
#include "user/columns.h"
#include "user/halt.h"
#include "user/reported.h"

enum {
	WIDTH = 100,
	NAME = 38, /* columns of a span's name, indentation included */
	BAR = 10,
	PROCESS = 21,
	DEEPEST = 12,	 /* levels that are indented */
	ROOT = 18,	 /* columns of a root's name in the listing that there are at least, */
	ROOT_SHORT = 12, /* or before the reason why it failed */
	REASON = 40,	 /* that a code in the listing may take */
	MUCH = 100,	 /* of a trace's time, that its steps are uncertain by: so many-th part */
	NEXT = 4,	 /* steps that may follow, of an operation that stopped */
};

static const char *const RED = "\x1b[31m", *const YELLOW = "\x1b[33m", *const DIM = "\x1b[2m",
			 *const BOLD = "\x1b[1m";

bool osp_render_colour(const char *when, FILE *out)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (when && strcmp(when, "auto") != 0)
		return !strcmp(when, "always");
	return isatty(fileno(out)) && !(no && *no) && (!term || strcmp(term, "dumb"));
}

/* ---- pieces ---- */

static void colour_on(const struct osp_render *r, const char *code)
{
	if (r->colour && code)
		fputs(code, r->out);
}

static void colour_off(const struct osp_render *r, const char *code)
{
	if (r->colour && code)
		fputs("\x1b[0m", r->out);
}

/* A span's name. Where room is short, "http://" is what can be missed first. */
static void put_name(FILE *f, const char *name, size_t width)
{
	const char *scheme = strstr(name, "http://");
	char text[1024];

	if (scheme && osp_columns_count(name, strlen(name)) > width &&
	    strlen(name) < sizeof(text)) {
		snprintf(text, sizeof(text), "%.*s%s", (int)(scheme - name), name, scheme + 7);
		name = text;
	}
	osp_columns_write_spaces(f, width - osp_columns_write_title(f, name, width));
}

static const char *status_text(enum osp_span_status s)
{
	return s == OSP_SPAN_ERROR ? "error" : s == OSP_SPAN_OK ? "ok" : "-";
}

/* Right-aligned in nine columns: "  12.00 ms". */
static void put_duration(FILE *f, int64_t ns)
{
	char text[24];

	fprintf(f, "%9s", osp_text_duration(text, ns));
}

/* ---- the listing ---- */

static const struct {
	enum osp_mark mark;
	char letter;	    /* in the listing */
	const char *word;   /* in its legend */
	const char *phrase; /* in the tree */
} marks[] = {
	{OSP_MARK_MAY_BE_CUT, 'C', "may be cut",
	 "may be cut: steps passed unwatched, or were not stored"}, /* or put_loss */
	{OSP_MARK_BEGAN_BEFORE, 'B', "began before attach",
	 "began before attach: its true start is earlier"},
	{OSP_MARK_INCOMPLETE, 'I', "incomplete", "incomplete: its end was not seen"},
	{OSP_MARK_TIMED_OUT, 'T', "timed out",
	 "timed out: nothing came for longer than it may take"},
	{OSP_MARK_UNEXPECTED, 'U', "unexpected step",
	 "unexpected step: not in the catalogue's order (-v shows it)"},
	{OSP_MARK_STEPS_UNKNOWN, 'S', "steps unknown",
	 "cut, steps unknown: they went with the process"},
	{OSP_MARK_AMBIGUOUS, 'A', "ambiguous link", NULL},  /* its links say more */
	{OSP_MARK_REPORTED, 'R', "reported by peer", NULL}, /* stands in place of the process */
};

enum { MARKS = sizeof(marks) / sizeof(marks[0]) };

/* Columns of a time: "2025-03-01T12:00:00.123456+01:00". */
static int time_width(const struct osp_render *r)
{
	return r->utc ? 27 : 32;
}

void osp_render_heading(const struct osp_render *r)
{
	colour_on(r, BOLD);
	fprintf(r->out, "%-12s  %-*s %9s %4s %5s  %-6s %-5s %s", "ID", time_width(r), "START",
		"DURATION", "PROC", "SPANS", "STATUS", "MARKS", "ROOT");
	colour_off(r, BOLD);
	fputc('\n', r->out);
}

void osp_render_legend(const struct osp_render *r, uint32_t set)
{
	const char *between = "marks: ";

	for (size_t i = 0; i < MARKS; i++) {
		if (!(set & marks[i].mark))
			continue;
		fprintf(r->out, "%s%c %s", between, marks[i].letter, marks[i].word);
		between = ", ";
	}
	if (*between == ',')
		fputc('\n', r->out);
	if (r->books->missing)
		fprintf(r->out,
			"lost: %" PRIu64 " of %" PRIu64
			" steps; outspan losses tells what, when, and what it means\n",
			r->books->missing, r->books->hits);
	else if (r->books->open)
		fputs("the books do not close; outspan losses tells where, and what it means\n",
		      r->out);
}

static void put_time(const struct osp_render *r, int64_t boot_ns)
{
	int64_t wall = boot_ns + osp_session_wall_offset(r->session, boot_ns);
	char text[40];

	fputs(osp_text_time(text, wall, r->utc), r->out);
}

/* "publish a/b: network_error": what the trace is, and why it failed. */
static void put_root(const struct osp_render *r, const struct osp_trace *t)
{
	size_t before = 50 + (size_t)time_width(r);
	size_t room = r->columns > before + ROOT ? r->columns - before : ROOT;
	size_t code = t->code ? 2 + osp_columns_count_text(t->code) : 0;

	room = room > code + ROOT_SHORT ? room - code : code ? ROOT_SHORT : room;
	osp_columns_write_title(r->out, t->root, room);
	if (!code)
		return;
	fputs(": ", r->out);
	colour_on(r, RED);
	osp_columns_write(r->out, t->code, REASON);
	colour_off(r, RED);
}

void osp_render_trace(const struct osp_render *r, const struct osp_trace *t)
{
	const char *colour = t->status == OSP_SPAN_ERROR ? RED : NULL;
	size_t room = 6; /* for marks */
	char id[33];

	osp_text_hex(id, t->id, sizeof(t->id));
	fprintf(r->out, "%.12s  ", id);
	put_time(r, t->start_ns);
	fputc(' ', r->out);
	put_duration(r->out, t->end_ns - t->start_ns);
	fprintf(r->out, " %4u %5u  ", t->processes, t->spans);
	colour_on(r, colour);
	fputs(status_text(t->status), r->out);
	colour_off(r, colour);
	osp_columns_write_spaces(r->out, 7 - strlen(status_text(t->status)));
	colour_on(r, t->marks ? YELLOW : NULL);
	for (size_t i = 0; i < MARKS; i++) {
		if (!(t->marks & marks[i].mark))
			continue;
		fputc(marks[i].letter, r->out);
		room -= room > 1;
	}
	colour_off(r, t->marks ? YELLOW : NULL);
	osp_columns_write_spaces(r->out, room);
	put_root(r, t);
	fputc('\n', r->out);
}

/* ---- the tree ---- */

struct tree {
	const struct osp_render *r;
	const struct osp_trace *trace;
	const struct osp_span *spans;
	size_t count;
	size_t *depths;
	struct osp_map by_id; /* id -> span */
};

static const struct osp_span *find_span(const struct tree *t, uint64_t id)
{
	return id ? osp_map_find(&t->by_id, &id, sizeof(id)) : NULL;
}

static size_t indent(const struct tree *t, const struct osp_span *s)
{
	size_t depth = t->depths[s - t->spans];

	return 2 * (depth < DEEPEST ? depth : DEEPEST);
}

static void put_bar(const struct tree *t, const struct osp_span *s)
{
	double whole = (double)(t->trace->end_ns - t->trace->start_ns);
	double from = whole > 0 ? (double)(s->start_ns - t->trace->start_ns) / whole : 0;
	double to = whole > 0 ? (double)(s->end_ns - t->trace->start_ns) / whole : 1;
	int first = (int)(from * BAR), last = (int)(to * BAR + 0.999);
	char bar[BAR + 1];

	first = first < 0 ? 0 : first >= BAR ? BAR - 1 : first;
	last = last <= first ? first + 1 : last > BAR ? BAR : last;
	memset(bar, ' ', BAR);
	memset(bar + first, '=', (size_t)(last - first));
	bar[BAR] = 0;
	fprintf(t->r->out, "[%s]", bar);
}

/* What a line has left for the code behind the status. */
static size_t code_room(const struct osp_span *s)
{
	return s->status == OSP_SPAN_ERROR ? 8 : 11;
}

/* Where it ran, unless nobody saw that. */
static void process_text(const struct tree *t, const struct osp_span *s, char out[64])
{
	if (s->marks & OSP_MARK_REPORTED)
		snprintf(out, 64, "reported by peer");
	else
		osp_columns_process(t->r->session, s->process, out);
}

static void put_line(const struct tree *t, const struct osp_span *s)
{
	const struct osp_render *r = t->r;
	const char *colour = s->status == OSP_SPAN_ERROR ? RED : NULL;
	size_t at = indent(t, s);
	char process[64];

	osp_columns_write_spaces(r->out, at);
	put_name(r->out, s->name, NAME - at);
	fputc(' ', r->out);
	put_bar(t, s);
	fputc(' ', r->out);
	put_duration(r->out, s->end_ns - s->start_ns);
	fputs("  ", r->out);
	process_text(t, s, process);
	osp_columns_write_padded(r->out, process, PROCESS);
	fputs("  ", r->out);
	colour_on(r, colour);
	fputs(status_text(s->status), r->out);
	if (s->code) {
		fputc(' ', r->out);
		osp_columns_write(r->out, s->code, code_room(s));
	}
	colour_off(r, colour);
	fputc('\n', r->out);
}

static void begin_note(const struct tree *t, const struct osp_span *s, const char *colour,
		       const char *sign)
{
	osp_columns_write_spaces(t->r->out, indent(t, s) + 2);
	colour_on(t->r, colour);
	fputs(sign, t->r->out);
}

static void end_note(const struct tree *t, const char *colour)
{
	colour_off(t->r, colour);
	fputc('\n', t->r->out);
}

/* "trace_context (exact), message_id agrees"; names come from a catalogue, yet from a file. */
static void put_evidence(FILE *f, const struct osp_span_link *l)
{
	osp_columns_write(f, l->evidence, 30);
	if (strcmp(l->grade, "ambiguous"))
		fprintf(f, " (%.12s)", l->grade);
	if (!l->also)
		return;
	fputs(", ", f);
	osp_columns_write(f, l->also + (*l->also == '!'), 24);
	fputs(*l->also == '!' ? " contradicts" : " agrees", f);
}

/* The far end of a link: "8c1f2e2a4b700001 hand north in depot/4002, trace 8c1f2e2a4b70". */
static int put_far_end(const struct tree *t, uint64_t id)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_store *store = t->r->session->store;
	FILE *f = t->r->out;
	struct osp_span span;
	char process[64];
	uint64_t trace, root = 0;
	int r = osp_store_find_span(store, id, &trace);

	fprintf(f, "%016" PRIx64, id);
	if (r == -ENOENT)
		fputs(" (not in this session)", f);
	r = r ? r : osp_store_spans(store, trace, &c);
	if (r)
		return r == -ENOENT ? 0 : r;
	while (!(r = osp_cursor_next_span(c, &span))) {
		root = root ? root : span.id;
		if (span.id != id)
			continue;
		process_text(t, &span, process);
		fputc(' ', f);
		osp_columns_write_title(f, span.name, 24);
		fputs(" in ", f);
		osp_columns_write(f, process, PROCESS);
		fprintf(f, ", trace %012" PRIx64, root >> 16);
		return 0;
	}
	return r < 0 ? r : 0;
}

static const struct osp_value *find_fact(const struct osp_span *s, const char *name)
{
	for (size_t i = 0; i < s->event_count; i++)
		for (size_t k = 0; k < s->events[i].attribute_count; k++)
			if (!strcmp(s->events[i].attributes[k].name, name))
				return &s->events[i].attributes[k].value;
	return NULL;
}

/* How far what a peer reported can be believed. */
static void put_report(const struct tree *t, const struct osp_span *s)
{
	const struct osp_value *error = find_fact(s, OSP_ATTRIBUTE_CLOCK_ERROR);
	bool cut = false;
	char text[24];

	for (size_t i = 0; i < t->count && !cut; i++)
		cut = t->spans[i].operation == s->id && find_fact(&t->spans[i], OSP_ATTRIBUTE_CUT);
	if (error && error->type == OSP_VALUE_U64 && error->u64 <= INT64_MAX)
		fprintf(t->r->out, ", times may be off by %s", osp_text_duration(text, error->i64));
	else
		fputs(", clock unknown: it was between request and answer", t->r->out);
	if (cut)
		fputs(", its end is missing", t->r->out);
}

/* What stands above in the tree and why; a nested span and a child need no reason. */
static void put_cause(const struct tree *t, const struct osp_span *s, const struct osp_span_link *l)
{
	FILE *f = t->r->out;

	begin_note(t, s, DIM, "^ ");
	if (l->span_id != s->parent_id)
		fprintf(f, "%s %016" PRIx64 " ",
			strcmp(l->makes, "fan_in") ? "linked with" : "gathers", l->span_id);
	fputs("via ", f);
	put_evidence(f, l);
	if (s->marks & OSP_MARK_REPORTED)
		put_report(t, s);
	end_note(t, DIM);
}

static size_t count_ambiguous(const struct osp_span *s, bool incoming)
{
	size_t n = 0;

	for (size_t i = 0; i < s->link_count; i++)
		n += s->links[i].incoming == incoming && !strcmp(s->links[i].grade, "ambiguous");
	return n;
}

/* Candidates are listed, all of them alike: none is shown as the fact. */
static int put_candidates(const struct tree *t, const struct osp_span *s, bool incoming)
{
	size_t count = count_ambiguous(s, incoming);
	int r = 0;

	if (!count)
		return 0;
	begin_note(t, s, YELLOW, "? ");
	fprintf(t->r->out,
		incoming ? "ambiguous cause, %zu candidate%s, none is taken as fact:"
			 : "ambiguous effect, %zu candidate%s, none is taken as fact:",
		count, count > 1 ? "s" : "");
	end_note(t, YELLOW);
	for (size_t i = 0; !r && i < s->link_count; i++) {
		const struct osp_span_link *l = &s->links[i];

		if (l->incoming != incoming || strcmp(l->grade, "ambiguous"))
			continue;
		begin_note(t, s, YELLOW, "  ");
		r = put_far_end(t, l->span_id);
		end_note(t, YELLOW);
		begin_note(t, s, DIM, "    via ");
		put_evidence(t->r->out, l);
		end_note(t, DIM);
	}
	return r;
}

/* An effect that shows before its cause: the clocks of two processes, unless the start is unknown. */
static void put_clock(const struct tree *t, const struct osp_span *s)
{
	const struct osp_span *parent = find_span(t, s->parent_id);
	char text[24];

	if (!parent || s->start_ns >= parent->start_ns || parent->marks & OSP_MARK_BEGAN_BEFORE)
		return;
	begin_note(t, s, YELLOW, "! ");
	fprintf(t->r->out, "clock uncertainty: shown %s before its cause",
		osp_text_duration(text, parent->start_ns - s->start_ns));
	end_note(t, YELLOW);
}

/* A code that the line has no room for. */
static void put_code(const struct tree *t, const struct osp_span *s)
{
	const char *colour = s->status == OSP_SPAN_ERROR ? RED : NULL;

	if (!s->code || osp_columns_count_text(s->code) <= code_room(s))
		return;
	begin_note(t, s, colour, "! ");
	fprintf(t->r->out, "%s: ", s->status == OSP_SPAN_ERROR ? "error" : "code");
	osp_columns_write(t->r->out, s->code, 60);
	end_note(t, colour);
}

/* The loss for which something may be cut. False: none is known in its time. */
static bool put_loss(const struct tree *t, uint32_t process, int64_t start_ns, int64_t end_ns)
{
	const struct osp_books_gap *gap;
	FILE *f = t->r->out;
	char name[64];

	if (!osp_books_find_gap(t->r->books, process, start_ns, end_ns, &gap))
		return false;
	osp_columns_process(t->r->session, gap->process, name);
	fprintf(f, "may be cut: %" PRIu64 " step%s of ", gap->lost, gap->lost == 1 ? "" : "s");
	osp_columns_write(f, name, PROCESS);
	fputs(gap->lost == 1 ? " was lost meanwhile (" : " were lost meanwhile (", f);
	osp_columns_write(f, gap->reason, 20);
	fputc(')', f);
	return true;
}

/* "next: response_received, the head of the answer is there" */
static void put_outlook_step(const struct tree *t, const struct osp_span *s, const char *word,
			     const struct osp_point *p)
{
	FILE *f = t->r->out;
	size_t at = indent(t, s) + 4 + 6;

	end_note(t, YELLOW);
	begin_note(t, s, YELLOW, "  ");
	fprintf(f, "%4s: ", word);
	at += osp_columns_write(f, p->name, 40);
	if (p->doc) {
		fputs(", ", f);
		osp_columns_write(f, p->doc, WIDTH - 2 - at);
	}
}

/* What its last step says it was about to do, and what would have come then. */
static int put_outlook(const struct tree *t, const struct osp_span *s)
{
	struct osp_outlook_steps steps;
	int r = osp_outlook_find(t->r->outlook, t->spans, t->count, s, &steps);

	if (r)
		return r == -ENOENT ? 0 : r;
	put_outlook_step(t, s, "last", steps.last);
	for (size_t i = 0; i < steps.count && i < NEXT; i++)
		put_outlook_step(t, s, i ? "or" : "next", steps.next[i]);
	if (steps.count > NEXT)
		fprintf(t->r->out, ", or %zu others", steps.count - NEXT);
	return 0;
}

/* Where it stopped, if it did. */
static bool put_halt(const struct tree *t, const struct osp_span *s)
{
	struct osp_halt halt;
	char text[OSP_HALT_TEXT];

	if (!osp_halt_find(t->r->session, t->spans, t->count, s, &halt))
		return false;
	fputs("incomplete: ", t->r->out);
	osp_columns_write(t->r->out, osp_halt_text(t->r->session, &halt, text), OSP_HALT_TEXT);
	return true;
}

static int put_mark(const struct tree *t, const struct osp_span *s, size_t mark)
{
	bool told = false;
	int r = 0;

	begin_note(t, s, YELLOW, "! ");
	if (marks[mark].mark == OSP_MARK_INCOMPLETE) {
		told = put_halt(t, s);
		r = told ? put_outlook(t, s) : 0;
	} else if (marks[mark].mark == OSP_MARK_MAY_BE_CUT) {
		told = put_loss(t, s->process, s->start_ns, s->end_ns);
	}
	if (!told)
		fputs(marks[mark].phrase, t->r->out);
	end_note(t, YELLOW);
	return r;
}

static int put_notes(const struct tree *t, const struct osp_span *s)
{
	int r;

	put_code(t, s);
	for (size_t i = 0; i < s->link_count; i++)
		if (s->links[i].incoming && strcmp(s->links[i].grade, "ambiguous"))
			put_cause(t, s, &s->links[i]);
	r = put_candidates(t, s, true);
	r = r ? r : put_candidates(t, s, false);
	if (s->parent_id && !find_span(t, s->parent_id)) {
		begin_note(t, s, YELLOW, "! ");
		fprintf(t->r->out, "its cause %016" PRIx64 " is not in this session", s->parent_id);
		end_note(t, YELLOW);
	}
	put_clock(t, s);
	for (size_t i = 0; !r && i < MARKS; i++)
		if (s->marks & marks[i].mark && marks[i].phrase)
			r = put_mark(t, s, i);
	return r;
}

/* ---- events ---- */

enum { ATTRIBUTE = 32, BYTES = 32 }; /* columns of a name; bytes of a value that are shown */

static void value_text(const struct osp_value *v, char out[160])
{
	switch (v->type) {
	case OSP_VALUE_I64:
		snprintf(out, 160, "%" PRId64, v->i64);
		return;
	case OSP_VALUE_U64:
		snprintf(out, 160, "%" PRIu64, v->u64);
		return;
	case OSP_VALUE_F64:
		snprintf(out, 160, "%.15g", v->f64);
		return;
	case OSP_VALUE_BOOL:
		snprintf(out, 160, "%s", v->boolean ? "true" : "false");
		return;
	case OSP_VALUE_STR:
		snprintf(out, 160, "\"%.*s%s\"", (int)(v->size < 150 ? v->size : 150),
			 v->size ? (const char *)v->data : "", v->size < 150 ? "" : "..");
		return;
	case OSP_VALUE_BYTES:
		osp_text_hex(out, v->data, v->size < BYTES ? v->size : BYTES);
		if (v->size > BYTES)
			strcat(out, "..");
		return;
	}
}

/* "name=value", on a new line when it does not fit on this one. Returns the column after it. */
static size_t put_attribute(const struct tree *t, const struct osp_attribute *a, size_t at,
			    size_t margin)
{
	FILE *f = t->r->out;
	char text[160], cut[32] = "";
	size_t room;

	value_text(&a->value, text);
	if (a->value.type >= OSP_VALUE_STR && a->value.true_size > a->value.size)
		snprintf(cut, sizeof(cut), " (of %u bytes)", a->value.true_size);
	if (at + 3 + osp_columns_count_text(a->name) + osp_columns_count_text(text) + strlen(cut) >
	    WIDTH) {
		fputc('\n', f);
		osp_columns_write_spaces(f, margin);
		at = margin;
	} else {
		fputs("  ", f);
		at += 2;
	}
	at += 1 + osp_columns_write(f, a->name, ATTRIBUTE);
	fputc('=', f);
	/* even the deepest margin leaves some columns for the value */
	room = WIDTH - at - strlen(cut);
	at += osp_columns_write(f, text, room);
	fputs(cut, f);
	return at + strlen(cut);
}

static void put_event(const struct tree *t, const struct osp_span *s,
		      const struct osp_span_event *e)
{
	const struct osp_render *r = t->r;
	size_t margin = indent(t, s) + 4, at;
	char text[24];

	osp_columns_write_spaces(r->out, margin);
	fprintf(r->out, "+%-9s ", osp_text_duration(text, e->time_ns - t->trace->start_ns));
	colour_on(r, e->unexpected ? YELLOW : NULL);
	at = margin + 11 + osp_columns_write(r->out, e->name, 40);
	if (e->unexpected)
		at += (size_t)fprintf(r->out, " (unexpected)");
	colour_off(r, e->unexpected ? YELLOW : NULL);
	for (size_t i = 0; i < e->attribute_count; i++)
		at = put_attribute(t, &e->attributes[i], at, margin + 13);
	fputc('\n', r->out);
}

/* ---- the whole ---- */

static void put_heading(const struct tree *t)
{
	const struct osp_render *r = t->r;
	const struct osp_trace *trace = t->trace;
	const char *colour = trace->status == OSP_SPAN_ERROR ? RED : NULL;
	char id[33], text[24];

	osp_text_hex(id, trace->id, sizeof(trace->id));
	fprintf(r->out, "trace %s\n", id);
	colour_on(r, BOLD);
	osp_columns_write_title(r->out, trace->root, WIDTH);
	colour_off(r, BOLD);
	fputs("\nstarted ", r->out);
	put_time(r, trace->start_ns);
	fprintf(r->out, ", took %s%s, status ",
		trace->marks & OSP_MARK_INCOMPLETE ? "at least " : "",
		osp_text_duration(text, trace->end_ns - trace->start_ns));
	colour_on(r, colour);
	fputs(trace->status == OSP_SPAN_UNSET ? "unset" : status_text(trace->status), r->out);
	colour_off(r, colour);
	fprintf(r->out, "\n%u span%s in %u process%s, %u link%s\n\n", trace->spans,
		trace->spans == 1 ? "" : "s", trace->processes, trace->processes == 1 ? "" : "es",
		trace->links, trace->links == 1 ? "" : "s");
}

/*
 * How far the trace's times may be off: when that is much for it, or the counter behind the steps
 * did what one should not do. With -v always.
 */
static void put_error(const struct tree *t)
{
	const struct osp_session *s = t->r->session;
	int64_t took_ns = t->trace->end_ns - t->trace->start_ns;
	bool odd = s->step_jumps || s->step_contradictions;
	bool much = took_ns >= 0 && s->step_error_ns > (uint64_t)took_ns / MUCH;
	const char *colour = odd || much ? YELLOW : NULL;
	FILE *f = t->r->out;
	char text[24];

	if (!s->step_error_ns || !(odd || much || t->r->verbose))
		return;
	colour_on(t->r, colour);
	fprintf(f, "%stimes of steps are uncertain by %s\n", colour ? "! " : "",
		osp_text_duration(text, s->step_error_ns > INT64_MAX ? INT64_MAX
								     : (int64_t)s->step_error_ns));
	if (s->step_jumps)
		fprintf(f,
			"! the clock of the steps jumped %" PRIu64
			" time%s in this recording (suspended or moved?): times across\n"
			"  a jump cannot be compared\n",
			s->step_jumps, s->step_jumps == 1 ? "" : "s");
	if (s->step_contradictions)
		fprintf(f,
			"! %" PRIu64
			" records in this recording came before their own steps: such a step has the "
			"time at which\n  it was brought, the order within an operation stays right\n",
			s->step_contradictions);
	colour_off(t->r, colour);
	fputc('\n', f);
}

/* A mark of the trace that none of its spans has: the recorder did not live to give it. */
static void put_doubt(const struct tree *t, size_t count)
{
	uint32_t told = 0;

	for (size_t i = 0; i < count; i++)
		told |= t->spans[i].marks;
	if (!(t->trace->marks & ~told & OSP_MARK_MAY_BE_CUT))
		return;
	colour_on(t->r, YELLOW);
	fputs("! ", t->r->out);
	put_loss(t, 0, t->trace->start_ns, t->trace->end_ns);
	colour_off(t->r, YELLOW);
	fputs("\n\n", t->r->out);
}

/* Parents come before their children, so one pass tells all depths. */
static int index_spans(struct tree *t, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct osp_span *parent = find_span(t, t->spans[i].parent_id);
		int r = osp_map_add(&t->by_id, &t->spans[i].id, sizeof(t->spans[i].id),
				    (void *)&t->spans[i]);

		if (r)
			return r;
		t->depths[i] = parent ? t->depths[parent - t->spans] + 1 : 0;
	}
	return 0;
}

int osp_render_spans(const struct osp_render *render, const struct osp_trace *trace,
		     const struct osp_span *spans, size_t count)
{
	_cleanup_free_ size_t *depths = calloc(count + 1, sizeof(*depths));
	struct tree t = {
		.r = render, .trace = trace, .spans = spans, .count = count, .depths = depths};
	int r = depths ? 0 : -ENOMEM;

	osp_map_init(&t.by_id, count + 1, trace->root_id);
	r = r ? r : index_spans(&t, count);
	if (!r) {
		put_heading(&t);
		put_doubt(&t, count);
		put_error(&t);
	}
	for (size_t i = 0; !r && i < count && !ferror(render->out); i++) {
		put_line(&t, &spans[i]);
		r = put_notes(&t, &spans[i]);
		for (size_t k = 0; render->verbose && k < spans[i].event_count; k++)
			put_event(&t, &spans[i], &spans[i].events[k]);
	}
	osp_map_clear(&t.by_id);
	return r;
}
