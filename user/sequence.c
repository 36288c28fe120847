/*
 * Sequence numbers of one operation (user/sequence.h), fed by stitch. A bounded list of gaps,
 * embedded in the open operation; owns nothing.
 */
#include "user/sequence.h"

#include <string.h>

static void drop_gap(struct osp_sequence *s, size_t i)
{
	s->gap_count--;
	memmove(&s->gaps[i], &s->gaps[i + 1], (s->gap_count - i) * sizeof(s->gaps[0]));
}

static void insert_gap(struct osp_sequence *s, size_t i, uint32_t from, uint32_t to)
{
	if (s->gap_count == OSP_SEQUENCE_GAPS) {
		s->overflowed = true;
		drop_gap(s, 0);
		i -= i > 0;
	}
	memmove(&s->gaps[i + 1], &s->gaps[i], (s->gap_count - i) * sizeof(s->gaps[0]));
	s->gaps[i].from = from;
	s->gaps[i].to = to;
	s->gap_count++;
}

/* Takes the number out of the gap that it lies in. */
static enum osp_sequence_place fill(struct osp_sequence *s, uint32_t sequence)
{
	for (size_t i = 0; i < s->gap_count; i++) {
		uint32_t from = s->gaps[i].from, to = s->gaps[i].to;

		if (sequence < from || sequence >= to)
			continue;
		drop_gap(s, i);
		if (sequence + 1 < to)
			insert_gap(s, i, sequence + 1, to);
		if (from < sequence)
			insert_gap(s, i, from, sequence);
		return OSP_SEQUENCE_LATE;
	}
	return OSP_SEQUENCE_SEEN;
}

enum osp_sequence_place osp_sequence_add(struct osp_sequence *s, uint32_t sequence)
{
	uint64_t due = s->next;

	if (sequence < due)
		return fill(s, sequence);
	s->next = sequence + 1ull;
	if (sequence == due)
		return OSP_SEQUENCE_NEXT;
	insert_gap(s, s->gap_count, (uint32_t)due, sequence);
	return OSP_SEQUENCE_AHEAD;
}

bool osp_sequence_misses(const struct osp_sequence *s, uint32_t from)
{
	for (size_t i = 0; i < s->gap_count; i++)
		if (s->gaps[i].to > from)
			return true;
	return s->overflowed;
}
