/*
 * The in-process peer: a bounded queue behind a mutex, filled by the program's own threads, emptied
 * by a thread that inserts a row per event, in a transaction per batch. Threads: the callers of
 * queue_add, and the writer.
 */
#include "tests/bench/queue.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 65536, BATCH = 8192 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static pthread_cond_t emptied = PTHREAD_COND_INITIALIZER;
static pthread_t writer;
static struct queue_event events[ROOM], batch[BATCH];
static unsigned long head, tail, dropped, rows;
static bool is_closing, is_writing;
static sqlite3 *db;
static sqlite3_stmt *insert;

void queue_add(struct queue_event *e)
{
	static __thread uint32_t tid;
	struct timespec now;
	bool is_first;

	tid = tid ? tid : (uint32_t)gettid();
	clock_gettime(CLOCK_MONOTONIC, &now);
	e->tid = tid;
	e->time_ns = now.tv_sec * 1000000000 + now.tv_nsec;
	pthread_mutex_lock(&lock);
	is_first = head == tail;
	if (head - tail < ROOM)
		memcpy(&events[head++ % ROOM], e, offsetof(struct queue_event, data) + e->size);
	else
		dropped++;
	pthread_mutex_unlock(&lock);
	if (is_first)
		pthread_cond_signal(&filled);
}

static void write_batch(unsigned long count)
{
	sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
	for (unsigned long i = 0; i < count; i++) {
		const struct queue_event *e = &batch[i];

		sqlite3_bind_int64(insert, 1, e->time_ns);
		sqlite3_bind_int64(insert, 2, (int64_t)e->id);
		sqlite3_bind_int(insert, 3, (int)e->number);
		sqlite3_bind_int(insert, 4, (int)e->tid);
		sqlite3_bind_blob(insert, 5, e->data, (int)e->size, SQLITE_STATIC);
		rows += sqlite3_step(insert) == SQLITE_DONE;
		sqlite3_reset(insert);
	}
	sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
}

/* Moves what is there into the batch; 0 = closed and empty. */
static unsigned long take_batch(void)
{
	unsigned long n = 0;

	pthread_mutex_lock(&lock);
	is_writing = false;
	if (head == tail)
		pthread_cond_broadcast(&emptied);
	while (head == tail && !is_closing)
		pthread_cond_wait(&filled, &lock);
	is_writing = true;
	for (; n < BATCH && tail != head; n++)
		batch[n] = events[tail++ % ROOM];
	pthread_mutex_unlock(&lock);
	return n;
}

static void *write_all(void *none)
{
	unsigned long n;

	while ((n = take_batch()))
		write_batch(n);
	return none;
}

int queue_start(const char *path)
{
	static const char sql[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
				  "CREATE TABLE event(time INTEGER, id INTEGER, point INTEGER,"
				  " tid INTEGER, data BLOB)";

	if (!path || sqlite3_open(path, &db) || sqlite3_exec(db, sql, NULL, NULL, NULL) ||
	    sqlite3_prepare_v2(db, "INSERT INTO event VALUES(?,?,?,?,?)", -1, &insert, NULL))
		return -EIO;
	return -pthread_create(&writer, NULL, write_all, NULL);
}

void queue_drain(void)
{
	pthread_mutex_lock(&lock);
	while (head != tail || is_writing)
		pthread_cond_wait(&emptied, &lock);
	pthread_mutex_unlock(&lock);
}

void queue_stop(void)
{
	pthread_mutex_lock(&lock);
	is_closing = true;
	pthread_mutex_unlock(&lock);
	pthread_cond_signal(&filled);
	pthread_join(writer, NULL);
	sqlite3_finalize(insert);
	sqlite3_close(db);
	printf("{\"rows\": %lu, \"dropped\": %lu}\n", rows, dropped);
}
