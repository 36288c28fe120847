/*
 * What it costs to store: N publishes of one message to three subscribers (46 events, 12 spans,
 * 5 operations, 4 links each, with the values that the real programs give), written through batch
 * and store as the recorder writes them, against a plain row-per-event recorder in the same run.
 * Prints ns of CPU per event and bytes per event, by table; never passes or fails.
 * usage: store [-oc] [--json FILE] [SPANS...]    (in millions, default 1: 12 are a million messages; -o: only
 * ours in full batches, for a profiler; -c: of the first, also the commands that read a session)
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "store/store.h"
#include "user/base/text.h"
#include "user/batch.h"
#include "user/check.h"

enum {
	EVENTS = 46,
	SPANS = 12,
	BATCH = 90,  /* messages of one drain */
	COMMIT = 12, /* drains of one transaction: 50 ms at 1 M events/s */
	TOPICS = 50
};

static char file[64]; /* this process's own */

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double wall_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- a message ---- */

/* An operation while it is made; all of a message share the value bytes. */
struct work {
	struct osp_row_span spans[4];
	struct osp_step steps[20];
	struct osp_attribute attributes[40];
	struct osp_row row;
};

struct message {
	struct work notify, handle, receive[3];
	uint8_t ids[4][16], contexts[8][25];
	char topic[32], names[3][64];
	int64_t now;
	uint64_t word;
};

static uint64_t next(struct message *m)
{
	m->word ^= m->word << 13;
	m->word ^= m->word >> 7;
	m->word ^= m->word << 17;
	return m->word;
}

/* form: of the operations that take this course, as the pipeline numbers them. */
static void begin(struct message *m, struct work *w, uint64_t form, const char *side,
		  const char *kind_name, const char *name, enum osp_span_kind kind)
{
	w->row = (struct osp_row){.complete = true,
				  .lasting = true,
				  .form = form,
				  .provider = "lonelypsp",
				  .side = side,
				  .layer = "broker",
				  .feature = "publish",
				  .spans = w->spans,
				  .span_count = 1,
				  .steps = w->steps,
				  .attributes = w->attributes};
	w->spans[0] = (struct osp_row_span){.kind_name = kind_name,
					    .name = name,
					    .kind = kind,
					    .start_ns = m->now,
					    .status = OSP_SPAN_OK};
}

static void nest(struct message *m, struct work *w, const char *kind_name, const char *name,
		 enum osp_span_kind kind)
{
	uint16_t n = (uint16_t)w->row.span_count++;

	w->spans[n] = (struct osp_row_span){.number = n,
					    .kind_name = kind_name,
					    .name = name,
					    .kind = kind,
					    .start_ns = m->now,
					    .status = OSP_SPAN_OK};
}

static void step(struct message *m, struct work *w, const char *name, uint16_t span)
{
	w->steps[w->row.step_count++] =
		(struct osp_step){.time_ns = m->now,
				  .name = name,
				  .span = span,
				  .first_attribute = (uint32_t)w->row.attribute_count};
	w->spans[span].end_ns = w->spans[0].end_ns = m->now;
	m->now += 1000 + (int64_t)(next(m) % 20000);
}

static void add(struct work *w, const char *name, struct osp_value v)
{
	w->attributes[w->row.attribute_count++] = (struct osp_attribute){name, v};
	w->steps[w->row.step_count - 1].attribute_count++;
}

static void number(struct work *w, const char *name, uint64_t v)
{
	add(w, name, (struct osp_value){.type = OSP_VALUE_U64, .u64 = v});
}

static void boolean(struct work *w, const char *name)
{
	add(w, name, (struct osp_value){.type = OSP_VALUE_BOOL});
}

static void data(struct work *w, const char *name, enum osp_value_type type, const void *p,
		 size_t size)
{
	add(w, name,
	    (struct osp_value){
		    .type = type, .data = p, .size = (uint32_t)size, .true_size = (uint32_t)size});
}

static void text(struct work *w, const char *name, const char *t)
{
	data(w, name, OSP_VALUE_STR, t, strlen(t));
}

static void identifier(struct message *m, struct work *w, int i)
{
	data(w, "messaging.message.id", OSP_VALUE_BYTES, m->ids[i], 16);
}

static void context(struct message *m, struct work *w, int i)
{
	data(w, "lonelypsp.context", OSP_VALUE_BYTES, m->contexts[i], 25);
}

static void make_context(struct message *m, int i, uint64_t root, uint64_t random, uint64_t span)
{
	uint64_t words[3] = {__builtin_bswap64(random), __builtin_bswap64(root),
			     __builtin_bswap64(span)};

	memcpy(m->contexts[i], words, 24);
	m->contexts[i][24] = 1;
}

static void make_notify(struct message *m, const char *topic)
{
	struct work *w = &m->notify;

	begin(m, w, 1, "subscriber", "notify", m->names[0], OSP_SPAN_PRODUCER);
	step(m, w, "start_without_hash", 0);
	text(w, "messaging.destination.name", topic);
	number(w, "messaging.message.body.size", 100);
	boolean(w, "lonelypsp.filelike");
	step(m, w, "hashed", 0);
	nest(m, w, "attempt", "attempt http://127.0.0.1:40879", OSP_SPAN_CLIENT);
	step(m, w, "sending_request", 1);
	text(w, "server.address", "http://127.0.0.1:40879");
	identifier(m, w, 0);
	context(m, w, 0);
}

static void make_receive(struct message *m, int i, const char *topic)
{
	struct work *w = &m->receive[i];

	begin(m, w, 3, "subscriber", "receive", m->names[2], OSP_SPAN_CONSUMER);
	step(m, w, "received", 0);
	for (int again = 0; again < 2; again++) {
		step(m, w, again ? "auth_accepted" : "request_parsed", 0);
		text(w, "messaging.destination.name", topic);
		identifier(m, w, 1 + i);
		number(w, "messaging.message.body.size", 100);
		context(m, w, 2 + i);
		if (again)
			break;
		step(m, w, "auth_tentatively_accepted", 0);
		boolean(w, "lonelypsp.connection_established");
	}
	nest(m, w, "handler", "handler 0", OSP_SPAN_INTERNAL);
	step(m, w, "handler_start", 1);
	number(w, "lonelypsp.index", 0);
	step(m, w, "handler_done", 1);
	step(m, w, "no_more_handlers", 0);
	step(m, w, "sending_response", 0);
	number(w, "lonelypsp.num_subscribers", 1);
	context(m, w, 5 + i);
	w->spans[0].code = "200";
}

static void make_delivery(struct message *m, int i, const char *topic)
{
	static const char *const names[] = {"deliver http://127.0.0.1:40925/v1/receive",
					    "deliver http://127.0.0.1:37371/v1/receive",
					    "deliver http://127.0.0.1:43371/v1/receive"};
	struct work *w = &m->handle;
	uint16_t n = (uint16_t)(1 + i);

	nest(m, w, "deliver", names[i], OSP_SPAN_PRODUCER);
	step(m, w, "exact_subscriber_found", n);
	text(w, "url.full", names[i] + 8);
	step(m, w, "sending_receive", n);
	identifier(m, w, 1 + i);
	context(m, w, 2 + i);
	make_receive(m, i, topic);
	step(m, w, "response_received", n);
	number(w, "http.response.status_code", 200);
	step(m, w, "receive_confirmed", n);
	context(m, w, 5 + i);
	number(w, "lonelypsp.num_subscribers", 1);
}

static void make_message(struct message *m, uint64_t n)
{
	uint64_t id = n << 16, root = 0x18349cad00000000 + id, handle = 0x849f3f5900000000 + id;
	static const uint64_t prefixes[] = {0x8218cc4c00000000, 0xbe3c741f00000000,
					    0x555294ad00000000};

	snprintf(m->topic, sizeof(m->topic), "orders/%u/created", (unsigned)(next(m) % TOPICS));
	snprintf(m->names[0], sizeof(m->names[0]), "publish %s", m->topic);
	snprintf(m->names[1], sizeof(m->names[1]), "handle %s", m->topic);
	snprintf(m->names[2], sizeof(m->names[2]), "receive %s", m->topic);
	for (int i = 0; i < 8; i++)
		((uint64_t *)m->ids)[i] = next(m);
	make_context(m, 0, root, 0x5d549008fbb0e73d, root + 1);
	make_context(m, 1, root, 0x5d549008fbb0e73d, handle);
	make_notify(m, m->topic);
	begin(m, &m->handle, 2, "broadcaster", "handle_notify", m->names[1], OSP_SPAN_SERVER);
	step(m, &m->handle, "received", 0);
	step(m, &m->handle, "auth_tentatively_accepted", 0);
	step(m, &m->handle, "auth_accepted", 0);
	text(&m->handle, "messaging.destination.name", m->topic);
	number(&m->handle, "messaging.message.body.size", 100);
	identifier(m, &m->handle, 0);
	context(m, &m->handle, 0);
	for (int i = 0; i < 3; i++) {
		m->receive[i].row.id = prefixes[i] + id;
		make_context(m, 2 + i, root, 0x5d549008fbb0e73d, handle + 1 + (uint64_t)i);
		make_context(m, 5 + i, root, 0x5d549008fbb0e73d, prefixes[i] + id);
		make_delivery(m, i, m->topic);
		m->receive[i].row.id = prefixes[i] + id;
		m->receive[i].row.process = (uint32_t)(3 + i);
	}
	step(m, &m->handle, "no_more_subscribers", 0);
	step(m, &m->handle, "sending_response", 0);
	context(m, &m->handle, 1);
	m->handle.spans[0].code = "200";
	step(m, &m->notify, "response_received", 1);
	number(&m->notify, "http.response.status_code", 200);
	step(m, &m->notify, "response_notify_accepted", 1);
	context(m, &m->notify, 1);
	number(&m->notify, "lonelypsp.num_subscribers", 3);
	m->notify.row.id = root;
	m->notify.row.process = 1;
	m->handle.row.id = handle;
	m->handle.row.process = 2;
}

/* ---- into a session ---- */

static void check(int r, const char *what)
{
	if (!r)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	exit(1);
}

static void put_edge(struct osp_batch *b, uint64_t from, uint64_t to, const char *rule)
{
	struct osp_part p = {.kind = OSP_PART_EDGE,
			     .edge = {.from = from,
				      .to = to,
				      .rule = rule,
				      .makes = "parent",
				      .evidence = "trace_context",
				      .grade = "exact",
				      .also = "message_id",
				      .lasting = true}};

	check(osp_batch_add(b, &p), "link");
}

static void put_row(struct osp_batch *b, struct work *w, uint64_t trace)
{
	struct osp_part p = {.kind = OSP_PART_ROW, .row = w->row};

	p.row.trace = trace;
	p.row.tid = 1000 + w->row.process;
	check(osp_batch_add(b, &p), "operation");
}

static void put_patch(struct osp_batch *b, uint64_t id, uint64_t trace)
{
	struct osp_part p = {.kind = OSP_PART_PATCH, .patch = {.id = id, .trace = trace}};

	check(osp_batch_add(b, &p), "patch");
}

/* As carried steps bring it: each operation whole at its end, links found when both ends are. */
static void put_message(struct osp_batch *b, struct message *m, uint64_t n)
{
	uint64_t birth = 5 * n + 1, handle = m->handle.row.id;

	for (unsigned i = 0; i < 3; i++)
		put_row(b, &m->receive[i], birth + 2 + i);
	for (unsigned i = 0; i < 3; i++) {
		put_edge(b, handle + 1 + i, m->receive[i].row.id, "handle_notify/deliver>receive");
		put_patch(b, m->receive[i].row.id, birth + 1);
	}
	put_row(b, &m->handle, birth + 1);
	put_edge(b, m->notify.row.id + 1, handle, "notify/attempt>handle_notify");
	for (unsigned i = 0; i < 3; i++)
		put_patch(b, m->receive[i].row.id, birth);
	put_patch(b, handle, birth);
	put_row(b, &m->notify, birth);
}

static void put_processes(struct osp_batch *b)
{
	for (uint32_t i = 1; i <= 5; i++) {
		struct osp_part p = {.kind = OSP_PART_PROCESS,
				     .process = {.key = i,
						 .pid = 1000 + i,
						 .comm = "psp",
						 .exe = "/usr/bin/psp",
						 .cmdline = "psp --x"}};

		check(osp_batch_add(b, &p), "process");
	}
}

/* The catalogue that the messages follow, as a recording keeps it: what `check` goes by. */
static void put_catalogue(struct osp_batch *b)
{
	struct osp_catalogue_error error;
	struct osp_catalogue *c;
	struct osp_part p = {.kind = OSP_PART_CATALOGUE};

	check(osp_catalogue_new(&c), "catalogue");
	check(osp_catalogue_read(c, "probes/catalogue/lonelypsp.yaml", &error), error.text);
	p.catalogue.name = c->names[0];
	p.catalogue.text = c->texts[0];
	check(osp_batch_add(b, &p), "catalogue");
	osp_catalogue_free(&c);
}

static double query(const char *sql)
{
	sqlite3_stmt *st = NULL;
	sqlite3 *db;
	double v = 0;

	if (!sqlite3_open(file, &db) && !sqlite3_prepare_v2(db, sql, -1, &st, NULL) &&
	    sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_double(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return v;
}

static void print_tables(double events)
{
	sqlite3_stmt *st = NULL;
	sqlite3 *db;

	if (!sqlite3_open(file, &db) &&
	    !sqlite3_prepare_v2(db,
				"SELECT name, sum(pgsize), sum(payload) FROM dbstat GROUP BY 1 "
				"ORDER BY 2 DESC LIMIT 8",
				-1, &st, NULL))
		while (sqlite3_step(st) == SQLITE_ROW)
			printf("    %-28s %8.2f bytes/event (%.2f payload)\n",
			       (const char *)sqlite3_column_text(st, 0),
			       sqlite3_column_double(st, 1) / events,
			       sqlite3_column_double(st, 2) / events);
	sqlite3_finalize(st);
	sqlite3_close(db);
}

static void time_reads(uint64_t messages)
{
	static const char *const views[] = {"trace", "span", "event", "attribute", "link"};
	double listed;

	for (int i = 0; i < 5; i++) {
		char sql[100];
		double begun = cpu_s();

		snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s WHERE trace = %" PRIu64,
			 views[i], 5 * (messages / 2) + 1);
		printf("    %s of one trace: %.0f rows", views[i], query(sql));
		printf(" in %.2f ms\n", (cpu_s() - begun) * 1e3);
	}
	listed = cpu_s();
	printf("    all traces by view trace: %.0f rows",
	       query("SELECT count(*) FROM (SELECT * FROM trace ORDER BY duration_ns)"));
	printf(" in %.1f s\n", cpu_s() - listed);
}

static void time_check(void)
{
	const struct osp_check_limits limits = {100, 1};
	struct osp_session *s = NULL;
	struct osp_books *books = NULL;
	struct osp_watch *watch = NULL;
	struct osp_check *c = NULL;
	char error[512];
	double begun = cpu_s();

	check(osp_session_open(&s, file, error), error);
	check(osp_books_read(&books, s, 0), "books");
	check(osp_watch_new(&watch, s), "watch");
	check(osp_check_new(&c, books, watch, NULL, &limits), "check");
	check(osp_check_run(c, NULL), "check");
	printf("    outspan check: %" PRIu64 " operations, %" PRIu64 " findings, in %.1f s\n",
	       c->operations, c->genuine, cpu_s() - begun);
	osp_check_free(&c);
	osp_watch_free(&watch);
	osp_books_free(&books);
	osp_session_close(&s);
}

/* ---- the commands that read it ---- */

static void time_command(const char *outspan, const char *const words[4])
{
	char *const args[] = {"outspan",	(char *)words[0], file, (char *)words[1],
			      (char *)words[2], (char *)words[3], NULL};
	double begun = wall_s();
	struct rusage used;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
			_exit(126);
		execv(outspan, args);
		_exit(127);
	}
	if (wait4(pid, &status, 0, &used) != pid || !WIFEXITED(status) || WEXITSTATUS(status) > 1)
		status = -1;
	printf("    outspan %s %s %s: %s%.1f s, of which CPU %.1f s; %.0f MB at most\n", words[0],
	       words[1] ? words[1] : "", words[2] ? words[2] : "", status < 0 ? "failed, " : "",
	       wall_s() - begun,
	       (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
		       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6,
	       (double)used.ru_maxrss / 1024);
	fflush(stdout);
}

/* Time and memory of each, on the whole session; the program lies beside the folder of this one. */
static void time_commands(const char *self, uint64_t messages)
{
	char outspan[4096], middle[24];
	const char *const commands[][4] = {{"ls"},
					   {"ls", "--limit", "10"},
					   {"show", "last"},
					   {"show", middle},
					   {"deliveries"},
					   {"deliveries", "--json"},
					   {"check"},
					   {"losses"},
					   {"losses", "--json"},
					   {"export", "-o", "/dev/null"}};
	const char *slash = strrchr(self, '/');

	snprintf(outspan, sizeof(outspan), "%.*s/../outspan", slash ? (int)(slash - self) : 1,
		 slash ? self : ".");
	snprintf(middle, sizeof(middle), "#%" PRIu64, messages / 2);
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		time_command(outspan, commands[i]);
}

/* What run() measured last. */
static struct {
	double ns, bytes, longest_ms; /* per event, per event, of a transaction */
} last;

static double run(uint64_t messages, bool clean)
{
	double events = (double)messages * EVENTS, begun, making = 0, took[3], longest = 0;
	struct message *m = calloc(BATCH, sizeof(*m));
	struct osp_store *s = NULL;
	struct osp_batch *b = NULL;
	char error[512] = "", uri[100];

	for (unsigned i = 0; i < BATCH; i++) {
		m[i].word = 88172645463325252ull + i;
		m[i].now = 1000000000000;
	}
	snprintf(uri, sizeof(uri), "sqlite:%s", file);
	if (osp_store_open(&s, uri, OSP_STORE_OVERWRITE, error))
		fprintf(stderr, "%s\n", error), exit(1);
	check(osp_batch_new(&b, s, 8 << 20), "batch");
	begun = cpu_s();
	put_processes(b);
	put_catalogue(b);
	took[0] = took[1] = 0;
	for (uint64_t n = 0; n < messages; n += BATCH) {
		uint64_t end = n + BATCH < messages ? n + BATCH : messages;
		double t = cpu_s(), wall;

		for (uint64_t i = n; i < end; i++)
			make_message(&m[i - n], i);
		making += cpu_s() - t;
		t = cpu_s();
		for (uint64_t i = n; i < end; i++)
			put_message(b, &m[i - n], i);
		took[0] += cpu_s() - t;
		t = cpu_s();
		wall = wall_s();
		if (n / BATCH % COMMIT == COMMIT - 1)
			check(osp_batch_flush(b), "write");
		took[1] += cpu_s() - t;
		wall = wall_s() - wall;
		longest = n && wall > longest ? wall : longest;
		for (int i = 0; i < BATCH; i++) {
			m[i].now = m[BATCH - 1].now;
			m[i].word += m[BATCH - 1].word * 2;
		}
	}
	check(osp_batch_flush(b), "write");
	took[2] = cpu_s();
	check(osp_store_close(&s, clean), "close");
	took[2] = cpu_s() - took[2];
	osp_batch_free(&b);
	free(m);
	begun = cpu_s() - begun - making;
	printf("  %s: %.1f ns/event (through the batch %.1f, commits %.1f, end %.1f), "
	       "longest transaction %.1f ms; making the messages, not counted: %.1f ns/event\n",
	       clean ? "outspan" : "outspan, killed", begun / events * 1e9, took[0] / events * 1e9,
	       took[1] / events * 1e9, took[2] / events * 1e9, longest * 1e3,
	       making / events * 1e9);
	last.ns = begun / events * 1e9;
	last.longest_ms = longest * 1e3;
	last.bytes =
		query("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size") /
		events;
	printf("  file: %.2f bytes/event\n", last.bytes);
	print_tables(events);
	time_reads(messages);
	time_check();
	return last.ns;
}

/* ---- few messages: a transaction, or some, for each, with the books of what it holds ---- */

/* A page of the books. */
struct page {
	uint32_t process;
	const char *probe;
	uint64_t stored;
	bool changed;
};

static struct page pages[64];

static void count_steps(const struct work *w)
{
	for (size_t i = 0; i < w->row.step_count; i++) {
		struct page *p = pages;

		while (p->probe && (p->process != w->row.process || p->probe != w->steps[i].name))
			p++;
		p->process = w->row.process;
		p->probe = w->steps[i].name;
		p->stored++;
		p->changed = true;
	}
}

static void commit_books(struct osp_batch *b)
{
	for (struct page *p = pages; p->probe; p++) {
		struct osp_part part = {.kind = OSP_PART_LOSS,
					.loss = {.process = p->process,
						 .provider = "lonelypsp",
						 .probe = p->probe,
						 .hits = p->stored,
						 .stored = p->stored}};

		if (p->changed)
			check(osp_batch_add(b, &part), "books");
		p->changed = false;
	}
	check(osp_batch_flush(b), "write");
}

/* Its operations come in one, two or five transactions. */
static void put_slowly(struct osp_batch *b, struct message *m, uint64_t n, int drains)
{
	uint64_t birth = 5 * n + 1, handle = m->handle.row.id;

	for (unsigned i = 0; i < 3; i++) {
		put_row(b, &m->receive[i], birth + 2 + i);
		count_steps(&m->receive[i]);
		if (drains > 2)
			commit_books(b);
	}
	for (unsigned i = 0; i < 3; i++) {
		put_edge(b, handle + 1 + i, m->receive[i].row.id, "handle_notify/deliver>receive");
		put_patch(b, m->receive[i].row.id, birth + 1);
	}
	put_row(b, &m->handle, birth + 1);
	count_steps(&m->handle);
	if (drains > 1)
		commit_books(b);
	put_edge(b, m->notify.row.id + 1, handle, "notify/attempt>handle_notify");
	for (unsigned i = 0; i < 3; i++)
		put_patch(b, m->receive[i].row.id, birth);
	put_patch(b, handle, birth);
	put_row(b, &m->notify, birth);
	count_steps(&m->notify);
	commit_books(b);
}

static void run_slowly(int drains)
{
	enum { MESSAGES = 10000 };
	struct message *m = calloc(1, sizeof(*m));
	char error[512] = "", uri[100];
	double begun, spent = 0, longest = 0;
	struct osp_store *s = NULL;
	struct osp_batch *b = NULL;

	memset(pages, 0, sizeof(pages));
	m->word = 88172645463325252ull;
	m->now = 1000000000000;
	snprintf(uri, sizeof(uri), "sqlite:%s", file);
	if (osp_store_open(&s, uri, OSP_STORE_OVERWRITE, error))
		fprintf(stderr, "%s\n", error), exit(1);
	check(osp_batch_new(&b, s, 8 << 20), "batch");
	put_processes(b);
	for (uint64_t n = 0; n < MESSAGES; n++) {
		make_message(m, n);
		begun = cpu_s();
		put_slowly(b, m, n, drains);
		begun = cpu_s() - begun;
		spent += begun;
		longest = begun > longest ? begun : longest;
	}
	check(osp_store_close(&s, true), "close");
	osp_batch_free(&b);
	free(m);
	printf("  in %d transactions each: %.0f us and %.1f bytes/event for a message, longest %.1f ms\n",
	       drains, spent / MESSAGES * 1e6,
	       query("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size") /
		       MESSAGES / EVENTS,
	       longest * 1e3);
	print_tables((double)MESSAGES * EVENTS);
}

/* ---- the plain way: a row per event, values as JSON, two indexes ---- */

static void exec(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL))
		fprintf(stderr, "%s\n", sqlite3_errmsg(db)), exit(1);
}

static void put_events(sqlite3_stmt *st, const struct work *w, uint64_t trace)
{
	for (size_t i = 0; i < w->row.step_count; i++) {
		const struct osp_step *e = &w->steps[i];
		char json[1000] = "{", hex[60];
		size_t n = 1;

		for (uint32_t k = 0; k < e->attribute_count; k++) {
			const struct osp_attribute *a = &w->attributes[e->first_attribute + k];

			n += (size_t)snprintf(json + n, sizeof(json) - n, "\"%s\":", a->name);
			osp_text_hex(hex, a->value.data, a->value.size < 29 ? a->value.size : 0);
			if (a->value.type == OSP_VALUE_BYTES)
				n += (size_t)snprintf(json + n, sizeof(json) - n, "\"%s\",", hex);
			else if (a->value.type == OSP_VALUE_STR)
				n += (size_t)snprintf(json + n, sizeof(json) - n, "\"%.*s\",",
						      (int)a->value.size,
						      (const char *)a->value.data);
			else
				n += (size_t)snprintf(json + n, sizeof(json) - n, "%" PRIu64 ",",
						      a->value.u64);
		}
		sqlite3_bind_int64(st, 1, (int64_t)trace);
		sqlite3_bind_int64(st, 2, (int64_t)w->row.id + e->span);
		sqlite3_bind_int64(st, 3, w->row.process);
		sqlite3_bind_int64(st, 4, e->time_ns);
		sqlite3_bind_text(st, 5, e->name, -1, SQLITE_STATIC);
		sqlite3_bind_text(st, 6, e->attribute_count ? json : NULL, (int)n, SQLITE_STATIC);
		sqlite3_step(st);
		sqlite3_reset(st);
	}
}

static double run_plain(uint64_t messages)
{
	double events = (double)messages * EVENTS, begun, making = 0;
	struct message *m = calloc(1, sizeof(*m));
	sqlite3_stmt *st = NULL;
	sqlite3 *db;

	unlink(file);
	m->word = 88172645463325252ull;
	m->now = 1000000000000;
	if (sqlite3_open(file, &db))
		exit(1);
	exec(db, "PRAGMA page_size = 16384; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
		 "CREATE TABLE event(trace INTEGER, span INTEGER, process INTEGER, time INTEGER,"
		 "name TEXT, attributes TEXT)");
	sqlite3_prepare_v2(db, "INSERT INTO event VALUES(?1, ?2, ?3, ?4, ?5, ?6)", -1, &st, NULL);
	begun = cpu_s();
	for (uint64_t n = 0; n < messages; n++) {
		double t = cpu_s();

		if (n % BATCH == 0)
			exec(db, "BEGIN");
		make_message(m, n);
		making += cpu_s() - t;
		for (int i = 0; i < 3; i++)
			put_events(st, &m->receive[i], n);
		put_events(st, &m->handle, n);
		put_events(st, &m->notify, n);
		if (n % BATCH == BATCH - 1 || n + 1 == messages)
			exec(db, "COMMIT");
	}
	exec(db, "CREATE INDEX event_trace ON event(trace)");
	sqlite3_finalize(st);
	sqlite3_close(db);
	begun = cpu_s() - begun - making;
	printf("  row per event: %.1f ns/event, %.2f bytes/event\n", begun / events * 1e9,
	       query("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size") /
		       events);
	free(m);
	return begun / events * 1e9;
}

/* What the command line asks for. */
struct options {
	bool alone, commands;
	const char *json;
};

static void parse(struct options *o, int argc, char **argv)
{
	static const struct option table[] = {{"json", required_argument, NULL, 'j'}, {0}};
	int c;

	while ((c = getopt_long(argc, argv, "ocj:", table, NULL)) >= 0) {
		o->alone |= c == 'o';
		o->commands |= c == 'c';
		o->json = c == 'j' ? optarg : o->json;
		if (c == '?')
			exit(2);
	}
}

int main(int argc, char **argv)
{
	struct options o = {0};
	FILE *json;
	int first;

	parse(&o, argc, argv);
	json = o.json ? fopen(o.json, "w") : NULL;
	first = optind;
	snprintf(file, sizeof(file), "/tmp/outspan-bench-store-%d.db", (int)getpid());
	for (int i = first; i < argc || i == first; i++) {
		double millions = argc > i ? atof(argv[i]) : 1, ours, plain;
		uint64_t messages = (uint64_t)(millions * 1e6 / SPANS);

		printf("%.1f million spans (%" PRIu64 " messages)\n", millions, messages);
		ours = run(messages, true);
		if (json)
			fprintf(json,
				"%c \"store_%gm_ns_per_event\": %.1f, \"store_%gm_bytes_per_event\": %.2f, "
				"\"store_%gm_longest_transaction_ms\": %.1f",
				i == first ? '{' : ',', millions, last.ns, millions, last.bytes,
				millions, last.longest_ms);
		if (o.commands && i == first)
			time_commands(argv[0], messages);
		if (o.alone)
			continue;
		run_slowly(1);
		run_slowly(2);
		run_slowly(5);
		plain = run_plain(messages < 90000 ? messages : 90000);
		unlink(file); /* it is no session: the next would not replace it */
		printf("  ratio %.2f\n", ours / plain);
	}
	unlink(file);
	if (json)
		fprintf(json, " }\n");
	return json && fclose(json) ? 1 : 0;
}
