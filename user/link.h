/*
 * From steps to link ends: remembers, per open operation, the values that the catalogue's link
 * rules name, and hands the spans that carry them to the matcher (user/match.h). Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "probes/catalogue.h"
#include "user/event.h"
#include "user/match.h"
#include "user/open.h"

struct osp_linker;

/* The catalogue and the matcher are borrowed. -ENOMEM. */
int osp_link_new(struct osp_linker **out, const struct osp_catalogue *c, struct osp_matcher *m);
void osp_link_free(struct osp_linker **l);

/* Whether steps of the point bring evidence to the operation. */
bool osp_link_heeds(const struct osp_linker *l, const struct osp_operation *o,
		    const struct osp_point *p);

/* A step was added to a span of the operation. -ENOMEM or what the matcher returns. */
int osp_link_step(struct osp_linker *l, struct osp_open *o, const struct osp_event *e, size_t span);

/* Whether a partner of the span has been seen that the rule leads to, be it certain or not. */
bool osp_link_is_paired(const struct osp_open *o, const struct osp_link *rule, size_t span);

/* The operation's spans have ended; what is remembered of it beyond its ends is forgotten. */
void osp_link_close(struct osp_open *o);
