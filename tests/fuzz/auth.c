/*
 * Fuzz target: what strangers put into Authorization and Repr-Digest. Of all texts only those
 * with the right token or the right MAC are let in, and a digest that is read is written back
 * to one that reads the same.
 */
#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_auth.h"
#include "probes/pubsub/ps_system.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The key is 0..63; the MAC is over the message below at this time with this nonce. */
#define SECRET                                                                                     \
	"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-Pw"
#define NOW_NS 1700000000000000000

static int64_t fixed_wall_ns(void)
{
	return NOW_NS;
}

static void check_header(const char *text)
{
	uint8_t digest[PS_DIGEST_SIZE], back[PS_DIGEST_SIZE];
	char header[8 + PS_DIGEST_BASE64 + 1];

	if (ps_digest_parse_header(digest, text))
		return;
	ps_digest_format_header(header, digest);
	if (ps_digest_parse_header(back, header) || memcmp(digest, back, sizeof(back)))
		abort();
}

static bool contains(struct ps_bytes text, const char *part)
{
	return text.size && memmem(text.data, text.size, part, strlen(part));
}

static void check_secret(const char *secret, const char *needed, struct ps_bytes given)
{
	struct ps_signed m = {.kind = PS_KIND_MISSED,
			      .recovery = ps_bytes_text("http://127.0.0.1:3002/v1/recover"),
			      .key = ps_bytes_text("foo/bar")};
	struct ps_auth a = {.lifetime_s = 120};
	struct ps_secret s = {0};
	enum ps_auth_result r;

	if (ps_auth_parse_secret(&s, secret))
		abort();
	r = ps_auth_check(&a, &s, given, &m);
	if (!given.size ? r != PS_AUTH_UNAUTHORIZED
			: r != PS_AUTH_FORBIDDEN && (r != PS_AUTH_OK || !contains(given, needed)))
		abort();
	ps_auth_clear_secret(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	ps_system.wall_ns = fixed_wall_ns;
	check_header(text);
	free(text);
	check_secret("hmac:" SECRET, ":AbCd-_:", ps_bytes(data, size));
	check_secret("token:secret", "Bearer secret", ps_bytes(data, size));
	return 0;
}
