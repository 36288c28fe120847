/*
 * The size of operation blocks. Fed by probes/header.c. A run should fit without a spill, and the
 * block lies on somebody's stack: so each point counts once with texts of an ordinary length, those
 * that come again in a loop more often (but not those of level debug: most runs are without), and
 * behind that there is room for the largest step, since a step is only begun where it fits at its
 * largest. A record takes no more than OSP_EVENT_DATA.
 */
#include "probes/block.h"

#include <stdint.h>

#include "bpf/event.h"

enum {
	ORDINARY_TEXT = 40, /* bytes of an ordinary string: a topic, a short URL, an identifier */
	ROUNDS = 4,	    /* of a loop */
};

static size_t padded(size_t bytes)
{
	return (bytes + 7) & ~(size_t)7;
}

/* With texts of at most `most` bytes. */
static size_t step_bytes(const struct osp_point *p, size_t most)
{
	size_t bytes = OSP_EVENT_STEP_HEAD;

	for (size_t i = 0; i < p->arg_count; i++) {
		const struct osp_arg *a = &p->args[i];

		bytes += 8;
		if (a->type == OSP_TYPE_STR || a->type == OSP_TYPE_BYTES)
			bytes += padded(a->max < most ? a->max : most);
		else if (a->type == OSP_TYPE_CONTEXT_IN || a->type == OSP_TYPE_CONTEXT_OUT)
			bytes += 32;
	}
	return bytes;
}

size_t osp_block_step(const struct osp_point *p)
{
	return step_bytes(p, OSP_CATALOGUE_MAX_BYTES);
}

/* For each state those that can be reached from it by at least one step, as a mask. */
static void find_reach(const struct osp_operation *op, uint64_t reach[OSP_CATALOGUE_STATES])
{
	bool grew = true;

	for (size_t i = 0; i < OSP_CATALOGUE_STATES; i++)
		reach[i] = 0;
	while (grew) {
		grew = false;
		for (size_t i = 0; i < op->transition_count; i++) {
			const struct osp_transition *t = &op->transitions[i];
			uint64_t more;

			if (t->to == OSP_STATE_END)
				continue;
			more = reach[t->from] | reach[t->to] | 1ull << t->to;
			grew |= more != reach[t->from];
			reach[t->from] = more;
		}
	}
}

/* True if a run may pass the point again and again. */
static bool is_in_loop(const struct osp_operation *op, const struct osp_point *p,
		       const uint64_t reach[OSP_CATALOGUE_STATES])
{
	for (size_t i = 0; i < op->transition_count; i++) {
		const struct osp_transition *t = &op->transitions[i];

		if (t->point == p && t->to != OSP_STATE_END &&
		    (t->to == t->from || reach[t->to] >> t->from & 1))
			return true;
	}
	return false;
}

size_t osp_block_room(const struct osp_operation *op)
{
	uint64_t reach[OSP_CATALOGUE_STATES];
	size_t largest = 0, bytes = 0;

	find_reach(op, reach);
	for (size_t i = 0; i < op->point_count; i++) {
		const struct osp_point *p = op->points[i];
		size_t most = osp_block_step(p);

		bool often = p->level < OSP_LEVEL_DEBUG && is_in_loop(op, p, reach);

		bytes += step_bytes(p, ORDINARY_TEXT) * (often ? ROUNDS : 1);
		largest = most > largest ? most : largest;
	}
	bytes += largest;
	return bytes < OSP_EVENT_DATA ? bytes : OSP_EVENT_DATA;
}
