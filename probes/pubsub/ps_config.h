/* The two JSON files of the programs: settings and secrets. */
#pragma once

#include "probes/pubsub/ps_auth.h"

/*
 * Replaces `--config FILE` (or --config=FILE) by the file's settings, in front of the other
 * arguments so that these win: an object whose keys are long option names; values are strings,
 * numbers, true (the bare option), false or null (nothing), or lists of strings and numbers (the
 * option again and again). Without --config the arguments stay as they are. Says on stderr what
 * is wrong. The new list is the process's until it ends. -errno.
 */
int ps_config_expand(int *argc, char ***argv);

/*
 * Reads a secrets file as upstream writes it: {"version": "2", "to-broadcaster": {"type":
 * "hmac" or "token", "secret": TEXT}, "to-subscriber": {...}}; a missing key is none. Says on
 * stderr what is wrong. -errno.
 */
int ps_config_read_secrets(struct ps_auth *a, const char *path);
