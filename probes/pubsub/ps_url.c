/*
 * Views into urls. libcurl judges whether one is well formed; the views only cut where the
 * signature and the Host header need the peer's own spelling. Fed by requests (urls are
 * strangers' text) and options. Owns nothing.
 */
#include "probes/pubsub/ps_url.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>

#include "user/base/cleanup.h"

static bool has_only_visible(const char *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)p[i] <= ' ' || p[i] == 0x7f)
			return false;
	return true;
}

/* libcurl itself takes http:///host, too. */
static bool starts_with_scheme_and_host(const char *text)
{
	size_t n = !strncmp(text, "http://", 7) ? 7 : !strncmp(text, "https://", 8) ? 8 : 0;

	return n && text[n] && !strchr("/?#:", text[n]);
}

int ps_url_check(struct ps_bytes url)
{
	_cleanup_free_ char *text = NULL;
	CURLUcode bad;
	CURLU *u;

	if (!url.size || !has_only_visible(url.data, url.size))
		return -EINVAL;
	text = strndup(url.data, url.size);
	u = curl_url();
	bad = !text || !u ? CURLUE_OUT_OF_MEMORY
			  : curl_url_set(u, CURLUPART_URL, text, CURLU_DISALLOW_USER);
	curl_url_cleanup(u);
	if (bad == CURLUE_OUT_OF_MEMORY)
		return -ENOMEM;
	return bad || !starts_with_scheme_and_host(text) ? -EINVAL : 0;
}

struct ps_bytes ps_url_without_fragment(struct ps_bytes url)
{
	const char *hash = url.size ? memchr(url.data, '#', url.size) : NULL;

	return ps_bytes(url.data, hash ? (size_t)(hash - (const char *)url.data) : url.size);
}

/* Offset of the first of the characters at or after `from`, or the end. */
static size_t find_any(struct ps_bytes url, size_t from, const char *any)
{
	const char *p = url.data;

	while (from < url.size && !strchr(any, p[from]))
		from++;
	return from;
}

static size_t authority_start(struct ps_bytes url)
{
	size_t colon = find_any(url, 0, ":");

	return colon + 3 < url.size ? colon + 3 : url.size;
}

struct ps_bytes ps_url_authority(struct ps_bytes url)
{
	size_t start = authority_start(url), end = find_any(url, start, "/?#");

	return ps_bytes((const char *)url.data + start, end - start);
}

struct ps_bytes ps_url_path(struct ps_bytes url)
{
	size_t start = find_any(url, authority_start(url), "/?#"), end = find_any(url, start, "?#");

	return ps_bytes((const char *)url.data + start, end - start);
}
