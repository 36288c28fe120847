/*
 * What is looked up is what would have been decided: every golden script, in several carried forms,
 * several times over, with records dropped, repeated, swapped and spoilt, comes out the same, part
 * by part, whether runs of steps are looked up (user/course.h) or walked step by step; and rows
 * of one form differ in nothing that a form has.
 */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/script.h"
#include "tests/support/tree.h"

enum { INPUTS = 8192, ROUNDS = 5, SEEDS = 12, TEXT = 256, FORMS_MAX = 4096 };

/* How the steps of own operations come. */
enum form { AS_WRITTEN, CARRIED, BEGIN_FIRED, MIXED, SPILLED, FORMS };

struct capture {
	struct osp_input inputs[INPUTS];
	size_t count;
};

static uint64_t runs, wholes; /* of all: some must have been looked up */

/* ---- scripts in carried form ---- */

static bool is_own_step(const char *line, size_t size)
{
	static const char *const kinds[] = {" carried", " fired", " flush",    " dropped",
					    " forked",	" fault", " discarded"};

	if (*line < '1' || *line > '9' || !memmem(line, size, " op=", 4))
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (memmem(line, size, kinds[i], strlen(kinds[i])))
			return false;
	return true;
}

/* The process and the operation of a step, as text that both share: "1 op=a ". */
static void name_owner(const char *line, char owner[64])
{
	const char *op = strstr(line, " op=");

	snprintf(owner, 64, "%.*s%.*s ", (int)strcspn(line, " "), line,
		 (int)strcspn(op + 1, " \n") + 1, op);
}

static bool has_owner(const char *line, const char *owner)
{
	char other[64];

	if (!is_own_step(line, strcspn(line, "\n")))
		return false;
	name_owner(line, other);
	return !strcmp(owner, other);
}

static bool is_first(const char *text, const char *line, const char *owner)
{
	for (; text < line; text += strcspn(text, "\n") + 1)
		if (has_owner(text, owner))
			return false;
	return true;
}

static bool is_last(const char *line, const char *owner)
{
	for (line += strcspn(line, "\n") + 1; *line; line += strcspn(line, "\n") + 1)
		if (has_owner(line, owner))
			return false;
	return true;
}

static const char *kind_of(const char *text, const char *line, enum form form, unsigned int *seed)
{
	char owner[64];

	name_owner(line, owner);
	if (is_last(line, owner))
		return " flush";
	if (form == BEGIN_FIRED && is_first(text, line, owner))
		return " fired";
	if (form == MIXED && rand_r(seed) % 8 == 0)
		return rand_r(seed) % 2 ? " fired" : " fired dropped";
	return " carried";
}

/* Behind a step that stays in its block: the block is full. */
static void add_spill(FILE *f, const char *line)
{
	char owner[64];

	name_owner(line, owner);
	fprintf(f, "spill %s\n", owner);
}

static char *carry(const char *text, enum form form, unsigned int seed)
{
	char *out = NULL;
	size_t room;
	FILE *f = open_memstream(&out, &room);

	for (const char *l = text; *l; l += strcspn(l, "\n") + (l[strcspn(l, "\n")] == '\n')) {
		int size = (int)strcspn(l, "\n");
		const char *kind = form != AS_WRITTEN && is_own_step(l, (size_t)size)
					   ? kind_of(text, l, form, &seed)
					   : "";

		fprintf(f, "%.*s%s\n", size, l, kind);
		if (form == SPILLED && !strcmp(kind, " carried") && rand_r(&seed) % 3 == 0)
			add_spill(f, l);
	}
	fclose(f);
	return out;
}

/* ---- inputs that are kept ---- */

static char *copy_text(const char *text)
{
	return text ? strdup(text) : NULL;
}

static int take(void *arg, const struct osp_input *in)
{
	struct capture *c = arg;
	struct osp_input *to = &c->inputs[c->count++];

	assert_true(c->count <= INPUTS);
	*to = *in;
	if (in->kind == OSP_INPUT_RECORD || in->kind == OSP_INPUT_DISCARD) {
		to->record = memcpy(malloc(in->size), in->record, in->size);
	} else if (in->kind == OSP_INPUT_PROCESS) {
		to->process.comm = copy_text(in->process.comm);
		to->process.exe = copy_text(in->process.exe);
		to->process.cmdline = copy_text(in->process.cmdline);
	} else if (in->kind == OSP_INPUT_SETTING) {
		to->setting.name = copy_text(in->setting.name);
		to->setting.value = copy_text(in->setting.value);
	}
	return 0;
}

static void release(struct capture *c)
{
	for (size_t i = 0; i < c->count; i++) {
		struct osp_input *in = &c->inputs[i];

		if (in->kind == OSP_INPUT_RECORD || in->kind == OSP_INPUT_DISCARD) {
			free((void *)in->record);
		} else if (in->kind == OSP_INPUT_PROCESS) {
			free((void *)in->process.comm);
			free((void *)in->process.exe);
			free((void *)in->process.cmdline);
		} else if (in->kind == OSP_INPUT_SETTING) {
			free((void *)in->setting.name);
			free((void *)in->setting.value);
		}
	}
	free(c);
}

/* ---- mutations ---- */

static bool is_record(const struct osp_input *in)
{
	return in->kind == OSP_INPUT_RECORD || in->kind == OSP_INPUT_DISCARD;
}

static void spoil(const struct osp_input *in, unsigned int *seed)
{
	uint8_t *bytes = (uint8_t *)in->record;
	size_t at = rand_r(seed) % 4 ? sizeof(*in->record) : offsetof(struct osp_record, op_id);

	if (in->size > at)
		bytes[at + (size_t)rand_r(seed) % (in->size - at)] ^=
			(uint8_t)(1u << rand_r(seed) % 8);
}

/* The program numbers its nested spans otherwise from some step on. */
static void renumber(const struct osp_input *in, unsigned int *seed)
{
	uint8_t *at = (uint8_t *)(in->record + 1), *end = (uint8_t *)in->record + in->size;
	struct osp_record_step step;

	for (; at + sizeof(step) <= end; at += sizeof(step) + step.size) {
		memcpy(&step, at, sizeof(step));
		step.nested = (uint16_t)(step.nested + rand_r(seed) % 2);
		memcpy(at, &step, sizeof(step));
	}
}

/* Seed 0 leaves everything as it is. */
static void mutate(struct capture *c, unsigned int seed)
{
	size_t count = c->count;

	for (size_t i = 0; seed && i + 1 < count; i++) {
		struct osp_input *in = &c->inputs[i], swap = in[1];
		int what = rand_r(&seed) % 16;

		if (!is_record(in))
			continue;
		if (what == 0)
			spoil(in, &seed);
		if (what == 5 && in->record->kind == OSP_RECORD_STEP)
			renumber(in, &seed);
		if (what == 1)
			in->kind = OSP_INPUT_DISCARD;
		if (what == 2 && is_record(&swap)) {
			in[1] = *in;
			*in = swap;
		}
		if (what == 3 && c->count < INPUTS) {
			take(c, in); /* it comes again, after everything else */
			swap = c->inputs[c->count - 1];
			memmove(in + 2, in + 1, (c->count - 2 - i) * sizeof(*in));
			in[1] = swap;
			i++;
			count++;
		}
		if (what == 4) {
			free((void *)in->record);
			memmove(in, in + 1, (--c->count - i) * sizeof(*in));
			count--;
		}
	}
}

/* ---- forms ---- */

struct rows {
	FILE *log;
	char *forms[FORMS_MAX]; /* what the rows of each must have in common; owned */
};

static char *describe(const struct osp_row *row)
{
	char *text = NULL;
	size_t room;
	FILE *f = open_memstream(&text, &room);

	fprintf(f, "%s %s %s %s", row->provider, row->side, row->layer, row->feature);
	for (size_t i = 0; i < row->span_count; i++)
		fprintf(f, "\nspan %u in %u: %s %d", row->spans[i].number, row->spans[i].parent,
			row->spans[i].kind_name, row->spans[i].kind);
	for (size_t i = 0; i < row->step_count; i++)
		fprintf(f, "\nstep %s in %u: %u from %u%s", row->steps[i].name, row->steps[i].span,
			row->steps[i].attribute_count, row->steps[i].first_attribute,
			row->steps[i].unexpected ? " unexpected" : "");
	for (size_t i = 0; i < row->attribute_count; i++)
		fprintf(f, "\n%s: %d", row->attributes[i].name, row->attributes[i].value.type);
	fclose(f);
	return text;
}

static int take_part(void *arg, const struct osp_part *part)
{
	struct rows *rows = arg;
	uint64_t form = part->kind == OSP_PART_ROW ? part->row.form : 0;
	char *text = form ? describe(&part->row) : NULL;

	assert_true(form < FORMS_MAX);
	if (form && rows->forms[form])
		assert_string_equal(text, rows->forms[form]);
	free(rows->forms[form]);
	rows->forms[form] = text;
	return tree_log(rows->log, part);
}

/* ---- both ways ---- */

/*
 * All inputs, and again a little later with operations of their own; the end comes once. The last
 * ones have ids with room for one nested span.
 */
static char *play(const struct osp_catalogue *c, const struct capture *in, const char *text,
		  bool walks, struct osp_pipeline_stats *stats)
{
	struct osp_pipeline_limits limits;
	struct osp_pipeline *p;
	char *out = NULL;
	size_t room;
	struct rows rows = {.log = open_memstream(&out, &room)};

	script_limits(text, &limits);
	limits.walks = walks;
	if (!limits.operations) /* small tables are made sooner */
		limits.operations = 4096;
	if (!limits.links)
		limits.links = 4096;
	assert_int_equal(osp_pipeline_new(&p, c, &limits, take_part, &rows), 0);
	for (uint64_t round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < in->count; i++) {
			struct osp_input each = in->inputs[i];
			struct osp_record *r = NULL;

			if (each.kind == OSP_INPUT_STOP && round + 1 < ROUNDS)
				continue;
			each.time_ns += (int64_t)round * 1000000;
			if (is_record(&each)) {
				r = memcpy(malloc(each.size), each.record, each.size);
				r->op_id += r->op_id ? round << 40 : 0;
				r->time_ns += round * 1000000;
				each.record = r;
			}
			assert_int_equal(osp_pipeline_push(p, &each), 0);
			if (i % 7 == 0)
				assert_int_equal(osp_pipeline_settle(p), 0);
			free(r);
		}
	osp_pipeline_stats(p, stats);
	osp_pipeline_free(&p);
	for (size_t i = 0; i < FORMS_MAX; i++)
		free(rows.forms[i]);
	fclose(rows.log);
	return out;
}

static void check(const struct osp_catalogue *c, const struct capture *in, const char *text)
{
	struct osp_pipeline_stats looked_up, walked;
	char *a = play(c, in, text, false, &looked_up), *b = play(c, in, text, true, &walked);

	assert_string_equal(a, b);
	assert_int_equal(walked.runs, 0);
	assert_int_equal(walked.wholes, 0);
	runs += looked_up.runs;
	wholes += looked_up.wholes;
	looked_up.runs = looked_up.wholes = 0;
	assert_memory_equal(&looked_up, &walked, sizeof(walked));
	free(a);
	free(b);
}

static void equals_the_walk(void **state)
{
	char *events = script_read(*state);
	struct osp_catalogue *c = script_catalogue(events);

	for (unsigned int i = 0; i < FORMS * SEEDS; i++) {
		char *text = carry(events, (enum form)(i % FORMS), i);
		struct capture *in = calloc(1, sizeof(*in));
		struct script *s = script_new(c, *state, take, in);

		assert_int_equal(script_text(s, text), 0);
		mutate(in, i / FORMS);
		check(c, in, text);
		script_free(&s);
		release(in);
		free(text);
	}
	osp_catalogue_free(&c);
	free(events);
}

static void most_runs_were_looked_up(void **state)
{
	(void)state;
	print_message("%llu runs, %llu wholes\n", (unsigned long long)runs,
		      (unsigned long long)wholes);
	assert_true(runs > 1000);
	assert_true(wholes > 1000);
}

int main(void)
{
	glob_t found;
	struct CMUnitTest *tests;
	size_t count;
	int failed;

	if (glob("tests/golden/*.events", 0, NULL, &found))
		return 1;
	tests = calloc(found.gl_pathc + 1, sizeof(*tests));
	for (count = 0; count < found.gl_pathc; count++)
		tests[count] = (struct CMUnitTest){.name = found.gl_pathv[count],
						   .test_func = equals_the_walk,
						   .initial_state = found.gl_pathv[count]};
	tests[count++] = (struct CMUnitTest)cmocka_unit_test(most_runs_were_looked_up);
	failed = _cmocka_run_group_tests("course", tests, count, NULL, NULL);
	free(tests);
	globfree(&found);
	return failed;
}
