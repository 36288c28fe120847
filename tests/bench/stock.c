/*
 * The tracer that one writes in a day with libbpf and SQLite: every probe of the program attached
 * by libbpf, the ring polled, one INSERT per event in transactions of 50,000.
 * usage: stock PID PROGRAM FILE       until SIGTERM; says `ready`, and its counts at the end
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen/stock.skel.h"
#include "tests/bench/points.h"
#include "tests/bench/stock.h"

enum { TRANSACTION = 50000 };

#define KIND_B(name) STOCK_POINTER, STOCK_NUMBER,
#define KIND_N(name) STOCK_NUMBER,
#define KIND_C(name) STOCK_CONTEXT,

static const struct {
	const char *name;
	unsigned char kinds[STOCK_ARGS + 1];
} points[] = {
#define P(op, point, fields) {#op "__" #point, {FIELDS_##fields(KIND_B, KIND_N, KIND_C) 0}},
	BENCH_POINTS(P)
#undef P
};

static volatile sig_atomic_t is_over;
static sqlite3 *db;
static sqlite3_stmt *insert;
static unsigned long rows;

static void end(int number)
{
	(void)number;
	is_over = 1;
}

static int open_file(const char *path)
{
	static const char sql[] =
		"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
		"CREATE TABLE event(time INTEGER, id INTEGER, point INTEGER, pid INTEGER,"
		" tid INTEGER, data BLOB); BEGIN";

	return sqlite3_open(path, &db) || sqlite3_exec(db, sql, NULL, NULL, NULL) ||
	       sqlite3_prepare_v2(db, "INSERT INTO event VALUES(?,?,?,?,?,?)", -1, &insert, NULL);
}

/* The fields, one behind the other. */
static int pack(unsigned char *out, const struct stock_event *e)
{
	const unsigned char *kinds = points[e->point].kinds;
	size_t at = 0, n = 0;

	for (unsigned int i = 0; i < e->count; i++) {
		size_t size = sizeof(e->args[i]);
		const void *from = &e->args[i];

		if (kinds[i] != STOCK_NUMBER) {
			size = kinds[i] == STOCK_CONTEXT ? 25 : (size_t)e->args[i + 1];
			size = size < STOCK_ROOM ? size : STOCK_ROOM;
			from = e->bytes[n++];
		}
		memcpy(out + at, from, size);
		at += size;
	}
	return (int)at;
}

static int take(void *none, void *data, size_t size)
{
	const struct stock_event *e = data;
	unsigned char packed[sizeof(e->args) + sizeof(e->bytes)];

	(void)none;
	(void)size;
	sqlite3_bind_int64(insert, 1, (sqlite3_int64)e->time_ns);
	sqlite3_bind_int64(insert, 2, (sqlite3_int64)e->id);
	sqlite3_bind_int(insert, 3, (int)e->point);
	sqlite3_bind_int(insert, 4, (int)e->pid);
	sqlite3_bind_int(insert, 5, (int)e->tid);
	sqlite3_bind_blob(insert, 6, packed, pack(packed, e), SQLITE_STATIC);
	sqlite3_step(insert);
	sqlite3_reset(insert);
	if (++rows % TRANSACTION == 0)
		sqlite3_exec(db, "COMMIT; BEGIN", NULL, NULL, NULL);
	return 0;
}

static int attach(struct stock_bpf *skel, pid_t pid, const char *path)
{
	for (size_t i = 0; i < POINT_COUNT; i++) {
		LIBBPF_OPTS(bpf_usdt_opts, opts, .usdt_cookie = i);

		for (size_t k = 0; points[i].kinds[k]; k++)
			opts.usdt_cookie |= (__u64)points[i].kinds[k] << (8 + 4 * k);
		if (!bpf_program__attach_usdt(skel->progs.on_point, pid, path, "bench",
					      points[i].name, &opts))
			return -errno;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct stock_bpf *skel = stock_bpf__open_and_load();
	struct ring_buffer *ring =
		skel ? ring_buffer__new(bpf_map__fd(skel->maps.events), take, NULL, NULL) : NULL;

	signal(SIGTERM, end);
	if (argc != 4 || !ring || open_file(argv[3]) || attach(skel, atoi(argv[1]), argv[2])) {
		fprintf(stderr, "stock: %s\n", strerror(errno));
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready\n");
	while (!is_over)
		ring_buffer__poll(ring, 100);
	ring_buffer__consume(ring);
	sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	sqlite3_finalize(insert);
	sqlite3_close(db);
	printf("{\"rows\": %lu, \"dropped\": %lu}\n", rows, skel->bss->dropped);
	return 0;
}
