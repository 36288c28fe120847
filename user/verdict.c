/*
 * Text and JSON of a check (user/verdict.h): fed by cmd_check with a check that ran. Looks up the
 * traces that have findings in the store; owns nothing.
 */
#include "user/verdict.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/text.h"
#include "user/json.h"

/* A trace that has findings: those in a row belong to the same one. */
struct heading {
	uint64_t key;
	char id[33], root[80];
};

/* The trace of a finding; an empty id: it lies in none. */
static int find_heading(const struct osp_check *c, uint64_t key, struct heading *h)
{
	_cleanup_(osp_cursor_close) struct osp_cursor *cursor = NULL;
	const struct osp_span *spans;
	struct osp_trace t;
	size_t count;
	int r;

	if (h->key == key)
		return 0;
	*h = (struct heading){.key = key};
	r = osp_store_spans(c->session->store, key, &cursor);
	r = r ? r : osp_cursor_next_spans(cursor, &spans, &count);
	r = r ? r : osp_store_trace(c->session->store, spans, count, &t);
	if (r)
		return r > 0 ? 0 : r;
	osp_text_hex(h->id, t.id, sizeof(t.id));
	osp_text_escape(h->root, sizeof(h->root), t.root, strlen(t.root));
	return 0;
}

/* ---- text ---- */

static void write_sums(const struct osp_verdict *v)
{
	const struct osp_check *c = v->check;
	const char *lead = " (";
	uint64_t all = 0;

	if (c->genuine)
		fprintf(v->out, "%" PRIu64 " finding%s", c->genuine, osp_text_plural(c->genuine));
	else
		fprintf(v->out, "no findings");
	fprintf(v->out, " in %" PRIu64 " operation%s of %" PRIu64 " trace%s", c->operations,
		osp_text_plural(c->operations), c->traces, osp_text_plural(c->traces));
	for (int i = 0; i < OSP_CONFORM_KINDS; i++)
		if (c->by_kind[i]) {
			fprintf(v->out, "%s%s %" PRIu64, lead, osp_conform_to_str(i),
				c->by_kind[i]);
			lead = ", ";
		}
	fprintf(v->out, "%s\n", c->genuine ? ")" : "");
	for (int i = 0; i < OSP_CHECK_CAUSES; i++)
		all += c->explained[i];
	if (all)
		fprintf(v->out, "%" PRIu64 " more explained, no fault of the programs:", all);
	lead = " ";
	for (int i = 0; i < OSP_CHECK_CAUSES; i++)
		if (c->explained[i]) {
			fprintf(v->out, "%s%s %" PRIu64, lead, osp_check_cause_to_str(i),
				c->explained[i]);
			lead = ", ";
		}
	fprintf(v->out, "%s", all ? "\n" : "");
	if (c->unknown)
		fprintf(v->out,
			"not checked: %" PRIu64
			" operation%s that the session's catalogue does not know\n",
			c->unknown, osp_text_plural(c->unknown));
}

/* What could not be checked, and why. */
static void write_blind(const struct osp_verdict *v)
{
	const struct osp_check *c = v->check;

	if (c->blind_count)
		fprintf(v->out, "\nsteps that nobody could see, so that they are not missed:\n");
	for (size_t i = 0; i < c->blind_count; i++)
		fprintf(v->out, "  %s/%s in %" PRIu64 " operation%s: %s\n", c->blind[i].of->name,
			c->blind[i].point->name, c->blind[i].operations,
			osp_text_plural(c->blind[i].operations),
			osp_check_cause_to_str(c->blind[i].cause));
}

static void write_where(const struct osp_verdict *v, const struct osp_finding *f)
{
	const struct osp_process_row *p = osp_session_process(v->check->session, f->process);
	char comm[40] = "?", time[40];

	if (p)
		osp_text_escape(comm, sizeof(comm), p->comm, strlen(p->comm));
	fprintf(v->out, " - %s\n      in %s (%" PRIu32 ")", f->of->name, comm, p ? p->pid : 0);
	if (f->time_ns)
		fprintf(v->out, " at %s",
			osp_text_time(time,
				      (int64_t)((uint64_t)f->time_ns +
						(uint64_t)osp_session_wall_offset(v->check->session,
										  f->time_ns)),
				      v->utc));
	fputc('\n', v->out);
}

static void write_expected(const struct osp_verdict *v, const struct osp_finding *f)
{
	size_t columns = 14;

	if (!f->expected_count || (f->expected_count == 1 && f->expected[0] == f->point))
		return;
	fprintf(v->out, "      expected");
	for (size_t i = 0; i < f->expected_count; i++) {
		const char *name = f->expected[i]->name;

		columns += strlen(name) + 2;
		if (columns > 98) {
			fprintf(v->out, "\n              ");
			columns = 14 + strlen(name) + 2;
		}
		fprintf(v->out, " %s%s", name, i + 1 < f->expected_count ? "," : "");
	}
	fputc('\n', v->out);
}

/* What a rule of the user, or a link, asks for. */
static void write_rule(const struct osp_verdict *v, const struct osp_finding *f)
{
	char rule[120], time[24];

	osp_text_escape(rule, sizeof(rule), f->rule, strlen(f->rule));
	if (f->by_ns)
		fprintf(v->out, "      %s before its cause, %s (link %s)\n",
			osp_text_duration(time, f->by_ns), f->partner ? f->partner->name : "?",
			rule);
	else if (f->kind == OSP_CONFORM_MISSING)
		fprintf(v->out, "      rule \"%s\": no %s followed in time\n", rule,
			f->partner->name);
	else
		fprintf(v->out, "      rule \"%s\": it never should%s%s\n", rule,
			f->partner ? " after " : "", f->partner ? f->partner->name : "");
}

static void write_finding(const struct osp_verdict *v, const struct osp_finding *f)
{
	const char *cause = osp_check_cause_to_str(f->cause);

	fprintf(v->out, "  %c %s", cause ? '?' : '!', osp_conform_to_str(f->kind));
	if (f->count > 1)
		fprintf(v->out, " (%" PRIu64 " times)", f->count);
	if (f->point)
		fprintf(v->out, " %s", f->point->name);
	write_where(v, f);
	if (cause)
		fprintf(v->out, "      %s\n", cause);
	if (f->rule)
		write_rule(v, f);
	if (f->before || f->after)
		fprintf(v->out, "      %s%s%s%s%s\n", f->before ? "after " : "",
			f->before ? f->before->name : "", f->before && f->after ? ", " : "",
			f->after ? "before " : "", f->after ? f->after->name : "");
	write_expected(v, f);
}

int osp_verdict_write(const struct osp_verdict *v)
{
	const struct osp_check *c = v->check;
	struct heading h = {.key = 0};
	uint64_t shown = 0, all = c->genuine, last = 0;
	int r = 0;

	write_sums(v);
	for (size_t i = 0; !r && i < c->finding_count && !ferror(v->out); i++) {
		const struct osp_finding *f = &c->findings[i];

		if (f->cause != OSP_CHECK_NONE && !v->explained)
			continue;
		r = f->trace ? find_heading(c, f->trace, &h) : 0;
		if (!shown || f->trace != last)
			fprintf(v->out, "\n%s%.12s %s\n",
				f->trace ? "trace "
					 : "steps that came when their operations were over",
				f->trace ? h.id : "", f->trace ? h.root : "");
		last = f->trace;
		write_finding(v, f);
		shown += f->count;
	}
	for (int i = 0; v->explained && i < OSP_CHECK_CAUSES; i++)
		all += c->explained[i];
	if (shown < all)
		fprintf(v->out, "\nand %" PRIu64 " more\n", all - shown);
	write_blind(v);
	return r;
}

/* ---- JSON ---- */

static json_t *optional(const char *text)
{
	return text ? osp_json_text(text) : json_null();
}

static json_t *point_name(const struct osp_point *p)
{
	return optional(p ? p->name : NULL);
}

static json_t *expected_json(const struct osp_finding *f)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->expected_count; i++)
		json_array_append_new(list, point_name(f->expected[i]));
	return list;
}

static json_t *finding_json(const struct osp_check *c, const struct osp_finding *f,
			    const struct heading *h)
{
	const struct osp_process_row *p = osp_session_process(c->session, f->process);
	int64_t offset_ns = osp_session_wall_offset(c->session, f->time_ns);
	char id[17];

	snprintf(id, sizeof(id), "%016" PRIx64, f->operation);
	return json_pack(
		"{s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:I}", "kind",
		osp_conform_to_str(f->kind), "why", optional(osp_check_cause_to_str(f->cause)),
		"trace_id", optional(f->trace ? h->id : NULL), "root",
		optional(f->trace ? h->root : NULL), "operation", optional(f->of->name),
		"operation_id", optional(f->operation ? id : NULL), "comm",
		optional(p ? p->comm : NULL), "pid", (json_int_t)(p ? p->pid : 0), "point",
		point_name(f->point), "time_ns",
		f->time_ns ? json_integer((json_int_t)((uint64_t)f->time_ns + (uint64_t)offset_ns))
			   : json_null(),
		"previous", point_name(f->before), "next", point_name(f->after), "expected",
		expected_json(f), "rule", optional(f->rule), "partner",
		optional(f->partner ? f->partner->name : NULL), "count", (json_int_t)f->count);
}

static json_t *findings_json(const struct osp_check *c)
{
	json_t *list = json_array();
	struct heading h = {.key = 0};

	for (size_t i = 0; i < c->finding_count; i++) {
		const struct osp_finding *f = &c->findings[i];

		if (f->trace && find_heading(c, f->trace, &h))
			return json_decref(list), NULL;
		json_array_append_new(list, finding_json(c, f, &h));
	}
	return list;
}

static json_t *blind_json(const struct osp_check *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->blind_count; i++)
		json_array_append_new(list,
				      json_pack("{s:o,s:o,s:s,s:I}", "operation",
						optional(c->blind[i].of->name), "point",
						point_name(c->blind[i].point), "why",
						osp_check_cause_to_str(c->blind[i].cause),
						"operations", (json_int_t)c->blind[i].operations));
	return list;
}

json_t *osp_verdict_json(const struct osp_verdict *v)
{
	const struct osp_check *c = v->check;
	json_t *kinds = json_object(), *explained = json_object(), *findings = findings_json(c);

	for (int i = 0; i < OSP_CONFORM_KINDS; i++)
		json_object_set_new(kinds, osp_conform_to_str(i),
				    json_integer((json_int_t)c->by_kind[i]));
	for (int i = OSP_CHECK_NONE + 1; i < OSP_CHECK_CAUSES; i++)
		json_object_set_new(explained, osp_check_cause_to_str(i),
				    json_integer((json_int_t)c->explained[i]));
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o}", "traces", (json_int_t)c->traces,
			 "operations", (json_int_t)c->operations, "not_in_catalogue",
			 (json_int_t)c->unknown, "rules", (json_int_t)c->rules, "genuine",
			 (json_int_t)c->genuine, "kinds", kinds, "explained", explained, "findings",
			 findings, "unseen", blind_json(c));
}
