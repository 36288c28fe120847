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
	const struct osp_numbers_table *numbers; /* of its steps; NULL = no such table */
	const uint8_t *data;			 /* not yet decoded */
	size_t size;				 /* of it */
	int64_t next;  /* the least sequence that the next step can have */
	bool stepless; /* the header tells of no step */
	bool trapped;  /* the step that the header tells of has come, or failed to */
	bool done;
	bool broken;	 /* a step made no sense, and where the next one begins is unknown */
	int64_t time_ns; /* of the record */
};

/*
 * When the record was made; seen_ns: when it was found in the ring. What is marked UNTIMED was made
 * when its stamp says, but a program may have forged that: not before the time that the record
 * tells, and not after it was seen.
 */
int64_t osp_decode_time(const struct osp_decode_with *with, const struct osp_record *record,
			int64_t seen_ns);

/*
 * Starts on a record of `size` bytes (8-aligned, borrowed until the decoder is done with), made
 * at time_ns.
 * -EBADMSG: it is shorter than it says, or of a kind or point that nobody knows.
 */
int osp_decode_start(struct osp_decoder *d, struct osp_decode_with *with,
		     const struct osp_record *record, size_t size, int64_t time_ns);

/*
 * The next step: 0 got one, 1 no more. -EBADMSG: a step that cannot be decoded; event->point says
 * of which point it was, NULL if that is unknown, too. The steps behind it may still be good.
 */
int osp_decode_next(struct osp_decoder *d, struct osp_event *event);

/*
 * All steps of the record at once, if it has several and nothing about them is doubtful. False: it
 * has not; the steps are to be taken one by one. The decoder stays at the start of the record.
 */
bool osp_decode_run(const struct osp_decoder *d, struct osp_run *run);

/* The i-th step of the run as an event, until the next call. */
const struct osp_event *osp_decode_event(struct osp_run *run, size_t i);

/* True for records that carry steps. */
bool osp_decode_has_steps(const struct osp_record *record);
