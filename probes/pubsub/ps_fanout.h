/*
 * The delivery of one authorized, complete message to every subscriber it matches; part of the
 * operation that took it, over HTTP or over a web socket.
 */
#pragma once

#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_message.h"
#include "probes/pubsub/ps_report.h"
#include "probes/pubsub/ps_trace.h"

/* One delivery of the message to one subscriber; used again for the next. */
struct ps_deliver {
	struct ps_row row;
	struct ps_call call;
	struct osp_buffer head, authorization;
	uint8_t identifier[PS_IDENTIFIER_SIZE];
	int64_t begin_ns;
};

/* Embedded in its owner, who fills the first part; all of it is borrowed and outlives the fan-out. */
struct ps_fanout {
	struct ps_broadcaster *b;
	/* The operation it is part of: one of them, the other NULL. */
	struct lonelypsp_handle_notify *notify;
	struct lonelypsp_handle_stateful_notify *stateful_notify;
	struct ps_bytes topic, identifier; /* of the NOTIFY */
	uint64_t length;
	const uint8_t *digest; /* SHA-512 of the message */
	const struct ps_spool *message;
	struct ps_report *report;	   /* every step is added to it; NULL: to none */
	void (*done)(struct ps_fanout *f); /* every subscriber had its turn */
	/* What HTTP would answer; the operation has ended. */
	void (*failed)(struct ps_fanout *f, unsigned status);
	void *owner;
	uint32_t subscribers; /* that have the message */
	/* private to ps_fanout.c */
	struct ps_cursor cursor;
	struct ps_timer turn; /* goes on after a portion of globs */
	struct ps_deliver deliver;
	bool relayed; /* our own web sockets have it */
};

/* Delivers to every subscriber in turn, then calls `done` or `failed`, maybe from within. */
void ps_fanout_start(struct ps_fanout *f);

/* Stops a fan-out that is under way and frees what it holds; also one that never started. */
void ps_fanout_clear(struct ps_fanout *f);
