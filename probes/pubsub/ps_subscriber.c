/*
 * The subscriber's wiring and its table: server, client, what is subscribed and how often. The
 * exchanges are ps_subscribe.c, ps_set.c and ps_check.c, which wait for their turns, ps_receive.c
 * and ps_missed.c. Owns server, client, table and queue.
 */
#include "probes/pubsub/ps_subscriber.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_set.h"
#include "probes/pubsub/ps_subscribe.h"
#include "probes/pubsub/ps_system.h"
#include "probes/pubsub/ps_url.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

/* ---- the table ------------------------------------------------------------------------------- */

/* Kind and key as the map's key, in `room` (PS_TOPIC_MAX + 1 bytes). */
static size_t table_key(uint8_t *room, enum ps_db_kind kind, struct ps_bytes key)
{
	room[0] = (uint8_t)kind;
	if (key.size)
		memcpy(room + 1, key.data, key.size);
	return key.size + 1;
}

struct ps_subscription *ps_subscriber_find(const struct ps_subscriber *s, enum ps_db_kind kind,
					   struct ps_bytes key)
{
	uint8_t room[PS_TOPIC_MAX + 1];

	if (key.size > PS_TOPIC_MAX)
		return NULL;
	return osp_map_find(&s->subscriptions, room, table_key(room, kind, key));
}

int ps_subscriber_add(struct ps_subscriber *s, enum ps_db_kind kind, struct ps_bytes key,
		      struct ps_subscription **out)
{
	_cleanup_free_ struct ps_subscription *x = calloc(1, sizeof(*x) + key.size);
	uint8_t room[PS_TOPIC_MAX + 1];
	int r;

	if (!x)
		return -ENOMEM;
	x->kind = kind;
	x->key_size = key.size;
	if (key.size)
		memcpy(x->key, key.data, key.size);
	r = osp_map_add(&s->subscriptions, room, table_key(room, kind, key), x);
	if (r)
		return r;
	s->counts[kind]++;
	*out = TAKE_PTR(x);
	return 0;
}

void ps_subscriber_remove(struct ps_subscriber *s, struct ps_subscription *x)
{
	uint8_t room[PS_TOPIC_MAX + 1];

	osp_map_remove(&s->subscriptions, room,
		       table_key(room, x->kind, ps_bytes(x->key, x->key_size)));
	s->counts[x->kind]--;
	free(x);
}

static void init_table(struct ps_subscriber *s)
{
	uint64_t seed = 0;

	ps_system_random(&seed, sizeof(seed));
	osp_map_init(&s->subscriptions, s->options.subscriptions_max, seed);
	memset(s->counts, 0, sizeof(s->counts));
}

struct osp_map ps_subscriber_take_all(struct ps_subscriber *s)
{
	struct osp_map all = s->subscriptions;

	init_table(s);
	return all;
}

bool ps_subscriber_wants(const struct ps_subscriber *s, struct ps_bytes topic)
{
	struct ps_subscription *x;

	if (ps_subscriber_find(s, PS_DB_EXACT, topic))
		return true;
	for (size_t i = 0; (x = osp_map_next(&s->subscriptions, &i));)
		if (x->kind == PS_DB_GLOB &&
		    ps_db_glob_matches(ps_bytes(x->key, x->key_size), topic))
			return true;
	return false;
}

/* ---- changes --------------------------------------------------------------------------------- */

bool ps_changed_is_success(const struct ps_changed *c)
{
	return c->outcome == PS_OUTCOME_OK || c->outcome == PS_OUTCOME_CONFLICT ||
	       c->outcome == PS_OUTCOME_COUNTED;
}

/* A change of the same key is not over: only then is it known what this one means. */
static bool must_wait(const struct ps_subscriber *s, enum ps_db_kind kind, struct ps_bytes key)
{
	for (const struct ps_turn *t = s->turns.first; t; t = t->next)
		if (t->change && t->change->result.kind == kind &&
		    ps_bytes_equal(t->change->result.key, key))
			return true;
	return false;
}

static int check_change(const struct ps_subscriber *s, bool subscribe, enum ps_db_kind kind,
			struct ps_bytes key)
{
	if (key.size > PS_TOPIC_MAX || (kind == PS_DB_GLOB && !ps_db_is_glob(key)))
		return -EINVAL;
	if (s->turns.count >= s->options.changes_max)
		return -ENOSPC;
	if (subscribe && s->subscriptions.count >= s->subscriptions.max &&
	    !ps_subscriber_find(s, kind, key))
		return -ENOSPC;
	return 0;
}

int ps_subscriber_change(struct ps_subscriber *s, bool subscribe, enum ps_db_kind kind,
			 struct ps_bytes key, void (*done)(void *owner, const struct ps_changed *c),
			 void *owner)
{
	int r = check_change(s, subscribe, kind, key);
	bool waits = !r && must_wait(s, kind, key);
	struct ps_change *c;

	if (!r && !waits && !subscribe && !ps_subscriber_find(s, kind, key))
		r = -ENOENT;
	if (r)
		return r;
	c = ps_change_new(s, subscribe, kind, key);
	if (!c)
		return -ENOMEM;
	c->done = done;
	c->owner = owner;
	c->together = s->gathering;
	ps_turns_push(&s->turns, &c->turn);
	if (!waits && s->turns.first != &c->turn)
		(void)ps_change_determine(c);
	if (!s->gathering)
		ps_turns_run(&s->turns);
	return 0;
}

void ps_subscriber_gather(struct ps_subscriber *s, bool gathering)
{
	s->gathering = gathering;
	if (!gathering)
		ps_turns_run(&s->turns);
}

/* Copies of all keys: asking changes the table. */
static struct ps_subscription **copy_table(struct ps_subscriber *s, size_t *count)
{
	struct ps_subscription **list = calloc(s->subscriptions.count + 1, sizeof(*list)), *x;

	*count = 0;
	for (size_t i = 0; list && (x = osp_map_next(&s->subscriptions, &i));) {
		struct ps_subscription *copy = malloc(sizeof(*x) + x->key_size);

		if (!copy)
			break;
		memcpy(copy, x, sizeof(*x) + x->key_size);
		list[(*count)++] = copy;
		x->count = 1;
	}
	return list;
}

static int leave_one_by_one(struct ps_subscriber *s,
			    void (*done)(void *owner, const struct ps_changed *c), void *owner)
{
	_cleanup_free_ struct ps_subscription **list = NULL;
	size_t count;
	int r = 0;

	list = copy_table(s, &count);
	if (!list)
		return -ENOMEM;
	s->options.changes_max = SIZE_MAX; /* the table has a maximum of its own */
	for (size_t i = 0; i < count; i++) {
		struct ps_bytes key = ps_bytes(list[i]->key, list[i]->key_size);

		if (!r)
			r = ps_subscriber_change(s, false, list[i]->kind, key, done, owner);
		free(list[i]);
	}
	return r;
}

int ps_subscriber_leave(struct ps_subscriber *s,
			void (*done)(void *owner, const struct ps_changed *c), void *owner)
{
	return s->options.bulk == PS_BULK_NEVER ? leave_one_by_one(s, done, owner)
						: ps_set_leave(s, done, owner);
}

bool ps_subscriber_tell(struct ps_subscriber *s, bool lost)
{
	if (s->lost == lost)
		return false;
	s->lost = lost;
	for (size_t i = 0; i < s->options.handler_count; i++) {
		struct ps_handler *h = &s->options.handlers[i];

		if (lost)
			h->lost(h);
		else
			h->receiving(h);
	}
	return true;
}

/* ---- opening and closing --------------------------------------------------------------------- */

/* The address we listen on as a url, with the port that was really taken. */
static int default_base(char **out, const struct ps_subscriber *s)
{
	const char *listen = s->options.server.listen, *colon = strrchr(listen, ':');

	return asprintf(out, "http://%.*s:%u", (int)(colon - listen), listen,
			ps_server_port(s->server)) < 0
		       ? -ENOMEM
		       : 0;
}

static int set_urls(struct ps_subscriber *s)
{
	_cleanup_free_ char *base = NULL;
	int n, r = 0;

	if (s->options.base_url)
		base = strdup(s->options.base_url);
	else
		r = default_base(&base, s);
	if (r || !base)
		return -ENOMEM;
	n = (int)strlen(base);
	while (n && base[n - 1] == '/')
		n--;
	if (asprintf(&s->receive_url, "%.*s/v1/receive", n, base) < 0) {
		s->receive_url = NULL;
		return -ENOMEM;
	}
	if (asprintf(&s->recover_url, "%.*s/v1/recover", n, base) < 0) {
		s->recover_url = NULL;
		return -ENOMEM;
	}
	r = ps_url_check(ps_bytes_text(s->receive_url));
	if (r || strpbrk(s->receive_url, "#?"))
		return osp_err(-EINVAL, "url %s - expected http://HOST[:PORT][/PATH]", base);
	return 0;
}

/* Requests come to the path of the url under which we are known. */
static int set_prefix(struct ps_subscriber *s)
{
	const char *base = s->options.base_url ? s->options.base_url : "http://x";
	struct ps_bytes path = ps_url_path(ps_bytes_text(base));
	const char *p = path.data;

	while (path.size && p[path.size - 1] == '/')
		path.size--;
	s->prefix = strndup(p, path.size);
	return s->prefix ? 0 : -ENOMEM;
}

static int open_parts(struct ps_subscriber *s)
{
	struct ps_server_options server = s->options.server;
	int r = set_prefix(s);

	s->routes[0] = ps_route_receive;
	s->routes[1] = ps_route_recover;
	server.prefix = s->prefix;
	server.routes = s->routes;
	server.route_count = 2;
	server.owner = s;
	if (!r)
		r = ps_client_open(&s->client, s->loop, &s->options.client);
	if (!r)
		r = ps_server_open(&s->server, s->loop, &server);
	return r ? r : set_urls(s);
}

int ps_subscriber_open(struct ps_subscriber *s, struct ps_loop *l, const struct ps_auth *a,
		       struct ps_log *log, const struct ps_subscriber_options *o)
{
	int r;

	*s = (struct ps_subscriber){.options = *o, .loop = l, .auth = a, .log = log};
	s->budget = o->budget;
	ps_turns_init(&s->turns);
	init_table(s);
	r = open_parts(s);
	if (r)
		ps_subscriber_close(s);
	return r;
}

void ps_subscriber_close(struct ps_subscriber *s)
{
	struct ps_subscription *x;

	s->stopping = true;
	ps_turns_clear(&s->turns);
	ps_server_close(&s->server);
	ps_client_close(&s->client);
	for (size_t i = 0; (x = osp_map_next(&s->subscriptions, &i));)
		free(x);
	osp_map_clear(&s->subscriptions);
	free(TAKE_PTR(s->receive_url));
	free(TAKE_PTR(s->recover_url));
	free(TAKE_PTR(s->prefix));
}
