/* What tests share that play one end of a connection, in one loop with the other end. */
#pragma once

#include <stdbool.h>

#include "probes/pubsub/ps_auth.h"
#include "probes/pubsub/ps_loop.h"

enum { ENDS_PATIENCE_MS = 20000 };

/* Runs the loop until it holds, at most so long; holds NULL: all that time. Whether it holds. */
bool ends_wait(struct ps_loop *loop, bool (*holds)(void *what), void *what, int ms);

/* An authorization for each end, by the same two secrets; each remembers what it has seen. */
void ends_open_auths(struct ps_auth auths[2], struct ps_replay *replays[2]);
void ends_close_auths(struct ps_replay *replays[2]);
