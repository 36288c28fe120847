/*
 * From the bytes of one record to the steps in it: struct osp_event. The bytes come from another
 * process' memory by way of the kernel: nothing in them is trusted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "probes/catalogue.h"
#include "user/event.h"
#include "user/input.h"

/* A record being decoded. */
struct osp_decoder {
	const struct osp_catalogue *catalogue;
	const struct osp_record *record;
	const uint8_t *data;
	size_t size; /* of data */
	bool done;
};

/*
 * Starts on a record of `size` bytes (8-aligned, borrowed until the decoder is done with).
 * -EBADMSG: it is shorter than it says, or of a kind or point that nobody knows.
 */
int osp_decode_start(struct osp_decoder *d, const struct osp_catalogue *c,
		     const struct osp_record *record, size_t size);

/* The next step: 0 got one, 1 no more, -EBADMSG the arguments are not those of the point. */
int osp_decode_next(struct osp_decoder *d, struct osp_event *event);

/* True for records that carry steps. */
bool osp_decode_has_steps(const struct osp_record *record);
