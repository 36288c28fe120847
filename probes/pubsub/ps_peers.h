/*
 * All stateful connections of a broadcaster: what they are subscribed to together, and which of
 * them want a topic. They share one row of the database per topic or glob, whose url is the
 * broadcaster's own.
 */
#pragma once

#include "probes/pubsub/ps_connection.h"
#include "probes/pubsub/ps_db.h"
#include "probes/pubsub/ps_relay.h"
#include "probes/pubsub/ps_socket.h"
#include "probes/pubsub/ps_training.h"
#include "probes/pubsub/ps_zstd.h"
#include "user/base/list.h"
#include "user/base/map.h"

struct ps_broadcaster;
struct ps_peer;

struct ps_peers_options {
	/* path, pending_max, events and owner are filled in; accept_ns is for CONFIGURE, too */
	struct ps_sockets_options sockets;
	unsigned pending_max;	     /* messages that are not yet sent */
	unsigned unprocessed_max;    /* messages that came and wait behind one that is processed */
	uint64_t unprocessed_bytes;  /* of them; reading pauses above it */
	unsigned unacknowledged_max; /* parts sent and not confirmed */
	uint64_t subscriptions_max;  /* of one connection, of each kind */
	size_t message_max;	     /* bytes of one web socket message sent */
	int64_t direct_ns; /* so long a large message may hold up the request that brought it */
	enum ps_form form;
	enum ps_counting counting;
	bool zstd, training;	    /* for those who ask for it */
	struct ps_presets *presets; /* borrowed; may be empty */
	struct ps_trainer_options trainer;
};

struct ps_body; /* a message that several connections send (ps_body.h) */

struct ps_peers {
	struct ps_relay relay;	  /* first: what the HTTP side sees */
	struct ps_broadcaster *b; /* borrowed: outlives it */
	struct ps_peers_options options;
	struct ps_sockets *sockets; /* owned */
	struct osp_list list;	    /* of struct ps_peer, by number */
	unsigned count;
	uint64_t last_number, seed;
	struct ps_peer *at; /* where the last walk stopped, or NULL */
	struct osp_map shared[PS_DB_KINDS];
	struct ps_body *recent; /* the newest; not owned */
	struct ps_zstd zstd;
	struct ps_trainer *trainer; /* owned; NULL: there is no training */
	uint64_t ended[16];	    /* connections, by enum ps_peer_end */
	bool stopping;
};

/* Opens the web sockets. -errno, said on stderr. The struct stays where it is. */
int ps_peers_open(struct ps_peers *all, struct ps_broadcaster *b, const struct ps_peers_options *o);

/* Ends all connections at once; what they were sent is given back. */
void ps_peers_end(struct ps_peers *all);

/* The same, and closes the web sockets. */
void ps_peers_close(struct ps_peers *all);

/* Tells all peers that the broadcaster stops, and takes no new ones. */
void ps_peers_stop(struct ps_peers *all);

/* True while something is being sent or processed. */
bool ps_peers_is_busy(const struct ps_peers *all);

/* "connections=3 disconnected=2 bad_auth=1", for the end of the program. */
void ps_peers_print(const struct ps_peers *all, char *out, size_t size);

/*
 * Subscribes a connection: *first tells that no other had it. -EEXIST: this one has it already;
 * -ENOSPC: too many; others: the database.
 */
int ps_peers_add(struct ps_peer *s, enum ps_db_kind kind, struct ps_bytes key, bool *first);

/* -ENOENT: it has no such subscription; others: the database, and the subscription is gone all the same. */
int ps_peers_remove(struct ps_peer *s, enum ps_db_kind kind, struct ps_bytes key, bool *last);

/* True if the connection has this subscription. */
bool ps_peers_has(const struct ps_peer *p, enum ps_db_kind kind, struct ps_bytes key);

/* Removes all that a connection has. */
void ps_peers_remove_all(struct ps_peer *s);
