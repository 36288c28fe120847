/*
 * A session and its broadcaster in one loop. The broadcaster is played by the test, frame by
 * frame; each function waits for what it needs and fails the test if it does not come.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_server.h"
#include "probes/pubsub/ps_session.h"
#include "tests/unit/test.h"

#define TEXT(s) ps_bytes(s, sizeof(s) - 1)

enum { FAR_FRAMES = 256, FAR_EVENTS = 64 };

/* The broadcaster's end of the newest connection, and what it has got, in order. */
struct far {
	struct ps_socket *socket; /* NULL: not open */
	struct ps_stateful wire;
	unsigned connections;
	unsigned codes[FAR_EVENTS]; /* of the close frames */
	size_t closed, looked_at;   /* of these */
	uint8_t nonce[PS_NONCE_SIZE];
	struct osp_buffer got[FAR_FRAMES];
	size_t count, next; /* of these; the first that was not looked at */
};

/* What the session has told, in order: "receiving", "lost", "missed t", "message t hello", ... */
struct told {
	char text[FAR_EVENTS][64];
	size_t count, next;
};

extern struct ps_loop *loop;
extern struct ps_auth auths[2]; /* the session's and the broadcaster's */
extern struct ps_session_options session_options;
extern struct ps_session session;
extern struct far far;
extern struct ps_handler far_handler;

int far_set_up(void **state); /* everything but the session; for cmocka */
int far_tear_down(void **state);
void far_wait_until(bool (*holds)(void *what), void *what); /* runs the loop until then */

void open_session(void);
void close_session(void);     /* at once; and the broadcaster has seen it */
void accept_connection(void); /* and read its CONFIGURE */
void configure(void);	      /* accept_connection, and confirm: it is open */

/* The next thing that the session tells is this. */
void assert_told(const char *text);
void assert_nothing_told(void);

/* The next frame that came, which must be of this type and rightly signed with this counter. */
struct ps_frame next_frame(enum ps_frame_type type, int64_t counter);
void assert_no_frame(void);

/* Signs and sends, as the next of the broadcaster's own (`counter` 0) or as an answer. */
void say(const struct ps_frame *f, int64_t counter);
void say_bytes(struct ps_bytes bytes);

/* Until the session has closed the connection, with this code. */
void assert_closed(unsigned code);
void drop_connection(void); /* without a close frame */

/* A part of a message for the session. */
void say_part(const char *id, uint64_t part, const char *whole, size_t offset, size_t size);

/* A message for the broadcaster, told of as "ok", "failed reason" and so on, with its topic. */
struct ps_session_notification *notify(const char *topic, const char *text);
void free_notification(struct ps_session_notification *n);

/* Subscribes or unsubscribes; told of as "+t ok". */
int change(bool subscribe, enum ps_db_kind kind, const char *key);
