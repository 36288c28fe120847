/*
 * Fuzz target: bodies of the stateless protocol. The first byte chooses the decoder. What is
 * accepted has one encoding only: encoded again it is the same bytes.
 */
#include <stdlib.h>

#include "probes/pubsub/ps_etag.h"
#include "probes/pubsub/ps_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Encodes what was decoded from `body`; 0, or the decoder's error. */
typedef int exchange(struct osp_buffer *out, struct ps_bytes body, size_t *used);

static void check(int error)
{
	if (error)
		abort();
}

static int notify(struct osp_buffer *out, struct ps_bytes body, size_t *used)
{
	struct ps_notify m;
	int r = ps_message_decode_notify(&m, body, used);

	if (!r)
		check(ps_message_encode_notify(out, &m));
	return r;
}

static int receive(struct osp_buffer *out, struct ps_bytes body, size_t *used)
{
	struct ps_receive m;
	int r = ps_message_decode_receive(&m, body, used);

	if (!r)
		check(ps_message_encode_receive(out, &m));
	return r;
}

static int subscribe(struct osp_buffer *out, struct ps_bytes body, size_t *used)
{
	struct ps_subscribe m;
	int r = ps_message_decode_subscribe(&m, body, true, true);

	(void)used;
	if (!r)
		check(ps_message_encode_subscribe(out, &m, true));
	return r;
}

static int unsubscribe(struct osp_buffer *out, struct ps_bytes body, size_t *used)
{
	struct ps_subscribe m;
	int r = ps_message_decode_subscribe(&m, body, false, false);

	(void)used;
	if (!r)
		check(ps_message_encode_subscribe(out, &m, false));
	return r;
}

static int check_subscriptions(struct osp_buffer *out, struct ps_bytes body, size_t *used)
{
	struct ps_check m;
	int r = ps_message_decode_check(&m, body);

	(void)used;
	if (!r)
		check(ps_message_encode_check(out, &m));
	return r;
}

static void check_order(struct ps_bytes a, struct ps_bytes b)
{
	size_t n = a.size < b.size ? a.size : b.size;
	int d = n ? memcmp(a.data, b.data, n) : 0;

	if (d > 0 || (!d && a.size >= b.size))
		abort();
}

/* Builds the list anew from its entries: in order, and as many as it says. */
static void check_list(const struct ps_list *list)
{
	struct ps_list_builder b = {.packed.max = SIZE_MAX / 4};
	struct ps_list left = *list;
	struct ps_entry e, last = {0};

	for (; !ps_list_next(&left, &e); last = e) {
		if (b.count)
			check_order(last.key, e.key);
		check(ps_list_add(&b, &e));
	}
	if (b.count != list->count || left.packed.size ||
	    !ps_bytes_equal(ps_list_of(&b).packed, list->packed))
		abort();
	osp_buffer_clear(&b.packed);
}

static int set_subscriptions(struct osp_buffer *out, struct ps_bytes body, size_t *used)
{
	uint8_t etag[PS_DIGEST_SIZE];
	struct ps_set m;
	int r = ps_message_decode_set(&m, body);

	(void)used;
	if (r)
		return r;
	check_list(&m.exact);
	check_list(&m.globs);
	check(ps_etag_of(etag, m.url, &m.exact, &m.globs));
	check(ps_message_encode_set(out, &m));
	return 0;
}

static int missed(struct osp_buffer *out, struct ps_bytes body, size_t *used)
{
	struct ps_missed m;
	int r = ps_message_decode_missed(&m, body);

	(void)used;
	if (!r)
		check(ps_message_encode_missed(out, &m));
	return r;
}

static int response(struct osp_buffer *out, struct ps_bytes body, size_t *used)
{
	struct ps_response m;
	int r = ps_message_decode_response(&m, body);

	(void)used;
	if (!r)
		check(ps_message_encode_response(out, &m));
	return r;
}

static exchange *const exchanges[] = {
	notify, receive, subscribe, unsubscribe, check_subscriptions, set_subscriptions,
	missed, response};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct osp_buffer out = OSP_BUFFER_INIT(SIZE_MAX / 4);
	struct ps_bytes body;
	size_t used;

	if (!size)
		return 0;
	body = ps_bytes(data + 1, size - 1);
	used = body.size;
	if (!exchanges[data[0] % 8](&out, body, &used) &&
	    !ps_bytes_equal(ps_bytes(out.data, out.size), ps_bytes(body.data, used)))
		abort();
	osp_buffer_clear(&out);
	return 0;
}
