/*
 * What a session's recorder watched: the catalogue it was made with, and which points were attached
 * in which process from when to when. For the commands that run automata over what is stored.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probes/catalogue.h"
#include "store/session.h"

enum { OSP_WATCH_BYTES = OSP_CATALOGUE_POINTS / 8 };

/* A point was attached in a process from then to then; 0 = still is. */
struct osp_watch_row {
	uint32_t process;
	const struct osp_point *point;
	int64_t from_ns, to_ns;
};

struct osp_watch {
	struct osp_catalogue *catalogue; /* owned; NULL: it makes no sense (a damaged file) */
	struct osp_watch_row *rows;	 /* owned; by process */
	size_t count;
};

/* Reads it; the session is borrowed for the call. -ENOMEM or a store's error. */
int osp_watch_new(struct osp_watch **out, const struct osp_session *s);
void osp_watch_free(struct osp_watch **w);

/* The operation of those names, or NULL. */
const struct osp_operation *osp_watch_operation(const struct osp_watch *w, const char *provider,
						const char *name);

/*
 * Sets the bits of the points that were attached in the process all the time. A process of which
 * nothing is told (it ended too soon) is taken to be as all others together, a session that tells
 * nothing (a replayed one, say) to have had everything.
 */
void osp_watch_find(const struct osp_watch *w, uint32_t process, int64_t from_ns, int64_t to_ns,
		    uint8_t visible[OSP_WATCH_BYTES]);

/* When the point was attached in the process first. False: never, or that is not told. */
bool osp_watch_begin(const struct osp_watch *w, uint32_t process, const struct osp_point *p,
		     int64_t *from_ns);

/* True if points of this level, or of a more detailed one, were attached in the process. */
bool osp_watch_reaches(const struct osp_watch *w, uint32_t process, enum osp_level level);

static inline bool osp_watch_sees(const uint8_t *visible, const struct osp_point *p)
{
	return visible[p->number / 8] >> (p->number % 8) & 1;
}
