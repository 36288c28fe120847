/*
 * The operation "handle_compressor": a broadcaster enables a compressor, which this connection then
 * uses, both ways, until the broadcaster disables it or the connection ends. Fed by the session; one
 * function per step of the protocol's automaton. Owns struct offer, one per compressor; the table
 * itself is ps_compressor's. A dictionary is digested at once: that is a matter of milliseconds.
 */
#include <errno.h>
#include <stdlib.h>

#include "probes/pubsub/ps_session_private.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

struct offer {
	struct lonelypsp_handle_compressor op;
	struct ps_session *session; /* borrowed: owns this */
	uint64_t compressor;
	int64_t begin_ns;
};

static void log_compressor(const struct offer *o, const char *outcome)
{
	const struct ps_session *s = o->session;
	struct ps_line line;

	ps_log_begin(&line, s->log, "compressor");
	ps_log_number(&line, "id", (int64_t)o->compressor);
	ps_log_hex(&line, "connection", ps_bytes(s->id, sizeof(s->id)));
	ps_log_number(&line, "begin", o->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

/* Its operation is over. */
static void free_offer(struct offer *o, const char *outcome)
{
	log_compressor(o, outcome);
	lonelypsp_handle_compressor_leave(&o->op, ECANCELED);
	free(o);
}

static void refuse(struct offer *o, const struct ps_frame *f, const char *outcome)
{
	struct ps_session *s = o->session;

	free_offer(o, outcome);
	ps_session_protocol_error(s, ps_session_type(f->type), outcome);
}

/* ---- ENABLE_ZSTD_PRESET and ENABLE_ZSTD_CUSTOM ----------------------------------------------- */

static void enable_received(struct offer *o, const struct ps_frame *f, int64_t counter)
{
	const struct ps_session *s = o->session;

	PS_STEP(lonelypsp_handle_compressor__enable_received(
		lonelypsp_handle_compressor_begin(&o->op), &s->op.head, s->id, sizeof(s->id),
		counter, f->compressor, (int32_t)f->level, f->min_size, f->max_size,
		f->payload.size));
}

static void bad_auth_result(struct offer *o, const struct ps_frame *f, enum ps_auth_result result)
{
	lonelypsp_handle_compressor__bad_auth_result_in_auth_result(
		lonelypsp_handle_compressor_at_auth_result(&o->op), result);
	refuse(o, f, "bad_auth");
}

static void auth_accepted(struct offer *o, const struct ps_frame *f, int64_t counter)
{
	const struct ps_session *s = o->session;
	struct outspan_context context;

	ps_trace_read(&context, f->tracing);
	PS_STEP(lonelypsp_handle_compressor__auth_accepted(
		lonelypsp_handle_compressor_at_auth_result(&o->op), s->id, sizeof(s->id), counter,
		f->compressor, &context));
}

static void not_allowed(struct offer *o, const struct ps_frame *f)
{
	lonelypsp_handle_compressor__not_allowed(lonelypsp_handle_compressor_at_checking(&o->op));
	refuse(o, f, "not_allowed");
}

static void unknown_preset(struct offer *o, const struct ps_frame *f)
{
	lonelypsp_handle_compressor__unknown_preset(
		lonelypsp_handle_compressor_at_checking(&o->op));
	refuse(o, f, "unknown_preset");
}

static void already_enabled(struct offer *o, const struct ps_frame *f)
{
	lonelypsp_handle_compressor__already_enabled(
		lonelypsp_handle_compressor_at_checking(&o->op));
	refuse(o, f, "already_enabled");
}

static void preparing(struct offer *o)
{
	PS_STEP(lonelypsp_handle_compressor__preparing(
		lonelypsp_handle_compressor_at_checking(&o->op)));
}

static void prepare_failed(struct offer *o, const struct ps_frame *f)
{
	lonelypsp_handle_compressor__prepare_failed(
		lonelypsp_handle_compressor_at_preparing(&o->op));
	refuse(o, f, "prepare_failed");
}

static void ready(struct offer *o)
{
	PS_STEP(lonelypsp_handle_compressor__ready(
		lonelypsp_handle_compressor_at_preparing(&o->op)));
}

static void prepare(struct offer *o, const struct ps_frame *f, struct ps_compressor *c)
{
	enum ps_compressor_fault fault;

	preparing(o);
	fault = ps_compressor_prepare(c);
	if (fault) {
		osp_debug("compressor %llu: %s", (unsigned long long)f->compressor,
			  ps_compressor_fault_to_str(fault));
		ps_compressors_remove(&o->session->compressors, &c);
		prepare_failed(o, f);
		return;
	}
	c->owner = o;
	ready(o);
}

static void enable(struct offer *o, const struct ps_frame *f)
{
	struct ps_compressor *c;

	switch (ps_compressors_enable(&o->session->compressors, &c, f)) {
	case PS_COMPRESSOR_FAULT_OK:
		prepare(o, f, c);
		return;
	case PS_COMPRESSOR_FAULT_NOT_ALLOWED:
		not_allowed(o, f);
		return;
	case PS_COMPRESSOR_FAULT_UNKNOWN_PRESET:
		unknown_preset(o, f);
		return;
	case PS_COMPRESSOR_FAULT_ALREADY_ENABLED:
		already_enabled(o, f);
		return;
	default:
		preparing(o);
		prepare_failed(o, f);
	}
}

static struct offer *new_offer(struct ps_session *s, const struct ps_frame *f)
{
	struct offer *o = calloc(1, sizeof(*o));

	if (!o) {
		ps_session_fail(s, -ENOMEM);
		return NULL;
	}
	o->session = s;
	o->compressor = f->compressor;
	o->begin_ns = ps_system_wall_ns();
	return o;
}

void ps_session_enable(struct ps_session *s, const struct ps_frame *f)
{
	int64_t counter = ps_connection_count(&s->wire.connection, f);
	struct offer *o = new_offer(s, f);
	enum ps_auth_result result;

	if (!o)
		return;
	enable_received(o, f, counter);
	result = ps_stateful_check(&s->wire, f, counter);
	if (result != PS_AUTH_OK) {
		bad_auth_result(o, f, result);
		return;
	}
	auth_accepted(o, f, counter);
	enable(o, f);
}

/* ---- DISABLE_ZSTD_CUSTOM --------------------------------------------------------------------- */

static void disable_received(struct offer *o, int64_t counter)
{
	PS_STEP(lonelypsp_handle_compressor__disable_received(
		lonelypsp_handle_compressor_at_in_use(&o->op), counter));
}

static void bad_disable_auth_result(struct offer *o, const struct ps_frame *f,
				    enum ps_auth_result result)
{
	lonelypsp_handle_compressor__bad_auth_result_in_disable_result(
		lonelypsp_handle_compressor_at_disable_result(&o->op), result);
	refuse(o, f, "bad_auth");
}

static void removed(struct offer *o)
{
	lonelypsp_handle_compressor__removed(lonelypsp_handle_compressor_at_disable_result(&o->op));
	free_offer(o, "ok");
}

/* Ends the use of one that there is. */
static void disable(struct ps_session *s, const struct ps_frame *f, struct ps_compressor *c,
		    int64_t counter)
{
	struct offer *o = c->owner;
	enum ps_auth_result result;

	ps_compressors_remove(&s->compressors, &c);
	disable_received(o, counter);
	result = ps_stateful_check(&s->wire, f, counter);
	if (result != PS_AUTH_OK)
		bad_disable_auth_result(o, f, result);
	else
		removed(o);
}

static void unmatched_disable_received(struct offer *o, int64_t counter)
{
	const struct ps_session *s = o->session;

	PS_STEP(lonelypsp_handle_compressor__unmatched_disable_received(
		lonelypsp_handle_compressor_begin(&o->op), s->id, sizeof(s->id), counter,
		o->compressor));
}

static void bad_unmatched_auth_result(struct offer *o, const struct ps_frame *f,
				      enum ps_auth_result result)
{
	lonelypsp_handle_compressor__bad_auth_result_in_unmatched_result(
		lonelypsp_handle_compressor_at_unmatched_result(&o->op), result);
	refuse(o, f, "bad_auth");
}

static void unknown_compressor(struct offer *o, const struct ps_frame *f)
{
	lonelypsp_handle_compressor__unknown_compressor(
		lonelypsp_handle_compressor_at_unmatched_result(&o->op));
	refuse(o, f, "unknown_compressor");
}

static void disable_unmatched(struct ps_session *s, const struct ps_frame *f, int64_t counter)
{
	struct offer *o = new_offer(s, f);
	enum ps_auth_result result;

	if (!o)
		return;
	unmatched_disable_received(o, counter);
	result = ps_stateful_check(&s->wire, f, counter);
	if (result != PS_AUTH_OK)
		bad_unmatched_auth_result(o, f, result);
	else
		unknown_compressor(o, f);
}

void ps_session_disable(struct ps_session *s, const struct ps_frame *f)
{
	int64_t counter = ps_connection_count(&s->wire.connection, f);
	struct ps_compressor *c = ps_compressors_find(&s->compressors, f->compressor);

	if (c && c->id >= PS_COMPRESSOR_CUSTOM)
		disable(s, f, c, counter);
	else
		disable_unmatched(s, f, counter);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void connection_lost(struct offer *o)
{
	lonelypsp_handle_compressor__connection_lost_in_in_use(
		lonelypsp_handle_compressor_at_in_use(&o->op));
	free_offer(o, "connection_lost");
}

void ps_session_compressors_lost(struct ps_session *s)
{
	for (size_t i = 0; i < s->compressors.count; i++)
		connection_lost(s->compressors.list[i]->owner);
	ps_compressors_clear(&s->compressors);
}

void ps_session_compressors_clear(struct ps_session *s)
{
	for (size_t i = 0; i < s->compressors.count; i++)
		free_offer(s->compressors.list[i]->owner, "canceled");
	ps_compressors_clear(&s->compressors);
	ps_zstd_clear(&s->zstd);
}
