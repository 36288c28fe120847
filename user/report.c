/*
 * Reports of peers (user/report.h), fed by reported with the bytes that an operation got. Owns
 * nothing: records point into the bytes.
 */
#include "user/report.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

enum { HEAD = 3, TIMES = 16 };
static const uint64_t time_max = 1ull << 62; /* times beyond make no sense */

/* ---- records ---- */

static bool take(struct osp_report_reader *r, size_t size, const uint8_t **out)
{
	if (size > r->left)
		return false;
	*out = r->at;
	r->at += size;
	r->left -= size;
	return true;
}

static bool take_string(struct osp_report_reader *r, const char **out, size_t *size)
{
	const uint8_t *at;

	if (!take(r, 2, &at))
		return false;
	*size = (size_t)at[0] << 8 | at[1];
	if (!take(r, *size, &at))
		return false;
	*out = (const char *)at;
	return true;
}

static bool take_time(struct osp_report_reader *r, int64_t *out)
{
	const uint8_t *at;
	uint64_t bits;
	double seconds;

	if (!take(r, sizeof(bits), &at))
		return false;
	memcpy(&bits, at, sizeof(bits));
	bits = be64toh(bits);
	memcpy(&seconds, &bits, sizeof(seconds));
	*out = seconds >= 0 && seconds < (double)time_max / 1e9 ? (int64_t)(seconds * 1e9 + 0.5)
								: -1;
	return true;
}

static bool take_record(struct osp_report_reader *r, struct osp_report_record *out)
{
	return take_string(r, &out->name, &out->name_size) &&
	       take_string(r, &out->json, &out->json_size) && take_time(r, &out->time_ns);
}

/* Whole, the records end just where the times begin. */
int osp_report_start(struct osp_report_reader *r, const void *data, size_t size, size_t true_size)
{
	const uint8_t *bytes = data;
	struct osp_report_reader ahead;
	struct osp_report_record record;
	uint16_t count, n = 0;
	bool whole;

	if (size > true_size || size < HEAD || true_size < HEAD + TIMES || bytes[0] > 1)
		return -EBADMSG;
	whole = size == true_size;
	size = size < true_size - TIMES ? size : true_size - TIMES;
	count = (uint16_t)(bytes[1] << 8 | bytes[2]);
	ahead = (struct osp_report_reader){.at = bytes + HEAD, .left = size - HEAD};
	while (n < count && take_record(&ahead, &record))
		n++;
	if (!n || (whole && (n < count || ahead.left)))
		return -EBADMSG;
	*r = (struct osp_report_reader){
		.at = bytes + HEAD, .left = size - HEAD, .count = n, .cut = bytes[0] || n < count};
	return 0;
}

int osp_report_next(struct osp_report_reader *r, struct osp_report_record *out)
{
	if (!r->count || !take_record(r, out))
		return 1;
	r->count--;
	return 0;
}

/* ---- the clock ---- */

/*
 * The peer had the request for a part of the time that we waited; the rest was under way, there and
 * back. Taking both ways for equally long, the error is at most one of them.
 */
void osp_report_set_clock(struct osp_report_clock *c, int64_t sent_ns, uint64_t peer_received_ns,
			  uint64_t peer_sent_ns, int64_t received_ns)
{
	bool sane = peer_received_ns && peer_received_ns <= peer_sent_ns && peer_sent_ns < time_max;
	int64_t received_there = peer_received_ns < time_max ? (int64_t)peer_received_ns : 0;
	int64_t under_way;

	*c = (struct osp_report_clock){.offset_ns = received_there - sent_ns,
				       .error_ns = -1,
				       .from_ns = sent_ns,
				       .to_ns = received_ns > sent_ns ? received_ns : sent_ns};
	under_way = c->to_ns - sent_ns - (int64_t)(sane ? peer_sent_ns - peer_received_ns : 0);
	if (!sane || under_way < 0)
		return;
	c->error_ns = under_way / 2 + under_way % 2;
	c->offset_ns -= under_way / 2;
	c->from_ns += under_way / 2;
	c->to_ns -= c->error_ns;
}

int64_t osp_report_time(const struct osp_report_clock *c, int64_t peer_ns)
{
	int64_t time_ns;

	if (peer_ns < 0 || peer_ns >= (int64_t)time_max)
		return peer_ns < 0 ? c->from_ns : c->to_ns;
	time_ns = peer_ns - c->offset_ns;
	if (time_ns < c->from_ns)
		return c->from_ns;
	return time_ns > c->to_ns ? c->to_ns : time_ns;
}
