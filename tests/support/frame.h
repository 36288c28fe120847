/* Messages of the stateful protocol as hexadecimal text, and parts that several of them have. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_frame.h"
#include "tests/unit/test.h"
#include "user/base/text.h"

#define NONCE_HEX  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define DIGEST_HEX NONCE_HEX "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
#define AUTH_HEX   "000461757468"
#define TRACE_HEX  "00027472"
#define ID_HEX	   "0004deadbeef"
#define TOPIC_HEX  "0007666f6f2f626172"
#define GLOB_HEX   "0005666f6f2f2a"

/* The message of a hexadecimal text, in a block of exactly its size, so that a read past it shows. */
static inline struct ps_bytes unhex(const char *hex)
{
	size_t size = strlen(hex) / 2;
	void *p = malloc(size ? size : 1);

	assert_non_null(p);
	assert_ok(osp_text_unhex(p, size, hex, strlen(hex)));
	return ps_bytes(p, size);
}

static inline void drop(struct ps_bytes b)
{
	free((void *)(uintptr_t)b.data);
}
