/*
 * outspan deliveries: to whom each message was to go, and how far it came. Reads a session twice, a
 * trace at a time: once to learn who receives for whom, once to tell. Prints through manifest.c.
 */
#include "user/command.h"

#include <errno.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "probes/catalogue.h"
#include "user/manifest.h"
#include "user/output.h"
#include "user/pattern.h"
#include "user/reader.h"

enum { KEY_TOPIC = 0x100, KEY_MISSING };

struct options {
	struct osp_reader_options reader;
	const char *topic;
	bool missing;
};

static const struct argp_option option_table[] = {
	{OSP_CATALOGUE_TOPIC_WORD, KEY_TOPIC, "GLOB", 0,
	 "only messages whose topic matches (lonelypsp's globs)", 0},
	{"missing", KEY_MISSING, NULL, 0,
	 "only what did not arrive; the exit status is 1 if anything did not", 0},
	OSP_READER_JSON("one JSON object per message and line, then one with the sums"),
	OSP_READER_UTC,
	{0},
};

static const char help[] =
	"Tell for each message to whom it was to go and how far it came: delivered (its receiver was "
	"seen to get it, or has confirmed it), missing (and what went wrong), open (still under way), or "
	"unknown (a loss touched it, or nobody recorded enough).\v"
	"`not received' is said where the receiver was recorded all the while, else `receiver not "
	"recorded'. `again' means delivered to a subscriber that had the message already. A "
	"delivery to a receiver that hands the message on (to its web sockets, say) is not counted, "
	"those behind it are.\n\n"
	"Examples:\n"
	"  outspan deliveries session.db\n"
	"  outspan deliveries --missing --topic 'orders/*' session.db\n"
	"  outspan deliveries --json session.db | tail -n 1";

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case KEY_TOPIC:
		o->topic = arg;
		return 0;
	case KEY_MISSING:
		o->missing = true;
		return 0;
	default:
		return osp_reader_take(key, arg, state, &o->reader);
	}
}

/* What the walk over a session needs. */
struct walk {
	struct osp_session *session;
	struct osp_books *books;
	struct osp_delivery_finder *finder;
	struct osp_patterns *patterns; /* NULL = every topic */
	struct osp_manifest manifest;
};

static int learn(struct walk *w, const struct osp_span *spans, size_t count)
{
	struct osp_delivery_list list;
	int r = osp_delivery_find(w->finder, spans, count, false, &list);

	return r ? r : osp_delivery_learn(w->finder, &list);
}

static bool is_wanted(const struct walk *w, const struct osp_publication *m)
{
	const struct osp_value *t = m->topic;

	if (!w->patterns)
		return true;
	return t && t->type >= OSP_VALUE_STR &&
	       osp_pattern_match(w->patterns, t->data, t->size, t->true_size > t->size);
}

static int tell(struct walk *w, const struct osp_span *spans, size_t count)
{
	struct osp_delivery_list list;
	struct osp_trace t;
	bool cut;
	int r = osp_store_trace(w->session->store, spans, count, &t);

	if (r)
		return r;
	cut = t.marks & OSP_MARK_MAY_BE_CUT || osp_books_doubt(w->books, &t);
	r = osp_delivery_find(w->finder, spans, count, cut, &list);
	for (size_t i = 0; !r && i < list.message_count; i++)
		if (is_wanted(w, &list.messages[i]))
			r = osp_manifest_write(&w->manifest, &list, &list.messages[i], t.id);
	w->manifest.sums.strays += r || w->patterns ? 0 : list.strays;
	return r;
}

static int go(struct walk *w, int (*take)(struct walk *, const struct osp_span *, size_t))
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	const struct osp_span *spans;
	size_t count;
	int r = osp_store_spans(w->session->store, 0, &c);

	while (!r && !(w->manifest.out && ferror(w->manifest.out)) &&
	       !(r = osp_cursor_next_spans(c, &spans, &count)))
		r = take(w, spans, count);
	return r < 0 ? r : 0;
}

static int fail(const struct walk *w, int r)
{
	if (r == -ENOENT)
		osp_err(0,
			"the session's catalogue does not say what a delivery is - record with one that has deliveries");
	else if (r == -E2BIG)
		osp_err(0, "a trace has more deliveries than there is room for");
	else if (r)
		osp_err(0, "%s", r == -ENOMEM ? "no memory" : osp_store_error(w->session->store));
	return r;
}

static int run(struct walk *w, const struct options *o)
{
	int r = osp_delivery_new(&w->finder, w->session);

	if (!r && o->topic) {
		r = osp_pattern_new(&w->patterns, &o->topic, 1);
		if (r == -E2BIG)
			return osp_err(-EINVAL, "--topic: expected at most %d characters",
				       OSP_PATTERN_POSITIONS);
	}
	r = r ? r : go(w, learn);
	r = r ? r : go(w, tell);
	r = r ? r : osp_manifest_write_sums(&w->manifest);
	return fail(w, r);
}

static const struct argp argp = {option_table, parse, "FILE", help, NULL, NULL, NULL};

static int command(int argc, char **argv)
{
	_cleanup_(osp_session_close) struct osp_session *s = NULL;
	_cleanup_(osp_books_free) struct osp_books *books = NULL;
	struct options o = {0};
	struct walk w = {0};
	struct osp_output out;
	int r, closed;

	osp_command_parse(&osp_cmd_deliveries, 0, argc, argv, &o);
	r = osp_reader_open(&s, &o.reader);
	r = r ? r : osp_reader_read_books(&books, s, 0);
	r = r ? r : osp_output_open(&out, NULL);
	if (r)
		return osp_reader_exit(r);
	w.session = s;
	w.books = books;
	w.manifest = (struct osp_manifest){.out = out.file,
					   .session = s,
					   .utc = o.reader.utc,
					   .json = o.reader.json,
					   .missing = o.missing};
	r = run(&w, &o);
	osp_delivery_free(&w.finder);
	osp_pattern_free(&w.patterns);
	closed = osp_output_close(&out);
	r = r ? r : closed;
	if (!r && o.missing &&
	    (w.manifest.sums.states[OSP_DELIVERY_MISSING] || w.manifest.sums.failed))
		return OSP_EXIT_FAILED;
	return osp_reader_exit(r);
}

const struct osp_command osp_cmd_deliveries = {
	.name = "deliveries",
	.brief = "tell to whom each message was to go, and how far it came",
	.argp = &argp,
	.run = command,
};
