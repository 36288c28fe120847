/* The queue of a subscriber: what changes or compares its subscriptions goes one at a time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct ps_change;

/* Something that waits for its turn, or has it; embedded in its owner. */
struct ps_turn {
	struct ps_turn *next;
	void (*run)(struct ps_turn *t);	 /* its turn has come */
	void (*over)(struct ps_turn *t); /* it is over: tells whoever asked, and frees it */
	void (*drop)(struct ps_turn *t); /* nobody wants to know any more: stops and frees it */
	struct ps_change *change;	 /* whose turn it is, or NULL: something else's */
};

/* All zero but `end`, which ps_turns_init sets. */
struct ps_turns {
	struct ps_turn *first, **end;
	size_t count;
	bool running; /* the first one has its turn */
};

void ps_turns_init(struct ps_turns *q);

/* Drops all that wait, and the one that has its turn. */
void ps_turns_clear(struct ps_turns *q);

/* Puts it at the end. */
void ps_turns_push(struct ps_turns *q, struct ps_turn *t);

/* Runs the first one unless it has its turn already. */
void ps_turns_run(struct ps_turns *q);

/* Takes it out, whether it had its turn or not, ends it, and lets the next one run. */
void ps_turns_finish(struct ps_turns *q, struct ps_turn *t);
