/* The options of the programs that can use web sockets instead of HTTP. */
#pragma once

#include <argp.h>

#include "probes/pubsub/ps_session.h"

struct ps_session_argp {
	bool wanted; /* --ws was given */
	struct ps_session_options options;
	struct ps_presets presets; /* owned: ps_session_argp_clear */
};

/* The defaults; before parsing. */
void ps_session_argp_init(struct ps_session_argp *a);
void ps_session_argp_clear(struct ps_session_argp *a);

/* A child parser for a program's argp; its input is the struct ps_session_argp. */
extern const struct argp ps_session_argp_child;
