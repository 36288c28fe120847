/*
 * What became of each message of a trace: to whom it was to go, how far it came, and what can be
 * said of those who seem not to have it. Derived from stored spans; a reader's view, as halt.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/session.h"

enum osp_delivery_state {
	OSP_DELIVERY_DELIVERED, /* received, or confirmed */
	OSP_DELIVERY_MISSING,	/* its sender knows that it failed, and nobody saw it received */
	OSP_DELIVERY_OPEN,	/* under way when last seen */
	OSP_DELIVERY_UNKNOWN,	/* the session does not tell */
	OSP_DELIVERY_STATES
};

enum osp_receipt {
	OSP_RECEIPT_SEEN,	/* the receiver's own step */
	OSP_RECEIPT_NONE,	/* the receiver was recorded, and has no such step */
	OSP_RECEIPT_UNRECORDED, /* nobody looked there */
	OSP_RECEIPT_UNKNOWN,	/* a loss may have taken it */
};

/* One delivery of a message to one subscriber. What it points to lives as long as the spans. */
struct osp_delivery {
	const struct osp_span *span;
	const struct osp_value *subscriber; /* or NULL: it could not be read */
	const char *found;		    /* how: a label of the catalogue, or NULL */
	const char *reason;		    /* code of what went wrong, or NULL */
	uint32_t receipts;		    /* how often it was received */
	uint32_t receiver;		    /* key of the process that did */
	bool sent, confirmed;
	bool noted, told; /* the subscriber is to hear, or has heard, that it missed it */
	bool relay;	  /* its receiver hands it on: the deliveries behind it count instead */
	bool again;	  /* the subscriber has the message by an earlier delivery already */
	bool open, cut;	  /* as its spans' marks say */
	enum osp_delivery_state state;
	enum osp_receipt receipt;
};

struct osp_publication {
	const struct osp_span *span;   /* of what published it, or of the first that knows of it */
	const struct osp_value *topic; /* or NULL */
	bool published;		       /* the span is the publisher's, or else of who took it */
	bool spread;		       /* somebody who looks for subscribers was seen at work */
	bool failed;		       /* it came to nobody, by what its span says */
	size_t first, count;	       /* its deliveries: one behind the other */
};

struct osp_delivery_list {
	const struct osp_publication *messages;
	size_t message_count;
	const struct osp_delivery *deliveries;
	size_t delivery_count;
	size_t strays; /* receipts of messages whose delivery is not in the session */
};

struct osp_delivery_finder;

/* Borrows the session. -ENOENT: its catalogues do not speak of deliveries; -ENOMEM; a store's. */
int osp_delivery_new(struct osp_delivery_finder **out, const struct osp_session *s);
void osp_delivery_free(struct osp_delivery_finder **f);

/*
 * Finds the messages among the spans of one trace, in the order of osp_store_spans; `cut`: the
 * trace may lack something. The list lives until the next call. -ENOMEM, -E2BIG.
 */
int osp_delivery_find(struct osp_delivery_finder *f, const struct osp_span *spans, size_t count,
		      bool cut, struct osp_delivery_list *out);

/* Remembers from a list who receives for which subscriber; until then all are unrecorded. -ENOMEM. */
int osp_delivery_learn(struct osp_delivery_finder *f, const struct osp_delivery_list *l);
