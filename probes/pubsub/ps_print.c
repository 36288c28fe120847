/* What psp-subscriber writes to its standard output. Pure but for the write; owns nothing. */
#include "probes/pubsub/ps_print.h"

#include <stdio.h>

#include "user/base/text.h"

int ps_print_message(struct ps_log *out, const struct ps_delivery *d, struct ps_bytes text)
{
	struct ps_line line;

	ps_log_begin(&line, out, "message");
	ps_log_text(&line, "topic", d->topic);
	ps_log_number(&line, "bytes", (int64_t)d->message->size);
	ps_log_hex(&line, "identifier", d->identifier);
	ps_log_hex(&line, "sha512", ps_bytes(d->digest, 8));
	ps_log_text(&line, "text", text);
	return ps_log_end(&line);
}

int ps_print_missed(struct ps_log *out, struct ps_bytes topic)
{
	struct ps_line line;

	ps_log_begin(&line, out, "missed");
	ps_log_text(&line, "topic", topic);
	return ps_log_end(&line);
}

int ps_print_connection(struct ps_log *out, const char *state)
{
	struct ps_line line;

	ps_log_begin(&line, out, "connection");
	ps_log_append(&line, state);
	return ps_log_end(&line);
}

int ps_print_check(struct ps_log *out, const struct ps_checked *c)
{
	bool ok = c->outcome == PS_OUTCOME_OK && (c->equal || c->repaired);
	struct ps_line line;

	ps_log_begin(&line, out, ok ? "checked" : "refused");
	ps_log_append(&line, !ok ? "check" : c->equal ? "equal" : "repaired");
	ps_log_word(&line, "outcome", ps_outcome_to_str(c->outcome));
	ps_log_number(&line, "status", c->status);
	if (!ok)
		ps_log_word(&line, "reason", c->reason);
	return ps_log_end(&line);
}

int ps_print_change(struct ps_log *out, const struct ps_changed *c)
{
	bool ok = ps_changed_is_success(c);
	char head[64], key[4 * 512 + 1];
	struct ps_line line;

	snprintf(head, sizeof(head), "%s%s %s", ok ? "" : "refused ",
		 c->subscribe ? ok ? "subscribed" : "subscribe"
		 : ok	      ? "unsubscribed"
			      : "unsubscribe",
		 c->kind == PS_DB_GLOB ? "glob" : "exact");
	ps_log_begin(&line, out, head);
	osp_text_escape(key, sizeof(key), c->key.data, c->key.size < 512 ? c->key.size : 512);
	ps_log_append(&line, key);
	ps_log_word(&line, "outcome", ps_outcome_to_str(c->outcome));
	ps_log_number(&line, "status", c->status);
	ps_log_number(&line, "count", c->count);
	if (!ok)
		ps_log_word(&line, "reason", c->reason);
	return ps_log_end(&line);
}

int ps_print_unknown_command(struct ps_log *out, struct ps_bytes command)
{
	struct ps_line line;

	ps_log_begin(&line, out, "refused");
	ps_log_text(&line, "command", command);
	ps_log_word(&line, "reason", "unknown_command");
	return ps_log_end(&line);
}
