/*
 * How a program subscribes and gets its messages: over HTTP (ps_subscriber) or over a web socket
 * (ps_session), with the same calls.
 */
#pragma once

#include "probes/pubsub/ps_session.h"

struct ps_inbox {
	bool is_ws;
	struct ps_subscriber http;
	struct ps_session ws;
	/* No message comes any more: by ps_inbox_stop or, with an error, by itself. */
	void (*ended)(void *owner, int error);
	void *owner;
};

/*
 * Opens the one that is asked for; a web socket takes what it shares with HTTP from `http`.
 * -errno, said on stderr.
 */
int ps_inbox_open_http(struct ps_inbox *b, struct ps_loop *l, const struct ps_auth *a,
		       struct ps_log *log, const struct ps_subscriber_options *http);
int ps_inbox_open_ws(struct ps_inbox *b, struct ps_loop *l, const struct ps_auth *a,
		     struct ps_log *log, const struct ps_subscriber_options *http,
		     const struct ps_session_options *ws);

/* Ends everything at once. */
void ps_inbox_close(struct ps_inbox *b);

/* Goes politely; `ended` follows, at once or later. */
void ps_inbox_stop(struct ps_inbox *b);

/* As ps_subscriber_change. */
int ps_inbox_change(struct ps_inbox *b, bool subscribe, enum ps_db_kind kind, struct ps_bytes key,
		    void (*done)(void *owner, const struct ps_changed *c), void *owner);

/* As ps_subscriber_gather; over a web socket each change is a message all the same. */
void ps_inbox_gather(struct ps_inbox *b, bool gathering);

/* As ps_subscriber_leave; 1: there is nothing to leave, `done` will not be called. */
int ps_inbox_leave(struct ps_inbox *b, void (*done)(void *owner, const struct ps_changed *c),
		   void *owner);

/* As ps_subscriber_check; -ENOTSUP over a web socket, which has no such message. */
int ps_inbox_check(struct ps_inbox *b, void (*done)(void *owner, const struct ps_checked *c),
		   void *owner);

/* True while a change is not over. */
bool ps_inbox_is_changing(const struct ps_inbox *b);

/* How many topics and globs are subscribed, or about to be. */
size_t ps_inbox_count(const struct ps_inbox *b);
