/*
 * Predicates on arguments (user/where.h). Fed with the command line's text, checks every name
 * against the catalogue, so that what cannot be meant is said before anything is attached.
 */
#include "user/where.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 256, NAMES_MAX = 300 };

/* An expression, taken apart; the pieces point into a copy of it. */
struct expression {
	char text[TEXT_MAX];
	const char *operation; /* or NULL: any */
	const char *point, *arg, *number;
	enum osp_where_op op;
};

static const struct {
	const char *text;
	enum osp_where_op op;
} ops[] = {/* longer ones first: "<" begins "<=", too */
	   {"==", OSP_WHERE_EQ}, {"!=", OSP_WHERE_NE}, {"<=", OSP_WHERE_LE}, {">=", OSP_WHERE_GE},
	   {"=", OSP_WHERE_EQ},	 {"<", OSP_WHERE_LT},  {">", OSP_WHERE_GT}};

/* ---- taking apart ---- */

static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t");
	for (n = strlen(s); n && strchr(" \t", s[n - 1]); n--)
		s[n - 1] = 0;
	return s;
}

/* Cuts at the comparison: what stands before it is returned, e gets the rest. */
static char *cut_comparison(struct expression *e)
{
	char *at = e->text + strcspn(e->text, "=!<>");

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		size_t n = strlen(ops[i].text);

		if (strncmp(at, ops[i].text, n))
			continue;
		*at = 0;
		e->op = ops[i].op;
		e->number = trim(at + n);
		return trim(e->text);
	}
	return NULL;
}

static int take_apart(struct expression *e, const char *text, char error[512])
{
	char *left, *dot = NULL;

	if (strlen(text) >= sizeof(e->text)) {
		snprintf(error, 512, "longer than %d bytes", TEXT_MAX - 1);
		return -EINVAL;
	}
	strcpy(e->text, text);
	left = cut_comparison(e);
	dot = left ? strrchr(left, '.') : NULL;
	if (!dot || dot == left || !dot[1] || !*e->number) {
		snprintf(error, 512,
			 "expected POINT.ARG, one of == != < <= > >=, and a number, as in "
			 "'auth_accepted.length > 64K'");
		return -EINVAL;
	}
	*dot = 0;
	e->arg = dot + 1;
	dot = strrchr(left, '.');
	e->operation = dot ? left : NULL;
	e->point = dot ? dot + 1 : left;
	if (dot)
		*dot = 0;
	return 0;
}

/* ---- which points ---- */

static bool is_of(const struct osp_point *p, const char *operation)
{
	for (size_t i = 0; i < p->operation_count; i++)
		if (!strcmp(p->operations[i]->name, operation))
			return true;
	return false;
}

static bool is_meant(const struct osp_point *p, const struct expression *e)
{
	return !p->control && (!strcmp(p->name, e->point) || !strcmp(p->probe, e->point)) &&
	       (!e->operation || is_of(p, e->operation));
}

static bool is_number(const struct osp_arg *a)
{
	return a->type == OSP_TYPE_UINT || a->type == OSP_TYPE_INT || a->type == OSP_TYPE_BOOL;
}

static const struct osp_arg *find_arg(const struct osp_point *p, const char *name)
{
	for (size_t i = 0; i < p->arg_count; i++)
		if (!strcmp(p->args[i].name, name))
			return &p->args[i];
	return NULL;
}

/* Appends a name to a list of them once; what does not fit is left out and shown by dots. */
static void add_name(char list[NAMES_MAX], const char *name)
{
	size_t n = strlen(list), size = strlen(name);

	for (const char *s = list; (s = strstr(s, name)); s += size)
		if ((s == list || s[-1] == ' ') && (!s[size] || s[size] == ','))
			return;
	if (n + size + 8 < NAMES_MAX)
		snprintf(list + n, NAMES_MAX - n, "%s%s", n ? ", " : "", name);
	else if (n < 4 || strcmp(list + n - 3, "..."))
		snprintf(list + n, NAMES_MAX - n, ", ...");
}

/* Says what there is instead: points that have such an argument, or the points' numbers. */
static int tell_unknown(const struct osp_catalogue *c, const struct expression *e, char error[512])
{
	char points[NAMES_MAX] = "", args[NAMES_MAX] = "";
	bool known = false, text = false;

	for (size_t i = 0; i < c->point_count; i++) {
		const struct osp_point *p = c->points[i];
		const struct osp_arg *a = find_arg(p, e->arg);

		if (a && is_number(a))
			add_name(points, p->name);
		if (!is_meant(p, e))
			continue;
		known = true;
		text |= a != NULL;
		for (size_t k = 0; k < p->arg_count; k++)
			if (is_number(&p->args[k]))
				add_name(args, p->args[k].name);
	}
	if (!known)
		snprintf(error, 512, "no catalogue has a point \"%.40s%s%.40s\"%s%s",
			 e->operation ? e->operation : "", e->operation ? "." : "", e->point,
			 *points ? " - points with such an argument: " : " - see outspan probes",
			 points);
	else
		snprintf(error, 512, "%s.%.40s is %s%s%s", e->point, e->arg,
			 text ? "no integer" : "no argument",
			 *args ? " - integers of this point: " : " - the point has no integer",
			 args);
	return -EINVAL;
}

/* ---- the number ---- */

static int read_name(const struct osp_arg *a, const char *text, struct osp_where_term *term)
{
	if (a->type == OSP_TYPE_BOOL && (!strcmp(text, "true") || !strcmp(text, "false"))) {
		term->value = *text == 't';
		return 0;
	}
	for (size_t i = 0; a->enumeration && i < a->enumeration->count; i++)
		if (!strcmp(a->enumeration->values[i].name, text)) {
			term->value = (__u64)a->enumeration->values[i].value;
			return 0;
		}
	return -EINVAL;
}

/* Digits and a unit to a magnitude. -EINVAL: no number; -ERANGE: none of 64 bits. */
static int read_magnitude(const char *text, __u64 *out)
{
	int base = !strncmp(text, "0x", 2) ? 16 : 10, shift = 0;
	unsigned long long n;
	char *end;

	if (!strchr("0123456789", *text) || !*text)
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, base);
	if (*end && strchr("KMG", *end)) {
		shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 30;
		end++;
	}
	if (*end)
		return -EINVAL;
	if (errno || n > UINT64_MAX >> shift)
		return -ERANGE;
	*out = n << shift;
	return 0;
}

static int read_number(const struct osp_arg *a, const char *text, struct osp_where_term *term)
{
	unsigned int bits = a->type == OSP_TYPE_BOOL ? 1 : a->bytes ? 8u * a->bytes : 64;
	bool is_signed = a->type == OSP_TYPE_INT, negative = *text == '-';
	__u64 most = bits - is_signed < 64 ? (1ull << (bits - is_signed)) - 1 : UINT64_MAX;
	__u64 n = 0;
	int r = read_magnitude(text + negative, &n);

	if (r)
		return r;
	if (negative && !is_signed)
		return -ERANGE;
	if (n > most + (negative && is_signed))
		return -ERANGE;
	term->value = negative ? -n : n;
	return 0;
}

static int tell_number(const struct osp_arg *a, const struct expression *e, int r, char error[512])
{
	char names[NAMES_MAX] = "";

	for (size_t i = 0; a->enumeration && i < a->enumeration->count; i++)
		add_name(names, a->enumeration->values[i].name);
	if (r == -ERANGE)
		snprintf(error, 512, "%.40s can never be %.40s: it is %s%s of %d bits", e->arg,
			 e->number, a->type == OSP_TYPE_INT ? "a signed" : "an unsigned",
			 a->type == OSP_TYPE_BOOL ? " truth value" : " integer",
			 a->type == OSP_TYPE_BOOL ? 1
			 : a->bytes		  ? 8 * a->bytes
						  : 64);
	else
		snprintf(error, 512, "\"%.40s\" is no number%s%s", e->number,
			 *names			    ? ", and none of "
			 : a->type == OSP_TYPE_BOOL ? ", true or false"
						    : "",
			 names);
	return -EINVAL;
}

/* ---- adding ---- */

/* Behind the terms of the same point and of those before it. */
static void insert(struct osp_where_table *t, struct osp_where_term term)
{
	size_t i = t->count++;

	for (; i && t->terms[i - 1].point > term.point; i--)
		t->terms[i] = t->terms[i - 1];
	t->terms[i] = term;
}

static int add_point(struct osp_where_table *t, const struct osp_point *p,
		     const struct expression *e, char error[512])
{
	const struct osp_arg *a = find_arg(p, e->arg);
	struct osp_where_term term = {.point = p->number, .op = (__u8)e->op};
	int r;

	if (!a || !is_number(a))
		return 0;
	term.arg = (__u8)(a - p->args);
	term.is_signed = a->type == OSP_TYPE_INT;
	term.is_bool = a->type == OSP_TYPE_BOOL;
	term.unused = (__u8)(a->bytes && !term.is_bool ? 64 - 8 * a->bytes : 0);
	if (read_name(a, e->number, &term)) {
		r = read_number(a, e->number, &term);
		if (r)
			return tell_number(a, e, r, error);
	}
	if (t->count == OSP_WHERE_TERMS) {
		snprintf(error, 512, "more than %d terms, each point that is meant being one",
			 OSP_WHERE_TERMS);
		return -E2BIG;
	}
	insert(t, term);
	return 0;
}

int osp_where_add(struct osp_where_table *t, const struct osp_catalogue *c, const char *text,
		  char error[512])
{
	struct osp_where_table fresh = *t;
	struct expression e;
	int r = take_apart(&e, text, error);

	for (size_t i = 0; !r && i < c->point_count; i++)
		if (is_meant(c->points[i], &e))
			r = add_point(&fresh, c->points[i], &e, error);
	if (!r && fresh.count == t->count)
		r = tell_unknown(c, &e, error);
	if (!r)
		*t = fresh;
	return r;
}

/* ---- deciding ---- */

bool osp_where_holds(const struct osp_where_table *t, const struct osp_event *e)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct osp_event_value *v = &e->values[t->terms[i].arg];

		if (t->terms[i].point == e->point->number && v->present &&
		    !osp_where_compare(&t->terms[i], v->u64))
			return false;
	}
	return true;
}
