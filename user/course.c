/*
 * Courses (user/course.h), fed by the stitcher with the decisions of its walk and asked by it for
 * those that it need not make again. Owns the moves and points of each.
 */
#include "user/course.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/hash.h"

static void clear(struct osp_course *c)
{
	while (c->outcomes) {
		struct osp_outcome *o = c->outcomes;

		c->outcomes = o->next;
		osp_outcome_free(&o);
	}
	free(c->moves);
	*c = (struct osp_course){0};
}

void osp_courses_clear(struct osp_courses *c)
{
	for (size_t i = 0; i < OSP_COURSE_SETS; i++)
		for (size_t k = 0; k < OSP_COURSE_WAYS; k++)
			clear(&c->ways[i][k]);
	memset(c, 0, sizeof(*c));
}

void osp_courses_forget(struct osp_courses *c)
{
	if (!c->lesson)
		return;
	clear(c->lesson);
	c->lesson = NULL;
}

static uint64_t hash_key(const struct osp_course_key *key)
{
	uint64_t hash = osp_hash_words(key->live ^ key->operation->number, key->view);

	for (size_t i = 0; i < key->count; i += 4) {
		size_t left = key->count - i;
		uint64_t word = 0;

		memcpy(&word, key->points + i, (left < 4 ? left : 4) * sizeof(*key->points));
		hash = osp_hash_words(hash, word + left);
	}
	return hash;
}

static bool is_same(const struct osp_course *a, const struct osp_course_key *b, uint64_t hash)
{
	return a->moves && a->hash == hash && a->key.count == b->count &&
	       a->key.operation == b->operation && a->key.view == b->view &&
	       a->key.live == b->live && a->key.fresh == b->fresh && a->learnt == b->count &&
	       !memcmp(a->key.points, b->points, b->count * sizeof(*b->points));
}

int osp_courses_start(struct osp_courses *c, const struct osp_course_key *key)
{
	uint64_t hash = hash_key(key);
	size_t points = key->count * sizeof(*key->points);
	struct osp_course *ways = c->ways[hash % OSP_COURSE_SETS], *oldest = &ways[0];
	struct osp_move *moves = malloc(key->count * sizeof(*moves) + points);
	uint16_t *copies;

	if (!moves)
		return -ENOMEM;
	for (size_t i = 1; i < OSP_COURSE_WAYS; i++)
		if (ways[i].used < oldest->used)
			oldest = &ways[i];
	clear(oldest);
	copies = memcpy(moves + key->count, key->points, points);
	*oldest = (struct osp_course){.key = *key, .hash = hash, .used = c->uses, .moves = moves};
	oldest->key.points = copies;
	c->lesson = oldest;
	return 0;
}

struct osp_course *osp_courses_find(struct osp_courses *c, const struct osp_course_key *key)
{
	uint64_t hash = hash_key(key);
	struct osp_course *ways = c->ways[hash % OSP_COURSE_SETS];

	osp_courses_forget(c);
	c->uses++;
	for (size_t i = 0; i < OSP_COURSE_WAYS; i++)
		if (is_same(&ways[i], key, hash)) {
			ways[i].used = c->uses;
			return &ways[i];
		}
	return NULL;
}

void osp_courses_learn(struct osp_courses *c, const struct osp_point *point, uint64_t live,
		       const struct osp_move *move)
{
	struct osp_course *l = c->lesson;
	bool last = l->learnt + 1 == l->key.count;

	if (l->key.points[l->learnt] != point->number || move->unexpected ||
	    (move->ends && !last) ||
	    live != (l->learnt ? l->moves[l->learnt - 1].live : l->key.live)) {
		osp_courses_forget(c);
		return;
	}
	l->moves[l->learnt++] = *move;
	if (last)
		c->lesson = NULL;
}

void osp_courses_end(struct osp_courses *c, struct osp_course *course, struct osp_outcome *outcome)
{
	outcome->open.form = ++c->forms;
	outcome->next = course->outcomes;
	course->outcomes = outcome;
	course->outcome_count++;
}
