/* The lines of data that psp-subscriber writes to its standard output. */
#pragma once

#include "probes/pubsub/ps_subscriber.h"

/* Each writes one line: 0 or -errno, as nobody may read any more. */

/* A message with so much of its text. */
int ps_print_message(struct ps_log *out, const struct ps_delivery *d, struct ps_bytes text);
int ps_print_missed(struct ps_log *out, struct ps_bytes topic);

/* "connection lost", "connection receiving". */
int ps_print_connection(struct ps_log *out, const char *state);

/* "subscribed exact TOPIC ..." or "refused subscribe exact TOPIC ...", and so on. */
int ps_print_change(struct ps_log *out, const struct ps_changed *c);

/* "checked equal", "checked repaired", "refused check". */
int ps_print_check(struct ps_log *out, const struct ps_checked *c);

int ps_print_unknown_command(struct ps_log *out, struct ps_bytes command);
