/*
 * What a step costs in the recorder before a store sees it: records of the real catalogue, made
 * in memory, pushed through the pipeline into a sink that does nothing. CPU time per event, by
 * stage (each row of the table does one stage more), against the number of open operations, of
 * operations in progress at once, and of spans gone through.
 *
 * One message is a publish with three subscribers and all points: 49 events, 5 operations, 12
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
	MARKS = 4,	   /* in one record */
	OPERATIONS = 5,	   /* of one message */
	SPANS = 12,	   /* of one message */
	STEP_NS = 240,	   /* 4.2 million steps per second */
	BATCH = 400 * 49,  /* records between two ticks: 5 ms */
	SINGLES = 3,	   /* records that make an idle open operation */
	RECORD_MAX = 1024, /* bytes */
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
	unsigned int operation;
};

struct bench {
	struct osp_catalogue *catalogue;
	struct template records[RECORDS];
	size_t count;
	uint64_t operations[OPERATIONS];
	size_t operation_count;
	struct osp_input others[RECORDS]; /* inputs before the records */
	size_t other_count;
	uint8_t *batch;
	size_t batch_used, batch_count;
	uint64_t events;
	uint64_t ordinals[PROCESSES][OSP_CATALOGUE_POINTS];
	int64_t now_ns;
};

/* One run: what goes in, and how far it goes. */
struct run {
	size_t messages, idle, flight, warm;
	enum { DECODE, STITCH, ALL } stage;
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

static void find_marks(struct template *t, const char *format, bool context)
{
	uint8_t *bytes = (uint8_t *)t->bytes;

	for (unsigned int n = 0; n < 4; n++) {
		char text[16];
		uint8_t *at;

		snprintf(text, sizeof(text), format, n);
		at = memmem(bytes, t->size, text, strlen(text));
		if (!at)
			continue;
		t->marks[t->mark_count++] = (struct mark){(size_t)(at - bytes), n};
		if (context) /* the span id stands behind the 16 bytes of the trace id */
			t->marks[t->mark_count++] = (struct mark){(size_t)(at - bytes) + 16, n};
	}
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
	struct template *t = &b->records[b->count];

	if (in->kind != OSP_INPUT_RECORD) {
		b->others[b->other_count] = *in;
		b->others[b->other_count].process.comm = "bench";
		b->others[b->other_count].process.exe = "/bench";
		b->others[b->other_count++].process.cmdline = "";
		return 0;
	}
	if (b->count == RECORDS || in->size > RECORD_MAX)
		fail("the message", E2BIG);
	memcpy(t->bytes, in->record, in->size);
	t->size = (in->size + 7) & ~(size_t)7;
	t->operation = find_operation(b, header(t)->op_id);
	find_marks(t, "ident-%u-", false);
	find_marks(t, "context%u", true);
	b->count++;
	return 0;
}

static void load(struct bench *b)
{
	struct script *s;

	b->catalogue = script_catalogue("catalogue lonelypsp.yaml\n");
	s = script_new(b->catalogue, "message", take_input, b);
	script_text(s, script_text_of_message);
	script_free(&s);
	b->batch = malloc((size_t)BATCH * RECORD_MAX);
	if (!b->batch)
		fail("memory", ENOMEM);
}

/* ---- a run ---- */

/* Ids rise by 65536, as programs count them; `message` makes everything else its own, too. */
static void add_record(struct bench *b, const struct template *t, uint64_t message)
{
	uint8_t *to = b->batch + b->batch_used;
	struct osp_record *r = (struct osp_record *)to;
	uint64_t prefix = ((uint64_t)t->operation + 1) << 56;

	memcpy(to, t->bytes, t->size);
	b->now_ns += STEP_NS;
	r->time_ns = (uint64_t)b->now_ns;
	r->op_id = prefix + (message + 1) * 65536;
	r->ordinal = b->ordinals[r->process][r->point]++;
	for (size_t i = 0; i < t->mark_count; i++) {
		uint64_t own[] = {message, t->marks[i].number};
		uint64_t value = osp_map_hash(own, sizeof(own), 7);

		memcpy(to + t->marks[i].offset, &value, sizeof(value));
	}
	b->batch_used += t->size;
	b->batch_count++;
}

static int decode_batch(const struct bench *b)
{
	uint64_t seen = 0;
	size_t at = 0;

	while (at < b->batch_used) {
		const struct osp_record *r = (const struct osp_record *)(b->batch + at);
		size_t size = sizeof(*r) + (r->data_size > 0 ? (size_t)r->data_size : 0);
		struct osp_decoder d;
		struct osp_event e;

		if (osp_decode_start(&d, b->catalogue, r, size))
			return -EBADMSG;
		while (!osp_decode_next(&d, &e))
			seen++;
		at += (size + 7) & ~(size_t)7;
	}
	return seen == b->batch_count ? 0 : -EBADMSG;
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
	b->events += b->batch_count;
	b->batch_used = b->batch_count = 0;
	return cpu_ns() - before;
}

/* Operations of the broadcaster that begin and do not go on. */
static void open_idle(struct bench *b, const struct run *run, struct osp_pipeline *p)
{
	size_t first = 0;

	while (strcmp(b->catalogue->points[header(&b->records[first])->point]->name, "received"))
		first++;
	for (size_t i = 0; i < run->idle; i++) {
		for (size_t k = first; k < first + SINGLES; k++)
			add_record(b, &b->records[k], (1ull << 32) + i);
		if (b->batch_count + SINGLES > BATCH)
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
	struct osp_pipeline *p;
	int r = osp_pipeline_new(&p, b->catalogue, NULL, ignore, NULL);

	for (size_t i = 0; i < b->other_count && !r; i++)
		r = osp_pipeline_push(p, &b->others[i]);
	if (r)
		fail("start", -r);
	b->now_ns = 1000000000;
	memset(b->ordinals, 0, sizeof(b->ordinals));
	if (run->stage != DECODE && run->idle)
		open_idle(b, run, p);
	return p;
}

/* What was pushed must have come out whole, or the figure is of something else. */
static void check(const struct run *run, struct osp_pipeline *p)
{
	size_t messages = (run->warm + run->messages) / run->flight * run->flight;
	struct osp_pipeline_stats s;

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
	struct osp_pipeline *p;
	double spent = 0;

	if (run->stage != ALL)
		b->catalogue->link_count = 0;
	p = start(b, run);
	for (size_t group = 0; group < groups; group++) {
		if (group == run->warm / run->flight) {
			flush(b, run, p);
			b->events = 0;
			spent = 0;
		}
		for (size_t i = 0; i < b->count; i++)
			for (size_t m = 0; m < run->flight; m++) {
				add_record(b, &b->records[i], group * run->flight + m);
				if (b->batch_count == BATCH)
					spent += flush(b, run, p);
			}
	}
	spent += flush(b, run, p);
	check(run, p);
	osp_pipeline_free(&p);
	b->catalogue->link_count = links;
	return spent / (double)b->events;
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

	printf("  %-52s %8.1f\n", row->what, ns);
	fflush(stdout);
	if (json)
		fprintf(json, ",\n  \"%s\": %.2f", row->key, ns);
}

static void print_table(struct bench *b, size_t messages, int times, FILE *json)
{
	size_t few = messages / 10 ? messages / 10 : 1;
	const struct row rows[] = {
		{"pipeline_decode", "decode", {few, 0, 1, 0, DECODE}},
		{"pipeline_stitch", "decode, stitch", {few, 0, 1, WARM, STITCH}},
		{"pipeline_all", "decode, stitch, link, match", {few, 0, 1, WARM, ALL}},
		{"pipeline_open_1000", "... 1 000 idle open operations", {few, 1000, 1, WARM, ALL}},
		{"pipeline_open_100k", "... 100 000 idle ones", {few, 100000, 1, WARM, ALL}},
		{"pipeline_flight_1000", "... 1 000 taking turns", {few, 0, 200, WARM, ALL}},
		{"pipeline_flight_100k", "... 100 000 taking turns", {few, 0, 20000, WARM, ALL}},
		{"pipeline_long", "... ten times as many messages", {messages, 0, 1, WARM, ALL}},
		{"pipeline_cold", "... the first ones: the tables grow", {WARM, 0, 1, 0, ALL}},
	};

	printf("CPU ns per event, least of %d; %zu messages of %zu events and %d spans\n", times,
	       few, b->count, SPANS);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		print_row(b, &rows[i], times, json);
}

static void print_one(struct bench *b, const struct run *run, int times)
{
	printf("%.1f ns per event, %zu messages, %zu idle, %zu in flight\n", least(b, run, times),
	       run->messages, run->idle, run->flight);
}

static const char usage[] =
	"usage: pipeline [--messages N] [--times N] [--json FILE]\n"
	"       pipeline --one [--messages N] [--idle N] [--flight N] [--warm N]\n"
	"                      [--stage 0..2] [--times N]\n"
	"Without --one: the whole table; the row of most spans has N messages (833333 = 10 M\n"
	"spans), the others a tenth.\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"messages", 1, NULL, 'm'}, {"times", 1, NULL, 't'}, {"json", 1, NULL, 'j'},
		{"one", 0, NULL, 'o'},	    {"idle", 1, NULL, 'i'},  {"flight", 1, NULL, 'f'},
		{"stage", 1, NULL, 's'},    {"warm", 1, NULL, 'w'},  {NULL, 0, NULL, 0},
	};
	struct run run = {.messages = 200000, .flight = 1, .warm = WARM, .stage = ALL};
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
	osp_catalogue_free(&b.catalogue);
	return json && fclose(json) ? 1 : 0;
}
