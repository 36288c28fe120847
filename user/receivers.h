/* Which recorded process receives for which subscriber, and when its receipts were looked at. */
#pragma once

#include "store/session.h"
#include "user/roles.h"

struct osp_receivers;

/* Reads what was attached. -ENOMEM or a store's error. */
int osp_receivers_new(struct osp_receivers **out, const struct osp_session *s,
		      const struct osp_roles *roles);
void osp_receivers_free(struct osp_receivers **r);

/*
 * The process receives for the subscriber. Of subscribers beyond a maximum, and those whose name
 * was cut off, nothing is known. -ENOMEM.
 */
int osp_receivers_add(struct osp_receivers *r, const struct osp_value *subscriber,
		      uint32_t process);

/* True if a receipt for the subscriber in that time (boot time) would be in the session. */
bool osp_receivers_were_seen(const struct osp_receivers *r, const struct osp_value *subscriber,
			     int64_t from_ns, int64_t to_ns);

/* The bytes that tell a subscriber from others; NULL: its name was cut off, or is not known. */
const void *osp_receivers_key(const struct osp_value *subscriber, size_t *size);
