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
#include "user/numbers.h"
#include "user/stamp.h"

/* What all records are decoded with; borrowed by the decoder. */
struct osp_decode_with {
	const struct osp_catalogue *catalogue;
	const struct osp_numbers_set *numbers;
	struct osp_stamps *stamps;
};

/* A record being decoded. */
struct osp_decoder {
	const struct osp_decode_with *with;
	const struct osp_record *record;
	const uint8_t *data; /* not yet decoded */
	size_t size;	     /* of it */
	int64_t next;	     /* the least sequence that the next step can have */
	bool spill;	     /* the header tells of no step */
	bool trapped;	     /* the step that the header tells of has come, or failed to */
	bool done;
};

/*
 * Starts on a record of `size` bytes (8-aligned, borrowed until the decoder is done with).
 * -EBADMSG: it is shorter than it says, or of a kind or point that nobody knows.
 */
int osp_decode_start(struct osp_decoder *d, struct osp_decode_with *with,
		     const struct osp_record *record, size_t size);

/*
 * The next step: 0 got one, 1 no more. -EBADMSG: a step that cannot be decoded; event->point says
 * of which point it was, NULL if that is unknown, too. The steps behind it may still be good.
 */
int osp_decode_next(struct osp_decoder *d, struct osp_event *event);

/* True for records that carry steps. */
bool osp_decode_has_steps(const struct osp_record *record);
