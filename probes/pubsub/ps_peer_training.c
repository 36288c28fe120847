/*
 * Training dictionaries on the messages of one connection: samples are kept, and at certain amounts
 * of them a dictionary is made, which the connection is then offered (ps_peer_compressor.c). Fed by
 * the operations that send and receive messages. Owns struct ps_peer_training.
 */
#include <errno.h>
#include <stdlib.h>

#include "probes/pubsub/ps_broadcaster.h"
#include "probes/pubsub/ps_peer.h"
#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"

struct ps_peer_training {
	struct ps_peer *peer;
	struct ps_training samples;
	struct lonelypsp_train_compressor op;
	int64_t begin_ns;
	bool is_training; /* else sampling */
	/* of the amount of samples that was reached last */
	bool is_marked;
	enum ps_mark mark;
	uint64_t count, bytes;
};

static void log_training(const struct ps_peer_training *t, size_t size, const char *outcome)
{
	struct ps_line line;

	ps_peer_log_begin(&line, t->peer, "training");
	ps_log_word(&line, "mark", t->mark == PS_MARK_HIGH ? "high" : "low");
	ps_log_number(&line, "samples", (int64_t)t->count);
	ps_log_number(&line, "bytes", (int64_t)t->bytes);
	ps_log_number(&line, "dictionary", (int64_t)size);
	ps_log_number(&line, "begin", t->begin_ns);
	ps_log_number(&line, "end", ps_system_wall_ns());
	ps_log_word(&line, "outcome", outcome);
	ps_log_end(&line);
}

static void sampling(struct ps_peer_training *t)
{
	PS_STEP(lonelypsp_train_compressor__sampling(lonelypsp_train_compressor_begin(&t->op),
						     &t->peer->op.head, t->peer->connection,
						     sizeof(t->peer->connection)));
}

static void sample_kept(struct ps_peer_training *t, uint64_t length)
{
	if (!t->is_training)
		PS_STEP(lonelypsp_train_compressor__sample_kept(
			lonelypsp_train_compressor_at_sampling(&t->op), length));
}

static void watermark(struct ps_peer_training *t)
{
	PS_STEP(lonelypsp_train_compressor__watermark(
		lonelypsp_train_compressor_at_sampling(&t->op), (enum lonelypsp_mark)t->mark,
		t->count, t->bytes));
	t->is_training = true;
	t->begin_ns = ps_system_wall_ns();
}

/* Comes from within ps_training_add, before the sample's own step. */
static void marked(struct ps_training *samples, enum ps_mark mark, uint64_t count, uint64_t bytes)
{
	struct ps_peer_training *t = samples->owner;

	t->is_marked = true;
	t->mark = mark;
	t->count = count;
	t->bytes = bytes;
}

static void trained(struct ps_training *samples, struct ps_dictionary *dictionary)
{
	struct ps_peer_training *t = samples->owner;
	size_t size = dictionary ? ps_dictionary_bytes(dictionary).size : 0;

	if (dictionary)
		lonelypsp_train_compressor__trained(lonelypsp_train_compressor_at_training(&t->op),
						    size, ps_dictionary_level(dictionary));
	else
		lonelypsp_train_compressor__train_failed(
			lonelypsp_train_compressor_at_training(&t->op));
	log_training(t, size, dictionary ? "ok" : "failed");
	t->is_training = false;
	sampling(t);
	if (dictionary)
		ps_peer_offer_trained(t->peer, dictionary);
}

void ps_peer_sample(struct ps_peer *p, const struct ps_spool *message)
{
	struct ps_peer_training *t = p->training;

	if (!t)
		return;
	if (ps_training_add(&t->samples, message))
		sample_kept(t, message->size);
	if (t->is_marked)
		watermark(t);
	t->is_marked = false;
}

void ps_peer_start_training(struct ps_peer *p)
{
	struct ps_peer_training *t = calloc(1, sizeof(*t));

	if (!t) /* goes on without */
		return;
	t->peer = p;
	t->samples = (struct ps_training){.marked = marked, .trained = trained, .owner = t};
	ps_training_start(&t->samples, p->all->trainer);
	p->training = t;
	sampling(t);
}

void ps_peer_drop_training(struct ps_peer *p)
{
	struct ps_peer_training *t = TAKE_PTR(p->training);

	if (!t)
		return;
	ps_training_stop(&t->samples);
	if (t->is_training) {
		lonelypsp_train_compressor__connection_lost_in_training(
			lonelypsp_train_compressor_at_training(&t->op));
		log_training(t, 0, "connection_lost");
	} else {
		lonelypsp_train_compressor__connection_lost_in_sampling(
			lonelypsp_train_compressor_at_sampling(&t->op));
	}
	free(t);
}
