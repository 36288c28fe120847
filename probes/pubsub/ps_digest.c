/*
 * Hashes and their texts, all by OpenSSL. Used by the authorization, by whoever streams a body
 * (publisher, broadcaster, subscriber) and for the Repr-Digest header. Owns nothing but the
 * running hash inside struct ps_digest.
 */
#include "probes/pubsub/ps_digest.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

int ps_digest_start(struct ps_digest *d)
{
	ps_digest_clear(d);
	d->context = EVP_MD_CTX_new();
	if (!d->context)
		return -ENOMEM;
	return EVP_DigestInit_ex(d->context, EVP_sha512(), NULL) == 1 ? 0 : -EIO;
}

int ps_digest_add(struct ps_digest *d, const void *data, size_t size)
{
	return EVP_DigestUpdate(d->context, data, size) == 1 ? 0 : -EIO;
}

int ps_digest_stop(struct ps_digest *d, uint8_t out[PS_DIGEST_SIZE])
{
	int ok = EVP_DigestFinal_ex(d->context, out, NULL);

	ps_digest_clear(d);
	return ok == 1 ? 0 : -EIO;
}

void ps_digest_clear(struct ps_digest *d)
{
	EVP_MD_CTX_free(d->context);
	d->context = NULL;
}

int ps_digest_of(struct ps_bytes bytes, uint8_t out[PS_DIGEST_SIZE])
{
	return EVP_Digest(bytes.data, bytes.size, out, NULL, EVP_sha512(), NULL) == 1 ? 0 : -EIO;
}

int ps_digest_sha256(struct ps_bytes bytes, uint8_t out[PS_SHA256_SIZE])
{
	return EVP_Digest(bytes.data, bytes.size, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

int ps_digest_hmac(struct ps_bytes key, struct ps_bytes bytes, uint8_t out[PS_DIGEST_SIZE])
{
	return HMAC(EVP_sha512(), key.data, (int)key.size, bytes.data, bytes.size, out, NULL)
		       ? 0
		       : -EIO;
}

bool ps_digest_equal(const void *a, const void *b, size_t size)
{
	return !CRYPTO_memcmp(a, b, size);
}

void ps_digest_to_base64(char *out, struct ps_bytes bytes)
{
	EVP_EncodeBlock((unsigned char *)out, bytes.data, (int)bytes.size);
}

void ps_digest_to_base64url(char *out, struct ps_bytes bytes)
{
	ps_digest_to_base64(out, bytes);
	out[strcspn(out, "=")] = 0;
	for (char *p = out; *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
}

static bool in_alphabet(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '+' || c == '/';
}

int ps_digest_from_base64(uint8_t *out, size_t size, struct ps_bytes text, bool url)
{
	size_t digits = (size * 8 + 5) / 6, whole = (digits + 3) / 4 * 4, n = 0;
	unsigned char clean[128], bytes[96];
	const char *p = text.data;

	if (whole > sizeof(clean))
		return -EINVAL;
	memset(clean, '=', sizeof(clean));
	for (size_t i = 0; i < text.size && p[i] != '='; i++) {
		char c = url && p[i] == '-' ? '+' : url && p[i] == '_' ? '/' : p[i];

		if (!in_alphabet(c) || (url && (p[i] == '+' || p[i] == '/')))
			continue;
		if (n == digits)
			return -EINVAL;
		clean[n++] = (unsigned char)c;
	}
	if (n != digits || EVP_DecodeBlock(bytes, clean, (int)whole) < (int)size)
		return -EINVAL;
	memcpy(out, bytes, size);
	return 0;
}

static bool is_strict_base64(const char *p, size_t size)
{
	if (size != PS_DIGEST_BASE64 || p[size - 1] != '=' || p[size - 2] != '=')
		return false;
	for (size_t i = 0; i < size - 2; i++)
		if (!in_alphabet(p[i]))
			return false;
	return true;
}

int ps_digest_parse_header(uint8_t out[PS_DIGEST_SIZE], const char *header)
{
	static const char name[] = "sha-512=";
	size_t size;

	for (const char *p = header; *p; p += size + (p[size] == ',')) {
		size = strcspn(p, ",");
		if (size < sizeof(name) - 1 || memcmp(p, name, sizeof(name) - 1))
			continue;
		p += sizeof(name) - 1;
		size -= sizeof(name) - 1;
		if (!is_strict_base64(p, size))
			return -EINVAL;
		return ps_digest_from_base64(out, PS_DIGEST_SIZE, ps_bytes(p, size), false);
	}
	return -EINVAL;
}

void ps_digest_format_header(char out[8 + PS_DIGEST_BASE64 + 1],
			     const uint8_t digest[PS_DIGEST_SIZE])
{
	memcpy(out, "sha-512=", 8);
	ps_digest_to_base64(out + 8, ps_bytes(digest, PS_DIGEST_SIZE));
}
