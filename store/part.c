/*
 * What every store does alike with a part: refuse a bad one before any driver sees it, name its
 * key, decide which of two versions stays, copy it. Fed by store.c (checks) and by the drivers;
 * owns nothing. Pure.
 */
#include "store/part.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"

#define REQUIRE(condition, ...)                                                                    \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			snprintf(text, room, __VA_ARGS__);                                         \
			return -EINVAL;                                                            \
		}                                                                                  \
	} while (0)

static bool is_text(const char *t)
{
	size_t size = t ? strnlen(t, OSP_PART_TEXT_BYTES + 1) : 0;

	return t && size <= OSP_PART_TEXT_BYTES && osp_text_is_utf8(t, size);
}

static bool is_text_or_null(const char *t)
{
	return !t || is_text(t);
}

static bool is_one_of(const char *t, const char *const *words, size_t count)
{
	for (size_t i = 0; t && i < count; i++)
		if (!strcmp(t, words[i]))
			return true;
	return false;
}

static int check_bytes(const struct osp_attribute *a, char *text, size_t room)
{
	const struct osp_value *v = &a->value;

	REQUIRE(v->data || !v->size, "%s: %u bytes nowhere", a->name, v->size);
	REQUIRE(v->size <= OSP_PART_VALUE_BYTES, "%s: %u bytes, at most %d", a->name, v->size,
		OSP_PART_VALUE_BYTES);
	REQUIRE(v->true_size >= v->size, "%s: true size %u below %u", a->name, v->true_size,
		v->size);
	if (v->type == OSP_VALUE_STR && v->size)
		REQUIRE(osp_text_is_value(v->data, v->size), "%s: not UTF-8 without NUL", a->name);
	return 0;
}

static bool has_bytes(const struct osp_value *v)
{
	return v->type == OSP_VALUE_STR || v->type == OSP_VALUE_BYTES;
}

static int check_values(const struct osp_row *row, char *text, size_t room)
{
	size_t bytes = 0;
	int r = 0;

	for (size_t i = 0; !r && i < row->attribute_count; i++) {
		bytes += row->attributes[i].value.size + 32u;
		if (has_bytes(&row->attributes[i].value))
			r = check_bytes(&row->attributes[i], text, room);
	}
	if (r)
		return r;
	REQUIRE(bytes <= OSP_PART_ROW_BYTES, "%zu bytes of attributes", bytes);
	return 0;
}

/* What rows of one form may differ in. */
static int check_spans(const struct osp_row *row, char *text, size_t room)
{
	for (size_t i = 0; i < row->span_count; i++) {
		const struct osp_row_span *s = &row->spans[i];

		REQUIRE(is_text(s->name) && is_text_or_null(s->code),
			"span %zu: text missing or not UTF-8", i);
		REQUIRE((unsigned)s->status <= OSP_SPAN_ERROR, "span %zu: status %d", i, s->status);
		REQUIRE(s->marks < 1 << 16, "span %zu: marks %#x", i, s->marks);
	}
	return 0;
}

static int check_tree(const struct osp_row *row, char *text, size_t room)
{
	REQUIRE(row->span_count && row->span_count <= OSP_PART_SPANS, "%zu spans", row->span_count);
	for (size_t i = 0; i < row->span_count; i++) {
		const struct osp_row_span *s = &row->spans[i];

		REQUIRE(i ? s->parent < i : !s->parent, "span %zu: parent %u", i, s->parent);
		REQUIRE(i ? s->number > row->spans[i - 1].number : !s->number,
			"span %zu: number %u", i, s->number);
		REQUIRE(row->lasting || is_text(s->kind_name),
			"span %zu: text missing or not UTF-8", i);
		REQUIRE(s->kind >= OSP_SPAN_INTERNAL && s->kind <= OSP_SPAN_CONSUMER,
			"span %zu: kind %d", i, s->kind);
	}
	return 0;
}

static int check_steps(const struct osp_row *row, char *text, size_t room)
{
	uint32_t at = 0;

	REQUIRE(row->step_count <= OSP_PART_STEPS, "%zu steps", row->step_count);
	for (size_t i = 0; i < row->step_count; i++) {
		const struct osp_step *s = &row->steps[i];

		REQUIRE(row->lasting || is_text(s->name), "step %zu: no name in UTF-8", i);
		REQUIRE(s->span < row->span_count, "step %zu: span %u", i, s->span);
		if (!s->attribute_count)
			continue;
		REQUIRE(s->first_attribute == at, "step %zu: attributes from %u, not %u", i,
			s->first_attribute, at);
		at += s->attribute_count;
		REQUIRE(at <= row->attribute_count, "step %zu: attributes past the end", i);
	}
	REQUIRE(at == row->attribute_count, "%zu attributes, %u in steps", row->attribute_count,
		at);
	return 0;
}

static int check_fields(const struct osp_row *row, char *text, size_t room)
{
	for (size_t i = 0; i < row->attribute_count; i++) {
		const struct osp_attribute *a = &row->attributes[i];

		REQUIRE(row->lasting || is_text(a->name), "attribute without a name in UTF-8");
		REQUIRE((unsigned)a->value.type <= OSP_VALUE_BYTES, "%s: unknown type %d", a->name,
			a->value.type);
	}
	return 0;
}

/* What rows of one form have in common. */
static int check_form(const struct osp_row *row, char *text, size_t room)
{
	int r;

	REQUIRE(row->lasting || (is_text_or_null(row->provider) && is_text_or_null(row->side) &&
				 is_text_or_null(row->layer) && is_text_or_null(row->feature)),
		"provider, side, layer or feature not UTF-8");
	r = check_tree(row, text, room);
	r = r ? r : check_steps(row, text, room);
	return r ? r : check_fields(row, text, room);
}

static int check_row(const struct osp_row *row, bool known, char *text, size_t room)
{
	int r;

	REQUIRE(row->id, "operation without id");
	REQUIRE(osp_span_is_operation(row->id),
		"operation %016llx: expected a multiple of %d: the ids between are its nested spans'",
		(unsigned long long)row->id, OSP_SPAN_IDS);
	REQUIRE(row->trace && row->trace <= INT64_MAX, "trace key %llu",
		(unsigned long long)row->trace);
	r = known ? 0 : check_form(row, text, room);
	r = r ? r : check_spans(row, text, room);
	return r ? r : check_values(row, text, room);
}

static int check_edge(const struct osp_edge *e, char *text, size_t room)
{
	static const char *const makes[] = {"parent", "link", "fan_in"};
	static const char *const grades[] = {"exact", "strong", "weak", "ambiguous", "reported"};

	REQUIRE(e->from && e->to, "edge without an end");
	if (e->lasting) {
		REQUIRE(is_text_or_null(e->also), "edge: text not UTF-8");
		return 0;
	}
	REQUIRE(is_text(e->rule) && is_text(e->evidence) && is_text_or_null(e->also),
		"edge: text missing or not UTF-8");
	REQUIRE(is_one_of(e->makes, makes, 3), "edge: makes %s", e->makes ? e->makes : "nothing");
	REQUIRE(is_one_of(e->grade, grades, 5), "edge: grade %s", e->grade ? e->grade : "missing");
	return 0;
}

static int check_loss(const struct osp_loss_row *l, char *text, size_t room)
{
	REQUIRE(is_text(l->provider) && is_text(l->probe), "loss: text missing or not UTF-8");
	REQUIRE(l->hits <= INT64_MAX && l->stored <= INT64_MAX, "loss: count past 2^63");
	for (size_t i = 0; i < l->count; i++) {
		REQUIRE(is_text(l->reasons[i]), "loss: reason not UTF-8");
		REQUIRE(l->lost[i] <= INT64_MAX, "loss: count past 2^63");
		for (size_t k = 0; k < i; k++)
			REQUIRE(strcmp(l->reasons[i], l->reasons[k]), "loss: %s twice",
				l->reasons[i]);
	}
	return 0;
}

static int check_setting(const struct osp_session_row *s, char *text, size_t room)
{
	uint8_t id[8];

	REQUIRE(is_text(s->name) && is_text(s->value), "setting: text missing or not UTF-8");
	if (strcmp(s->name, OSP_SESSION_ID))
		return 0;
	REQUIRE(!osp_text_unhex(id, sizeof(id), s->value, strlen(s->value)) &&
			strspn(s->value, "0123456789abcdef") == 16,
		"session id %s: expected 16 lower-case hexadecimal digits", s->value);
	return 0;
}

int osp_part_check(const struct osp_part *p, bool known, char *text, size_t room)
{
	REQUIRE(p->seq <= INT64_MAX / 2, "seq past 2^62");
	switch (p->kind) {
	case OSP_PART_ROW:
		return check_row(&p->row, known, text, room);
	case OSP_PART_PATCH:
		REQUIRE(p->patch.id && p->patch.trace <= INT64_MAX, "patch without id or trace");
		REQUIRE(osp_span_is_operation(p->patch.id), "patch %016llx: not an operation's id",
			(unsigned long long)p->patch.id);
		REQUIRE(p->patch.marks < 1 << 16, "patch: marks %#x", p->patch.marks);
		return 0;
	case OSP_PART_EDGE:
		return check_edge(&p->edge, text, room);
	case OSP_PART_PROCESS:
		REQUIRE(p->process.key && is_text(p->process.comm) && is_text(p->process.exe) &&
				is_text(p->process.cmdline),
			"process: key or text missing or not UTF-8");
		return 0;
	case OSP_PART_ATTACH:
		REQUIRE(is_text(p->attach.provider) && is_text(p->attach.probe) &&
				is_text(p->attach.level),
			"attach: text missing or not UTF-8");
		return 0;
	case OSP_PART_LOSS:
		return check_loss(&p->loss, text, room);
	case OSP_PART_GAP:
		REQUIRE(is_text(p->gap.reason) && p->gap.lost <= INT64_MAX, "gap: reason or count");
		return 0;
	case OSP_PART_CLOCK:
		return 0;
	case OSP_PART_SESSION:
		return check_setting(&p->session, text, room);
	case OSP_PART_CATALOGUE:
		REQUIRE(is_text(p->catalogue.name) && is_text(p->catalogue.text),
			"catalogue: text missing or not UTF-8");
		return 0;
	}
	REQUIRE(false, "unknown kind of part %d", p->kind);
	return 0;
}

/* ---- keys ---- */

static int add_u64(struct osp_buffer *out, uint64_t v)
{
	v = __builtin_bswap64(v);
	return osp_buffer_add(out, &v, sizeof(v));
}

static int add_i64(struct osp_buffer *out, int64_t v)
{
	return add_u64(out, (uint64_t)v ^ 1ull << 63);
}

static int add_text(struct osp_buffer *out, const char *t)
{
	return osp_buffer_add(out, t, strlen(t) + 1);
}

static int add_probe(struct osp_buffer *out, uint32_t process, const char *provider,
		     const char *probe)
{
	int r = add_u64(out, process);

	r = r ? r : add_text(out, provider);
	return r ? r : add_text(out, probe);
}

static int add_edge(struct osp_buffer *out, const struct osp_edge *e)
{
	int r = add_u64(out, e->from);

	r = r ? r : add_u64(out, e->to);
	return r ? r : add_text(out, e->rule);
}

static int add_gap(struct osp_buffer *out, const struct osp_gap_row *g)
{
	int r = add_u64(out, g->process);

	r = r ? r : add_i64(out, g->from_ns);
	return r ? r : add_text(out, g->reason);
}

int osp_part_key(const struct osp_part *p, struct osp_buffer *out)
{
	int r;

	switch (p->kind) {
	case OSP_PART_ROW:
		return add_u64(out, p->row.id);
	case OSP_PART_PATCH:
		return add_u64(out, p->patch.id);
	case OSP_PART_EDGE:
		return add_edge(out, &p->edge);
	case OSP_PART_PROCESS:
		return add_u64(out, p->process.key);
	case OSP_PART_ATTACH:
		r = add_probe(out, p->attach.process, p->attach.provider, p->attach.probe);
		return r ? r : add_i64(out, p->attach.from_ns);
	case OSP_PART_LOSS:
		return add_probe(out, p->loss.process, p->loss.provider, p->loss.probe);
	case OSP_PART_GAP:
		return add_gap(out, &p->gap);
	case OSP_PART_CLOCK:
		return add_i64(out, p->clock.boot_ns);
	case OSP_PART_SESSION:
		return add_text(out, p->session.name);
	case OSP_PART_CATALOGUE:
		return add_text(out, p->catalogue.name);
	}
	return -EINVAL;
}

bool osp_part_replaces(const struct osp_part *stored, const struct osp_part *next)
{
	if (next->kind == OSP_PART_ROW && next->row.complete != stored->row.complete)
		return next->row.complete;
	return next->seq >= stored->seq;
}

uint64_t osp_part_rank(const struct osp_part *p)
{
	return 2 * p->seq + (p->kind == OSP_PART_PATCH);
}

/* ---- copies ---- */

/* Places copies one behind the other; without a base it only counts the bytes. */
struct packer {
	uint8_t *base;
	size_t used;
};

static void *place(struct packer *k, const void *data, size_t size)
{
	void *p = k->base ? k->base + k->used : NULL;

	if (p && size)
		memcpy(p, data, size);
	k->used += (size + 15) & ~(size_t)15;
	return p;
}

static void place_text(struct packer *k, const char **t)
{
	const char *copy = *t ? place(k, *t, strlen(*t) + 1) : NULL;

	if (k->base)
		*t = copy;
}

static void place_spans(struct packer *k, struct osp_row *row)
{
	struct osp_row_span *spans = place(k, row->spans, row->span_count * sizeof(*spans));

	for (size_t i = 0; i < row->span_count; i++) {
		struct osp_row_span s = row->spans[i];

		place_text(k, &s.kind_name);
		place_text(k, &s.name);
		place_text(k, &s.code);
		if (spans)
			spans[i] = s;
	}
	row->spans = spans;
}

static void place_steps(struct packer *k, struct osp_row *row)
{
	struct osp_step *steps = place(k, row->steps, row->step_count * sizeof(*steps));

	for (size_t i = 0; i < row->step_count; i++) {
		const char *name = row->steps[i].name;

		place_text(k, &name);
		if (steps)
			steps[i].name = name;
	}
	row->steps = steps;
}

static void place_attributes(struct packer *k, struct osp_row *row)
{
	struct osp_attribute *attributes =
		place(k, row->attributes, row->attribute_count * sizeof(*attributes));

	for (size_t i = 0; i < row->attribute_count; i++) {
		struct osp_attribute a = row->attributes[i];

		place_text(k, &a.name);
		a.value.data = place(k, a.value.data, a.value.size);
		if (attributes)
			attributes[i] = a;
	}
	row->attributes = attributes;
}

static void place_row(struct packer *k, struct osp_row *row)
{
	place_text(k, &row->provider);
	place_text(k, &row->side);
	place_text(k, &row->layer);
	place_text(k, &row->feature);
	place_spans(k, row);
	place_steps(k, row);
	place_attributes(k, row);
}

static void place_loss(struct packer *k, struct osp_loss_row *l)
{
	const char **reasons = place(k, l->reasons, l->count * sizeof(*reasons));

	for (size_t i = 0; i < l->count; i++) {
		const char *reason = l->reasons[i];

		place_text(k, &reason);
		if (reasons)
			reasons[i] = reason;
	}
	l->reasons = reasons;
	l->lost = place(k, l->lost, l->count * sizeof(*l->lost));
	place_text(k, &l->provider);
	place_text(k, &l->probe);
}

static void place_texts(struct packer *k, const char **const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		place_text(k, texts[i]);
}

#define PLACE_TEXTS(k, ...)                                                                        \
	place_texts(k, (const char **const[]){__VA_ARGS__},                                        \
		    sizeof((const char **const[]){__VA_ARGS__}) / sizeof(const char **))

static void place_inner(struct packer *k, struct osp_part *p)
{
	switch (p->kind) {
	case OSP_PART_ROW:
		place_row(k, &p->row);
		break;
	case OSP_PART_EDGE:
		PLACE_TEXTS(k, &p->edge.rule, &p->edge.makes, &p->edge.evidence, &p->edge.grade,
			    &p->edge.also);
		break;
	case OSP_PART_PROCESS:
		PLACE_TEXTS(k, &p->process.comm, &p->process.exe, &p->process.cmdline);
		break;
	case OSP_PART_ATTACH:
		PLACE_TEXTS(k, &p->attach.provider, &p->attach.probe, &p->attach.level);
		break;
	case OSP_PART_LOSS:
		place_loss(k, &p->loss);
		break;
	case OSP_PART_GAP:
		PLACE_TEXTS(k, &p->gap.reason);
		break;
	case OSP_PART_SESSION:
		PLACE_TEXTS(k, &p->session.name, &p->session.value);
		break;
	case OSP_PART_CATALOGUE:
		PLACE_TEXTS(k, &p->catalogue.name, &p->catalogue.text);
		break;
	case OSP_PART_PATCH:
	case OSP_PART_CLOCK:
		break;
	}
}

struct osp_part *osp_part_copy(const struct osp_part *p)
{
	struct packer k = {.used = sizeof(*p)};
	struct osp_part scratch = *p, *copy;

	k.used = (k.used + 15) & ~(size_t)15;
	place_inner(&k, &scratch);
	k.base = malloc(k.used);
	if (!k.base)
		return NULL;
	copy = (struct osp_part *)k.base;
	*copy = *p;
	k.used = (sizeof(*p) + 15) & ~(size_t)15;
	place_inner(&k, copy);
	return copy;
}
