/*
 * Latencies of --aggregate (user/latency.h): from the loader's histograms through the tally into
 * settings of the session and the summary; from the session to `ls`. Fed by the recorder at its
 * stop and by cmd_ls. Owns nothing between calls.
 */
#include "user/latency.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/base/text.h"
#include "user/json.h"
#include "user/tally.h"

static void drop_json(json_t **value)
{
	json_decref(*value);
}

/* ---- into the session ---- */

static json_int_t scale(uint64_t ticks, double ns_per_tick)
{
	return (json_int_t)((double)ticks * ns_per_tick);
}

static json_t *make_buckets(const struct osp_tally_row *row, double ns_per_tick)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < row->bucket_count; i++) {
		const struct osp_tally_bucket *b = &row->buckets[i];

		if (json_array_append_new(
			    list,
			    json_pack("[I, I]", scale(osp_histogram_least(b->bucket), ns_per_tick),
				      (json_int_t)b->count))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *make_row(const struct osp_tally_row *row, uint32_t pid, double ns_per_tick)
{
	static const uint32_t quantiles[] = {500, 900, 990, 1000};
	json_int_t ns[4];

	for (size_t i = 0; i < 4; i++)
		ns[i] = scale(osp_tally_quantile(row, quantiles[i]), ns_per_tick);
	return json_pack("{s:I, s:I, s:s, s:s?, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "process",
			 (json_int_t)row->process, "pid", (json_int_t)pid, "operation",
			 row->operation->name, "point", row->point ? row->point->name : NULL,
			 "count", (json_int_t)row->count, "errors", (json_int_t)row->errors,
			 "untimed", (json_int_t)row->untimed, "p50_ns", ns[0], "p90_ns", ns[1],
			 "p99_ns", ns[2], "max_ns", ns[3], "buckets",
			 make_buckets(row, ns_per_tick));
}

static json_int_t get(const json_t *row, const char *key)
{
	return json_integer_value(json_object_get(row, key));
}

/* As the summary and `ls` print it; from a session it may be anything. */
static void format_row(char *out, size_t size, const json_t *row)
{
	const char *operation = json_string_value(json_object_get(row, "operation"));
	const char *point = json_string_value(json_object_get(row, "point"));
	static const char *const times[] = {"p50_ns", "p90_ns", "p99_ns", "max_ns"};
	char text[512], ns[4][24];

	for (size_t i = 0; i < 4; i++)
		osp_text_duration(ns[i], get(row, times[i]));
	snprintf(text, sizeof(text),
		 "%-8" JSON_INTEGER_FORMAT "%s%-*s %8" JSON_INTEGER_FORMAT " %6" JSON_INTEGER_FORMAT
		 " %9s %9s %9s %9s",
		 get(row, "pid"), point ? "  " : "", point ? 34 : 36,
		 point	     ? point
		 : operation ? operation
			     : "?",
		 get(row, "count"), get(row, "errors"), ns[0], ns[1], ns[2], ns[3]);
	osp_text_escape(out, size, text, strlen(text));
}

/* Names sort as the rows do: settings come back in their order. */
static int tell_row(struct osp_feed *f, const struct osp_tally_row *row, double ns_per_tick)
{
	_cleanup_(drop_json) json_t *value =
		make_row(row, osp_feed_pid(f, row->process), ns_per_tick);
	_cleanup_free_ char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
	char name[64], line[2100];

	if (!text)
		return -ENOMEM;
	snprintf(name, sizeof(name), OSP_SESSION_AGGREGATE "%05" PRIu32 ".%04u", row->process,
		 row->operation->number);
	if (row->point)
		snprintf(name + strlen(name), sizeof(name) - strlen(name), ".%05u",
			 row->point->number);
	format_row(line, sizeof(line), value);
	osp_info("%s", line);
	return osp_feed_setting(f, name, text);
}

static int on_bucket(void *tally, const struct osp_histogram_key *key, uint64_t count)
{
	return osp_tally_add(tally, key, count);
}

int osp_latency_tell(struct osp_loader *l, struct osp_feed *f, const struct osp_catalogue *c,
		     double ns_per_tick)
{
	_cleanup_(osp_tally_free) struct osp_tally *t = NULL;
	const struct osp_tally_row *row;
	int r = osp_tally_new(&t, c);

	r = r ? r : osp_loader_histograms(l, on_bucket, t);
	r = r ? r : osp_tally_stop(t);
	for (size_t i = 0; !r && (row = osp_tally_at(t, i)); i++)
		r = tell_row(f, row, ns_per_tick);
	return r;
}

/* ---- out of the session ---- */

static int print_row(FILE *out, const char *value, bool json)
{
	_cleanup_(drop_json) json_t *row = json_loads(value, 0, NULL);
	char line[2100];

	if (!json_is_object(row))
		return 0;
	if (json)
		return osp_json_print(out, json_incref(row));
	format_row(line, sizeof(line), row);
	fprintf(out, "%s\n", line);
	return 0;
}

int osp_latency_list(struct osp_session *s, FILE *out, bool json)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_part part;
	int r = osp_store_parts(s->store, OSP_PART_SESSION, &c);
	bool any = json;

	while (!r && !(r = osp_cursor_next_part(c, &part))) {
		if (strncmp(part.session.name, OSP_SESSION_AGGREGATE,
			    strlen(OSP_SESSION_AGGREGATE)))
			continue;
		if (!any)
			fputs("This session holds aggregates only. Times of an operation are those from its "
			      "first step,\nof a point those from the step before it:\n"
			      "PID     OPERATION, POINT                        COUNT ERRORS       P50       P90       P99       MAX\n",
			      out);
		any = true;
		r = print_row(out, part.session.value, json);
	}
	return r < 0 ? r : 0;
}
