/* The options of psp-subscriber. */
#pragma once

#include "probes/pubsub/ps_options.h"
#include "probes/pubsub/ps_session_argp.h"

enum { PS_SUBSCRIBER_KEYS_MAX = 1024 };

struct ps_subscriber_argp {
	struct ps_options common;
	struct ps_broadcasters broadcasters; /* owned, as what `ws` has */
	struct ps_subscriber_options subscriber;
	struct ps_session_argp ws;
	struct {
		enum ps_db_kind kind;
		const char *text;
	} keys[PS_SUBSCRIBER_KEYS_MAX]; /* to subscribe to */
	size_t key_count;
	bool keep, quiet;
	size_t show;	  /* bytes of each message that are printed */
	int64_t delay_ns; /* of the handler */
	int64_t check_ns; /* 0: no checks by themselves */
	int64_t grace_ns;
};

/* The defaults; before parsing. */
void ps_subscriber_argp_init(struct ps_subscriber_argp *a);

/* Usage errors end the process. */
void ps_subscriber_argp_parse(struct ps_subscriber_argp *a, int argc, char **argv);
void ps_subscriber_argp_clear(struct ps_subscriber_argp *a);
