/* Urls of subscribers and broadcasters: what is accepted, what is signed, what is sent. */
#pragma once

#include "probes/pubsub/ps_wire.h"

/*
 * 0 for an absolute http or https url with a host, without user, blanks or control characters;
 * else -EINVAL. Only such urls are ever connected to.
 */
int ps_url_check(struct ps_bytes url);

/* The part that is signed and sent: without the fragment (a receiver never sees that). */
struct ps_bytes ps_url_without_fragment(struct ps_bytes url);

/* Host and port exactly as written, for the Host header. The url has passed the check. */
struct ps_bytes ps_url_authority(struct ps_bytes url);

/* The path as written, "" if there is none. The url has passed the check. */
struct ps_bytes ps_url_path(struct ps_bytes url);
