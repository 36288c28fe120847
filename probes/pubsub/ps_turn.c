/* A list that knows its end. Fed by the subscriber; owns what waits in it. */
#include "probes/pubsub/ps_turn.h"

void ps_turns_init(struct ps_turns *q)
{
	*q = (struct ps_turns){.end = &q->first};
}

void ps_turns_clear(struct ps_turns *q)
{
	while (q->first) {
		struct ps_turn *t = q->first;

		q->first = t->next;
		t->drop(t);
	}
	ps_turns_init(q);
}

void ps_turns_push(struct ps_turns *q, struct ps_turn *t)
{
	t->next = NULL;
	*q->end = t;
	q->end = &t->next;
	q->count++;
}

void ps_turns_run(struct ps_turns *q)
{
	if (!q->first || q->running)
		return;
	q->running = true;
	q->first->run(q->first);
}

void ps_turns_finish(struct ps_turns *q, struct ps_turn *t)
{
	struct ps_turn **p = &q->first;

	if (t == q->first)
		q->running = false;
	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
	if (!t->next)
		q->end = p;
	q->count--;
	t->over(t);
	ps_turns_run(q);
}
