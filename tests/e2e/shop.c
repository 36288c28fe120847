/*
 * The second program that outspan must be able to trace without a line of C for it: plain
 * sys/sdt.h probes with semaphores, as any program on the machine may have them. shop.yaml beside
 * it says what they mean.
 *
 * Reads orders from stdin, one number a line; each becomes a job that one of two workers does: a
 * query "begin N" with a query "stock N" inside it. Orders divisible by 5 are out of stock: the
 * inner query and the job fail. Says "ready" first and, for each job, one line of its own log:
 *
 *   job=N worker=W queries=2 rows=R outcome=ok|failed
 *
 * Build: cc -O2 -pthread shop.c -o shop
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define _SDT_HAS_SEMAPHORES 1
#define SEMAPHORE(name)                                                                            \
	extern unsigned short name##_semaphore;                                                    \
	unsigned short name##_semaphore __attribute__((section(".probes")))
SEMAPHORE(db_query__start);
SEMAPHORE(db_query__done);
SEMAPHORE(db_query__failed);
SEMAPHORE(pool_job__put);
SEMAPHORE(pool_job__get);
SEMAPHORE(pool_job__done);
SEMAPHORE(pool_job__failed);
#include <sys/sdt.h>

/* As programs do it: the arguments are made only while somebody looks. */
#define PROBE(n, provider, name, ...)                                                              \
	do {                                                                                       \
		if (__builtin_expect(provider##_##name##_semaphore, 0))                            \
			DTRACE_PROBE##n(provider, name, __VA_ARGS__);                              \
	} while (0)

enum { WORKERS = 2, QUEUE = 64 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned long long orders[QUEUE];
	unsigned head, tail; /* taken, put */
	bool closed;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void put(unsigned long long order)
{
	char customer[24];
	int size = snprintf(customer, sizeof(customer), "c%llu", order * 7);

	PROBE(3, pool, job__put, order, customer, size);
	pthread_mutex_lock(&queue.lock);
	while (queue.tail - queue.head == QUEUE)
		pthread_cond_wait(&queue.changed, &queue.lock);
	queue.orders[queue.tail++ % QUEUE] = order;
	pthread_cond_broadcast(&queue.changed);
	pthread_mutex_unlock(&queue.lock);
}

/* False when the shop is closed and everything is done. */
static bool get(unsigned long long *order)
{
	bool got;

	pthread_mutex_lock(&queue.lock);
	while (queue.head == queue.tail && !queue.closed)
		pthread_cond_wait(&queue.changed, &queue.lock);
	got = queue.head != queue.tail;
	if (got)
		*order = queue.orders[queue.head++ % QUEUE];
	pthread_cond_broadcast(&queue.changed);
	pthread_mutex_unlock(&queue.lock);
	return got;
}

static int stock(unsigned long long order)
{
	char sql[48];
	int rows = (int)(order % 5);

	snprintf(sql, sizeof(sql), "stock %llu", order);
	PROBE(1, db, query__start, sql);
	if (rows)
		PROBE(1, db, query__done, rows);
	else
		PROBE(1, db, query__failed, ENOENT);
	return rows;
}

static void work(unsigned worker, unsigned long long order)
{
	char sql[48];
	int rows;

	PROBE(2, pool, job__get, worker, order);
	snprintf(sql, sizeof(sql), "begin %llu", order);
	PROBE(1, db, query__start, sql);
	rows = stock(order);
	PROBE(1, db, query__done, 1);
	if (rows)
		PROBE(1, pool, job__done, order);
	else
		PROBE(2, pool, job__failed, order, ENOENT);
	printf("job=%llu worker=%u queries=2 rows=%d outcome=%s\n", order, worker, rows,
	       rows ? "ok" : "failed");
	fflush(stdout);
}

static void *run_worker(void *arg)
{
	unsigned long long order;

	while (get(&order))
		work((unsigned)(size_t)arg, order);
	return NULL;
}

int main(void)
{
	pthread_t threads[WORKERS];
	char line[64];

	for (size_t i = 0; i < WORKERS; i++)
		if (pthread_create(&threads[i], NULL, run_worker, (void *)(i + 1)))
			return 1;
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		put(strtoull(line, NULL, 10));
	pthread_mutex_lock(&queue.lock);
	queue.closed = true;
	pthread_cond_broadcast(&queue.changed);
	pthread_mutex_unlock(&queue.lock);
	for (size_t i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
