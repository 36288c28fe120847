/* Messages and their deliveries as text or JSON, and the sums of all. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include "user/delivery.h"

enum { OSP_MANIFEST_REASONS = 16 };

struct osp_manifest_sums {
	uint64_t messages, failed, deliveries, relays;
	uint64_t states[OSP_DELIVERY_STATES];
	uint64_t received, confirmed, again, told, strays;
	/* of the missing ones, by what is said of them; names are copies */
	struct {
		char name[48];
		uint64_t count;
	} reasons[OSP_MANIFEST_REASONS]; /* the last one takes what has no room */
	size_t reason_count;
};

struct osp_manifest {
	FILE *out;
	const struct osp_session *session; /* borrowed */
	bool utc, json;
	bool missing; /* only what is missing */
	struct osp_manifest_sums sums;
};

/* Counts a message, and writes it if it is asked for. trace_id: of its trace. -ENOMEM. */
int osp_manifest_write(struct osp_manifest *m, const struct osp_delivery_list *l,
		       const struct osp_publication *message, const uint8_t trace_id[16]);

/* Writes the sums. -ENOMEM. */
int osp_manifest_write_sums(const struct osp_manifest *m);
