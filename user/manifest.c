/*
 * Writes what became of each message (user/manifest.h): fed by cmd_deliveries.c with what
 * delivery.c found. A message is a line, and so is each of its deliveries:
 *
 *   8c1f1e2a4b6e  2025-03-01T12:00:00.123456+01:00  publish a/b
 *   delivered http://127.0.0.1:4001/v1/receive  exact     is confirmed, is received
 *   missing   http://127.0.0.1:4002/v1/receive  glob      network_error, receiver not recorded
 */
#include "user/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "user/base/text.h"
#include "user/columns.h"
#include "user/json.h"

/* Columns: of the parts of a line, and where its remarks begin. */
enum {
	STATE = 9,
	NAME = 34,
	FOUND = 9,
	REMARKS = 2 + STATE + 1 + NAME + 1 + FOUND + 1,
	WIDTH = 100
};

static const char *const states[OSP_DELIVERY_STATES] = {"delivered", "missing", "open", "unknown"};
static const char *const receipts[] = {"seen", "none", "unrecorded", "unknown"};

/* ---- sums ------------------------------------------------------------------------------------ */

static void count_reason(struct osp_manifest_sums *s, const char *reason)
{
	size_t i = 0;

	while (i < s->reason_count &&
	       strncmp(s->reasons[i].name, reason, sizeof(s->reasons[i].name) - 1))
		i++;
	if (i == s->reason_count && i < OSP_MANIFEST_REASONS) {
		bool last = ++s->reason_count == OSP_MANIFEST_REASONS;

		snprintf(s->reasons[i].name, sizeof(s->reasons[i].name), "%s",
			 last ? "others" : reason);
	}
	s->reasons[i < OSP_MANIFEST_REASONS ? i : OSP_MANIFEST_REASONS - 1].count++;
}

static void count(struct osp_manifest_sums *s, const struct osp_delivery *d)
{
	if (d->relay) {
		s->relays++;
		return;
	}
	s->deliveries++;
	s->states[d->state]++;
	s->received += d->receipts > 0;
	s->confirmed += d->confirmed;
	s->again += d->again + (d->receipts > 1 ? d->receipts - 1 : 0);
	s->told += d->state == OSP_DELIVERY_MISSING && d->told;
	if (d->state == OSP_DELIVERY_MISSING)
		count_reason(s, d->reason);
}

static bool is_wanted(const struct osp_manifest *m, const struct osp_delivery *d)
{
	return !m->missing || (!d->relay && d->state == OSP_DELIVERY_MISSING);
}

/* ---- text ------------------------------------------------------------------------------------ */

/* A name that fits, then spaces up to the width. */
static void put_subscriber(FILE *f, const struct osp_value *v)
{
	char text[513];
	size_t n;

	if (!v)
		snprintf(text, sizeof(text), "(its name could not be read)");
	else if (v->type == OSP_VALUE_BYTES)
		osp_text_hex(text, v->data, v->size < 256 ? v->size : 256);
	else if (v->type != OSP_VALUE_STR)
		snprintf(text, sizeof(text), "%" PRIu64, v->u64);
	n = v && v->type == OSP_VALUE_STR ? osp_columns_write(f, v->data, NAME)
					  : osp_columns_write(f, text, NAME);
	osp_columns_write_spaces(f, NAME > n ? NAME - n : 0);
}

static const char *receipt_text(const struct osp_delivery *d)
{
	switch (d->receipt) {
	case OSP_RECEIPT_SEEN:
		return d->confirmed || d->reason ? "is received" : "is received, unconfirmed";
	case OSP_RECEIPT_NONE:
		return d->state == OSP_DELIVERY_OPEN ? "not received so far" : "not received";
	case OSP_RECEIPT_UNRECORDED:
		return "receiver not recorded";
	default:
		return "the rest may be lost";
	}
}

/* What is said of a delivery: words behind each other, on lines that begin below each other. */
struct remarks {
	FILE *f;
	size_t column;
};

static void put_remark(struct remarks *r, const char *text)
{
	size_t n = osp_columns_count_text(text);

	if (r->column > REMARKS) {
		bool fits = r->column + 2 + n <= WIDTH;

		fputs(fits ? ", " : ",\n", r->f);
		osp_columns_write_spaces(r->f, fits ? 0 : REMARKS);
		r->column = fits ? r->column + 2 : REMARKS;
	}
	r->column += osp_columns_write(r->f, text, WIDTH - REMARKS);
}

static void put_remarks(const struct osp_manifest *m, const struct osp_delivery *d)
{
	struct remarks r = {m->out, REMARKS};
	char times[40];

	if (d->reason)
		put_remark(&r, d->reason);
	else if (!d->sent && !d->receipts && !d->confirmed && !d->relay)
		put_remark(&r, "no send seen");
	if (d->confirmed)
		put_remark(&r, "is confirmed");
	put_remark(&r, receipt_text(d));
	snprintf(times, sizeof(times), "%" PRIu32 " times", d->receipts);
	if (d->receipts > 1)
		put_remark(&r, times);
	if (d->noted)
		put_remark(&r,
			   d->told ? "told that it missed it" : "will be told that it missed it");
	fputc('\n', m->out);
}

static void put_delivery(const struct osp_manifest *m, const struct osp_delivery *d)
{
	fprintf(m->out, "  %-*s ", STATE,
		d->relay   ? "handed on"
		: d->again ? "again"
			   : states[d->state]);
	put_subscriber(m->out, d->subscriber);
	fprintf(m->out, " %-*.*s ", FOUND, FOUND, d->found ? d->found : "");
	put_remarks(m, d);
}

static const char *message_text(const struct osp_publication *message)
{
	if (message->failed)
		return "failed";
	if (message->spread && message->span->status == OSP_SPAN_OK)
		return "nobody is subscribed";
	if (message->spread)
		return message->span->marks & OSP_MARK_INCOMPLETE
			       ? "who is subscribed is not known yet"
			       : "who is subscribed may be lost";
	return "who looks for its subscribers is not recorded";
}

static void put_message(const struct osp_manifest *m, const struct osp_publication *message,
			const uint8_t trace_id[16])
{
	char time[40], id[13];
	int64_t start_ns = message->span->start_ns;

	osp_text_hex(id, trace_id, 6);
	osp_text_time(time, start_ns + osp_session_wall_offset(m->session, start_ns), m->utc);
	fprintf(m->out, "%s  %s  ", id, time);
	osp_columns_write_title(m->out, message->span->name, 48);
	fputc('\n', m->out);
	if (message->count)
		return;
	fprintf(m->out, "  %s", message_text(message));
	if (message->failed && message->span->code) {
		fputs(": ", m->out);
		osp_columns_write(m->out, message->span->code, 48);
	}
	fputc('\n', m->out);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *text_or_null(const char *text)
{
	return text ? osp_json_text(text) : json_null();
}

static json_t *value_or_null(const struct osp_value *v)
{
	return v ? osp_json_value(v) : json_null();
}

static json_t *delivery_json(const struct osp_delivery *d)
{
	return json_pack("{s:o, s:o, s:s, s:o, s:b, s:s, s:I, s:b, s:b, s:b, s:b, s:b}",
			 "subscriber", value_or_null(d->subscriber), "found",
			 text_or_null(d->found), "state", states[d->state], "reason",
			 text_or_null(d->reason), "is_sent", d->sent, "receipt",
			 receipts[d->receipt], "receipts", (json_int_t)d->receipts, "is_confirmed",
			 d->confirmed, "relay", d->relay, "again", d->again, "missed_noted",
			 d->noted, "missed_told", d->told);
}

static int put_json(const struct osp_manifest *m, const struct osp_delivery_list *l,
		    const struct osp_publication *message, const uint8_t trace_id[16])
{
	json_t *list = json_array(), *object;
	int64_t start_ns = message->span->start_ns;
	char id[33];

	osp_text_hex(id, trace_id, 16);
	for (size_t i = message->first; i < message->first + message->count; i++)
		if (is_wanted(m, &l->deliveries[i]))
			json_array_append_new(list, delivery_json(&l->deliveries[i]));
	object = json_pack("{s:s, s:o, s:o, s:I, s:b, s:b, s:o, s:o}", "trace_id", id, "name",
			   osp_json_text(message->span->name), OSP_CATALOGUE_TOPIC,
			   value_or_null(message->topic), "start_ns",
			   (json_int_t)(start_ns + osp_session_wall_offset(m->session, start_ns)),
			   "failed", message->failed, "spread", message->spread, "code",
			   text_or_null(message->span->code), "deliveries", list);
	return osp_json_print(m->out, object);
}

/* ---- both ------------------------------------------------------------------------------------ */

int osp_manifest_write(struct osp_manifest *m, const struct osp_delivery_list *l,
		       const struct osp_publication *message, const uint8_t trace_id[16])
{
	size_t wanted = 0;

	m->sums.messages++;
	m->sums.failed += message->failed;
	for (size_t i = message->first; i < message->first + message->count; i++) {
		count(&m->sums, &l->deliveries[i]);
		wanted += is_wanted(m, &l->deliveries[i]);
	}
	if (m->missing && !wanted && !message->failed)
		return 0;
	if (m->json)
		return put_json(m, l, message, trace_id);
	put_message(m, message, trace_id);
	for (size_t i = message->first; i < message->first + message->count; i++)
		if (is_wanted(m, &l->deliveries[i]))
			put_delivery(m, &l->deliveries[i]);
	return 0;
}

static int put_sums_json(const struct osp_manifest *m)
{
	const struct osp_manifest_sums *s = &m->sums;
	json_t *reasons = json_object(), *object;

	for (size_t i = 0; i < s->reason_count; i++)
		json_object_set_new(reasons, s->reasons[i].name,
				    json_integer((json_int_t)s->reasons[i].count));
	object = json_pack(
		"{s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}}",
		"sums", "messages", (json_int_t)s->messages, "failed", (json_int_t)s->failed,
		"deliveries", (json_int_t)s->deliveries, states[OSP_DELIVERY_DELIVERED],
		(json_int_t)s->states[OSP_DELIVERY_DELIVERED], states[OSP_DELIVERY_MISSING],
		(json_int_t)s->states[OSP_DELIVERY_MISSING], states[OSP_DELIVERY_OPEN],
		(json_int_t)s->states[OSP_DELIVERY_OPEN], states[OSP_DELIVERY_UNKNOWN],
		(json_int_t)s->states[OSP_DELIVERY_UNKNOWN], "with_receipt",
		(json_int_t)s->received, "with_confirmation", (json_int_t)s->confirmed, "again",
		(json_int_t)s->again, "missed_told", (json_int_t)s->told, "relays",
		(json_int_t)s->relays, "stray_receipts", (json_int_t)s->strays, "reasons", reasons);
	return osp_json_print(m->out, object);
}

int osp_manifest_write_sums(const struct osp_manifest *m)
{
	const struct osp_manifest_sums *s = &m->sums;
	FILE *f = m->out;

	if (m->json)
		return put_sums_json(m);
	fprintf(f,
		"%" PRIu64 " message%s, %" PRIu64 " deliver%s: %" PRIu64 " delivered (%" PRIu64
		" received, %" PRIu64 " confirmed), %" PRIu64 " missing, %" PRIu64 " open, %" PRIu64
		" unknown\n",
		s->messages, osp_text_plural(s->messages), s->deliveries,
		s->deliveries == 1 ? "y" : "ies", s->states[OSP_DELIVERY_DELIVERED], s->received,
		s->confirmed, s->states[OSP_DELIVERY_MISSING], s->states[OSP_DELIVERY_OPEN],
		s->states[OSP_DELIVERY_UNKNOWN]);
	if (s->reason_count)
		fputs("missing: ", f);
	for (size_t i = 0; i < s->reason_count; i++) {
		fputs(i ? ", " : "", f);
		osp_columns_write(f, s->reasons[i].name, 48);
		fprintf(f, " %" PRIu64, s->reasons[i].count);
	}
	if (s->reason_count)
		fputs(s->told ? "" : "\n", f);
	if (s->reason_count && s->told)
		fprintf(f, "; %" PRIu64 " were told that they missed it\n", s->told);
	if (s->failed)
		fprintf(f, "failed: %" PRIu64 " message%s came to nobody\n", s->failed,
			osp_text_plural(s->failed));
	if (s->again)
		fprintf(f, "again: %" PRIu64 " deliver%s of what the subscriber had already\n",
			s->again, s->again == 1 ? "y" : "ies");
	if (s->relays)
		fprintf(f, "handed on: %" PRIu64 ", those behind count\n", s->relays);
	if (s->strays)
		fprintf(f, "besides: %" PRIu64 " receipt%s without a recorded delivery\n",
			s->strays, osp_text_plural(s->strays));
	return 0;
}
