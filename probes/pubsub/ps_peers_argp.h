/* The broadcaster's options about web sockets. */
#pragma once

#include <argp.h>

#include "probes/pubsub/ps_peers.h"

/* The defaults; before parsing. The presets are the caller's and filled by the options. */
void ps_peers_options_init(struct ps_peers_options *o, struct ps_presets *presets);

/* A child parser for the program's argp; its input is the struct ps_peers_options. */
extern const struct argp ps_peers_argp;
