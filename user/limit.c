/*
 * Rate limits (user/limit.h), asked by user/choice.c once an operation's steps have come. A second
 * begins anew for all values, so that what was counted in an earlier one holds nothing and its
 * place is free. Owns both tables.
 */
#include "user/limit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"

static const int64_t second_ns = 1000000000;

struct value {
	uint64_t key[2];
	int64_t second; /* of which `taken` tells; 0 = none yet */
	uint32_t taken;
};

struct trace {
	uint64_t id[2]; /* 0, 0 = none */
	bool taken;
};

struct osp_limit {
	uint32_t most;
	int64_t second; /* the latest: what comes late belongs to it */
	uint64_t crowded;
	struct value values[OSP_LIMIT_ROWS][OSP_LIMIT_WAYS];
	struct trace traces[OSP_LIMIT_TRACES];
};

int osp_limit_parse(const char *text, struct osp_limit_rule *out)
{
	unsigned long n;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || !n || n > UINT32_MAX || strncmp(end, "/s:", 3) || !end[3])
		return -EINVAL;
	*out = (struct osp_limit_rule){(uint32_t)n, end + 3};
	return 0;
}

int osp_limit_new(struct osp_limit **out, uint32_t most)
{
	struct osp_limit *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->most = most;
	*out = l;
	return 0;
}

void osp_limit_free(struct osp_limit **l)
{
	free(*l);
	*l = NULL;
}

/* The value's own place in its row, else one that nobody holds in this second, else NULL. */
static struct value *find_value(struct osp_limit *l, const uint64_t key[2])
{
	struct value *row = l->values[osp_hash_words(key[0], key[1]) % OSP_LIMIT_ROWS];
	struct value *room = NULL;

	for (size_t i = 0; i < OSP_LIMIT_WAYS; i++) {
		if (row[i].second != l->second)
			room = &row[i];
		else if (row[i].key[0] == key[0] && row[i].key[1] == key[1])
			return &row[i];
	}
	if (room)
		*room = (struct value){{key[0], key[1]}, l->second, 0};
	return room;
}

static bool count_one(struct osp_limit *l, const uint64_t key[2])
{
	struct value *v = find_value(l, key);

	if (!v) {
		l->crowded++;
		return false;
	}
	if (v->taken == l->most)
		return false;
	v->taken++;
	return true;
}

bool osp_limit_takes(struct osp_limit *l, const struct osp_limit_subject *s, int64_t time_ns)
{
	struct trace *t = &l->traces[osp_hash_words(s->trace[0], s->trace[1]) % OSP_LIMIT_TRACES];
	bool taken;

	if (s->traced && t->id[0] == s->trace[0] && t->id[1] == s->trace[1])
		return t->taken;
	if (!s->keyed)
		return true;
	if (time_ns / second_ns + 1 > l->second) /* from 1 on: 0 is a free place */
		l->second = time_ns / second_ns + 1;
	taken = count_one(l, s->key);
	if (s->traced)
		*t = (struct trace){{s->trace[0], s->trace[1]}, taken};
	return taken;
}

uint64_t osp_limit_crowded(const struct osp_limit *l)
{
	return l->crowded;
}
