/*
 * The operations "stateful_subscribe_exact" and its three sisters: changes of what is subscribed,
 * by reference count alone or by a message on the connection, confirmed in order. What is wanted
 * outlives connections: each new one is asked for all of it. Fed by the application and the
 * session; one function per step of the protocol's automaton. Owns table and changes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_session_private.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"

/* A topic or glob that the application wants. */
struct ps_wanted {
	uint32_t count; /* users */
	enum ps_db_kind kind;
	struct ps_session_change *change; /* that subscribes and is not confirmed, or NULL */
	size_t key_size;
	uint8_t key[];
};

/* The four operations' blocks; `subscribe` and `kind` say which one is in use. */
union change_op {
	struct lonelypsp_stateful_subscribe_exact stateful_subscribe_exact;
	struct lonelypsp_stateful_subscribe_glob stateful_subscribe_glob;
	struct lonelypsp_stateful_unsubscribe_exact stateful_unsubscribe_exact;
	struct lonelypsp_stateful_unsubscribe_glob stateful_unsubscribe_glob;
};

struct ps_session_change {
	struct ps_session *session; /* borrowed: owns this */
	struct osp_list node;
	struct ps_changed result;
	void (*done)(void *owner, const struct ps_changed *c); /* NULL: nobody asked */
	void *owner;
	union change_op op;
	bool queued; /* the operation is under way */
	bool sent;   /* over this connection */
	bool again;  /* it was lost with a connection */
	unsigned attempts;
	int64_t begin_ns;
	uint8_t key[];
};

/* One statement of the four that `make` spells for an operation, the one of this change. */
#define EACH(c, make, ...)                                                                         \
	do {                                                                                       \
		if ((c)->result.subscribe && (c)->result.kind == PS_DB_EXACT)                      \
			make(stateful_subscribe_exact, &(c)->op.stateful_subscribe_exact,          \
			     __VA_ARGS__);                                                         \
		else if ((c)->result.subscribe)                                                    \
			make(stateful_subscribe_glob, &(c)->op.stateful_subscribe_glob,            \
			     __VA_ARGS__);                                                         \
		else if ((c)->result.kind == PS_DB_EXACT)                                          \
			make(stateful_unsubscribe_exact, &(c)->op.stateful_unsubscribe_exact,      \
			     __VA_ARGS__);                                                         \
		else                                                                               \
			make(stateful_unsubscribe_glob, &(c)->op.stateful_unsubscribe_glob,        \
			     __VA_ARGS__);                                                         \
	} while (0)
#define AT(o, block, state) lonelypsp_##o##_at_stateful_change_##state(block)
#define STEP(o, block, state, point, ...)                                                          \
	PS_STEP(lonelypsp_##o##__##point(AT(o, block, state), ##__VA_ARGS__))
#define END(o, block, state, point, ...)                                                           \
	lonelypsp_##o##__##point(AT(o, block, state), ##__VA_ARGS__)
#define BEGIN(o, block, point, ...)                                                                \
	PS_STEP(lonelypsp_##o##__##point(lonelypsp_##o##_begin(block), __VA_ARGS__))
#define LEAVE(o, block, error) lonelypsp_##o##_leave(block, error)

/* ---- the table ------------------------------------------------------------------------------- */

/* Kind and key as the map's key, in `room` (PS_TOPIC_MAX + 1 bytes). */
static size_t table_key(uint8_t *room, enum ps_db_kind kind, struct ps_bytes key)
{
	room[0] = (uint8_t)kind;
	if (key.size)
		memcpy(room + 1, key.data, key.size);
	return key.size + 1;
}

static struct ps_bytes key_of(const struct ps_wanted *w)
{
	return ps_bytes(w->key, w->key_size);
}

static struct ps_wanted *find(const struct ps_session *s, enum ps_db_kind kind, struct ps_bytes key)
{
	uint8_t room[PS_TOPIC_MAX + 1];

	if (key.size > PS_TOPIC_MAX)
		return NULL;
	return osp_map_find(&s->subscriptions, room, table_key(room, kind, key));
}

static struct ps_wanted *add(struct ps_session *s, enum ps_db_kind kind, struct ps_bytes key)
{
	_cleanup_free_ struct ps_wanted *w = calloc(1, sizeof(*w) + key.size);
	uint8_t room[PS_TOPIC_MAX + 1];

	if (!w)
		return NULL;
	w->kind = kind;
	w->count = 1;
	w->key_size = key.size;
	if (key.size)
		memcpy(w->key, key.data, key.size);
	if (osp_map_add(&s->subscriptions, room, table_key(room, kind, key), w))
		return NULL;
	return TAKE_PTR(w);
}

static void remove_wanted(struct ps_session *s, struct ps_wanted *w)
{
	uint8_t room[PS_TOPIC_MAX + 1];

	osp_map_remove(&s->subscriptions, room, table_key(room, w->kind, key_of(w)));
	free(w);
}

bool ps_session_wants(const struct ps_session *s, struct ps_bytes topic)
{
	struct ps_wanted *w;

	if (find(s, PS_DB_EXACT, topic))
		return true;
	for (size_t i = 0; (w = osp_map_next(&s->subscriptions, &i));)
		if (w->kind == PS_DB_GLOB && ps_db_glob_matches(key_of(w), topic))
			return true;
	return false;
}

/* ---- the end of a change --------------------------------------------------------------------- */

static void log_change(struct ps_session_change *c)
{
	struct ps_session *s = c->session;
	struct ps_line line;

	ps_log_begin(&line, s->log, c->result.subscribe ? "subscribe" : "unsubscribe");
	ps_log_word(&line, "kind", c->result.kind == PS_DB_GLOB ? "glob" : "exact");
	ps_log_text(&line, "key", c->result.key);
	if (c->sent)
		ps_log_hex(&line, "connection", ps_bytes(s->id, sizeof(s->id)));
	ps_log_number(&line, "begin", c->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_number(&line, "attempts", c->attempts);
	ps_log_number(&line, "count", c->result.count);
	ps_log_word(&line, "outcome", ps_outcome_to_str(c->result.outcome));
	ps_log_end(&line);
}

static void free_change(struct ps_session_change *c)
{
	EACH(c, LEAVE, ECANCELED);
	if (c->session->sending_change == c)
		c->session->sending_change = NULL;
	osp_list_remove(&c->node);
	free(c);
}

static void finish(struct ps_session_change *c, enum ps_outcome outcome, const char *reason)
{
	struct ps_session *s = c->session;
	struct ps_wanted *w = find(s, c->result.kind, c->result.key);

	if (w && w->change == c)
		w->change = NULL;
	c->result.count = w ? w->count : 0;
	c->result.outcome = outcome;
	c->result.reason = reason;
	log_change(c);
	osp_list_remove(&c->node);
	s->change_count--;
	if (c->done)
		c->done(c->owner, &c->result);
	free_change(c);
}

/* ---- the steps ------------------------------------------------------------------------------- */

static void queued(struct ps_session_change *c)
{
	c->queued = true;
	EACH(c, BEGIN, queued, NULL, c->result.key.data, c->result.key.size);
}

static void sent(struct ps_stateful_message *m, int error)
{
	struct ps_session *s = m->owner;
	struct ps_session_change *c = TAKE_PTR(s->sending_change);

	s->sending = false;
	if (c && c->sent && !error)
		EACH(c, STEP, acknowledged, sent);
	ps_session_pump(s);
}

static void confirmed(struct ps_session_change *c, struct ps_bytes tracing)
{
	struct outspan_context context;

	ps_trace_read(&context, tracing);
	EACH(c, END, acknowledged, confirmed, &context);
	finish(c, PS_OUTCOME_OK, "none");
}

/* Ends the operation; true if the next connection is to be asked again. */
static bool connection_lost(struct ps_session_change *c)
{
	struct ps_wanted *w = find(c->session, c->result.kind, c->result.key);
	bool again = w && w->change == c, folded = again || !c->result.subscribe;

	if (c->queued && c->sent)
		EACH(c, END, acknowledged, connection_lost_in_stateful_change_acknowledged, folded);
	else if (c->queued)
		EACH(c, END, turn, connection_lost_in_stateful_change_turn, folded);
	c->queued = c->sent = false;
	c->again = true;
	return again;
}

static void sending(struct ps_session_change *c, struct ps_frame *f, int64_t counter)
{
	struct ps_session *s = c->session;
	struct ps_stateful_message *m;
	struct outspan_context context;
	struct ps_tracing tracing;
	int r;

	EACH(c, STEP, turn, sending, s->id, sizeof(s->id), counter, &context);
	c->sent = true;
	c->attempts++;
	f->tracing = ps_trace_bytes(&tracing, &context);
	r = ps_stateful_encode(&m, &s->wire, f, counter);
	if (r) {
		ps_session_fail(s, r);
		return;
	}
	m->sent = sent;
	m->owner = s;
	ps_session_expect(s, f, true, counter, c);
	if (ps_session_transmit(s, &m))
		return;
	s->sending = true;
	s->sending_change = c;
}

/* ---- fed by the session ---------------------------------------------------------------------- */

struct ps_session_change *ps_session_change_due(struct ps_session *s)
{
	struct osp_list *node;

	for (node = s->changes.next; node != &s->changes; node = node->next) {
		struct ps_session_change *c = osp_list_entry(node, struct ps_session_change, node);

		if (!c->sent)
			return c;
	}
	return NULL;
}

void ps_session_change_send(struct ps_session *s, struct ps_session_change *c)
{
	static const enum ps_frame_type types[2][PS_DB_KINDS] = {
		{PS_FRAME_UNSUBSCRIBE_EXACT, PS_FRAME_UNSUBSCRIBE_GLOB},
		{PS_FRAME_SUBSCRIBE_EXACT, PS_FRAME_SUBSCRIBE_GLOB}};
	struct ps_frame f = {.type = types[c->result.subscribe][c->result.kind],
			     .key = c->result.key};

	sending(c, &f, ps_connection_count(&s->wire.connection, &f));
}

void ps_session_change_confirmed(struct ps_session *s, const struct ps_frame *answer,
				 const struct ps_ack *ack)
{
	if (ps_stateful_check(&s->wire, answer, ack->counter) != PS_AUTH_OK)
		ps_session_protocol_error(s, ps_session_type(answer->type), "bad_auth");
	else
		confirmed(ack->owner, answer->tracing);
}

void ps_session_change_mismatch(struct ps_session_change *c)
{
	EACH(c, END, acknowledged, ack_mismatch);
	c->queued = false;
}

/* What is not asked for again is as was wanted: its subscription went with the connection. */
void ps_session_change_lost(struct ps_session *s)
{
	struct osp_list *node, *next, over;

	osp_list_init(&over);
	for (node = s->changes.next; node != &s->changes; node = next) {
		next = node->next;
		if (connection_lost(osp_list_entry(node, struct ps_session_change, node)))
			continue;
		osp_list_remove(node);
		osp_list_add(&over, node);
	}
	while (!osp_list_empty(&over))
		finish(osp_list_entry(over.next, struct ps_session_change, node), PS_OUTCOME_OK,
		       "none");
}

static struct ps_session_change *new_change(struct ps_session *s, bool subscribe,
					    enum ps_db_kind kind, struct ps_bytes key)
{
	struct ps_session_change *c = calloc(1, sizeof(*c) + key.size);

	if (!c)
		return NULL;
	c->session = s;
	if (key.size)
		memcpy(c->key, key.data, key.size);
	c->result = (struct ps_changed){
		subscribe, kind, ps_bytes(c->key, key.size), PS_OUTCOME_FAILED, 0, "none", 0};
	c->begin_ns = ps_system_wall_ns();
	osp_list_add(&s->changes, &c->node);
	s->change_count++;
	return c;
}

void ps_session_resubscribe(struct ps_session *s, uint32_t counts[PS_DB_KINDS])
{
	struct ps_session_change *c;
	struct osp_list *node;
	struct ps_wanted *w;

	memset(counts, 0, sizeof(*counts) * PS_DB_KINDS);
	for (size_t i = 0; (w = osp_map_next(&s->subscriptions, &i));)
		if (!w->change && (c = new_change(s, true, w->kind, key_of(w)))) {
			w->change = c;
			c->again = true;
		}
	for (node = s->changes.next; node != &s->changes; node = node->next) {
		c = osp_list_entry(node, struct ps_session_change, node);
		counts[c->result.kind] += c->again;
		if (!c->queued)
			queued(c);
	}
}

void ps_session_change_clear(struct ps_session *s, bool tell)
{
	struct ps_wanted *w;

	while (!osp_list_empty(&s->changes)) {
		struct ps_session_change *c =
			osp_list_entry(s->changes.next, struct ps_session_change, node);

		if (tell && c->queued)
			EACH(c, END, turn, connection_lost_in_stateful_change_turn, false);
		if (tell)
			finish(c, PS_OUTCOME_EXHAUSTED, "no_connection");
		else
			free_change(c);
	}
	if (tell)
		return;
	for (size_t i = 0; (w = osp_map_next(&s->subscriptions, &i));)
		free(w);
	osp_map_clear(&s->subscriptions);
}

/* ---- asked by the application ---------------------------------------------------------------- */

struct request {
	struct ps_session *session;
	struct ps_changed result;
	void (*done)(void *owner, const struct ps_changed *c);
	void *owner;
};

static int count_only(struct request *q, uint32_t count)
{
	q->result.outcome = PS_OUTCOME_COUNTED;
	q->result.reason = "none";
	q->result.count = count;
	q->done(q->owner, &q->result);
	return 0;
}

static int queue_change(struct request *q, struct ps_session_change **out)
{
	const struct ps_changed *r = &q->result;
	struct ps_session_change *c = new_change(q->session, r->subscribe, r->kind, r->key);

	if (!c)
		return -ENOMEM;
	c->done = q->done;
	c->owner = q->owner;
	*out = c;
	queued(c);
	return 0;
}

static int subscribe(struct request *q)
{
	struct ps_session *s = q->session;
	struct ps_wanted *w = find(s, q->result.kind, q->result.key);
	struct ps_session_change *c;

	if (w)
		return count_only(q, ++w->count);
	if (s->change_count >= s->options.changes_max)
		return -ENOSPC;
	w = add(s, q->result.kind, q->result.key);
	if (!w)
		return s->subscriptions.count >= s->subscriptions.max ? -ENOSPC : -ENOMEM;
	if (queue_change(q, &c)) {
		remove_wanted(s, w);
		return -ENOMEM;
	}
	w->change = c;
	ps_session_pump(s);
	return 0;
}

/* Without a connection, there is nothing to take back but the wish. */
static int unwish(struct request *q, struct ps_wanted *w)
{
	struct ps_session_change *c = w->change;

	remove_wanted(q->session, w);
	if (c) {
		connection_lost(c);
		finish(c, PS_OUTCOME_OK, "none");
	}
	return count_only(q, 0);
}

static int unsubscribe(struct request *q)
{
	struct ps_session *s = q->session;
	struct ps_wanted *w = find(s, q->result.kind, q->result.key);
	struct ps_session_change *c;
	int r;

	if (!w)
		return -ENOENT;
	if (w->count > 1)
		return count_only(q, --w->count);
	if (s->state != PS_SESSION_OPEN)
		return unwish(q, w);
	if (s->change_count >= s->options.changes_max)
		return -ENOSPC;
	r = queue_change(q, &c);
	if (r)
		return r;
	remove_wanted(s, w);
	ps_session_pump(s);
	return 0;
}

int ps_session_change(struct ps_session *s, bool is_subscribe, enum ps_db_kind kind,
		      struct ps_bytes key, void (*done)(void *owner, const struct ps_changed *c),
		      void *owner)
{
	struct request q = {
		s, {is_subscribe, kind, key, PS_OUTCOME_FAILED, 0, "none", 0}, done, owner};

	if (key.size > PS_TOPIC_MAX || (kind == PS_DB_GLOB && !ps_db_is_glob(key)))
		return -EINVAL;
	if (s->state == PS_SESSION_OVER)
		return -ENOTCONN;
	return is_subscribe ? subscribe(&q) : unsubscribe(&q);
}

/* Copies of all keys: asking changes the table. */
static struct ps_wanted **copy_table(struct ps_session *s, size_t *count)
{
	struct ps_wanted **list = calloc(s->subscriptions.count + 1, sizeof(*list)), *w;

	*count = 0;
	for (size_t i = 0; list && (w = osp_map_next(&s->subscriptions, &i));) {
		struct ps_wanted *copy = malloc(sizeof(*w) + w->key_size);

		if (!copy)
			break;
		w->count = 1;
		memcpy(copy, w, sizeof(*w) + w->key_size);
		list[(*count)++] = copy;
	}
	return list;
}

int ps_session_leave(struct ps_session *s, void (*done)(void *owner, const struct ps_changed *c),
		     void *owner)
{
	_cleanup_free_ struct ps_wanted **list = NULL;
	size_t count;
	int r = 0;

	list = copy_table(s, &count);
	if (!list)
		return -ENOMEM;
	s->options.changes_max = SIZE_MAX; /* the table has a maximum of its own */
	for (size_t i = 0; i < count; i++) {
		if (!r)
			r = ps_session_change(s, false, list[i]->kind, key_of(list[i]), done,
					      owner);
		free(list[i]);
	}
	return r;
}
