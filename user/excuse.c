/*
 * What seems wrong and is no fault of the programs (user/checker.h): where steps were lost, what was
 * not attached, what an implementation lacks. Fed by the books and by what was attached; asked by
 * the other files of a check. Owns nothing.
 */
#include "user/checker.h"

static const int64_t near_ns = 1000000000; /* a loss as near as this may have hit it */

bool osp_check_is_lossy(const struct osp_check *c, uint32_t process, int64_t from_ns, int64_t to_ns)
{
	const struct osp_check_state *s = c->state;

	return osp_books_search_gaps(s->gaps, s->gap_count, process, from_ns, to_ns);
}

bool osp_check_is_uncertain(const struct osp_check *c, const struct osp_span *root)
{
	return root->marks & (OSP_MARK_MAY_BE_CUT | OSP_MARK_STEPS_UNKNOWN) ||
	       osp_check_is_lossy(c, root->process, root->start_ns, root->end_ns);
}

static bool lacks(const struct osp_catalogue *c, const struct osp_point *p)
{
	for (size_t i = 0; i < c->implementation_count; i++)
		for (size_t k = 0; k < c->implementations[i]->lack_count; k++)
			if (c->implementations[i]->lacks[k] == p)
				return true;
	return false;
}

/*
 * It was not there to be attached if others of its level were, and some implementation is known to
 * lack it.
 */
enum osp_check_cause osp_check_why_unseen(const struct osp_check *c, uint32_t process,
					  const struct osp_point *p)
{
	int64_t from_ns;

	return !osp_watch_begin(c->watch, process, p, &from_ns) &&
			       osp_watch_reaches(c->watch, process, p->level) &&
			       lacks(c->watch->catalogue, p)
		       ? OSP_CHECK_NOT_PROVIDED
		       : OSP_CHECK_NOT_OBSERVED;
}

/* Until when the recording was there to see what followed. */
static int64_t watched_until(const struct osp_check *c)
{
	const struct osp_session *s = c->session;

	if (!s->ended)
		return s->committed_ns;
	if (c->books->to_ns)
		return c->books->to_ns;
	return s->clock_count ? s->clocks[s->clock_count - 1].boot_ns : s->committed_ns;
}

/* Somewhere the point that was expected was attached all the time. */
static bool is_expected_seen(const struct osp_check *c, const struct osp_occasion *o,
			     int64_t from_ns, int64_t to_ns)
{
	bool seen = !c->watch->count;

	for (size_t i = 0; !seen && i < c->watch->count; i++) {
		const struct osp_watch_row *row = &c->watch->rows[i];
		bool named = o->point ? row->point == o->point : false;

		for (size_t k = 0; !o->point && k < o->operation->point_count; k++)
			named = named || o->operation->points[k] == row->point;
		seen = named && row->from_ns <= from_ns && (!row->to_ns || row->to_ns >= to_ns);
	}
	return seen;
}

enum osp_check_cause osp_check_why_unanswered(const struct osp_check *c, const struct osp_broken *b)
{
	int64_t until_ns;

	if (b->rule->never)
		return OSP_CHECK_NONE;
	if (__builtin_add_overflow(b->that->time_ns, b->rule->within_ns, &until_ns))
		until_ns = INT64_MAX;
	if (b->that->marks & OSP_MARK_MAY_BE_CUT ||
	    osp_check_is_lossy(c, 0, b->that->time_ns - near_ns, until_ns))
		return OSP_CHECK_UNKNOWN;
	if (until_ns > watched_until(c))
		return c->session->ended ? OSP_CHECK_STOPPED : OSP_CHECK_UNKNOWN;
	return is_expected_seen(c, &b->rule->expect, b->that->time_ns, until_ns)
		       ? OSP_CHECK_NONE
		       : OSP_CHECK_NOT_OBSERVED;
}
