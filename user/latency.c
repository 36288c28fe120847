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
#include "user/json.h"
#include "user/tally.h"
#include "user/timetable.h"

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

static json_t *make_row(const struct osp_feed *f, const struct osp_tally_row *row,
			double ns_per_tick)
{
	static const uint32_t quantiles[] = {500, 900, 990, 1000};
	json_int_t ns[4];
	uint32_t pid;
	const char *comm = osp_feed_comm(f, row->process, &pid);

	for (size_t i = 0; i < 4; i++)
		ns[i] = scale(osp_tally_quantile(row, quantiles[i]), ns_per_tick);
	return json_pack("{s:I, s:o, s:I, s:s, s:s?, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
			 "process", (json_int_t)row->process, "comm", osp_json_text(comm), "pid",
			 (json_int_t)pid, "operation", row->operation->name, "point",
			 row->point ? row->point->name : NULL, "count", (json_int_t)row->count,
			 "errors", (json_int_t)row->errors, "untimed", (json_int_t)row->untimed,
			 "p50_ns", ns[0], "p90_ns", ns[1], "p99_ns", ns[2], "max_ns", ns[3],
			 "buckets", make_buckets(row, ns_per_tick));
}

/* Of a setting's name what is behind the process: rows of all processes sort by it. */
static const char *place_of(const char *name)
{
	const char *dot = strchr(name + strlen(OSP_SESSION_AGGREGATE), '.');

	return dot ? dot + 1 : "";
}

/* Names sort as the rows do: settings come back in their order. */
static int tell_row(struct osp_feed *f, const struct osp_tally_row *row, double ns_per_tick,
		    struct osp_timetable *table)
{
	_cleanup_(drop_json) json_t *value = make_row(f, row, ns_per_tick);
	_cleanup_free_ char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
	char name[64];
	int r;

	if (!text)
		return -ENOMEM;
	snprintf(name, sizeof(name), OSP_SESSION_AGGREGATE "%05" PRIu32 ".%04u", row->process,
		 row->operation->number);
	if (row->point)
		snprintf(name + strlen(name), sizeof(name) - strlen(name), ".%05u",
			 row->point->number);
	r = osp_timetable_add(table, place_of(name), value);
	return r ? r : osp_feed_setting(f, name, text);
}

static int on_bucket(void *tally, const struct osp_histogram_key *key, uint64_t count)
{
	return osp_tally_add(tally, key, count);
}

static void say_line(void *arg, const char *text)
{
	(void)arg;
	osp_info("%s", text);
}

int osp_latency_tell(struct osp_loader *l, struct osp_feed *f, const struct osp_catalogue *c,
		     double ns_per_tick)
{
	_cleanup_(osp_timetable_free) struct osp_timetable *table = NULL;
	_cleanup_(osp_tally_free) struct osp_tally *t = NULL;
	const struct osp_tally_row *row;
	int r = osp_tally_new(&t, c);

	r = r ? r : osp_timetable_new(&table);
	r = r ? r : osp_loader_histograms(l, on_bucket, t);
	r = r ? r : osp_tally_stop(t);
	for (size_t i = 0; !r && (row = osp_tally_at(t, i)); i++)
		r = tell_row(f, row, ns_per_tick, table);
	return r ? r : osp_timetable_print(table, say_line, NULL);
}

/* ---- out of the session ---- */

static bool is_row(const struct osp_part *part)
{
	return !strncmp(part->session.name, OSP_SESSION_AGGREGATE, strlen(OSP_SESSION_AGGREGATE));
}

static int take_row(const struct osp_part *part, struct osp_timetable *table, FILE *json)
{
	_cleanup_(drop_json) json_t *row = json_loads(part->session.value, 0, NULL);

	if (!json_is_object(row))
		return 0;
	return json ? osp_json_print(json, json_incref(row))
		    : osp_timetable_add(table, place_of(part->session.name), row);
}

static void print_line(void *out, const char *text)
{
	fprintf(out, "%s\n", text);
}

int osp_latency_list(struct osp_session *s, FILE *out, bool json)
{
	_cleanup_(osp_timetable_free) struct osp_timetable *table = NULL;
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_part part;
	int r = osp_timetable_new(&table);

	r = r ? r : osp_store_parts(s->store, OSP_PART_SESSION, &c);
	while (!r && !(r = osp_cursor_next_part(c, &part)))
		r = is_row(&part) ? take_row(&part, table, json ? out : NULL) : 0;
	if (r < 0 || json)
		return r < 0 ? r : 0;
	fputs("This session holds aggregates only. Times of an operation are those from its first "
	      "step, of a point\nthose from the step before it; they are known to 3 % and shown with "
	      "two digits.\n",
	      out);
	return osp_timetable_print(table, print_line, out);
}

int osp_latency_find(const struct osp_session *s, bool *found)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *c = NULL;
	struct osp_part part;
	int r = osp_store_parts(s->store, OSP_PART_SESSION, &c);

	*found = false;
	while (!r && !(r = osp_cursor_next_part(c, &part)))
		*found |= is_row(&part);
	return r < 0 ? r : 0;
}
