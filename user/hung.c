/*
 * Operations that hang (struct osp_hung): which of those that are open are worth a look into their
 * blocks, where steps may lie that no record has brought. Part of the stitcher.
 */
#include "user/stitcher.h"

bool osp_stitch_carries(const struct osp_stitch *s, const struct osp_open *o)
{
	for (size_t i = 0; i < o->operation->transition_count; i++) {
		const struct osp_point *p = o->operation->transitions[i].point;

		if (!p->foreign && osp_roster_wants(s->roster, o->tracee, p, s->now_ns) &&
		    !osp_roster_fires(s->roster, o->tracee, p, s->now_ns))
			return true;
	}
	return false;
}

void osp_stitch_note_hung(struct osp_stitch *s, struct osp_open *o)
{
	if (!o->block || !osp_list_empty(&o->by_hung) ||
	    (o->hung_ns && s->now_ns - o->hung_ns < s->limits.start_part_ns) ||
	    !osp_stitch_carries(s, o))
		return;
	o->hung_ns = s->now_ns;
	osp_list_add(&s->hung, &o->by_hung);
}

static void describe(const struct osp_open *o, struct osp_hung *out)
{
	const struct osp_process_row *row = &o->tracee->row;

	*out = (struct osp_hung){.op_id = o->id,
				 .block = o->block,
				 .start_ns = (uint64_t)row->start_ns,
				 .pid = row->pid,
				 .tid = o->tid,
				 .slot = o->tracee->slot,
				 .exec_id = row->exec_id,
				 .next = (uint32_t)o->sequence.next,
				 .point = o->block_point,
				 .numbers = o->block_numbers};
}

size_t osp_stitch_hung(struct osp_stitch *s, struct osp_hung *out, size_t most)
{
	size_t n = 0;

	while (n < most && !osp_list_empty(&s->hung)) {
		struct osp_open *o = osp_list_entry(s->hung.next, struct osp_open, by_hung);

		osp_list_remove(&o->by_hung);
		describe(o, &out[n++]);
	}
	return n;
}

size_t osp_stitch_under_way(const struct osp_stitch *s, struct osp_hung *out, size_t most)
{
	size_t n = 0;

	for (struct osp_list *l = s->by_part.next; n < most && l != &s->by_part; l = l->next) {
		struct osp_open *o = osp_list_entry(l, struct osp_open, by_part);

		if (o->block && osp_stitch_carries(s, o))
			describe(o, &out[n++]);
	}
	return n;
}
