/*
 * Random sessions, shuffled, with parts repeated and cut into batches at random: every order on
 * every store gives the same bytes (merge is commutative and idempotent). The seed is printed
 * when it fails; OUTSPAN_SEED repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "store/store.h"

enum { PARTS = 260, OPERATIONS = 25, TRACES = 8, FORMS = 4, ROUNDS = 40, ORDERS = 3 };

static uint64_t seed, word, round_word;

static uint64_t next(uint64_t below)
{
	word ^= word << 13;
	word ^= word >> 7;
	word ^= word << 17;
	return word % below;
}

static const char *pick(const char *const *words, size_t count)
{
	return words[next(count)];
}

static const char *const names[] = {"alpha", "beta", "gamma", "a b", "x/y/z", "é", ""};
#define NAME pick(names, 7)

/* ---- random parts; all memory of a round hangs off one pool ---- */

struct pool {
	struct osp_part parts[PARTS];
	struct osp_row_span spans[PARTS][4];
	struct osp_step steps[PARTS][8];
	struct osp_attribute attributes[PARTS][24];
	uint64_t lost[PARTS][3];
	uint8_t bytes[PARTS][64];
};

static struct osp_value random_value(enum osp_value_type type, uint8_t *bytes)
{
	struct osp_value v = {.type = type};

	switch (v.type) {
	case OSP_VALUE_BOOL:
		v.boolean = next(2);
		break;
	case OSP_VALUE_F64:
		v.f64 = (double)(int64_t)next(1u << 30) / 7 - 1e6;
		break;
	case OSP_VALUE_STR:
		v.data = NAME;
		v.size = (uint32_t)strlen(v.data);
		v.true_size = v.size + (next(4) ? 0 : 5);
		break;
	case OSP_VALUE_BYTES:
		v.data = bytes;
		v.size = (uint32_t)next(64);
		v.true_size = v.size + (next(4) ? 0 : 70000);
		break;
	default:
		v.u64 = next(3) ? next(1000) : (uint64_t)word << 20 | word;
		break;
	}
	return v;
}

static uint64_t random_id(void)
{
	/* some beyond 2^63, where signed comparison would turn them around */
	return (next(2) ? 0xf000000000000000 : 0) + ((next(OPERATIONS) + 1) << 16);
}

/* What rows of one form have in common: drawn from the form's own numbers. */
static void random_form(struct pool *p, size_t i)
{
	struct osp_row *row = &p->parts[i].row;
	uint32_t at = 0;
	uint64_t after;

	row->form = next(2) ? 1 + next(FORMS) : 0;
	after = word;
	if (row->form)
		word = round_word * (2 * row->form + 1) | 1;
	row->provider = next(3) ? NAME : NULL;
	row->side = next(3) ? NAME : NULL;
	row->span_count = 1 + next(4);
	row->step_count = next(9);
	for (size_t k = 0; k < row->span_count; k++)
		p->spans[i][k] = (struct osp_row_span){
			.number = (uint16_t)(k ? p->spans[i][k - 1].number + 1 + next(2) : 0),
			.parent = (uint16_t)(k ? next(k) : 0),
			.kind_name = NAME,
			.kind = (enum osp_span_kind)(1 + next(5))};
	if (row->span_count > 1 && !next(9))
		p->spans[i][row->span_count - 1].number = OSP_SPAN_IDS - 1;
	for (size_t k = 0; k < row->step_count; k++) {
		struct osp_step *s = &p->steps[i][k];

		*s = (struct osp_step){.name = NAME,
				       .span = (uint16_t)next(row->span_count),
				       .attribute_count = (uint16_t)next(4),
				       .first_attribute = at,
				       .unexpected = !next(5)};
		for (uint16_t a = 0; a < s->attribute_count; a++)
			p->attributes[i][at++] = (struct osp_attribute){
				NAME, {.type = (enum osp_value_type)next(6)}};
	}
	row->attribute_count = at;
	word = after;
}

static void random_row(struct pool *p, size_t i)
{
	struct osp_row *row = &p->parts[i].row;
	int64_t start = (int64_t)next(1000000) - (int64_t)next(1000);

	*row = (struct osp_row){.id = random_id(),
				.trace = next(TRACES) + 1,
				.parent_id = next(3) ? 0 : random_id(),
				.process = (uint32_t)next(4),
				.tid = (uint32_t)next(9),
				.complete = next(3),
				.spans = p->spans[i],
				.steps = p->steps[i],
				.attributes = p->attributes[i]};
	random_form(p, i);
	for (size_t k = 0; k < row->span_count; k++) {
		struct osp_row_span *s = &p->spans[i][k];

		s->name = NAME;
		s->start_ns = start + (int64_t)(k * next(5));
		s->end_ns = start + (int64_t)next(1ull << (20 + next(25)));
		s->status = (enum osp_span_status)next(3);
		s->code = next(2) ? NAME : NULL;
		s->marks = next(3) ? 0 : (uint32_t)next(64);
	}
	for (size_t k = 0; k < row->step_count; k++)
		p->steps[i][k].time_ns = start + (int64_t)next(1ull << (10 + next(34)));
	for (size_t k = 0; k < row->attribute_count; k++) {
		struct osp_value *v = &p->attributes[i][k].value;

		*v = random_value(v->type, p->bytes[i]);
	}
}

static struct osp_edge random_edge(void)
{
	static const char *const makes[] = {"parent", "link", "fan_in"};
	static const char *const grades[] = {"exact", "strong", "weak", "ambiguous"};

	/* to and from the last that there can be, too: the next operation follows at once */
	return (struct osp_edge){.from = random_id() + (next(9) ? next(3) : OSP_SPAN_IDS - 1),
				 .to = random_id() + (next(9) ? next(2) : OSP_SPAN_IDS - 1),
				 .rule = NAME,
				 .makes = pick(makes, 3),
				 .evidence = NAME,
				 .grade = pick(grades, 4),
				 .also = next(2) ? NAME : NULL};
}

static void random_part(struct pool *p, size_t i)
{
	static const char *const reasons[] = {"r1", "r2", "r3"};
	struct osp_part *part = &p->parts[i];

	/* every part has its own place in the session, whatever order it comes in */
	*part = (struct osp_part){.seq = i + 1};
	for (size_t k = 0; k < sizeof(p->bytes[i]); k++)
		p->bytes[i][k] = (uint8_t)next(256);
	for (size_t k = 0; k < 3; k++)
		p->lost[i][k] = next(100);
	part->kind = next(2) ? OSP_PART_ROW : (enum osp_part_kind)next(OSP_PART_CATALOGUE + 1);
	switch (part->kind) {
	case OSP_PART_ROW:
		random_row(p, i);
		break;
	case OSP_PART_PATCH:
		part->patch = (struct osp_patch){random_id(), next(TRACES), (uint32_t)next(64)};
		break;
	case OSP_PART_EDGE:
		part->edge = random_edge();
		break;
	case OSP_PART_PROCESS:
		part->process = (struct osp_process_row){.key = 1 + (uint32_t)next(4),
							 .pid = (uint32_t)next(100),
							 .end_ns = (int64_t)next(9),
							 .exit_code = (int32_t)next(300) - 9,
							 .comm = NAME,
							 .exe = NAME,
							 .cmdline = NAME};
		break;
	case OSP_PART_ATTACH:
		part->attach = (struct osp_attach_row){
			(uint32_t)next(4), NAME, NAME, NAME, (int64_t)next(3) - 1,
			(int64_t)next(9),  1};
		break;
	case OSP_PART_LOSS:
		part->loss =
			(struct osp_loss_row){(uint32_t)next(4), NAME,	  NAME,	      next(100),
					      next(100),	 reasons, p->lost[i], next(4)};
		break;
	case OSP_PART_GAP:
		part->gap =
			(struct osp_gap_row){(uint32_t)next(4), (int64_t)next(3), 9, next(9), NAME};
		break;
	case OSP_PART_CLOCK:
		part->clock = (struct osp_clock_row){(int64_t)next(4) - 2, (int64_t)next(99), 1};
		break;
	case OSP_PART_SESSION:
		part->session = (struct osp_session_row){NAME, NAME};
		break;
	case OSP_PART_CATALOGUE:
		part->catalogue = (struct osp_catalogue_row){NAME, NAME};
		break;
	}
}

/* ---- orders ---- */

static void shuffle(struct osp_part *parts, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		size_t k = next(i);
		struct osp_part p = parts[i - 1];

		parts[i - 1] = parts[k];
		parts[k] = p;
	}
}

/* All parts, in a random order, a quarter of them twice, in batches and transactions of random size. */
static void write_in_some_order(struct osp_store *s, const struct pool *p)
{
	struct osp_part *parts = calloc(2 * PARTS, sizeof(*parts));
	size_t count = PARTS;

	memcpy(parts, p->parts, sizeof(p->parts));
	for (size_t i = 0; i < PARTS; i++)
		if (!next(4))
			parts[count++] = p->parts[i];
	shuffle(parts, count);
	for (size_t at = 0; at < count;) {
		size_t batch = 1 + next(60);
		bool last = batch >= count - at;

		batch = last ? count - at : batch;
		if ((!last && next(2) ? osp_store_add : osp_store_write)(s, parts + at, batch))
			fail_msg("seed %llu: %s", (unsigned long long)seed, osp_store_error(s));
		at += batch;
	}
	free(parts);
}

static char *dump(struct osp_store *s)
{
	char *text = NULL;
	size_t size;
	FILE *m = open_memstream(&text, &size);

	assert_int_equal(osp_store_dump(s, m, NULL), 0);
	fclose(m);
	return text;
}

/* What a fresh store of this kind holds after some order of the parts. */
static char *run(const char *uri, const struct pool *p, bool reopen)
{
	struct osp_store *s = NULL;
	char error[512] = "", *text;

	if (osp_store_open(&s, uri, OSP_STORE_OVERWRITE, error))
		fail_msg("%s", error);
	write_in_some_order(s, p);
	if (reopen) {
		assert_int_equal(osp_store_close(&s, next(2)), 0);
		if (osp_store_open(&s, uri, OSP_STORE_READ, error))
			fail_msg("%s", error);
	}
	text = dump(s);
	osp_store_close(&s, true);
	return text;
}

static void every_order_on_every_store_gives_the_same(void **state)
{
	char directory[] = "/tmp/outspan-differential-XXXXXX", uri[100], path[100];
	struct pool *p = calloc(1, sizeof(*p));

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(uri, sizeof(uri), "sqlite:%s/s.db", directory);
	for (int round = 0; round < ROUNDS; round++) {
		char *expected;

		word = round_word = ++seed * 0x9e3779b97f4a7c15 | 1;
		for (size_t i = 0; i < PARTS; i++)
			random_part(p, i);
		expected = run("mem:", p, false);
		for (int order = 0; order < ORDERS; order++) {
			char *text = run(order == 1 ? "mem:" : uri, p, order == 2);

			if (strcmp(text, expected))
				fail_msg("seed %llu: order %d differs", (unsigned long long)seed,
					 order);
			free(text);
		}
		free(expected);
	}
	snprintf(path, sizeof(path), "rm -rf %s", directory);
	assert_int_equal(system(path), 0);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_order_on_every_store_gives_the_same),
	};
	const char *wanted = getenv("OUTSPAN_SEED");

	seed = wanted ? strtoull(wanted, NULL, 10) - 1 : (uint64_t)getpid() << 16;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
