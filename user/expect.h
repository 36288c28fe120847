/*
 * Users' rules over a session (probes/expectation.h): collects the passings that they speak of, then
 * finds those that nothing followed, or that something followed which never should. Pure.
 */
#pragma once

#include "probes/expectation.h"
#include "store/view.h"

/* Something happened that a rule speaks of. */
struct osp_passing_of_rule {
	uint32_t rule;
	bool expected; /* it is what the rule expects, or forbids; else what comes before that */
	uint64_t same; /* equal for those that belong together */
	int64_t time_ns;
	uint64_t trace, place; /* key; place among the traces of the session */
	uint64_t operation;
	uint32_t process, marks;
};

/* A rule that does not hold: of `never`, the one that came is `that`. */
struct osp_broken {
	const struct osp_expectation *rule;
	const struct osp_passing_of_rule *that, *after; /* after: NULL if the rule has none */
};

struct osp_expect {
	const struct osp_expectations *rules; /* borrowed */
	struct osp_passing_of_rule *passings; /* owned */
	size_t count, max;
	uint64_t valueless; /* passings without the value that the rule compares: left out */
};

void osp_expect_clear(struct osp_expect *e);

/* Enters one operation; `steps` are its events in order. -E2BIG: more than max passings. -ENOMEM. */
int osp_expect_add(struct osp_expect *e, const struct osp_operation *operation,
		   const struct osp_span *root, const struct osp_span_event *const *steps,
		   size_t count, uint64_t place);

/* Tells every rule that does not hold, rule by rule. Returns the first that `tell` returns but 0. */
int osp_expect_find(struct osp_expect *e, int (*tell)(void *arg, const struct osp_broken *b),
		    void *arg);
