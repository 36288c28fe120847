/*
 * Rows of --aggregate to lines (user/timetable.h): sorted by program, processes folded into one
 * where they are many, times rounded to what their buckets can tell. Fed by latency.c at the end of
 * a recording and for `ls`. Owns its rows.
 */
#include "user/timetable.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/rows.h"
#include "user/base/text.h"

enum {
	ROWS_MAX = 1 << 20,
	PROCESSES = 3, /* of one program that are shown one by one */
	LINES = 200,   /* --json has all */
	NAME = 46,
	QUANTILES = 4,
};

struct row {
	char comm[64], place[32];
	json_int_t process, pid;
	json_t *value; /* a reference */
	size_t processes;
	bool folded; /* they are too many to be shown one by one */
};

struct bucket {
	json_int_t least_ns, count;
};

struct osp_timetable {
	struct row *rows;
	size_t count;
	struct bucket *buckets; /* of the rows that make a line */
	size_t bucket_count;
};

struct printing {
	void (*line)(void *arg, const char *text);
	void *arg;
	size_t lines, left; /* written, and not for want of room */
};

int osp_timetable_new(struct osp_timetable **out)
{
	struct osp_timetable *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	*out = t;
	return 0;
}

void osp_timetable_free(struct osp_timetable **table)
{
	struct osp_timetable *t = *table;

	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		json_decref(t->rows[i].value);
	free(t->rows);
	free(t->buckets);
	free(t);
	*table = NULL;
}

static json_int_t get(const json_t *row, const char *key)
{
	return json_integer_value(json_object_get(row, key));
}

int osp_timetable_add(struct osp_timetable *t, const char *place, json_t *row)
{
	const char *comm = json_string_value(json_object_get(row, "comm"));
	struct row *r;
	int error;

	if (!json_is_object(row))
		return 0;
	error = osp_rows_grow((void **)&t->rows, t->count, sizeof(*r), ROWS_MAX);
	if (error)
		return error;
	r = &t->rows[t->count++];
	*r = (struct row){.process = get(row, "process"), .pid = get(row, "pid")};
	r->value = json_incref(row);
	comm = comm && *comm ? comm : "?";
	osp_text_escape(r->comm, sizeof(r->comm), comm, strlen(comm));
	snprintf(r->place, sizeof(r->place), "%s", place);
	return 0;
}

/* ---- order ---- */

static int by_process(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int r = strcmp(x->comm, y->comm);

	return r ? r : (x->process > y->process) - (x->process < y->process);
}

/* The rows of one line are equal. */
static int by_line(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int r = x->folded ? strcmp(x->comm, y->comm) : by_process(x, y);

	return r ? r : strcmp(x->place, y->place);
}

static bool is_same_program(const struct row *a, const struct row *b)
{
	return a->folded ? !strcmp(a->comm, b->comm) : !by_process(a, b);
}

/* The rows from `first` on that share its comm; *processes: of how many processes. */
static size_t count_program(const struct osp_timetable *t, size_t first, size_t *processes)
{
	size_t i = first + 1;

	*processes = 1;
	for (; i < t->count && !strcmp(t->rows[i].comm, t->rows[first].comm); i++)
		*processes += t->rows[i].process != t->rows[i - 1].process;
	return i - first;
}

static void sort_rows(struct osp_timetable *t)
{
	qsort(t->rows, t->count, sizeof(*t->rows), by_process);
	for (size_t i = 0, n, processes; i < t->count; i += n) {
		n = count_program(t, i, &processes);
		for (size_t k = i; k < i + n; k++) {
			t->rows[k].processes = processes;
			t->rows[k].folded = processes > PROCESSES;
		}
		qsort(&t->rows[i], n, sizeof(*t->rows), by_line);
	}
}

/* ---- sums ---- */

static int add_buckets(struct osp_timetable *t, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *pair = json_array_get(list, i);
		struct bucket b = {json_integer_value(json_array_get(pair, 0)),
				   json_integer_value(json_array_get(pair, 1))};
		int r = osp_rows_grow((void **)&t->buckets, t->bucket_count, sizeof(b), ROWS_MAX);

		if (r)
			return r;
		if (b.least_ns >= 0 && b.count > 0)
			t->buckets[t->bucket_count++] = b;
	}
	return 0;
}

static int by_time(const void *a, const void *b)
{
	const struct bucket *x = a, *y = b;

	return (x->least_ns > y->least_ns) - (x->least_ns < y->least_ns);
}

/*
 * The middle of the bucket that holds the value which so many permille do not exceed. A bucket is
 * 1/16 to 1/31 of its least value wide.
 */
static json_int_t find_quantile(const struct osp_timetable *t, int permille)
{
	double all = 0, seen = 0;
	size_t i = 0;

	for (size_t k = 0; k < t->bucket_count; k++)
		all += (double)t->buckets[k].count;
	while (i + 1 < t->bucket_count &&
	       (seen += (double)t->buckets[i].count) * 1000 < all * permille)
		i++;
	return t->bucket_count ? t->buckets[i].least_ns + t->buckets[i].least_ns / 43 : 0;
}

/* Two digits are what a bucket of a sixteenth can tell: "8.5 ms", "590 us". */
static const char *rounded(char out[24], json_int_t ns)
{
	static const char *const units[] = {"ns", "us", "ms", "s"};
	double v = (double)ns;
	size_t unit = 0;

	for (; v >= 995 && unit < 3; unit++)
		v /= 1000;
	if (v >= 99.5)
		v = (double)((json_int_t)(v / 10 + 0.5) * 10);
	snprintf(out, 24, unit && v < 9.95 ? "%.1f %s" : "%.0f %s", v, units[unit]);
	return out;
}

/* ---- lines ---- */

__attribute__((format(printf, 2, 3))) static void put(struct printing *p, const char *format, ...)
{
	char text[512];
	va_list args;

	if (p->lines >= LINES) {
		p->left++;
		return;
	}
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	p->lines++;
	p->line(p->arg, text);
}

static void put_program(const struct row *r, struct printing *p)
{
	if (r->folded)
		put(p, "%s (%zu processes)", r->comm, r->processes);
	else
		put(p, "%s/%" JSON_INTEGER_FORMAT, r->comm, r->pid);
}

static void put_row(const struct osp_timetable *t, const struct row *r, uint64_t count,
		    uint64_t errors, struct printing *p)
{
	static const int permille[QUANTILES] = {500, 900, 990, 1000};
	const char *operation = json_string_value(json_object_get(r->value, "operation"));
	const char *point = json_string_value(json_object_get(r->value, "point"));
	const char *name = point ? point : operation ? operation : "?";
	char text[NAME], ns[QUANTILES][24];

	for (size_t i = 0; i < QUANTILES; i++)
		rounded(ns[i], find_quantile(t, permille[i]));
	osp_text_escape(text, sizeof(text), name, strlen(name));
	put(p, "%*s%-*s %9" PRIu64 " %7" PRIu64 " %8s %8s %8s %8s", point ? 4 : 2, "",
	    point ? NAME - 4 : NAME - 2, text, count, errors, ns[0], ns[1], ns[2], ns[3]);
}

/* The rows from `first` on that make one line; *next: the one behind them. */
static int put_line(struct osp_timetable *t, size_t first, size_t *next, struct printing *p)
{
	uint64_t count = 0, errors = 0;
	size_t i = first;
	int r = 0;

	t->bucket_count = 0;
	for (; !r && i < t->count && is_same_program(&t->rows[i], &t->rows[first]) &&
	       !strcmp(t->rows[i].place, t->rows[first].place);
	     i++) {
		count += (uint64_t)get(t->rows[i].value, "count");
		errors += (uint64_t)get(t->rows[i].value, "errors");
		r = add_buckets(t, json_object_get(t->rows[i].value, "buckets"));
	}
	if (t->bucket_count)
		qsort(t->buckets, t->bucket_count, sizeof(*t->buckets), by_time);
	if (!r)
		put_row(t, &t->rows[first], count, errors, p);
	*next = i;
	return r;
}

int osp_timetable_print(struct osp_timetable *t, void (*line)(void *arg, const char *text),
			void *arg)
{
	struct printing p = {.line = line, .arg = arg};
	char more[80];
	int r = 0;

	if (!t->count)
		return 0;
	sort_rows(t);
	put(&p, "%-*s %9s %7s %8s %8s %8s %8s", NAME, "PROGRAM, OPERATION, POINT", "COUNT",
	    "ERRORS", "~P50", "~P90", "~P99", "~MAX");
	for (size_t i = 0; !r && i < t->count;) {
		if (!i || !is_same_program(&t->rows[i - 1], &t->rows[i]))
			put_program(&t->rows[i], &p);
		r = put_line(t, i, &i, &p);
	}
	snprintf(more, sizeof(more), "... and %zu more lines: outspan ls --json has all", p.left);
	if (p.left)
		line(arg, more);
	return r;
}
