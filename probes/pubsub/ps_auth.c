/*
 * Makes and checks authorizations. Fed by every request and response on either side; uses the
 * signer for what is signed and the replay table for what was used. Owns the secrets' memory.
 */
#include "probes/pubsub/ps_auth.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"

enum { REPLAY_LIFETIME_S = 180, NONCE_BYTES = 4, TOKEN_MAX = 65535 - 7 };

int ps_auth_set_secret(struct ps_secret *s, const char *type, const char *secret)
{
	struct ps_secret n = {0};

	if (!strcmp(type, "token") && *secret && strlen(secret) <= TOKEN_MAX) {
		n.type = PS_AUTH_TOKEN;
		n.token = strdup(secret);
		if (!n.token)
			return -ENOMEM;
	} else if (!strcmp(type, "hmac")) {
		n.type = PS_AUTH_HMAC;
		if (ps_digest_from_base64(n.key, sizeof(n.key), ps_bytes_text(secret), true))
			return -EINVAL;
	} else if (strcmp(type, "none")) {
		return -EINVAL;
	}
	ps_auth_clear_secret(s);
	*s = n;
	return 0;
}

int ps_auth_parse_secret(struct ps_secret *s, const char *text)
{
	size_t n = strcspn(text, ":");
	char type[8];

	if (n >= sizeof(type))
		return -EINVAL;
	memcpy(type, text, n);
	type[n] = 0;
	return ps_auth_set_secret(s, type, text[n] ? text + n + 1 : "");
}

void ps_auth_clear_secret(struct ps_secret *s)
{
	free(s->token);
	explicit_bzero(s, sizeof(*s));
}

static int sign_hmac(struct osp_buffer *out, const struct ps_secret *s, const struct ps_signed *m,
		     const struct ps_stamp *stamp)
{
	char mac64[PS_DIGEST_BASE64 + 1];
	uint8_t mac[PS_DIGEST_SIZE];
	int r = ps_sign_mac(mac, ps_bytes(s->key, sizeof(s->key)), m, stamp->seconds,
			    ps_bytes_text(stamp->nonce));

	if (r)
		return r;
	ps_digest_to_base64(mac64, ps_bytes(mac, sizeof(mac)));
	return osp_buffer_print(out, "X-HMAC %s:%s", stamp->text, mac64);
}

int ps_auth_stamp(struct ps_stamp *stamp, const struct ps_secret *s)
{
	uint8_t bytes[NONCE_BYTES];
	int r = s->type == PS_AUTH_HMAC ? ps_system_random(bytes, sizeof(bytes)) : 0;

	*stamp = (struct ps_stamp){0};
	if (r || s->type != PS_AUTH_HMAC)
		return r;
	stamp->seconds = (uint64_t)(ps_system_wall_ns() / 1000000000);
	ps_digest_to_base64url(stamp->nonce, ps_bytes(bytes, sizeof(bytes)));
	snprintf(stamp->text, sizeof(stamp->text), "%" PRIu64 ":%s", stamp->seconds, stamp->nonce);
	return 0;
}

int ps_auth_sign(struct osp_buffer *out, const struct ps_secret *s, const struct ps_signed *m,
		 const struct ps_stamp *stamp)
{
	switch (s->type) {
	case PS_AUTH_TOKEN:
		return osp_buffer_print(out, "Bearer %s", s->token);
	case PS_AUTH_HMAC:
		return sign_hmac(out, s, m, stamp);
	default:
		return 0;
	}
}

int ps_auth_authorize(struct osp_buffer *out, const struct ps_secret *s, const struct ps_signed *m)
{
	struct ps_stamp stamp;
	int r = ps_auth_stamp(&stamp, s);

	return r ? r : ps_auth_sign(out, s, m, &stamp);
}

static enum ps_auth_result check_token(const struct ps_secret *s, struct ps_bytes given)
{
	size_t size = strlen(s->token);
	const char *p = given.data;

	if (given.size != 7 + size || memcmp(p, "Bearer ", 7) ||
	    !ps_digest_equal(p + 7, s->token, size))
		return PS_AUTH_FORBIDDEN;
	return PS_AUTH_OK;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* As Python's int(): blanks around, a plus sign, single underscores between digits. */
static bool parse_seconds(struct ps_bytes text, uint64_t *out)
{
	const char *p = text.data;
	size_t i = 0, end = text.size;
	uint64_t value = 0;
	bool digit = false;

	while (i < end && is_space(p[i]))
		i++;
	while (end > i && is_space(p[end - 1]))
		end--;
	if (i < end && p[i] == '+')
		i++;
	for (; i < end; i++) {
		if (p[i] == '_' && digit && i + 1 < end) {
			digit = false;
			continue;
		}
		digit = p[i] >= '0' && p[i] <= '9';
		if (!digit || value > UINT64_MAX / 100)
			return false;
		value = value * 10 + (uint64_t)(p[i] - '0');
	}
	*out = value;
	return digit;
}

/* Cuts at the first colon. */
static bool split(struct ps_bytes *head, struct ps_bytes *rest)
{
	const char *p = rest->data, *colon = rest->size ? memchr(p, ':', rest->size) : NULL;

	if (!colon)
		return false;
	*head = ps_bytes(p, (size_t)(colon - p));
	*rest = ps_bytes(colon + 1, rest->size - head->size - 1);
	return true;
}

struct hmac_header {
	uint64_t seconds;
	struct ps_bytes nonce;
	uint8_t mac[PS_DIGEST_SIZE];
};

/* X-HMAC SECONDS:NONCE:MAC */
static bool split_hmac(struct ps_bytes *seconds, struct ps_bytes *nonce, struct ps_bytes *mac,
		       struct ps_bytes given)
{
	static const char prefix[] = "X-HMAC ";

	if (given.size < sizeof(prefix) - 1 || memcmp(given.data, prefix, sizeof(prefix) - 1))
		return false;
	*mac = ps_bytes((const char *)given.data + sizeof(prefix) - 1,
			given.size - (sizeof(prefix) - 1));
	return split(seconds, mac) && split(nonce, mac);
}

static bool parse_hmac(struct hmac_header *h, struct ps_bytes given)
{
	struct ps_bytes seconds, mac;

	return split_hmac(&seconds, &h->nonce, &mac, given) &&
	       parse_seconds(seconds, &h->seconds) && h->nonce.size <= 255 &&
	       !ps_digest_from_base64(h->mac, sizeof(h->mac), mac, false);
}

struct ps_bytes ps_auth_stamp_of(struct ps_bytes authorization)
{
	struct ps_bytes seconds, nonce, mac;

	if (!split_hmac(&seconds, &nonce, &mac, authorization))
		return ps_bytes(NULL, 0);
	return ps_bytes(seconds.data, seconds.size + 1 + nonce.size);
}

static enum ps_auth_result check_replay(const struct ps_auth *a, const struct hmac_header *h,
					int64_t now)
{
	/* a clock ahead of ours keeps its signature valid for longer than the table's 180 s */
	int64_t valid_until = (int64_t)h->seconds + a->lifetime_s + 1;
	int64_t expires = now + 1 + REPLAY_LIFETIME_S;
	int r = a->replay ? ps_replay_add(a->replay, h->mac, now,
					  expires > valid_until ? expires : valid_until)
			  : 0;

	return !r ? PS_AUTH_OK : r == -EEXIST ? PS_AUTH_FORBIDDEN : PS_AUTH_UNAVAILABLE;
}

static enum ps_auth_result check_hmac(const struct ps_auth *a, const struct ps_secret *s,
				      struct ps_bytes given, const struct ps_signed *m)
{
	int64_t now = ps_system_wall_ns() / 1000000000;
	uint8_t mac[PS_DIGEST_SIZE];
	struct hmac_header h;
	int r;

	if (!parse_hmac(&h, given) || h.seconds > INT64_MAX / 2 ||
	    llabs(now - (int64_t)h.seconds) > a->lifetime_s)
		return PS_AUTH_FORBIDDEN;
	r = ps_sign_mac(mac, ps_bytes(s->key, sizeof(s->key)), m, h.seconds, h.nonce);
	if (r) /* what does not fit its field nobody has signed */
		return r == -EOVERFLOW ? PS_AUTH_FORBIDDEN : PS_AUTH_UNAVAILABLE;
	if (!ps_digest_equal(mac, h.mac, sizeof(mac)))
		return PS_AUTH_FORBIDDEN;
	return check_replay(a, &h, now);
}

enum ps_auth_result ps_auth_check(const struct ps_auth *a, const struct ps_secret *s,
				  struct ps_bytes authorization, const struct ps_signed *m)
{
	if (s->type == PS_AUTH_NONE)
		return PS_AUTH_OK;
	if (!authorization.size)
		return PS_AUTH_UNAUTHORIZED;
	return s->type == PS_AUTH_TOKEN ? check_token(s, authorization)
					: check_hmac(a, s, authorization, m);
}

const char *ps_auth_result_to_str(enum ps_auth_result r)
{
	static const char *const names[] = {"?", "ok", "unauthorized", "forbidden", "unavailable"};

	return names[r <= PS_AUTH_UNAVAILABLE ? r : 0];
}

unsigned ps_auth_result_to_status(enum ps_auth_result r)
{
	static const unsigned status[] = {500, 200, 401, 403, 503};

	return status[r <= PS_AUTH_UNAVAILABLE ? r : 0];
}
