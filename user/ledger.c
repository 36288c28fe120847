/*
 * The books for people (user/ledger.h): whether they close, what was lost for which reason, where
 * and when, which traces that touched, and what it means for the numbers. Fed by cmd_losses.c with
 * counted books; owns nothing.
 */
#include "user/ledger.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/buffer.h"
#include "user/base/cleanup.h"
#include "user/base/text.h"
#include "user/columns.h"

enum {
	ROWS = 20, /* of each table; --json has all */
	PROCESS = 21,
	PROBE = 40,
	PLACE = 41, /* a point in the table of places */
	REASON = 15,
};

/* A share in per cent; never 0 when there is something, nor 100 when something is left. */
static const char *share_text(char out[16], uint64_t part, uint64_t whole)
{
	double share = whole ? 100.0 * (double)part / (double)whole : 0;

	if (part && share < 0.01)
		return "less than 0.01 %";
	if (part < whole && share > 99.99)
		return "more than 99.99 %";
	snprintf(out, 16, share < 10 ? "%.2f %%" : "%.1f %%", share);
	return out;
}

static void put_process(const struct osp_ledger *l, const struct osp_books *b, uint32_t key,
			size_t most)
{
	char text[64];

	if (key)
		osp_columns_process(b->session, key, text);
	osp_columns_write(l->out, key ? text : "those that came too late for a place", most);
}

/* Writes our own words from column `margin` on, on as many lines as they need. */
static void put_words(FILE *f, const char *text, size_t margin)
{
	size_t at = margin;

	while (*text) {
		size_t size = strcspn(text, " ");

		if (at > margin && at + 1 + size > 100) {
			fputc('\n', f);
			osp_columns_write_spaces(f, margin);
			at = margin;
		} else if (at > margin) {
			fputc(' ', f);
			at++;
		}
		fwrite(text, 1, size, f);
		at += size;
		text += size + (text[size] == ' ');
	}
	fputc('\n', f);
}

static char *wall_text(const struct osp_ledger *l, const struct osp_books *b, int64_t boot_ns,
		       char text[40])
{
	return osp_text_time(text, boot_ns + osp_session_wall_offset(b->session, boot_ns), l->utc);
}

static void put_more(const struct osp_ledger *l, size_t shown, size_t count, const char *what)
{
	if (count > shown)
		fprintf(l->out, "  ... and %zu more %s: --json has all\n", count - shown, what);
}

/* ---- do they close ---- */

/* What no page of the books tells: nobody knows how many steps it was. */
static void put_unknown(const struct osp_ledger *l, const struct osp_session *s)
{
	if (s->bad_records)
		fprintf(l->out, "; unknown: %" PRIu64 " record%s made no sense", s->bad_records,
			osp_text_plural(s->bad_records));
	if (s->children_lost)
		fprintf(l->out, "; unknown: %" PRIu64 " process%s could not be followed",
			s->children_lost, s->children_lost == 1 ? "" : "es");
	if (!s->ended)
		fputs("; cut: later hits are unknown", l->out);
}

void osp_ledger_write_verdict(const struct osp_ledger *l, const struct osp_books *b)
{
	char share[16];

	if (b->missing)
		fprintf(l->out, "missing: %" PRIu64 " of %" PRIu64 " step%s (%s)", b->missing,
			b->hits, osp_text_plural(b->hits), share_text(share, b->missing, b->hits));
	else if (!b->open)
		fprintf(l->out,
			"no step is missing: %" PRIu64 " hit%s of %zu point%s in %zu process%s",
			b->hits, osp_text_plural(b->hits), b->page_count,
			osp_text_plural(b->page_count), b->processes,
			b->processes == 1 ? "" : "es");
	if (b->open)
		fprintf(l->out, "%sbooks do not close: %zu of %zu point%s", b->missing ? "; " : "",
			b->open, b->page_count, osp_text_plural(b->page_count));
	put_unknown(l, b->session);
	if (b->forgotten)
		fprintf(l->out, "; forgotten as asked: %" PRIu64, b->forgotten);
	if (b->chosen)
		fprintf(l->out, "; left out as asked: %" PRIu64, b->chosen);
	fputc('\n', l->out);
}

/* Not stored, and missed by nobody. */
static uint64_t left_out(const struct osp_books_page *p)
{
	return p->lost - p->missing;
}

static void put_open_pages(const struct osp_ledger *l, const struct osp_books *b)
{
	for (size_t i = 0, shown = 0; b->open && i < b->page_count; i++) {
		const struct osp_books_page *p = &b->pages[i];

		if (p->hits == p->stored + p->lost)
			continue;
		if (shown++ == ROWS) {
			put_more(l, ROWS, b->open, "points");
			return;
		}
		fputs("  ", l->out);
		put_process(l, b, p->process, PROCESS);
		fputc(' ', l->out);
		osp_columns_write(l->out, p->probe, PROBE);
		fprintf(l->out,
			": %" PRIu64 " hits, %" PRIu64 " stored, %" PRIu64 " left out, %" PRIu64
			" lost\n",
			p->hits, p->stored, left_out(p), p->missing);
	}
}

static void put_equation(const struct osp_ledger *l, const struct osp_books *b)
{
	struct {
		uint64_t steps;
		const char *what;
	} parts[] = {{b->forgotten, "forgotten"},
		     {b->chosen, "left out as asked"},
		     {b->lost - b->missing - b->chosen, "not needed"}};
	struct osp_buffer text = OSP_BUFFER_INIT(1024);

	osp_buffer_print(&text, "%" PRIu64 " hits = %" PRIu64 " stored + ", b->hits,
			 b->stored - b->forgotten);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i].steps)
			osp_buffer_print(&text, "%" PRIu64 " %s + ", parts[i].steps, parts[i].what);
	osp_buffer_print(&text, "%" PRIu64 " lost: ", b->missing);
	if (!b->open)
		osp_buffer_print(&text, "closes for every point of every process");
	else
		osp_buffer_print(&text, "does NOT close for %zu of %zu point%s", b->open,
				 b->page_count, osp_text_plural(b->page_count));
	if (osp_buffer_text(&text))
		put_words(l->out, osp_buffer_text(&text), 0);
	osp_buffer_clear(&text);
	put_open_pages(l, b);
}

static void put_times(const struct osp_ledger *l, const struct osp_books *b)
{
	char from[40], to[40];

	if (b->from_ns)
		fprintf(l->out, "watched from %s", wall_text(l, b, b->from_ns, from));
	if (b->from_ns && b->session->ended && b->to_ns)
		fprintf(l->out, " to %s", wall_text(l, b, b->to_ns, to));
	if (b->from_ns)
		fputc('\n', l->out);
	if (b->session->ended)
		return;
	fprintf(l->out,
		"cut at %s: the recording is under way or was killed,\n  later hits are unknown\n",
		b->found ? wall_text(l, b, b->last_ns, to) : "its beginning");
}

/* ---- by reason, by process and point, in time ---- */

static int by_lost(const void *a, const void *b)
{
	const struct osp_books_reason *x = a, *y = b;

	return (x->lost < y->lost) - (x->lost > y->lost);
}

static bool is_missed(const struct osp_books_reason *r)
{
	return r->known->kind == OSP_REASON_MISSING;
}

/* One table for what is missed, one for what was left out. */
static void put_reasons(const struct osp_ledger *l, const struct osp_books *b, bool missed)
{
	struct osp_books_reason sorted[OSP_BOOKS_REASONS];
	const size_t margin = REASON + 2 + 10 + 2;
	bool begun = false;

	memcpy(sorted, b->reasons, sizeof(sorted));
	qsort(sorted, b->reason_count, sizeof(sorted[0]), by_lost);
	for (size_t i = 0; i < b->reason_count; i++) {
		if (is_missed(&sorted[i]) != missed)
			continue;
		if (!begun)
			fprintf(l->out, "\n%-*s  %10s  %s\n", REASON, "REASON",
				missed ? "LOST" : "LEFT OUT",
				missed ? "WHAT HAPPENED, AND WHAT TO DO"
				       : "WHY, AND HOW TO READ THE NUMBERS");
		begun = true;
		osp_columns_write_padded(l->out, sorted[i].name, REASON);
		fprintf(l->out, "  %10" PRIu64 "  ", sorted[i].lost);
		put_words(l->out, osp_reason_help(sorted[i].name), margin);
		osp_columns_write_spaces(l->out, margin);
		put_words(l->out, sorted[i].known->advice, margin);
	}
}

/* A page with what sorting needs: first the processes that miss most, in them the points that do. */
struct place {
	const struct osp_books_page *page;
	uint64_t process_missing, process_lost;
};

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->process_missing != y->process_missing)
		return x->process_missing < y->process_missing ? 1 : -1;
	if (x->process_lost != y->process_lost)
		return x->process_lost < y->process_lost ? 1 : -1;
	if (x->page->process != y->page->process)
		return x->page->process < y->page->process ? -1 : 1;
	if (x->page->missing != y->page->missing)
		return x->page->missing < y->page->missing ? 1 : -1;
	if (x->page->lost != y->page->lost)
		return x->page->lost < y->page->lost ? 1 : -1;
	return x->page < y->page ? -1 : 1; /* as stored: by provider and probe */
}

/* The reason that took most: of what is missed, if anything is. */
static const struct osp_books_share *find_worst(const struct osp_books *b,
						const struct osp_books_page *p)
{
	const struct osp_books_share *most = NULL;

	for (size_t i = 0; i < p->loss_count; i++) {
		const struct osp_books_share *s = &p->losses[i];

		if (p->missing && !is_missed(&b->reasons[s->reason]))
			continue;
		if (!most || s->lost > most->lost)
			most = s;
	}
	return most;
}

static void put_counts(const struct osp_ledger *l, const struct osp_books_page *sums)
{
	fprintf(l->out, " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 "  ", sums->hits,
		sums->stored, left_out(sums), sums->missing);
}

static void put_page(const struct osp_ledger *l, const struct osp_books *b,
		     const struct osp_books_page *p)
{
	const struct osp_books_share *most = find_worst(b, p);

	fputs("  ", l->out);
	osp_columns_write_padded(l->out, p->probe, PLACE);
	put_counts(l, p);
	if (most)
		osp_columns_write(l->out, b->reasons[most->reason].name, REASON);
	fputs(p->loss_count > 1 ? "..\n" : "\n", l->out);
}

/* The line above the points of a process: their sums. */
static void put_sum(const struct osp_ledger *l, const struct osp_books *b, uint32_t process)
{
	struct osp_books_page sums = {.process = process};
	char share[16];

	for (size_t i = 0; i < b->page_count; i++) {
		if (b->pages[i].process != process)
			continue;
		sums.hits += b->pages[i].hits;
		sums.stored += b->pages[i].stored;
		sums.lost += b->pages[i].lost;
		sums.missing += b->pages[i].missing;
	}
	put_process(l, b, process, PLACE + 2);
	fprintf(l->out, "\n  %-*s", PLACE, "all its points");
	put_counts(l, &sums);
	fprintf(l->out, "%s\n", share_text(share, sums.missing, sums.hits));
}

/* Pages of one process stand together, as they are read by key. */
static size_t find_places(const struct osp_books *b, struct place *places)
{
	size_t count = 0;

	for (size_t i = 0, next; i < b->page_count; i = next) {
		struct place of = {NULL, 0, 0};

		for (next = i; next < b->page_count; next++) {
			if (b->pages[next].process != b->pages[i].process)
				break;
			of.process_lost += b->pages[next].lost;
			of.process_missing += b->pages[next].missing;
		}
		for (size_t k = i; k < next; k++) {
			of.page = &b->pages[k];
			if (of.page->lost)
				places[count++] = of;
		}
	}
	qsort(places, count, sizeof(*places), by_place);
	return count;
}

static void put_pages(const struct osp_ledger *l, const struct osp_books *b)
{
	_cleanup_free_ struct place *places = calloc(b->page_count + 1, sizeof(*places));
	size_t count = places ? find_places(b, places) : 0;

	fprintf(l->out, "\n%-*s %9s %9s %9s %9s\n", PLACE + 2, "PROCESS AND POINT", "HITS",
		"STORED", "LEFT OUT", "LOST");
	for (size_t i = 0; i < count && i < ROWS; i++) {
		if (!i || places[i].page->process != places[i - 1].page->process)
			put_sum(l, b, places[i].page->process);
		put_page(l, b, places[i].page);
	}
	put_more(l, ROWS, count, "points that do not have all steps stored");
}

static void put_interval(const struct osp_ledger *l, const struct osp_books *b,
			 const struct osp_books_interval *i)
{
	char from[40], to[40], took[24], share[16];
	const char *between = "  ";

	fprintf(l->out, "%s  %s %9s %10" PRIu64 "  %s\n", wall_text(l, b, i->from_ns, from),
		wall_text(l, b, i->to_ns, to), osp_text_duration(took, i->to_ns - i->from_ns),
		i->lost,
		osp_books_is_forgotten(b, i) ? "forgotten"
					     : share_text(share, i->lost, i->lost + i->stored));
	for (size_t k = 0; k < b->reason_count; k++) {
		if (!(i->reasons >> k & 1))
			continue;
		fputs(between, l->out);
		osp_columns_write(l->out, b->reasons[k].name, REASON);
		between = ", ";
	}
	fputs(" in ", l->out);
	put_process(l, b, i->process, PROCESS);
	if (i->processes > 1)
		fprintf(l->out, " and %zu more", i->processes - 1);
	fputc('\n', l->out);
}

/* The loss from which on an interval is among the largest that are shown. */
static uint64_t find_bar(const struct osp_books *b)
{
	uint64_t most[ROWS] = {0};

	for (size_t i = 0; i < b->interval_count; i++) {
		uint64_t lost = b->intervals[i].lost;

		for (size_t k = 0; k < ROWS; k++) {
			uint64_t other = most[k];

			if (lost <= other)
				continue;
			most[k] = lost;
			lost = other;
		}
	}
	return most[ROWS - 1];
}

static void put_intervals(const struct osp_ledger *l, const struct osp_books *b)
{
	uint64_t bar = find_bar(b);
	size_t shown = 0;

	if (!b->interval_count)
		return;
	fprintf(l->out, "\n%-*s  %-*s %9s %10s  %s\n", l->utc ? 27 : 32, "FROM", l->utc ? 27 : 32,
		"TO", "LASTED", "LOST", "SHARE");
	for (size_t i = 0; i < b->interval_count && shown < ROWS; i++) {
		if (b->intervals[i].lost < bar)
			continue;
		put_interval(l, b, &b->intervals[i]);
		shown++;
	}
	put_more(l, ROWS, b->interval_count, "intervals with smaller losses");
}

/* ---- what it means ---- */

static void put_traces(const struct osp_ledger *l, const struct osp_books *b)
{
	const struct osp_books_traces *t = &b->traces;
	uint64_t cut = t->marked[__builtin_ctz(OSP_MARK_MAY_BE_CUT)];

	fprintf(l->out,
		"\ntraces: %" PRIu64 ", of which may be cut: %" PRIu64 " (%" PRIu64
		" by losses in their time, %" PRIu64 " by attaching or detaching),\n",
		t->all, cut, t->by_loss, cut - t->by_loss);
	fprintf(l->out,
		"  began before attach: %" PRIu64 ", incomplete: %" PRIu64
		", without these marks: %" PRIu64 "\n",
		t->marked[__builtin_ctz(OSP_MARK_BEGAN_BEFORE)],
		t->marked[__builtin_ctz(OSP_MARK_INCOMPLETE)], t->whole);
}

__attribute__((format(printf, 2, 3))) static void put_point(const struct osp_ledger *l,
							    const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fputs("- ", l->out);
	put_words(l->out, text, 2);
}

/* Missing steps whose time no interval tells. */
static uint64_t count_timeless(const struct osp_books *b)
{
	uint64_t timed = 0;

	for (size_t i = 0; i < b->gap_count; i++)
		timed += b->gaps[i].lost;
	return timed < b->missing ? b->missing - timed : 0;
}

static void put_rates(const struct osp_ledger *l, const struct osp_books *b)
{
	uint64_t timeless = count_timeless(b);
	char from[40], to[40], share[16];

	for (size_t i = 0; i < b->interval_count && b->interval_count <= 3; i++) {
		const struct osp_books_interval *v = &b->intervals[i];

		if (osp_books_is_forgotten(b, v))
			continue;
		put_point(l, "Counts and rates are %s too low between %s and %s.",
			  share_text(share, v->lost, v->lost + v->stored),
			  wall_text(l, b, v->from_ns, from), wall_text(l, b, v->to_ns, to));
	}
	if (b->interval_count > 3)
		put_point(l, "Counts and rates are too low by the shares above in %zu intervals.",
			  b->interval_count);
	if (timeless)
		put_point(l,
			  "When %" PRIu64 " of the missing steps were lost is not known: over the "
			  "whole time counts are %s too low.",
			  timeless, share_text(share, timeless, b->hits));
	else if (b->interval_count && !b->open && b->session->ended)
		put_point(l, "At all other times nothing was lost: counts and rates are exact.");
}

static void put_meaning(const struct osp_ledger *l, const struct osp_books *b)
{
	uint64_t cut = b->traces.marked[__builtin_ctz(OSP_MARK_MAY_BE_CUT)];

	if (b->missing || b->chosen || b->forgotten || b->open || cut || !b->session->ended)
		fputs("\nWhat this means for the numbers:\n", l->out);
	if (b->missing)
		put_rates(l, b);
	if (b->traces.whole && (b->missing || !b->session->ended))
		put_point(l,
			  "Times are taken where the step happens: durations and order within the "
			  "%" PRIu64 " trace%s without these marks are not affected.",
			  b->traces.whole, osp_text_plural(b->traces.whole));
	if (cut)
		put_point(l,
			  "Traces that may be cut (%" PRIu64
			  ") can lack spans or steps, or be too short: leave them out (SQL: "
			  "WHERE marks NOT LIKE '%%may be cut%%').",
			  cut);
	if (b->chosen)
		put_point(l,
			  "%" PRIu64
			  " step%s left out as asked: nothing that is stored lacks them.",
			  b->chosen, b->chosen == 1 ? " was" : "s were");
	if (b->forgotten)
		put_point(
			l,
			"%" PRIu64
			" steps were stored and forgotten again, since only the last while was to be "
			"kept: of single points and processes, STORED counts them, too.",
			b->forgotten);
	if (!b->session->ended)
		put_point(l, "Operations that were open at the cut are incomplete or not there at "
			     "all; what came later is neither counted nor excluded.");
	if (b->open)
		put_point(l,
			  "The points that do not close have hits of which nobody knows what "
			  "became: a fault of outspan or of the file. Trust no count of theirs.");
	if (b->found < b->stored - b->forgotten)
		put_point(l,
			  "The file holds %" PRIu64 " steps and the books say %" PRIu64
			  " were stored and kept: the file was damaged.",
			  b->found, b->stored - b->forgotten);
}

void osp_ledger_write(const struct osp_ledger *l, const struct osp_books *b)
{
	osp_ledger_write_verdict(l, b);
	if (b->lost || b->forgotten || b->open)
		put_equation(l, b);
	if (!b->counted)
		return;
	put_times(l, b);
	if (b->lost) {
		put_reasons(l, b, true);
		put_reasons(l, b, false);
		put_pages(l, b);
	}
	put_intervals(l, b);
	put_traces(l, b);
	put_meaning(l, b);
}
