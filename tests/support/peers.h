/*
 * A broadcaster and clients of its web sockets in one loop. The clients are played by the test, frame
 * by frame; each function waits for what it needs and fails the test if it does not come.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_peer.h"
#include "tests/unit/test.h"

#define TEXT(s) ps_bytes(s, sizeof(s) - 1)

enum { FRAMES = 1024 };

struct raw;

/* One client: what it has got, in order. */
struct client {
	struct ps_socket *socket;
	struct ps_stateful wire;
	bool opened, closed;
	unsigned code; /* of the close frame */
	char why[124];
	struct raw *raw; /* bytes it sent */
	struct osp_buffer got[FRAMES];
	size_t count, next; /* of these; the first that was not looked at */
};

extern struct ps_auth peers_auths[2]; /* the broadcaster's and the clients' */
extern struct ps_broadcaster_options options;
extern struct ps_broadcaster b;

/* ---- the loop ---- */

void peers_wait_until(bool (*holds)(void *what), void *what);
void wait_ms(int ms); /* for what must not happen */
bool is_closed(void *client);

/* ---- a client ---- */

struct client *new_client(void);  /* open, not configured */
struct client *new_session(void); /* configured */
void peers_configure(struct client *c);
void configure_as(struct client *c, struct ps_frame f); /* asks for compression */
void free_client(struct client *c);

/* Signs and sends a frame, counted; its counter. */
int64_t send_frame(struct client *c, const struct ps_frame *f);
void send_bytes(struct client *c, struct ps_bytes bytes);

/* The next frame that came, which must be of this type; what is signed is the caller's to check. */
struct ps_frame peers_next_frame(struct client *c, enum ps_frame_type type);
void assert_authorized(struct client *c, const struct ps_frame *f, int64_t counter);
void assert_ended(struct client *c, unsigned code, const char *why);

/* Subscribes or unsubscribes, and waits for the confirmation. */
void peers_change(struct client *c, enum ps_frame_type type, const char *key);

/* A part of a message, whose digest is that of all of it. */
struct ps_frame part_of(enum ps_frame_type type, const char *topic, struct ps_bytes message,
			uint64_t part, size_t from, size_t size, uint8_t *digest);
void peers_notify(struct client *c, const char *topic, struct ps_bytes message);

/* The confirmation of a message that was sent as it is. */
void assert_notified(struct client *c, const char *topic, struct ps_bytes message,
		     unsigned subscribers);

/* The next part of a message, counted and authorized; `stream` puts it together. */
struct ps_frame take_part(struct client *c, struct ps_stream *stream, enum ps_stream_verdict then);
void answer_part(struct client *c, const struct ps_frame *part, bool is_last);

/* A message of one part, and its confirmation. */
void take_message(struct client *c, struct ps_bytes message);

/* ---- both sides ---- */

int set_up(void **state);
int tear_down(void **state);
void reopen(void); /* with changed options */

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
