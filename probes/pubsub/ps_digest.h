/* SHA-512, HMAC-SHA512, SHA-256, base64 in both alphabets, and comparison in constant time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probes/pubsub/ps_wire.h"

enum {
	PS_DIGEST_SIZE = 64,
	PS_SHA256_SIZE = 32,
	PS_DIGEST_BASE64 = 88, /* characters of standard base64, with padding */
};

/* A running SHA-512. All zero = not started; clear it in any case. */
struct ps_digest {
	void *context; /* owned: OpenSSL's EVP_MD_CTX */
};

int ps_digest_start(struct ps_digest *d); /* -ENOMEM */
int ps_digest_add(struct ps_digest *d, const void *data, size_t size);
int ps_digest_stop(struct ps_digest *d, uint8_t out[PS_DIGEST_SIZE]); /* clears it, too */
void ps_digest_clear(struct ps_digest *d);

/* SHA-512, SHA-256 and HMAC-SHA512 of bytes in memory. -EIO when OpenSSL refuses. */
int ps_digest_of(struct ps_bytes bytes, uint8_t out[PS_DIGEST_SIZE]);
int ps_digest_sha256(struct ps_bytes bytes, uint8_t out[PS_SHA256_SIZE]);
int ps_digest_hmac(struct ps_bytes key, struct ps_bytes bytes, uint8_t out[PS_DIGEST_SIZE]);

/* True if equal; takes as long whatever the contents. */
bool ps_digest_equal(const void *a, const void *b, size_t size);

/* Standard base64 with padding and a NUL; `out` holds 4 * ((size + 2) / 3) + 1 characters. */
void ps_digest_to_base64(char *out, struct ps_bytes bytes);

/* The url alphabet without padding, else as above. */
void ps_digest_to_base64url(char *out, struct ps_bytes bytes);

/*
 * Reads base64 of exactly `size` bytes as Python's decoder does: characters outside the alphabet
 * are dropped, padding is optional. `url` chooses the alphabet. -EINVAL.
 */
int ps_digest_from_base64(uint8_t *out, size_t size, struct ps_bytes text, bool url);

/*
 * The Repr-Digest header: `sha-512=<base64>` among comma separated others, no spaces, and the
 * reverse. -EINVAL when there is no such member or it is not 64 bytes of strict base64.
 */
int ps_digest_parse_header(uint8_t out[PS_DIGEST_SIZE], const char *header);
void ps_digest_format_header(char out[8 + PS_DIGEST_BASE64 + 1],
			     const uint8_t digest[PS_DIGEST_SIZE]);
