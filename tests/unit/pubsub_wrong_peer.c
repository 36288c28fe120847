/*
 * Peers of a broadcaster's web sockets that do whatever comes to their mind: each is either served or
 * told why not, nobody else notices, and nothing of them is kept. Without authorization, so that what
 * they send gets far.
 */
#include <stdio.h>

#include "tests/support/peers.h"

enum { PEERS = 400, STEPS = 30, PAYLOAD = 6000 };

static uint64_t chance = 1;
static uint8_t payload[PAYLOAD];

/* xorshift64: the same peers every time. */
static unsigned draw(unsigned below)
{
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return (unsigned)(chance >> 20) % below;
}

static struct ps_bytes any_key(void)
{
	static const char *const keys[] = {"a", "b", "a*", "[", "*", "", "a/b"};

	return ps_bytes_text(keys[draw(7)]);
}

static struct ps_frame any_frame(uint8_t *digest)
{
	static const enum ps_frame_type types[] = {
		PS_FRAME_CONFIGURE,	   PS_FRAME_SUBSCRIBE_EXACT,  PS_FRAME_SUBSCRIBE_EXACT,
		PS_FRAME_SUBSCRIBE_GLOB,   PS_FRAME_SUBSCRIBE_GLOB,   PS_FRAME_UNSUBSCRIBE_EXACT,
		PS_FRAME_UNSUBSCRIBE_GLOB, PS_FRAME_NOTIFY,	      PS_FRAME_NOTIFY,
		PS_FRAME_NOTIFY,	   PS_FRAME_NOTIFY,	      PS_FRAME_NOTIFY_STREAM,
		PS_FRAME_NOTIFY_STREAM,	   PS_FRAME_CONTINUE_RECEIVE, PS_FRAME_CONFIRM_RECEIVE,
	};
	size_t size = draw(4) ? draw(50) : draw(PAYLOAD);
	struct ps_frame f = {.type = types[draw(15)],
			     .identifier = TEXT("id"),
			     .key = any_key(),
			     .nonce = ps_bytes(payload, PS_NONCE_SIZE),
			     .digest = ps_bytes(digest, PS_DIGEST_SIZE),
			     .part = draw(3) ? 0 : draw(3),
			     .compressor = draw(10) ? 0 : draw(70000),
			     .length = draw(5) ? size : draw(2 << 20),
			     .subscribers = draw(3),
			     .dictionary = draw(3),
			     .zstd = draw(2),
			     .training = draw(2),
			     .payload = ps_bytes(payload, size)};

	f.compressed_length = draw(9) ? f.length : size;
	assert_ok(ps_digest_of(f.payload, digest));
	return f;
}

/* What a subscriber would answer, for some time at least. */
static void answer_some(struct client *c)
{
	struct ps_frame f;
	const char *header;

	for (; c->next < c->count; c->next++) {
		struct ps_bytes m = ps_bytes(c->got[c->next].data, c->got[c->next].size);

		assert_int_equal(ps_frame_decode(&f, &header, PS_BROADCASTER, m), PS_FRAME_OK);
		if (f.type == PS_FRAME_RECEIVE_STREAM && c->socket && draw(10))
			answer_part(c, &f,
				    draw(10) ? f.compressed_length == f.payload.size : draw(2));
	}
}

static void send_something(struct client *c)
{
	uint8_t digest[PS_DIGEST_SIZE], bytes[PAYLOAD + 512];
	struct ps_stateful_message *m;
	struct ps_frame f = any_frame(digest);
	size_t size;

	c->wire.form = draw(2) ? PS_FORM_MINIMAL : PS_FORM_EXPANDED;
	assert_ok(ps_stateful_encode(&m, &c->wire, &f, 0));
	size = m->out.head.size;
	assert_true(size <= sizeof(bytes));
	memcpy(bytes, m->out.head.data, size);
	ps_stateful_free(&m);
	if (!draw(20))
		bytes[draw((unsigned)size)] ^= (uint8_t)(1 << draw(8));
	if (!draw(40))
		size = draw((unsigned)size);
	send_bytes(c, ps_bytes(bytes, size));
}

static void one_peer(void)
{
	struct client *c = draw(20) ? new_session() : new_client();

	for (int i = 0; i < STEPS && c->socket; i++) {
		send_something(c);
		if (!draw(3))
			wait_ms(0);
		answer_some(c);
	}
	wait_ms(1);
	answer_some(c);
	free_client(c);
}

static void wrong_peers_disturb_nobody(void **state)
{
	struct client *publisher, *subscriber;

	(void)state;
	for (int i = 0; i < 2; i++)
		peers_auths[i] = (struct ps_auth){.replay = NULL};
	publisher = new_session();
	subscriber = new_session();
	peers_change(subscriber, PS_FRAME_SUBSCRIBE_EXACT, "mine");
	for (int i = 0; i < PEERS; i++) {
		one_peer();
		peers_notify(publisher, "mine", TEXT("hello"));
		take_message(subscriber, TEXT("hello"));
		/* those who are subscribed to everything have it, too */
		peers_next_frame(publisher, PS_FRAME_CONFIRM_NOTIFY);
	}
	wait_ms(50);
	assert_int_equal(b.peers.count, 2);
	assert_int_equal(ps_db_count(b.db), 1);
	assert_int_equal(b.budget.memory_used, 0);
	assert_int_equal(b.budget.disk_used, 0);
	assert_true(b.peers.ended[PS_PEER_PROTOCOL_ERROR] > PEERS / 2);
	assert_int_equal(b.peers.last_number, PEERS + 2);
	free_client(publisher);
	free_client(subscriber);
}

RUN_TESTS(CASE(wrong_peers_disturb_nobody))
