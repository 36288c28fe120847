/*
 * Where an operation that never ended has stopped, as a session tells: after which step, and what
 * became of its process. For the commands that show.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/session.h"
#include "store/view.h"

enum osp_halt_kind {
	OSP_HALT_OPEN,	  /* it was under way when the session was last written */
	OSP_HALT_DIED,	  /* its process ended */
	OSP_HALT_REPLACED /* its process called exec */
};

struct osp_halt {
	enum osp_halt_kind kind;
	const char *step;  /* the last one known: borrowed from the spans */
	int64_t step_ns;   /* boot time of it */
	int64_t silent_ns; /* from then on until its process ended, or the session */
	int32_t exit_code; /* DIED: as in wait(2) */
};

/*
 * Of an operation among the spans of its trace. False: it ended, is a nested span, timed out, or has
 * no step.
 */
bool osp_halt_find(const struct osp_session *s, const struct osp_span *spans, size_t count,
		   const struct osp_span *of, struct osp_halt *out);

enum { OSP_HALT_TEXT = 160 };

/*
 * "died after stored (killed by signal 9)", "no step since stored, 12.30 s": a step's name is cut
 * off at 40 bytes, not escaped. Returns out.
 */
const char *osp_halt_text(const struct osp_session *s, const struct osp_halt *h,
			  char out[OSP_HALT_TEXT]);
