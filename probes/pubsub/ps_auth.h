/*
 * Authorization in both directions: none, a shared token, or hmac with a replay table. One
 * secret for what goes to broadcasters, another for what goes to subscribers; each side checks
 * with one and signs with the other.
 */
#pragma once

#include "probes/pubsub/ps_replay.h"
#include "probes/pubsub/ps_sign.h"

enum ps_auth_type { PS_AUTH_NONE, PS_AUTH_TOKEN, PS_AUTH_HMAC };

/* Upstream's numbers. */
enum ps_auth_result {
	PS_AUTH_OK = 1,
	PS_AUTH_UNAUTHORIZED = 2, /* there is no authorization */
	PS_AUTH_FORBIDDEN = 3,	  /* there is one, and it is wrong, too old, or used before */
	PS_AUTH_UNAVAILABLE = 4,  /* the replay table cannot say */
};

struct ps_secret {
	enum ps_auth_type type;
	char *token;		     /* owned; PS_AUTH_TOKEN */
	uint8_t key[PS_DIGEST_SIZE]; /* PS_AUTH_HMAC */
};

struct ps_auth {
	struct ps_secret to_broadcaster; /* subscribe, notify, confirm-receive, confirm-missed */
	struct ps_secret to_subscriber;	 /* receive, missed, confirm-subscribe, confirm-notify */
	struct ps_replay *replay;	 /* borrowed from the program; may be NULL without hmac */
	int64_t lifetime_s;		 /* how far the clocks may differ; 120 upstream */
};

/* "none", "token:TOKEN" or "hmac:SECRET" (base64url of 64 bytes). -EINVAL, -ENOMEM. */
int ps_auth_parse_secret(struct ps_secret *s, const char *text);

/* When something is signed, and the random word that is signed with it; no two are alike. */
struct ps_stamp {
	uint64_t seconds;
	char nonce[16];
	char text[40]; /* both, as the authorization has them: SECONDS:NONCE; empty without hmac */
};

/* Sets the secret of a type named as in the secrets file. -EINVAL, -ENOMEM. */
int ps_auth_set_secret(struct ps_secret *s, const char *type, const char *secret);
void ps_auth_clear_secret(struct ps_secret *s);

/*
 * Appends the authorization for a message: header value and body field alike; nothing with
 * none. -ENOMEM, -EOVERFLOW, -EIO (no random bytes).
 */
int ps_auth_authorize(struct osp_buffer *out, const struct ps_secret *s, const struct ps_signed *m);

/* The same in two steps, for those who tell the stamp before they sign. -EIO (no random bytes). */
int ps_auth_stamp(struct ps_stamp *stamp, const struct ps_secret *s);
int ps_auth_sign(struct osp_buffer *out, const struct ps_secret *s, const struct ps_signed *m,
		 const struct ps_stamp *stamp);

/* The stamp of an authorization that has come, borrowed from it; empty if that is not hmac's. */
struct ps_bytes ps_auth_stamp_of(struct ps_bytes authorization);

/*
 * Checks what came with a message; no data (or size 0) is a missing authorization. A valid hmac
 * is remembered, so a second check of the same one is FORBIDDEN.
 */
enum ps_auth_result ps_auth_check(const struct ps_auth *a, const struct ps_secret *s,
				  struct ps_bytes authorization, const struct ps_signed *m);

const char *ps_auth_result_to_str(enum ps_auth_result r);

/* 401, 403, 503 (200 for OK). */
unsigned ps_auth_result_to_status(enum ps_auth_result r);
