/*
 * The operation "stateful_session" while its connection is open: sends what is due, hands frames to
 * the files of their operations. Fed by the application and ps_session_connect.c; how it ends is in
 * ps_session_close.c. Owns the sockets and what the other files keep in struct ps_session.
 */
#include "probes/pubsub/ps_session_private.h"

#include <errno.h>
#include <stdlib.h>

#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"

enum {
	PENDING_MAX = 255, /* frames with the socket */
	SOCKETS_MAX = 4,   /* one, and those that still say goodbye */
	CLOSE_SECONDS = 2,
};

void ps_session_options_init(struct ps_session_options *o)
{
	*o = (struct ps_session_options){.passes = 2,
					 .form = PS_FORM_MINIMAL,
					 .message_max = 7 << 19, /* a Python peer takes 4 MiB */
					 .frame_max = 16 << 20,
					 .connect_ns = 5000000000,
					 .answer_ns = 30000000000,
					 .stable_ns = 1000000000,
					 .ping_ns = 20000000000,
					 .window = 3,
					 .acks_max = 255,
					 .unsent_max = 255,
					 .changes_max = 1024,
					 .received_max = 255,
					 .subscriptions_max = 10000};
}

/* ---- telling the application ----------------------------------------------------------------- */

uint32_t ps_session_tell(struct ps_session *s, bool lost)
{
	for (size_t i = 0; i < s->options.handler_count; i++) {
		struct ps_handler *h = &s->options.handlers[i];

		if (lost && h->lost)
			h->lost(h);
		else if (!lost && h->receiving)
			h->receiving(h);
	}
	return (uint32_t)s->options.handler_count;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void expect_in_time(struct ps_session *s)
{
	if (s->options.answer_ns && s->acks.count)
		ps_loop_arm(s->loop, &s->deadline, s->options.answer_ns);
	else
		ps_loop_disarm(s->loop, &s->deadline);
}

void ps_session_expect(struct ps_session *s, const struct ps_frame *frame, bool is_last,
		       int64_t counter, void *owner)
{
	(void)ps_acks_push(&s->acks, frame, is_last, counter, owner); /* there is room */
	if (s->acks.count == 1)
		expect_in_time(s);
}

int ps_session_transmit(struct ps_session *s, struct ps_stateful_message **m)
{
	int r = ps_stateful_send(&s->wire, m);

	if (r)
		ps_stateful_free(m);
	if (r == -ENOBUFS) /* the broadcaster sends and sends, but takes no answers */
		ps_session_answers_full(s);
	return r; /* else the socket is being closed, and says so soon */
}

int ps_session_send(struct ps_session *s, const struct ps_frame *frame, int64_t counter)
{
	struct ps_stateful_message *m;
	int r = ps_stateful_encode(&m, &s->wire, frame, counter);

	if (!r)
		return ps_session_transmit(s, &m);
	ps_session_fail(s, r);
	return r;
}

/* One at a time, so that answers to what comes need not wait for more than one part. */
void ps_session_pump(struct ps_session *s)
{
	struct ps_session_change *change;

	if (s->state != PS_SESSION_OPEN || s->sending || ps_acks_is_full(&s->acks))
		return;
	change = s->next && s->next->part ? NULL : ps_session_change_due(s);
	if (change)
		ps_session_change_send(s, change);
	else if (ps_session_notify_due(s))
		ps_session_notify_send(s);
}

/* ---- open ------------------------------------------------------------------------------------ */

static void take_answer(struct ps_session *s, const struct ps_frame *f)
{
	struct ps_ack ack;
	enum ps_ack_fault fault = ps_acks_pop(&s->acks, &ack, f);

	if (fault) {
		ps_session_ack_mismatch(s, f, fault);
		return;
	}
	expect_in_time(s);
	if (f->type == PS_FRAME_CONTINUE_NOTIFY)
		ps_session_notify_continued(s, f, &ack);
	else if (f->type == PS_FRAME_CONFIRM_NOTIFY)
		ps_session_notify_confirmed(s, f, &ack);
	else
		ps_session_change_confirmed(s, f, &ack);
	ps_session_pump(s);
}

void ps_session_take(struct ps_session *s, struct ps_frame *f)
{
	switch (f->type) {
	case PS_FRAME_CONFIRM_SUBSCRIBE_EXACT:
	case PS_FRAME_CONFIRM_SUBSCRIBE_GLOB:
	case PS_FRAME_CONFIRM_UNSUBSCRIBE_EXACT:
	case PS_FRAME_CONFIRM_UNSUBSCRIBE_GLOB:
	case PS_FRAME_CONFIRM_NOTIFY:
	case PS_FRAME_CONTINUE_NOTIFY:
		take_answer(s, f);
		return;
	case PS_FRAME_RECEIVE_STREAM:
		ps_session_receive(s, f);
		return;
	case PS_FRAME_MISSED:
		ps_session_missed(s, f);
		return;
	case PS_FRAME_ENABLE_ZSTD_PRESET:
	case PS_FRAME_ENABLE_ZSTD_CUSTOM:
		ps_session_enable(s, f);
		return;
	case PS_FRAME_DISABLE_ZSTD_CUSTOM:
		ps_session_disable(s, f);
		return;
	default:
		ps_session_protocol_error(s, ps_session_type(f->type), "unexpected_message");
	}
}

static void stable(struct ps_timer *t)
{
	struct ps_session *s = t->owner;

	PS_STEP(lonelypsp_stateful_session__stable(lonelypsp_stateful_session_at_open(&s->op)));
	s->stable = true;
}

/* ---- opening and closing --------------------------------------------------------------------- */

static int open_parts(struct ps_session *s)
{
	const struct ps_session_options *o = &s->options;
	struct ps_sockets_options sockets = {.count_max = SOCKETS_MAX,
					     .message_max = o->frame_max,
					     .memory_max = o->frame_max * 2,
					     .pending_max = PENDING_MAX,
					     .connect_ns = o->connect_ns,
					     .accept_ns = o->connect_ns,
					     .ping_ns = o->ping_ns,
					     .close_ns = CLOSE_SECONDS * 1000000000ll};
	int r = ps_sockets_open(&s->sockets, s->loop, &sockets);

	return r ? r : ps_session_plan(s);
}

int ps_session_open(struct ps_session *s, struct ps_loop *l, const struct ps_auth *a,
		    struct ps_log *log, const struct ps_session_options *o)
{
	uint64_t seed = 0;
	int r;

	*s = (struct ps_session){.options = *o, .loop = l, .auth = a, .log = log, .is_lost = true};
	s->budget = o->budget;
	s->stream.max = o->budget.message_max;
	s->compressors.side = PS_SUBSCRIBER;
	s->compressors.zstd = o->zstd;
	s->compressors.training = o->training;
	s->compressors.presets = o->presets;
	osp_list_init(&s->changes);
	osp_list_init(&s->messages);
	osp_list_init(&s->received);
	osp_list_init(&s->finished);
	s->stability = (struct ps_timer){.expired = stable, .owner = s};
	s->deadline = (struct ps_timer){.expired = ps_session_timed_out, .owner = s};
	ps_system_random(&seed, sizeof(seed));
	osp_map_init(&s->subscriptions, o->subscriptions_max, seed);
	ps_stateful_init(&s->wire, PS_SUBSCRIBER, a);
	s->wire.form = o->form;
	s->wire.message_max = o->message_max;
	r = open_parts(s);
	if (r) {
		ps_session_close(s);
		return r;
	}
	PS_STEP(lonelypsp_stateful_session__start(lonelypsp_stateful_session_begin(&s->op)));
	ps_session_connect_after(s, 0);
	return 0;
}

void ps_session_stop(struct ps_session *s)
{
	s->stopping = true;
	if (s->state == PS_SESSION_WAITING)
		ps_loop_arm(s->loop, &s->wait, 0);
	else
		ps_session_cancel(s);
}

void ps_session_close(struct ps_session *s)
{
	if (!s->loop)
		return;
	s->state = PS_SESSION_OVER;
	if (s->sockets)
		ps_sockets_close(&s->sockets);
	ps_stateful_clear(&s->wire);
	ps_loop_disarm(s->loop, &s->wait);
	ps_loop_disarm(s->loop, &s->stability);
	ps_loop_disarm(s->loop, &s->deadline);
	ps_session_receive_clear(s);
	ps_session_change_clear(s, false);
	ps_session_notify_clear(s);
	ps_session_compressors_clear(s);
	lonelypsp_stateful_session_leave(&s->op, ECANCELED);
	ps_acks_clear(&s->acks);
	ps_stream_clear(&s->stream);
	ps_retry_clear(&s->retry);
	free(TAKE_PTR(s->url));
}
