/*
 * Evidence to edges (user/match.h), fed by link with ends, feeding trace and the sink. Owns a ring
 * of ends in the order in which they came, their pairs, and a table from evidence to the ends that
 * carry it: the few newest of either side. All have a maximum; the oldest end makes room for the
 * newest. The ring's memory is touched as ends come, 136 bytes for each with two matches.
 *
 * A pair's rules are tried in order: the first piece of evidence that both have decides. If it
 * agrees it is the fact, and later ones corroborate it or contradict it (then it is ambiguous).
 * If it differs, the two do not belong together, whatever weaker evidence says. A fact is
 * ambiguous, too, when another candidate that nothing contradicts carries the same.
 *
 * A contradicted pair waits until its `to` end has had time to find a fact: if it has, the claim
 * was a relayed or copied one, and the pair is dropped; so a copy cannot spoil the true link.
 */
#include "user/match.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"
#include "user/base/pages.h"
#include "user/base/pool.h"
#include "user/base/recent.h"
#include "user/open.h"

enum { SAME_MAX = 16, CANDIDATES_MAX = 64, ALSO_TEXT = 256 };
_Static_assert((int)SAME_MAX > OSP_RECENT_FEW, "a full one is crowded");

static const int64_t wait_ns = 10ll * 1000 * 1000 * 1000; /* before a missing partner counts */
static const int64_t early_ns =
	1000 * 1000 * 1000;			  /* a partner may have been lost so much earlier */
static const int64_t late_ns = 100 * 1000 * 1000; /* ... or later */

static const int64_t skew_ns = 1000 * 1000; /* by which times of one host may be off */

enum state { NOTHING, FACT, AMBIGUOUS };

struct pair {
	struct osp_match_end *from, *to;
	struct osp_list by_from, by_to;
	uint8_t agrees, differs; /* bit per match */
	uint8_t crowded;	 /* another candidate carries the same */
	bool barred;		 /* its `from` end is the cause of another for certain */
	enum state state;	 /* as the sink was told last, with the next two */
	int fact;
	uint8_t told_agrees, told_differs;
};

struct osp_matcher {
	struct osp_forest *forest; /* borrowed, as the roster */
	const struct osp_roster *roster;
	struct osp_match_out to;
	uint8_t *ring;		  /* ends, by serial number */
	size_t end_size, places;  /* of it: a power of two */
	struct osp_recent values; /* its window is the ends that there are */
	uint32_t unripe;	  /* the first end that has not had its time */
	struct osp_pool pairs;
	size_t max;
	struct osp_match_stats stats;
};

static size_t ring_size(const struct osp_matcher *m)
{
	return m->places * m->end_size;
}

static int make_tables(struct osp_matcher *m, size_t matches)
{
	m->end_size = sizeof(struct osp_match_end) + matches * sizeof(struct osp_match_value);
	for (m->places = 1; m->places < m->max;)
		m->places *= 2;
	m->ring = osp_pages_alloc(ring_size(m));
	if (!m->ring || osp_recent_init(&m->values, m->max * matches))
		return -ENOMEM;
	m->values.newest = (uint32_t)-1;
	return 0;
}

int osp_match_new(struct osp_matcher **out, const struct osp_catalogue *c, struct osp_forest *f,
		  const struct osp_roster *r, size_t max, const struct osp_match_out *to)
{
	struct osp_matcher *m = calloc(1, sizeof(*m));
	size_t matches = 1;

	if (!m)
		return -ENOMEM;
	m->forest = f;
	m->roster = r;
	m->to = *to;
	m->max = max;
	osp_pool_init(&m->pairs, sizeof(struct pair));
	for (size_t i = 0; i < c->link_count; i++)
		if (c->links[i]->match_count > matches)
			matches = c->links[i]->match_count;
	if (make_tables(m, matches)) {
		osp_match_free(&m);
		return -ENOMEM;
	}
	*out = m;
	return 0;
}

void osp_match_free(struct osp_matcher **matcher)
{
	struct osp_matcher *m = *matcher;

	if (!m)
		return;
	osp_pages_free(m->ring, ring_size(m));
	osp_recent_clear(&m->values);
	osp_pool_clear(&m->pairs);
	free(m);
	*matcher = NULL;
}

static struct osp_match_end *end_at(const struct osp_matcher *m, uint32_t serial)
{
	return (struct osp_match_end *)(m->ring + (serial & (m->places - 1)) * m->end_size);
}

static uint32_t oldest(const struct osp_matcher *m)
{
	return m->values.newest - m->values.count + 1;
}

/* ---- evidence ---- */

static uint64_t hash_evidence(const struct osp_link *rule, size_t n, const uint64_t hash[2])
{
	return osp_hash_words(hash[0], (uint64_t)rule->number << 8 | n);
}

void osp_match_expect(const struct osp_matcher *m, const struct osp_link *rule, size_t n,
		      const uint64_t hash[2])
{
	osp_recent_expect(&m->values, hash_evidence(rule, n, hash));
}

static bool carries(const struct osp_match_end *e, const struct osp_link *rule, size_t n,
		    const uint64_t hash[2])
{
	return e->rule == rule && e->sought >> n & 1 && e->values[n].hash[0] == hash[0] &&
	       e->values[n].hash[1] == hash[1];
}

/* The newest ends of one side that carry what `e` carries for match `n`; newest first. */
static size_t find_same(const struct osp_matcher *m, const struct osp_match_end *e, size_t n,
			bool to, struct osp_match_end *out[SAME_MAX])
{
	const uint64_t *hash = e->values[n].hash;
	uint32_t serials[CANDIDATES_MAX];
	size_t count = osp_recent_find(&m->values, hash_evidence(e->rule, n, hash), CANDIDATES_MAX,
				       serials);
	size_t same = 0;

	for (size_t i = 0; i < count && same < SAME_MAX; i++) {
		struct osp_match_end *other = end_at(m, serials[i]);

		if (other->to == to && carries(other, e->rule, n, hash))
			out[same++] = other;
	}
	return same;
}

void osp_match_add_value(struct osp_matcher *m, struct osp_match_end *e, size_t n,
			 const uint64_t hash[2], int64_t time_ns)
{
	uint64_t found_by = hash_evidence(e->rule, n, hash);
	struct osp_match_end *same[SAME_MAX];

	e->values[n] = (struct osp_match_value){.hash = {hash[0], hash[1]}, .time_ns = time_ns};
	e->present |= (uint8_t)(1u << n);
	if (osp_recent_crowded(&m->values, found_by) &&
	    find_same(m, e, n, e->to, same) == SAME_MAX) {
		same[SAME_MAX - 1]->sought &= (uint8_t) ~(1u << n);
		osp_recent_remove(&m->values, found_by, same[SAME_MAX - 1]->serial);
		m->stats.evicted++;
	}
	e->sought |= (uint8_t)(1u << n);
	osp_recent_add(&m->values, found_by, e->serial);
}

/* ---- ends ---- */

/* The pair at a node of one end's list. */
static struct pair *pair_at(const struct osp_match_end *e, struct osp_list *node)
{
	return e->to ? osp_list_entry(node, struct pair, by_to)
		     : osp_list_entry(node, struct pair, by_from);
}

static bool sees_evidence(const struct osp_matcher *m, const struct osp_match_end *e,
			  const struct osp_operation *partner)
{
	for (size_t i = 0; i < e->rule->match_count; i++) {
		const struct osp_match *match = &e->rule->matches[i];
		const struct osp_refs *other = e->to ? &match->from : &match->to;

		for (size_t k = 0; k < other->count; k++)
			if (osp_operation_has_point(partner, other->refs[k].point) &&
			    osp_roster_sees(m->roster, other->refs[k].point))
				return true;
	}
	return false;
}

/*
 * True if the partner would have been seen, whichever operation it is: a point that carries its
 * evidence is attached somewhere.
 */
static bool partner_is_seen(const struct osp_matcher *m, const struct osp_match_end *e)
{
	const struct osp_side *other = e->to ? &e->rule->from : &e->rule->to;

	for (size_t i = 0; i < other->count; i++)
		if (!sees_evidence(m, e, other->ends[i].operation))
			return false;
	return true;
}

/* The ends are removed soon: they, and what they pin, may begin to move. */
static void expect_removal(const struct osp_matcher *m, uint32_t serial)
{
	const struct osp_match_end *soon = end_at(m, serial + 4);

	osp_trace_expect_node(end_at(m, serial + 2)->node);
	for (size_t at = 0; at < m->end_size; at += 64)
		__builtin_prefetch((const char *)soon + at, 1);
}

static void remove_oldest(struct osp_matcher *m)
{
	struct osp_match_end *e = end_at(m, oldest(m));

	while (!osp_list_empty(&e->pairs)) {
		struct pair *p = pair_at(e, e->pairs.next);

		osp_list_remove(&p->by_from);
		osp_list_remove(&p->by_to);
		osp_pool_free(&m->pairs, p);
	}
	if (e->latest && *e->latest == e)
		*e->latest = NULL;
	osp_list_remove(&e->of_operation);
	osp_trace_unpin(m->forest, e->node);
	m->values.count--;
}

/* ---- pairs ---- */

static bool in_time(const struct osp_match_value *a, const struct osp_match_value *b,
		    int64_t within_ns)
{
	int64_t apart = a->time_ns - b->time_ns;

	return !within_ns || (apart <= within_ns && apart >= -within_ns);
}

/* What the evidence of two ends says: bits of those that agree and of those that differ. */
static void compare(const struct osp_match_end *from, const struct osp_match_end *to,
		    uint8_t *agrees, uint8_t *differs)
{
	*agrees = *differs = 0;
	for (size_t i = 0; i < from->rule->match_count; i++) {
		const struct osp_match_value *a = &from->values[i], *b = &to->values[i];

		if (!((from->present & to->present) >> i & 1))
			continue;
		if (memcmp(a->hash, b->hash, sizeof(a->hash)) != 0)
			*differs |= (uint8_t)(1u << i);
		else if (in_time(a, b, from->rule->matches[i].within_ns))
			*agrees |= (uint8_t)(1u << i);
	}
}

/* The lowest bit is the strongest evidence. */
static bool is_candidate(uint8_t agrees, uint8_t differs)
{
	return agrees && (!differs || __builtin_ctz(agrees) < __builtin_ctz(differs));
}

static bool is_weak(const struct osp_link *rule, uint8_t agrees)
{
	return rule->matches[__builtin_ctz(agrees)].grade == OSP_GRADE_WEAK;
}

/*
 * True if the effect had the evidence before its supposed cause began: with evidence that many carry
 * it was another's. Stronger evidence should be nobody else's: if it is, that is not explained away.
 */
static bool is_too_late(const struct osp_match_end *from, const struct osp_match_end *to,
			uint8_t agrees)
{
	int64_t had_ns = to->values[__builtin_ctz(agrees)].time_ns, late_by_ns;

	if (from->begin_unknown || !is_weak(from->rule, agrees))
		return false;
	return !__builtin_sub_overflow(from->start_ns, had_ns, &late_by_ns) && late_by_ns > skew_ns;
}

static struct pair *find_pair(const struct osp_match_end *from, const struct osp_match_end *to)
{
	const struct osp_match_end *e = to;

	for (struct osp_list *l = e->pairs.next; l != &e->pairs; l = l->next)
		if (pair_at(e, l)->from == from)
			return pair_at(e, l);
	return NULL;
}

/* Two ends that share evidence: compares all they have, and makes or renews their pair. */
static int meet(struct osp_matcher *m, struct osp_match_end *from, struct osp_match_end *to)
{
	struct pair *p = find_pair(from, to);
	uint8_t agrees, differs;

	if (from->node == to->node)
		return 0;
	compare(from, to, &agrees, &differs);
	if (!p && (!is_candidate(agrees, differs) || is_too_late(from, to, agrees)))
		return 0;
	if (!p) {
		p = osp_pool_alloc(&m->pairs);
		if (!p)
			return -ENOMEM;
		*p = (struct pair){.from = from, .to = to};
		osp_list_add(&from->pairs, &p->by_from);
		osp_list_add(&to->pairs, &p->by_to);
	}
	p->agrees = agrees;
	p->differs = differs;
	return 0;
}

/* True if the effect has no other candidate. */
static bool is_only(const struct pair *p)
{
	size_t others = 0;

	for (struct osp_list *l = p->to->pairs.next; l != &p->to->pairs; l = l->next)
		others += pair_at(p->to, l) != p && !pair_at(p->to, l)->barred;
	return !others;
}

/*
 * One cause has one effect. If of several with weak evidence one can have no other cause, then the
 * cause is taken, and the others are another's.
 */
static void bar(struct osp_match_end *from)
{
	struct pair *taken = NULL;

	for (struct osp_list *l = from->pairs.next; l != &from->pairs; l = l->next) {
		struct pair *p = pair_at(from, l);

		if (!p->agrees || p->differs || !is_weak(from->rule, p->agrees))
			return;
		if (p->barred || !is_only(p))
			continue;
		if (taken)
			return;
		taken = p;
	}
	for (struct osp_list *l = from->pairs.next; taken && l != &from->pairs; l = l->next)
		if (pair_at(from, l) != taken && pair_at(from, l)->state == NOTHING)
			pair_at(from, l)->barred = true;
}

/* Marks where the end's candidates carry the same evidence. */
static void crowd(struct osp_match_end *e)
{
	for (struct osp_list *l = e->pairs.next; l != &e->pairs; l = l->next) {
		struct pair *p = pair_at(e, l);

		for (struct osp_list *k = l->next; k != &e->pairs; k = k->next) {
			struct pair *other = pair_at(e, k);
			uint8_t same = p->agrees & other->agrees;

			if (p->differs || other->differs || p->barred || other->barred)
				continue;
			p->crowded |= same;
			other->crowded |= same;
		}
	}
}

/* Appends what fits. */
static size_t add_text(char text[ALSO_TEXT], size_t used, const char *more)
{
	size_t size = strnlen(more, ALSO_TEXT - 1 - used);

	memcpy(text + used, more, size);
	text[used + size] = 0;
	return used + size;
}

static void say_also(const struct pair *p, char text[ALSO_TEXT])
{
	const struct osp_link *rule = p->from->rule;
	size_t used = 0;

	text[0] = 0;
	for (size_t i = 0; i < rule->match_count; i++) {
		bool differs = p->differs >> i & 1, agrees = p->agrees >> i & 1;

		if ((int)i == p->fact || (!agrees && !differs) || used + 3 > ALSO_TEXT)
			continue;
		if (used)
			text[used++] = ',';
		if (differs)
			text[used++] = '!';
		used = add_text(text, used, rule->matches[i].evidence);
	}
}

static int tell_edge(struct osp_matcher *m, const struct pair *p)
{
	const struct osp_link *rule = p->from->rule;
	const struct osp_match *match = &rule->matches[p->fact];
	char also[ALSO_TEXT];
	struct osp_edge edge = {
		.from = p->from->node->id + p->from->number,
		.to = p->to->node->id + p->to->number,
		.rule = rule->name,
		.makes = osp_makes_to_str(rule->makes),
		.evidence = match->evidence,
		.grade = osp_grade_to_str(p->state == FACT ? match->grade : OSP_GRADE_AMBIGUOUS),
		.lasting = true, /* the catalogue outlives every session */
	};
	int r;

	say_also(p, also);
	edge.also = also[0] ? also : NULL;
	r = m->to.edge(m->to.arg, &edge);
	if (!r && p->state == AMBIGUOUS)
		r = m->to.mark(m->to.arg, p->to->node, OSP_MARK_AMBIGUOUS);
	return r;
}

static bool has_fact(const struct osp_match_end *e)
{
	for (struct osp_list *l = e->pairs.next; l != &e->pairs; l = l->next)
		if (pair_at(e, l)->state == FACT)
			return true;
	return false;
}

/* What the pair is now. One that was told cannot be taken back: it becomes ambiguous. */
static enum state judge_pair(const struct pair *p)
{
	if (p->state == NOTHING && (p->barred || !is_candidate(p->agrees, p->differs) ||
				    (p->differs && (!p->to->ripe || has_fact(p->to)))))
		return NOTHING;
	if (p->differs || !p->agrees)
		return AMBIGUOUS;
	return p->crowded >> __builtin_ctz(p->agrees) & 1 ? AMBIGUOUS : FACT;
}

static void count(struct osp_matcher *m, enum state state, uint64_t change)
{
	if (state == FACT)
		m->stats.facts += change;
	if (state == AMBIGUOUS)
		m->stats.ambiguous += change;
}

/* Tells the pair if it has changed, and joins or parts the traces of its operations. */
static int settle_pair(struct osp_matcher *m, struct pair *p)
{
	enum state state = judge_pair(p), before = p->state;
	int r;

	if (state == NOTHING ||
	    (state == before && p->agrees == p->told_agrees && p->differs == p->told_differs))
		return 0;
	count(m, before, (uint64_t)-1);
	count(m, state, 1);
	p->state = state;
	if (p->agrees)
		p->fact = __builtin_ctz(p->agrees);
	p->told_agrees = p->agrees;
	p->told_differs = p->differs;
	p->from->paired = p->to->paired = true;
	r = tell_edge(m, p);
	if (!r && state == FACT && before != FACT)
		r = osp_trace_join(m->forest, p->from->node, p->to->node);
	if (!r && state != FACT && before == FACT)
		r = osp_trace_part(m->forest, p->from->node, p->to->node);
	return r;
}

static int settle_pairs(struct osp_matcher *m, const struct osp_match_end *e)
{
	for (struct osp_list *l = e->pairs.next; l != &e->pairs; l = l->next) {
		int r = settle_pair(m, pair_at(e, l));

		if (r)
			return r;
	}
	return 0;
}

/*
 * The end has had its time. Pairs that waited for it are told, unless it has found better. A
 * partner that should be there and is not may have been lost: then the trace may be cut.
 */
static int judge(struct osp_matcher *m, struct osp_match_end *e)
{
	int64_t from_ns = e->to ? e->start_ns - early_ns : e->start_ns;
	int r;

	e->ripe = true;
	r = settle_pairs(m, e);
	if (r || e->paired || e->rule->makes != OSP_MAKES_PARENT ||
	    !osp_roster_cut(m->roster, from_ns, e->end_ns + late_ns) || !partner_is_seen(m, e))
		return r;
	return m->to.mark(m->to.arg, e->node, OSP_MARK_MAY_BE_CUT);
}

/* Ends get their time in the order in which they came. */
static int judge_next(struct osp_matcher *m)
{
	return judge(m, end_at(m, m->unripe++));
}

static int evict(struct osp_matcher *m)
{
	uint32_t serial = oldest(m);
	int r;

	expect_removal(m, serial);
	m->stats.evicted++;
	r = m->unripe == serial ? judge_next(m) : judge(m, end_at(m, serial));
	remove_oldest(m);
	return r;
}

int osp_match_add_end(struct osp_matcher *m, const struct osp_link *rule, bool to,
		      struct osp_trace_node *node, struct osp_match_end **out)
{
	int r = m->values.count >= m->max ? evict(m) : 0;
	struct osp_match_end *e;

	if (r)
		return r;
	m->values.count++;
	e = end_at(m, ++m->values.newest);
	*e = (struct osp_match_end){.rule = rule,
				    .to = to,
				    .node = node,
				    .serial = m->values.newest,
				    .begin_unknown = node->open && node->open->guessed};
	osp_trace_pin(m->forest, node);
	osp_list_init(&e->pairs);
	osp_list_init(&e->of_operation);
	*out = e;
	return 0;
}

/* Oldest first: the order in which candidates came is the order in which they are told. */
static int meet_same(struct osp_matcher *m, struct osp_match_end *e, size_t n)
{
	int64_t within_ns = e->rule->matches[n].within_ns;
	struct osp_match_end *others[SAME_MAX];
	size_t count = find_same(m, e, n, !e->to, others);
	int r = 0;

	while (count-- && !r) {
		struct osp_match_end *other = others[count];

		if (in_time(&e->values[n], &other->values[n], within_ns))
			r = meet(m, e->to ? other : e, e->to ? e : other);
	}
	return r;
}

/*
 * Pairs are made first and judged together afterwards: so a pair that is not alone is never told as
 * a fact in between.
 */
int osp_match_find(struct osp_matcher *m, struct osp_match_end *e)
{
	int r = 0;

	for (size_t i = 0; i < e->rule->match_count && !r; i++)
		if (e->sought >> i & 1)
			r = meet_same(m, e, i);
	for (struct osp_list *l = e->pairs.next; l != &e->pairs && !r; l = l->next)
		r = meet(m, pair_at(e, l)->from, pair_at(e, l)->to);
	for (struct osp_list *l = e->pairs.next; l != &e->pairs && !r; l = l->next)
		bar(pair_at(e, l)->from);
	/* Many into one is what a fan-in is; one into many is ambiguous for every rule. */
	if (!e->to || e->rule->makes != OSP_MAKES_FAN_IN)
		crowd(e);
	for (struct osp_list *l = e->pairs.next; l != &e->pairs && !r; l = l->next) {
		struct pair *p = pair_at(e, l);
		struct osp_match_end *other = e->to ? p->from : p->to;

		if (!other->to || e->rule->makes != OSP_MAKES_FAN_IN)
			crowd(other);
	}
	if (!r)
		r = settle_pairs(m, e);
	for (struct osp_list *l = e->pairs.next; l != &e->pairs && !r; l = l->next)
		r = settle_pairs(m, e->to ? pair_at(e, l)->from : pair_at(e, l)->to);
	return r;
}

static bool waits(const struct osp_matcher *m)
{
	return m->unripe != m->values.newest + 1;
}

int osp_match_settle(struct osp_matcher *m, int64_t now_ns)
{
	int r = 0;

	while (!r && waits(m)) {
		const struct osp_match_end *e = end_at(m, m->unripe);

		if (!e->closed || now_ns - e->end_ns < wait_ns)
			break;
		r = judge_next(m);
	}
	return r;
}

int osp_match_stop(struct osp_matcher *m)
{
	int r = 0;

	while (!r && waits(m))
		r = judge_next(m);
	return r;
}

void osp_match_stats(const struct osp_matcher *m, struct osp_match_stats *out)
{
	*out = m->stats;
}
