/*
 * Reads the lines of .events files and plays kernel and program for them (script.h): gives
 * operations their ids, steps their sequence, nested counts and arguments in the layout of the
 * operation block, records their ordinals and losses.
 */
#include "tests/support/script.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/text.h"
#include "user/event.h"

enum { WORDS = 40, PROCESSES = 64, NAMES = 8192 };

struct operation {
	char name[64];
	uint32_t slot;
	uint64_t id;
	uint32_t sequence;
	uint16_t nested;
	_Alignas(8) uint8_t block[OSP_EVENT_DATA]; /* steps that are carried */
	size_t used;
};

struct process {
	uint32_t pid, exec_id;
	uint64_t lost;
	struct osp_counter counters[OSP_CATALOGUE_POINTS];
};

struct script {
	const struct osp_catalogue *catalogue;
	const char *name;
	script_input_fn input;
	void *arg;
	int line;
	int64_t now_ns;
	struct process processes[PROCESSES];
	struct operation operations[NAMES];
	size_t operation_count;
	/* of the line being read */
	char text[8192];
	char *words[WORDS];
	size_t word_count;
	uint64_t record[(sizeof(struct osp_record) + OSP_EVENT_DATA) / 8 + 1];
	size_t data_size;
	bool plain; /* the step's arguments travel in the header alone, if they travel alone */
};

static void __attribute__((noreturn, format(printf, 2, 3)))
fail(const struct script *s, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s:%d: ", s ? s->name : "script", s ? s->line : 0);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

struct script *script_new(const struct osp_catalogue *c, const char *name, script_input_fn input,
			  void *arg)
{
	struct script *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->catalogue = c;
	s->name = name;
	s->input = input;
	s->arg = arg;
	return s;
}

void script_free(struct script **s)
{
	free(*s);
	*s = NULL;
}

/* ---- words ---- */

/* Splits at spaces outside of quotes; the quotes stay. */
static void split(struct script *s, const char *line)
{
	char *at = s->text;

	snprintf(s->text, sizeof(s->text), "%s", line);
	s->word_count = 0;
	while (s->word_count < WORDS) {
		bool quoted = false;

		while (isspace((unsigned char)*at))
			at++;
		if (!*at || *at == '#')
			return;
		s->words[s->word_count++] = at;
		for (; *at && (quoted || !isspace((unsigned char)*at)); at++)
			if (*at == '"' && at[-1] != '\\')
				quoted = !quoted;
		if (*at)
			*at++ = 0;
	}
	fail(s, "too many words");
}

/* The value of the word "key=value", or NULL. */
static const char *get(const struct script *s, const char *key)
{
	size_t size = strlen(key);

	for (size_t i = 0; i < s->word_count; i++)
		if (!strncmp(s->words[i], key, size) && s->words[i][size] == '=')
			return s->words[i] + size + 1;
	return NULL;
}

static bool has(const struct script *s, const char *word)
{
	for (size_t i = 0; i < s->word_count; i++)
		if (!strcmp(s->words[i], word))
			return true;
	return false;
}

static uint64_t number(const struct script *s, const char *key, uint64_t otherwise)
{
	const char *value = get(s, key);

	return value ? strtoull(value, NULL, 0) : otherwise;
}

static int64_t nanoseconds(const struct script *s, const char *text)
{
	char *end;
	int64_t n = strtoll(text, &end, 10);

	if (!strcmp(end, "s"))
		return n * 1000000000;
	if (!strcmp(end, "ms"))
		return n * 1000000;
	if (!strcmp(end, "us"))
		return n * 1000;
	if (*end)
		fail(s, "bad time %s", text);
	return n;
}

/* "@T" sets the time, "+T" advances it; without either a microsecond passes. */
static void read_time(struct script *s)
{
	for (size_t i = 0; i < s->word_count; i++) {
		if (s->words[i][0] == '@') {
			s->now_ns = nanoseconds(s, s->words[i] + 1);
			return;
		}
		if (s->words[i][0] == '+') {
			s->now_ns += nanoseconds(s, s->words[i] + 1);
			return;
		}
	}
	s->now_ns += 1000;
}

static uint32_t slot_of(const struct script *s, const char *text)
{
	unsigned long slot = strtoul(text, NULL, 10);

	if (!slot || slot >= PROCESSES)
		fail(s, "bad process %s", text);
	return (uint32_t)slot;
}

static int push(struct script *s, struct osp_input in)
{
	in.time_ns = s->now_ns;
	return s->input(s->arg, &in);
}

/* ---- arguments ---- */

static uint8_t *data_of(struct script *s)
{
	return (uint8_t *)s->record + sizeof(struct osp_record);
}

static void add_data(struct script *s, const void *bytes, size_t size)
{
	uint8_t *data = data_of(s);
	size_t padded = (size + 7) & ~(size_t)7;

	if (s->data_size + padded > OSP_EVENT_DATA)
		fail(s, "the arguments are too long");
	memset(data + s->data_size, 0, padded);
	if (size)
		memcpy(data + s->data_size, bytes, size);
	s->data_size += padded;
}

/* Text in quotes with \xNN, x:HEX, or a bare word; "/N" behind it gives the true size. */
static size_t parse_bytes(const struct script *s, const char *text, uint8_t out[1024],
			  uint32_t *true_size)
{
	const char *at = text;
	size_t n = 0;

	if (!strncmp(text, "x:", 2)) {
		for (at += 2; isxdigit((unsigned char)at[0]) && n < 1024; at += 2, n++)
			if (osp_text_unhex(out + n, 1, at, 2))
				fail(s, "bad bytes %s", text);
	} else if (*text == '"') {
		for (at++; *at && *at != '"' && n < 1024; n++) {
			if (at[0] == '\\' && at[1] == 'x' && !osp_text_unhex(out + n, 1, at + 2, 2))
				at += 4;
			else
				out[n] = (uint8_t) * (at[0] == '\\' ? at += 2, at - 1 : at++);
		}
		at += *at == '"';
	} else {
		for (; *at && *at != '/' && n < 1024; n++)
			out[n] = (uint8_t)*at++;
	}
	*true_size = *at == '/' ? (uint32_t)strtoul(at + 1, NULL, 10) : (uint32_t)n;
	return n;
}

static void add_sized(struct script *s, const struct osp_arg *a, const char *text)
{
	uint8_t bytes[1024];
	uint32_t sizes[2] = {0, 0};

	if (text)
		sizes[1] = (uint32_t)parse_bytes(s, text, bytes, &sizes[0]);
	if (sizes[1] > a->max)
		sizes[1] = a->max;
	add_data(s, sizes, sizeof(sizes));
	add_data(s, bytes, sizes[1]);
}

/* A context is its name, as trace id and as span id: equal names are equal contexts. */
static void add_context(struct script *s, const char *name)
{
	struct osp_event_context c = {.flags = 1};
	uint32_t sizes[2] = {25, sizeof(c)}, none[2] = {0, 0};

	if (!name) {
		add_data(s, none, sizeof(none));
		return;
	}
	if (strlen(name) > sizeof(c.span_id))
		fail(s, "a context's name has at most 8 letters");
	memcpy(c.trace_id, name, strlen(name));
	memcpy(c.span_id, name, strlen(name));
	add_data(s, sizes, sizeof(sizes));
	add_data(s, &c, sizeof(c));
}

static struct operation *find_operation(struct script *s, uint32_t slot, const char *name)
{
	struct operation *o;

	for (size_t i = s->operation_count; i-- > 0;) /* lines tell of late ones */
		if (s->operations[i].slot == slot && !strcmp(s->operations[i].name, name))
			return &s->operations[i];
	if (s->operation_count == NAMES)
		fail(s, "too many operations");
	o = &s->operations[s->operation_count++];
	snprintf(o->name, sizeof(o->name), "%s", name);
	o->slot = slot;
	o->id = ((uint64_t)slot << 32 | s->operation_count) << 16;
	return o;
}

static uint64_t parse_integer(struct script *s, uint32_t slot, const struct osp_arg *a,
			      const char *text)
{
	double f;
	uint64_t bits;

	for (size_t i = 0; text && a->enumeration && i < a->enumeration->count; i++)
		if (!strcmp(a->enumeration->values[i].name, text))
			return (uint64_t)a->enumeration->values[i].value;
	if (text && a->type == OSP_TYPE_OP)
		return find_operation(s, slot, text)->id;
	if (text && a->type == OSP_TYPE_BOOL)
		return !strcmp(text, "true");
	if (text && a->type == OSP_TYPE_F64) {
		f = strtod(text, NULL);
		memcpy(&bits, &f, sizeof(bits));
		return bits;
	}
	return !text	      ? 0
	       : *text == '-' ? (uint64_t)strtoll(text, NULL, 0)
			      : strtoull(text, NULL, 0);
}

static void add_own(struct script *s, struct osp_record *r, const struct osp_point *p)
{
	bool plain = p->arg_count == 1;

	for (size_t i = 0; i < p->arg_count; i++) {
		const struct osp_arg *a = &p->args[i];
		const char *text = get(s, a->name);
		uint64_t value;

		plain = plain && (a->type <= OSP_TYPE_BOOL || a->type == OSP_TYPE_OP);

		if (a->type == OSP_TYPE_STR || a->type == OSP_TYPE_BYTES) {
			add_sized(s, a, text);
		} else if (a->type == OSP_TYPE_CONTEXT_IN || a->type == OSP_TYPE_CONTEXT_OUT) {
			add_context(s, text);
		} else {
			value = parse_integer(s, r->process, a, text);
			r->value = i ? r->value : value;
			add_data(s, &value, sizeof(value));
		}
	}
	s->plain = plain || !p->arg_count;
}

static void add_foreign(struct script *s, struct osp_record *r, const struct osp_point *p)
{
	struct osp_foreign_value values[OSP_EVENT_ARGS] = {{0}};
	uint8_t bytes[1024];
	uint32_t true_size;

	add_data(s, values, sizeof(values));
	for (size_t i = 0; i < p->arg_count; i++) {
		const struct osp_arg *a = &p->args[i];
		const char *text = get(s, a->name);

		values[i].size = 8;
		if (a->type != OSP_TYPE_STR && a->type != OSP_TYPE_BYTES) {
			values[i].value = parse_integer(s, r->process, a, text);
			continue;
		}
		values[i].size = (int32_t)parse_bytes(s, text ? text : "", bytes, &true_size);
		values[i].offset = (uint32_t)s->data_size;
		add_data(s, bytes, (size_t)values[i].size);
	}
	memcpy((uint8_t *)r + sizeof(*r), values, sizeof(values));
	r->value = p->arg_count;
}

/* ---- lines ---- */

/* "operation.point", or "provider:probe" as in a note. */
static const struct osp_point *find_point(const struct script *s, const char *word)
{
	for (size_t i = 0; i < s->catalogue->point_count; i++) {
		const struct osp_point *p = s->catalogue->points[i];
		char name[256];

		snprintf(name, sizeof(name), "%s:%s", p->provider, p->probe);
		if (!strcmp(name, word))
			return p;
		for (size_t k = 0; k < p->operation_count; k++) {
			snprintf(name, sizeof(name), "%s.%s", p->operations[k]->name, p->name);
			if (!p->foreign && !strcmp(name, word))
				return p;
		}
	}
	return NULL;
}

static const struct osp_point *point_in(const struct script *s)
{
	const struct osp_point *p = NULL;

	for (size_t i = 1; i < s->word_count && !p; i++)
		if (!strchr(s->words[i], '='))
			p = find_point(s, s->words[i]);
	return p;
}

static bool opens_span(const struct osp_point *p)
{
	for (size_t i = 0; i < p->operation_count; i++)
		for (size_t k = 0; k < p->operations[i]->transition_count; k++)
			if (p->operations[i]->transitions[k].point == p &&
			    p->operations[i]->transitions[k].open >= 0)
				return true;
	return false;
}

/* Behind what the operation's block holds already. */
static void carry(struct script *s, struct operation *o)
{
	if (o->used + s->data_size > sizeof(o->block))
		fail(s, "the block is full");
	memcpy(o->block + o->used, data_of(s), s->data_size);
	o->used += s->data_size;
}

/* The whole block goes into the record. */
static void hand_over(struct script *s, struct osp_record *r, struct operation *o)
{
	r->flags |= OSP_RECORD_CLEARED;
	memcpy(data_of(s), o->block, o->used);
	s->data_size = o->used;
	o->used = 0;
}

static void fill_step(struct script *s, struct osp_record *r, const struct osp_point *p)
{
	const char *name = get(s, "op");
	struct osp_record_step step = {0};
	struct operation *o;

	if (!name)
		fail(s, "a step needs op=NAME");
	o = find_operation(s, r->process, name);
	o->nested = (uint16_t)number(s, "n", o->nested + (opens_span(p) ? 1u : 0u));
	r->op_id = o->id;
	r->sequence = o->sequence++;
	r->nested = o->nested;
	r->flags = has(s, "forked") ? OSP_RECORD_FORKED : 0;
	r->stamp = r->time_ns;
	r->number = p->header;
	add_data(s, &step, sizeof(step));
	add_own(s, r, p);
	step = (struct osp_record_step){.stamp = r->stamp,
					.sequence = r->sequence,
					.number = r->number,
					.nested = r->nested,
					.size = (uint32_t)(s->data_size - sizeof(step)),
					.flags = has(s, "forked") ? OSP_STEP_FORKED : 0};
	if (!has(s, "carried"))
		step.flags |= OSP_STEP_FIRED;
	memcpy(data_of(s), &step, sizeof(step));
	if (has(s, "carried") || has(s, "fired") || has(s, "flush"))
		carry(s, o);
	if (has(s, "flush"))
		hand_over(s, r, o);
	else if (s->plain)
		s->data_size = 0;
}

static struct osp_record *begin_record(struct script *s, uint32_t slot, uint16_t kind)
{
	struct process *p = &s->processes[slot];
	struct osp_record *r = (struct osp_record *)s->record;

	memset(s->record, 0, sizeof(*r));
	s->data_size = 0;
	*r = (struct osp_record){.kind = kind,
				 .time_ns = (uint64_t)s->now_ns,
				 .start_ns = slot,
				 .pid = p->pid ? p->pid : 100 * slot,
				 .exec_id = p->exec_id,
				 .process = slot,
				 .lost = p->lost};
	r->tid = (uint32_t)number(s, "tid", r->pid);
	return r;
}

/* As the kernel side: from a process' first loss on, its records tell the reason of the latest. */
static int push_record(struct script *s)
{
	struct osp_record *r = (struct osp_record *)s->record;

	if (r->lost)
		r->flags |= (OSP_LOSS_RING_FULL + 1) << OSP_RECORD_REASON;
	if (has(s, "fault"))
		r->data_size = -14;
	else
		r->data_size = (int32_t)s->data_size;
	return push(s, (struct osp_input){.kind = has(s, "discarded") ? OSP_INPUT_DISCARD
								      : OSP_INPUT_RECORD,
					  .record = r,
					  .size = sizeof(*r) + s->data_size});
}

/* Own points are numbered in their provider's header as scripts have but one of. */
static const struct osp_point *numbered(const struct script *s, uint16_t number)
{
	for (size_t i = 0; i < s->catalogue->point_count; i++)
		if (!s->catalogue->points[i]->foreign && s->catalogue->points[i]->header == number)
			return s->catalogue->points[i];
	fail(s, "no point has the number %u", number);
}

static const struct osp_point *spill_of(const struct script *s, uint16_t number)
{
	return numbered(s, number)->operations[0]->spill;
}

/* What the kernel side does when a whole block does not fit into the ring. */
static void lose_carried(struct script *s, struct process *p)
{
	const struct osp_record *r = (const void *)s->record;
	struct osp_record_step step;

	if (!(r->flags & OSP_RECORD_CLEARED))
		return;
	for (size_t at = 0; at < s->data_size; at += sizeof(step) + step.size) {
		memcpy(&step, data_of(s) + at, sizeof(step));
		if (step.flags & OSP_STEP_FIRED)
			continue;
		p->counters[numbered(s, step.number)->number].hits++;
		p->counters[numbered(s, step.number)->number].lost[OSP_LOSS_RING_FULL]++;
		p->lost++;
	}
}

/*
 * "1 op=a notify.start ...": a step; with the word "dropped" it is lost in the kernel, with
 * "discarded" the recorder does not look at it.
 */
static int read_step(struct script *s)
{
	uint32_t slot = slot_of(s, s->words[0]);
	const struct osp_point *p = point_in(s);
	struct process *process = &s->processes[slot];
	struct osp_counter *counter;
	struct osp_record *r;

	if (!p)
		fail(s, "no point of the catalogue in this line");
	counter = &process->counters[p->number];
	r = begin_record(s, slot, p->foreign ? OSP_RECORD_FOREIGN : OSP_RECORD_STEP);
	r->point = p->number;
	if (has(s, "carried")) {
		fill_step(s, r, p);
		return 0;
	}
	r->ordinal = counter->hits++;
	if (p->foreign)
		add_foreign(s, r, p);
	else
		fill_step(s, r, p);
	if (has(s, "dropped")) {
		counter->lost[OSP_LOSS_RING_FULL]++;
		process->lost++;
		lose_carried(s, process);
		return 0;
	}
	return push_record(s);
}

/* "spill 1 op=a": the block is full. */
static int read_spill(struct script *s)
{
	uint32_t slot = slot_of(s, s->words[1]);
	struct operation *o = find_operation(s, slot, get(s, "op"));
	struct osp_record *r = begin_record(s, slot, OSP_RECORD_STEP);
	const struct osp_record_step *first = (const void *)o->block;

	r->point = spill_of(s, first->number)->number;
	r->op_id = o->id;
	r->sequence = o->sequence;
	r->stamp = r->time_ns;
	r->flags = has(s, "forked") ? OSP_RECORD_FORKED : 0;
	hand_over(s, r, o);
	if (!has(s, "dropped"))
		return push_record(s);
	lose_carried(s, &s->processes[slot]);
	return 0;
}

/*
 * "left 1 op=a [peeked]": what the block holds is read, by the kernel since the process dies, or by
 * the recorder since it hangs. The block stays as it is.
 */
static int read_left(struct script *s)
{
	uint32_t slot = slot_of(s, s->words[1]);
	struct operation *o = find_operation(s, slot, get(s, "op"));
	struct osp_record *r = begin_record(s, slot, OSP_RECORD_LEFT);
	const struct osp_record_step *first = (const void *)o->block;
	size_t used = o->used;

	if (!used)
		fail(s, "the block is empty");
	r->point = numbered(s, first->number)->number;
	r->op_id = o->id;
	r->sequence = o->sequence;
	r->stamp = r->time_ns;
	hand_over(s, r, o);
	o->used = used;
	if (has(s, "peeked"))
		r->flags = OSP_RECORD_PEEKED;
	return push_record(s);
}

/* "loss 1 n=3 [POINT]": steps of the process that left no trace but the count. */
static int read_loss(struct script *s)
{
	uint32_t slot = slot_of(s, s->words[1]);
	const struct osp_point *p = point_in(s);
	uint64_t n = number(s, "n", 1);
	struct osp_counter *c = &s->processes[slot].counters[p ? p->number : 0];

	c->hits += n;
	c->lost[OSP_LOSS_RING_FULL] += n;
	s->processes[slot].lost += n;
	return 0;
}

static int read_process(struct script *s)
{
	uint32_t slot = slot_of(s, s->words[1]);
	struct process *p = &s->processes[slot];

	p->pid = (uint32_t)number(s, "pid", 100 * slot);
	p->exec_id = (uint32_t)number(s, "exec", 0);
	return push(s,
		    (struct osp_input){.kind = OSP_INPUT_PROCESS,
				       .process = {.slot = slot,
						   .pid = p->pid,
						   .namespace_pid = p->pid,
						   .exec_id = p->exec_id,
						   .parent_pid = (uint32_t)number(s, "parent", 0),
						   .start_ns = slot,
						   .comm = get(s, "comm"),
						   .exe = get(s, "exe"),
						   .cmdline = get(s, "cmdline")}});
}

/* "sites 1 essential [carry]": the points up to the level are attached, the others are not. */
static int read_sites(struct script *s)
{
	enum osp_level level;
	int r = 0;

	if (osp_level_from_str(s->words[2], &level))
		fail(s, "bad level %s", s->words[2]);
	for (size_t i = 0; i < s->catalogue->point_count && !r; i++)
		r = push(s, (struct osp_input){
				    .kind = OSP_INPUT_SITES,
				    .sites = {.slot = slot_of(s, s->words[1]),
					      .point = (uint16_t)i,
					      .sites = 1,
					      .attached = s->catalogue->points[i]->level <= level,
					      .fires = !has(s, "carry")}});
	return r;
}

/* "attach all begin", "detach 1 end", ... */
static int read_attach(struct script *s)
{
	bool all = !strcmp(s->words[1], "all");

	return push(
		s, (struct osp_input){.kind = OSP_INPUT_ATTACH,
				      .attach = {.slot = all ? UINT32_MAX : slot_of(s, s->words[1]),
						 .detach = !strcmp(s->words[0], "detach"),
						 .begins = has(s, "begin")}});
}

/* "exit 1 code=9", "fork 1 2" (2 is the child), "exec 1 2" (2 is what 1 became). */
static int read_notice(struct script *s)
{
	uint32_t slot = slot_of(s, s->words[1]);
	bool ends = !strcmp(s->words[0], "exit"), forks = !strcmp(s->words[0], "fork");
	struct osp_record *r;

	if (ends) {
		r = begin_record(s, slot, OSP_RECORD_EXIT);
		r->value = number(s, "code", 0);
		return push_record(s);
	}
	r = begin_record(s, slot_of(s, s->words[2]), forks ? OSP_RECORD_FORK : OSP_RECORD_EXEC);
	r->site = slot;
	r->value = forks ? s->processes[slot].pid : 0;
	return push_record(s);
}

/* "counters": what the kernel has counted, for every process and point that had a hit. */
static int read_counters(struct script *s)
{
	int r = 0;

	for (uint32_t slot = 1; slot < PROCESSES; slot++)
		for (uint16_t i = 0; i < s->catalogue->point_count && !r; i++)
			if (s->processes[slot].counters[i].hits)
				r = push(s, (struct osp_input){
						    .kind = OSP_INPUT_COUNTERS,
						    .counters = {slot, i,
								 s->processes[slot].counters[i],
								 true}});
	return r;
}

static int read_plain(struct script *s)
{
	struct osp_input in = {.kind = OSP_INPUT_TICK};

	if (!strcmp(s->words[0], "stop")) {
		in.kind = OSP_INPUT_STOP;
	} else if (!strcmp(s->words[0], "clock")) {
		in.kind = OSP_INPUT_CLOCK;
		in.clock.wall_ns = (int64_t)number(s, "wall", 0);
		in.clock.error_ns = (int64_t)number(s, "error", 0);
	} else if (!strcmp(s->words[0], "setting")) {
		in.kind = OSP_INPUT_SETTING;
		in.setting.name = get(s, "name");
		in.setting.value = get(s, "value");
	}
	return push(s, in);
}

static const struct {
	const char *word;
	int (*read)(struct script *s);
	size_t words;
} kinds[] = {
	{"process", read_process, 2}, {"sites", read_sites, 3}, {"attach", read_attach, 3},
	{"detach", read_attach, 3},   {"loss", read_loss, 2},	{"exit", read_notice, 2},
	{"fork", read_notice, 3},     {"exec", read_notice, 3}, {"counters", read_counters, 1},
	{"tick", read_plain, 1},      {"stop", read_plain, 1},	{"clock", read_plain, 1},
	{"setting", read_plain, 3},   {"spill", read_spill, 3}, {"left", read_left, 3},
};

int script_line(struct script *s, const char *line)
{
	s->line++;
	split(s, line);
	if (!s->word_count || !strcmp(s->words[0], "catalogue") || !strcmp(s->words[0], "limits"))
		return 0;
	read_time(s);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].word, s->words[0]) != 0)
			continue;
		if (s->word_count < kinds[i].words)
			fail(s, "too few words");
		return kinds[i].read(s);
	}
	if (!isdigit((unsigned char)s->words[0][0]))
		fail(s, "unknown word %s", s->words[0]);
	return read_step(s);
}

int script_text(struct script *s, const char *text)
{
	char line[8192];
	int r = 0;

	while (*text && !r) {
		size_t size = strcspn(text, "\n");

		if (size >= sizeof(line))
			fail(s, "the line is too long");
		memcpy(line, text, size);
		line[size] = 0;
		r = script_line(s, line);
		text += size + (text[size] == '\n');
	}
	return r;
}

/* The line that starts with the word, without it; "" if there is none. */
static void find_line(const char *text, const char *word, char out[512])
{
	size_t size = strlen(word);

	out[0] = 0;
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
		if (!strncmp(text, word, size) && text[size] == ' ') {
			snprintf(out, 512, "%.*s", (int)(strcspn(text, "\n") - size - 1),
				 text + size + 1);
			return;
		}
}

void script_limits(const char *text, struct osp_pipeline_limits *out)
{
	struct script *s = script_new(NULL, "limits", NULL, NULL);
	char line[512];

	find_line(text, "limits", line);
	split(s, line);
	*out = (struct osp_pipeline_limits){.operations = number(s, "operations", 0),
					    .steps = number(s, "steps", 0),
					    .links = number(s, "links", 0),
					    .start_part_ns = (int64_t)number(s, "start_part", 0)};
	script_free(&s);
}

static void load(struct osp_catalogue *c, const char *name)
{
	static const char *const folders[] = {"probes/catalogue", "tests/golden"};
	struct osp_catalogue_error error;
	char path[512];

	for (size_t i = 0; i < 2; i++) {
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", folders[i], name);
		f = fopen(path, "r");
		if (!f)
			continue;
		fclose(f);
		if (osp_catalogue_read(c, path, &error))
			fail(NULL, "%s", error.text);
		return;
	}
	fail(NULL, "no catalogue %s", name);
}

struct osp_catalogue *script_catalogue(const char *text)
{
	struct osp_catalogue *c;
	char line[512], *word, *rest = NULL;

	find_line(text, "catalogue", line);
	if (!line[0] || osp_catalogue_new(&c))
		fail(NULL, "no catalogue is named");
	for (word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		load(c, word);
	return c;
}

char *script_read(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;
	ssize_t n;

	if (!f)
		fail(NULL, "cannot read %s", path);
	n = getdelim(&text, &size, 0, f);
	fclose(f);
	if (n < 0)
		fail(NULL, "%s is empty", path);
	return text;
}
