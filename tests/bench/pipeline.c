/*
 * What a step costs in the recorder before a store sees it: records of the real catalogue, made
 * in memory, pushed through the pipeline into a sink that does nothing. CPU time per step, by
 * stage (each row of the table does one stage more), against the number of open operations, of
 * operations in progress at once, and of spans gone through.
 *
 * One message is a publish with three subscribers and all points: 49 steps, 5 operations, 12
 * spans, in 5 processes. It is written as a script (tests/support/script.h), which gives records
 * the real layout; each message is a copy with ids, identifiers, contexts and times of its own.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/support/script.h"
#include "user/base/map.h"
#include "user/decode.h"

enum {
	RECORDS = 64,
	PROCESSES = 8,
	MARKS = 64,	   /* in one record; and steps */
	OPERATIONS = 5,	   /* of one message */
	STEPS = 49,	   /* of one message */
	SPANS = 12,	   /* of one message */
	STEP_NS = 240,	   /* 4.2 million steps per second */
	LINE_NS = 1000,	   /* a script's time from line to line */
	BATCH = 400 * 49,  /* steps between two ticks: 5 ms */
	SINGLES = 3,	   /* records that make an idle open operation */
	RECORD_MAX = 4096, /* bytes */
	WARM = 40000,	   /* messages that fill every table */
};

static const char script_text_of_message[] =
	"process 1 pid=100 comm=notify\nprocess 2 pid=200 comm=broadcaster\n"
	"process 3 pid=301 comm=subscriber\nprocess 4 pid=302 comm=subscriber\n"
	"process 5 pid=303 comm=subscriber\n"
	"1 op=a notify.start_without_hash topic=\"sensors/kitchen\" length=512 filelike=false\n"
	"1 op=a notify.hashed\n"
	"1 op=a notify.sending_request broadcaster=\"http://broker.example:3003\" "
	"identifier=\"ident-0-\" context=context0\n"
	"2 op=h handle_notify.received\n2 op=h handle_notify.auth_tentatively_accepted\n"
	"2 op=h handle_notify.auth_accepted topic=\"sensors/kitchen\" length=512 "
	"identifier=\"ident-0-\" context=context0\n"
#define DELIVER(process, n, found)                                                                 \
	"2 op=h handle_notify." found " url=\"http://subscriber" n ".example:3004/receive\"\n"     \
	"2 op=h handle_notify.sending_receive identifier=\"ident-" n "-\" context=context" n       \
	"\n" process " op=r" n " receive.received\n" process " op=r" n                             \
	" receive.request_parsed topic=\"sensors/kitchen\" identifier=\"ident-" n                  \
	"-\" length=512 context=context" n "\n" process " op=r" n                                  \
	" receive.auth_tentatively_accepted connection_established=true\n" process " op=r" n       \
	" receive.auth_accepted topic=\"sensors/kitchen\" identifier=\"ident-" n                   \
	"-\" length=512 context=context" n "\n" process " op=r" n                                  \
	" receive.handler_start index=0\n" process " op=r" n " receive.handler_buffered\n" process \
	" op=r" n " receive.handler_done\n" process " op=r" n                                      \
	" receive.no_more_handlers\n" process " op=r" n                                            \
	" receive.sending_response num_subscribers=1 context=context" n "\n"                       \
	"2 op=h handle_notify.response_received status_code=200\n"                                 \
	"2 op=h handle_notify.receive_confirmed num_subscribers=1 context=context" n "\n"
	DELIVER("3", "1", "exact_subscriber_found") DELIVER("4", "2", "exact_subscriber_found") DELIVER(
		"5", "3",
		"glob_subscriber_found glob=\"sensors/*\"") "2 op=h handle_notify.no_more_subscribers\n"
							    "2 op=h handle_notify.sending_response context=context0\n"
							    "1 op=a notify.response_received status_code=200\n"
							    "1 op=a notify.response_notify_accepted context=context0 num_subscribers=3\n";

/* How a message's steps come: a record each; with the end, and begins by themselves; with the end. */
enum form { IMMEDIATE, CARRIED, LIGHT, FORMS };

/* Bytes of a record that differ from message to message. */
struct mark {
	size_t offset;
	unsigned int number; /* equal numbers are equal evidence */
};

struct template
{
	uint64_t bytes[RECORD_MAX / 8];
	size_t size;
	struct mark marks[MARKS];
	size_t mark_count;
	size_t stamps[MARKS]; /* where its steps have their stamps */
	size_t stamp_count;
	size_t new_steps; /* that did not come by themselves before */
	unsigned int operation;
};

struct message {
	struct template records[RECORDS];
	size_t count;
};

struct bench {
	struct osp_catalogue *catalogue;
	struct osp_numbers_set *numbers;
	struct message forms[FORMS], *form; /* form: the one being read */
	uint64_t operations[OPERATIONS];
	size_t operation_count;
	struct osp_input others[RECORDS]; /* inputs before the records */
	size_t other_count;
	uint8_t *batch;
	size_t batch_used, batch_steps;
	uint64_t steps;
	uint64_t ordinals[PROCESSES][OSP_CATALOGUE_POINTS];
	uint64_t lost[PROCESSES], records; /* records: with those lost */
	int64_t now_ns;
};

/* One run: what goes in, and how far it goes. */
struct run {
	size_t messages, idle, flight, warm;
	enum { DECODE, STITCH, ALL } stage;
	enum form form;
	size_t stretch; /* of records: so many come, then three times as many are lost; 0: all come */
};

static void __attribute__((noreturn)) fail(const char *what, int error)
{
	fprintf(stderr, "pipeline: %s: %s\n", what, strerror(error));
	exit(1);
}

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ---- the message ---- */

static struct osp_record *header(struct template *t)
{
	return (struct osp_record *)t->bytes;
}

static void add_mark(struct template *t, size_t offset, unsigned int number)
{
	if (t->mark_count == MARKS)
		fail("the marks of a record", E2BIG);
	t->marks[t->mark_count++] = (struct mark){offset, number};
}

static void find_marks(struct template *t, const char *format, bool context)
{
	uint8_t *bytes = (uint8_t *)t->bytes, *at;

	for (unsigned int n = 0; n < 4; n++) {
		char text[16];
		size_t size = (size_t)snprintf(text, sizeof(text), format, n);

		for (at = bytes; (at = memmem(at, t->size - (size_t)(at - bytes), text, size));
		     at += context ? 24 : size) {
			add_mark(t, (size_t)(at - bytes), n);
			if (context) /* the span id stands behind the 16 bytes of the trace id */
				add_mark(t, (size_t)(at - bytes) + 16, n);
		}
	}
}

static void find_stamps(struct template *t)
{
	size_t at = sizeof(struct osp_record), end = at + (size_t)header(t)->data_size;
	struct osp_record_step step;

	for (; at < end; at += sizeof(step) + step.size) {
		memcpy(&step, (uint8_t *)t->bytes + at, sizeof(step));
		t->stamps[t->stamp_count++] = at;
		t->new_steps +=
			!(step.flags & OSP_STEP_FIRED) || step.sequence == header(t)->sequence;
	}
	t->new_steps += !header(t)->data_size;
}

static unsigned int find_operation(struct bench *b, uint64_t id)
{
	for (unsigned int i = 0; i < b->operation_count; i++)
		if (b->operations[i] == id)
			return i;
	b->operations[b->operation_count] = id;
	return (unsigned int)b->operation_count++;
}

static int take_input(void *arg, const struct osp_input *in)
{
	struct bench *b = arg;
	struct template *t = &b->form->records[b->form->count];

	if (in->kind != OSP_INPUT_RECORD) {
		b->others[b->other_count] = *in;
		b->others[b->other_count].process.comm = "bench";
		b->others[b->other_count].process.exe = "/bench";
		b->others[b->other_count++].process.cmdline = "";
		return 0;
	}
	if (b->form->count == RECORDS || in->size > RECORD_MAX)
		fail("the message", E2BIG);
	memcpy(t->bytes, in->record, in->size);
	t->size = (in->size + 7) & ~(size_t)7;
	t->operation = find_operation(b, header(t)->op_id);
	find_marks(t, "ident-%u-", false);
	find_marks(t, "context%u", true);
	find_stamps(t);
	b->form->count++;
	return 0;
}

/* The place of a step's line among those of its operation. */
static bool is_first(const char *line, const char *operation, size_t size)
{
	const char *first =
		memmem(script_text_of_message, sizeof(script_text_of_message), operation, size);

	return first > line && first - line < 4;
}

static bool is_last(const char *line, const char *operation, size_t size)
{
	return !strstr(strchr(line, '\n'), operation) || !size;
}

static void read_line(struct bench *b, struct script *s, const char *line, size_t size)
{
	enum form form = (enum form)(b->form - b->forms);
	const char *name = strstr(line, "op=");
	char text[512], operation[16];

	if (strncmp(line, "process", 7) && form != IMMEDIATE) {
		snprintf(operation, sizeof(operation), "%.*s", (int)strcspn(name, " ") + 1, name);
		snprintf(text, sizeof(text), "%.*s%s", (int)size, line,
			 is_last(line, operation, strlen(operation)) ? " flush"
			 : form == CARRIED && is_first(line, operation, strlen(operation))
				 ? " fired"
				 : " carried");
	} else {
		snprintf(text, sizeof(text), "%.*s", (int)size, line);
	}
	script_line(s, text);
}

static void load(struct bench *b)
{
	b->catalogue = script_catalogue("catalogue lonelypsp.yaml\n");
	if (osp_numbers_new(&b->numbers, b->catalogue))
		fail("memory", ENOMEM);
	for (b->form = b->forms; b->form < b->forms + FORMS; b->form++) {
		struct script *s = script_new(b->catalogue, "message", take_input, b);

		b->other_count = 0;
		for (const char *l = script_text_of_message; *l; l += strcspn(l, "\n") + 1)
			read_line(b, s, l, strcspn(l, "\n"));
		script_free(&s);
	}
	b->batch = malloc((size_t)(BATCH + STEPS) * (RECORD_MAX / 8));
	if (!b->batch)
		fail("memory", ENOMEM);
}

/* ---- a run ---- */

/* When what: of the step on a line of the script, in one of so many messages that take turns. */
struct moment {
	int64_t from_ns;
	uint64_t turns, turn;
};

static uint64_t time_at(const struct moment *m, uint64_t script_ns)
{
	return (uint64_t)m->from_ns + (script_ns / LINE_NS * m->turns + m->turn) * STEP_NS;
}

/* The record finds no room in the ring. */
static bool is_lost(struct bench *b, const struct run *run, const struct template *t)
{
	const struct osp_record *r = (const struct osp_record *)t->bytes;

	if (!run->stretch || b->records++ / run->stretch % 4 == 0)
		return false;
	b->ordinals[r->process][r->point]++;
	b->lost[r->process] += t->new_steps;
	return true;
}

/* Ids rise by 65536, as programs count them; `message` makes everything else its own, too. */
static void add_record(struct bench *b, const struct template *t, uint64_t message,
		       const struct moment *m)
{
	uint8_t *to = b->batch + b->batch_used;
	struct osp_record *r = (struct osp_record *)to;

	memcpy(to, t->bytes, t->size);
	r->time_ns = r->stamp = time_at(m, r->time_ns);
	r->op_id = ((uint64_t)(t->operation + 1) << 56) + (message + 1) * 65536;
	r->ordinal = b->ordinals[r->process][r->point]++;
	r->lost = b->lost[r->process];
	if (r->lost)
		r->flags |= (OSP_LOSS_RING_FULL + 1) << OSP_RECORD_REASON;
	for (size_t i = 0; i < t->stamp_count; i++) {
		struct osp_record_step *step = (struct osp_record_step *)(to + t->stamps[i]);

		step->stamp = time_at(m, step->stamp);
	}
	for (size_t i = 0; i < t->mark_count; i++) {
		uint64_t own[] = {message, t->marks[i].number};
		uint64_t value = osp_map_hash(own, sizeof(own), 7);

		memcpy(to + t->marks[i].offset, &value, sizeof(value));
	}
	b->now_ns = (int64_t)r->time_ns;
	b->batch_used += t->size;
	b->batch_steps += t->new_steps;
}

static int decode_batch(const struct bench *b)
{
	struct osp_stamps stamps;
	struct osp_decode_with with = {b->catalogue, b->numbers, &stamps};
	size_t at = 0;

	osp_stamps_init(&stamps);
	while (at < b->batch_used) {
		const struct osp_record *r = (const struct osp_record *)(b->batch + at);
		size_t size = sizeof(*r) + (r->data_size > 0 ? (size_t)r->data_size : 0);
		struct osp_decoder d;
		struct osp_event e;

		if (osp_decode_start(&d, &with, r, size, (int64_t)r->time_ns))
			return -EBADMSG;
		while (!osp_decode_next(&d, &e))
			;
		at += (size + 7) & ~(size_t)7;
	}
	return 0;
}

static int push_batch(const struct bench *b, struct osp_pipeline *p)
{
	struct osp_input tick = {.kind = OSP_INPUT_TICK, .time_ns = b->now_ns};
	size_t at = 0;
	int r = 0;

	while (at < b->batch_used && !r) {
		const struct osp_record *record = (const struct osp_record *)(b->batch + at);
		struct osp_input in = {.kind = OSP_INPUT_RECORD};

		in.record = record;
		in.size = sizeof(*record) + (record->data_size > 0 ? (size_t)record->data_size : 0);
		at += (in.size + 7) & ~(size_t)7;
		r = osp_pipeline_push(p, &in);
	}
	if (!r)
		r = osp_pipeline_push(p, &tick);
	return r ? r : osp_pipeline_settle(p);
}

/* Pushes what was made; returns the CPU time that it took. */
static double flush(struct bench *b, const struct run *run, struct osp_pipeline *p)
{
	double before = cpu_ns();
	int r = run->stage == DECODE ? decode_batch(b) : push_batch(b, p);

	if (r)
		fail("push", -r);
	b->steps += b->batch_steps;
	b->batch_used = b->batch_steps = 0;
	return cpu_ns() - before;
}

/* Operations of the broadcaster that begin and do not go on. */
static void open_idle(struct bench *b, const struct run *run, struct osp_pipeline *p)
{
	const struct message *single = &b->forms[IMMEDIATE];
	size_t first = 0;

	while (strcmp(
		b->catalogue->points[header(&b->forms[IMMEDIATE].records[first])->point]->name,
		"received"))
		first++;
	for (size_t i = 0; i < run->idle; i++) {
		const struct moment m = {b->now_ns, 1, 1};

		for (size_t k = first; k < first + SINGLES; k++)
			add_record(b, &single->records[k], (1ull << 32) + i, &m);
		if (b->batch_steps + SINGLES > BATCH)
			flush(b, run, p);
	}
	flush(b, run, p);
}

static int ignore(void *arg, const struct osp_part *part)
{
	(void)arg;
	(void)part;
	return 0;
}

static struct osp_pipeline *start(struct bench *b, const struct run *run)
{
	/* more than a recorder takes, if need be */
	const struct osp_pipeline_limits limits = {.operations =
							   run->idle > 200000 ? 2 * run->idle : 0};
	struct osp_pipeline *p;
	int r = osp_pipeline_new(&p, b->catalogue, &limits, ignore, NULL);

	for (size_t i = 0; i < b->other_count && !r; i++)
		r = osp_pipeline_push(p, &b->others[i]);
	if (r)
		fail("start", -r);
	b->now_ns = 1000000000;
	memset(b->ordinals, 0, sizeof(b->ordinals));
	memset(b->lost, 0, sizeof(b->lost));
	b->records = 0;
	if (run->stage != DECODE && run->idle)
		open_idle(b, run, p);
	return p;
}

/* What was pushed must have come out whole, or the figure is of something else. */
static void check(const struct run *run, struct osp_pipeline *p)
{
	size_t messages = (run->warm + run->messages) / run->flight * run->flight;
	struct osp_pipeline_stats s;

	if (run->stretch)
		return;
	osp_pipeline_stats(p, &s);
	for (int i = 0; i < OSP_LOSS_COUNT; i++)
		if (s.lost[i])
			fail("steps were lost", EBADMSG);
	if (run->stage == DECODE)
		return;
	if (s.spans != messages * SPANS || s.unexpected || s.open != run->idle)
		fail("spans are missing", EBADMSG);
	if (run->stage == ALL && s.links != 4 * messages)
		fail("links are missing", EBADMSG);
}

/*
 * CPU ns per event, after `warm` messages have filled the tables. `flight` messages are in progress
 * at once, their steps taking turns.
 */
static double measure(struct bench *b, const struct run *run)
{
	size_t links = b->catalogue->link_count, groups = (run->warm + run->messages) / run->flight;
	const struct message *m = &b->forms[run->form];
	struct osp_pipeline *p;
	double spent = 0;

	if (run->stage != ALL)
		b->catalogue->link_count = 0;
	p = start(b, run);
	for (size_t group = 0; group < groups; group++) {
		struct moment at = {b->now_ns, run->flight, 0};

		if (group == run->warm / run->flight) {
			flush(b, run, p);
			b->steps = 0;
			spent = 0;
		}
		for (size_t i = 0; i < m->count; i++)
			for (at.turn = 0; at.turn < run->flight; at.turn++) {
				if (is_lost(b, run, &m->records[i]))
					continue;
				add_record(b, &m->records[i], group * run->flight + at.turn, &at);
				if (b->batch_steps >= BATCH)
					spent += flush(b, run, p);
			}
	}
	spent += flush(b, run, p);
	check(run, p);
	osp_pipeline_free(&p);
	b->catalogue->link_count = links;
	return spent / (double)b->steps;
}

/* ---- the table ---- */

struct row {
	const char *key, *what;
	struct run run;
};

static double least(struct bench *b, const struct run *run, int times)
{
	double best = measure(b, run);

	while (--times > 0) {
		double again = measure(b, run);

		best = again < best ? again : best;
	}
	return best;
}

static void print_row(struct bench *b, const struct row *row, int times, FILE *json)
{
	double ns = least(b, &row->run, times);

	printf("  %-40s %8.1f\n", row->what, ns);
	fflush(stdout);
	if (json)
		fprintf(json, ",\n  \"%s\": %.2f", row->key, ns);
}

static void print_table(struct bench *b, size_t messages, int times, FILE *json)
{
	size_t few = messages / 10 ? messages / 10 : 1;
	const struct row rows[] = {
		{"pipeline_decode", "decode", {few, 0, 1, 0, DECODE, CARRIED, 0}},
		{"pipeline_stitch", "decode, stitch", {few, 0, 1, WARM, STITCH, CARRIED, 0}},
		{"pipeline_all", "all: ... link, match", {few, 0, 1, WARM, ALL, CARRIED, 0}},
		{"pipeline_light", "all, begins carried, too", {few, 0, 1, WARM, ALL, LIGHT, 0}},
		{"pipeline_immediate",
		 "all, a record per step",
		 {few, 0, 1, WARM, ALL, IMMEDIATE, 0}},
		{"pipeline_open_10", "all, 10 idle", {few, 10, 1, WARM, ALL, CARRIED, 0}},
		{"pipeline_open_10k", "all, 10 000 idle", {few, 10000, 1, WARM, ALL, CARRIED, 0}},
		{"pipeline_open_1m",
		 "all, 1 000 000 idle",
		 {few, 1000000, 1, WARM, ALL, CARRIED, 0}},
		{"pipeline_flight_1000",
		 "all, 1 000 in turns",
		 {few, 0, 200, WARM, ALL, CARRIED, 0}},
		{"pipeline_flight_100k", "all, 100 000", {few, 0, 20000, WARM, ALL, CARRIED, 0}},
		{"pipeline_losing", "all, 3 of 4 records lost", {few, 0, 1, WARM, ALL, LIGHT, 1}},
		{"pipeline_stretches", "all, lost by 10 000", {few, 0, 1, WARM, ALL, LIGHT, 10000}},
		{"pipeline_long",
		 "all, ten times as long",
		 {messages, 0, 1, WARM, ALL, CARRIED, 0}},
		{"pipeline_cold", "all, the tables grow", {WARM, 0, 1, 0, ALL, CARRIED, 0}},
	};

	printf("CPU ns per step, least of %d; %zu messages of %d steps and %d spans\n", times, few,
	       STEPS, SPANS);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		print_row(b, &rows[i], times, json);
}

static void print_one(struct bench *b, const struct run *run, int times)
{
	printf("%.1f ns per step, %zu messages, %zu idle, %zu in flight\n", least(b, run, times),
	       run->messages, run->idle, run->flight);
}

static const char usage[] =
	"usage: pipeline [--messages N] [--times N] [--json FILE]\n"
	"       pipeline --one [--messages N] [--idle N] [--flight N] [--warm N]\n"
	"                      [--stage 0..2] [--form 0..2] [--times N]\n"
	"Without --one: the whole table; the row of most spans has N messages (833333 = 10 M\n"
	"spans), the others a tenth.\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"messages", 1, NULL, 'm'}, {"times", 1, NULL, 't'}, {"json", 1, NULL, 'j'},
		{"one", 0, NULL, 'o'},	    {"idle", 1, NULL, 'i'},  {"flight", 1, NULL, 'f'},
		{"stage", 1, NULL, 's'},    {"warm", 1, NULL, 'w'},  {"form", 1, NULL, 'r'},
		{NULL, 0, NULL, 0},
	};
	struct run run = {
		.messages = 200000, .flight = 1, .warm = WARM, .stage = ALL, .form = CARRIED};
	static struct bench b;
	bool one = false;
	FILE *json = NULL;
	int c, times = 3;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		size_t n = optarg ? strtoull(optarg, NULL, 10) : 0;

		if (c == 'm' && n)
			run.messages = n;
		else if (c == 't' && n)
			times = (int)n;
		else if (c == 'w')
			run.warm = n;
		else if (c == 'i')
			run.idle = n;
		else if (c == 'f' && n)
			run.flight = n;
		else if (c == 's')
			run.stage = n > ALL ? ALL : (int)n;
		else if (c == 'r')
			run.form = n > LIGHT ? LIGHT : (enum form)n;
		else if (c == 'o')
			one = true;
		else if (c != 'j' || !(json = fopen(optarg, "w")))
			return fputs(usage, stderr), 2;
	}
	load(&b);
	if (json)
		fprintf(json, "{\n  \"pipeline_messages\": %zu", run.messages);
	if (one)
		print_one(&b, &run, times);
	else
		print_table(&b, run.messages, times, json);
	if (json)
		fprintf(json, "\n}\n");
	free(b.batch);
	osp_numbers_free(&b.numbers);
	osp_catalogue_free(&b.catalogue);
	return json && fclose(json) ? 1 : 0;
}
