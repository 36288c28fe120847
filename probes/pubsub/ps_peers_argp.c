/* How an administrator sets what web sockets may do. Used by psp-broadcaster.c. Owns nothing. */
#include "probes/pubsub/ps_peers_argp.h"

#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_options.h"
#include "probes/pubsub/ps_preset.h"

enum option_key {
	WEBSOCKETS = 0x300,
	ACCEPT_TIMEOUT,
	PING,
	WS_MESSAGE,
	WS_RECEIVED,
	PENDING_SENDS,
	UNPROCESSED,
	UNACKNOWLEDGED,
	DIRECT_TIMEOUT,
	EXPANDED_HEADERS,
	STREAM_COUNTER,
	NO_ZSTD,
	NO_TRAINING,
	ZSTD_PRESET,
	TRAIN_FIRST,
	TRAIN_SECOND,
	TRAIN_INTERVAL,
};

static const struct argp_option options[] = {
	{NULL, 0, NULL, 0, "Connections by web socket:", 3},
	{"max-websockets", WEBSOCKETS, "N", 0, "at a time, 0 = none are taken (1000)", 3},
	{"accept-timeout", ACCEPT_TIMEOUT, "TIME", 0, "to open, and again to say who is there (5s)",
	 3},
	{"ping-interval", PING, "TIME", 0,
	 "a silent one is asked after this time, half of it to answer, 0s = never (20s)", 3},
	{"max-ws-message", WS_MESSAGE, "SIZE", 0, "larger messages are sent in parts (3584K)", 3},
	{"max-ws-received", WS_RECEIVED, "SIZE", 0, "a larger web socket message ends it (16M)", 3},
	{"max-pending-sends", PENDING_SENDS, "N", 0, "more that is not sent ends it (255)", 3},
	{"max-unprocessed", UNPROCESSED, "N", 0,
	 "more that came and is not looked at ends it (255)", 3},
	{"max-unacknowledged", UNACKNOWLEDGED, "N", 0, "parts sent before one is confirmed (3)", 3},
	{"direct-timeout", DIRECT_TIMEOUT, "TIME", 0,
	 "a large message is copied if it is not sent by then (300ms)", 3},
	{"expanded-headers", EXPANDED_HEADERS, NULL, 0, "send headers with their names", 3},
	{"stream-counter", STREAM_COUNTER, "WHAT", 0,
	 "sign with a counter of: part, message (as lonelypsc expects) or auto, which is message "
	 "(auto)",
	 3},
	{"no-zstd", NO_ZSTD, NULL, 0, "compress nothing, whoever asks for it", 3},
	{"no-training", NO_TRAINING, NULL, 0, "train no dictionaries, whoever asks for them", 3},
	{"zstd-preset", ZSTD_PRESET, "ID[:LEVEL]=FILE", 0,
	 "a dictionary that peers have, too, and may ask for; may be repeated", 3},
	{"train-first", TRAIN_FIRST, "SIZE", 0,
	 "train a dictionary after so much on a connection (100K)", 3},
	{"train-second", TRAIN_SECOND, "SIZE", 0, "train a better one after so much (10M)", 3},
	{"train-interval", TRAIN_INTERVAL, "TIME", 0, "and another one after each such time (24h)",
	 3},
	{0},
};

void ps_peers_options_init(struct ps_peers_options *o, struct ps_presets *presets)
{
	*o = (struct ps_peers_options){.sockets = {.count_max = 1000,
						   .message_max = 16 << 20,
						   .memory_max = 256 << 20,
						   .accept_ns = 5000000000,
						   .ping_ns = 20000000000,
						   .close_ns = 2000000000},
				       .unprocessed_max = 255,
				       .unprocessed_bytes = 16 << 20,
				       .pending_max = 255,
				       .unacknowledged_max = 3,
				       .subscriptions_max = 100000,
				       .message_max = 3584 << 10,
				       .direct_ns = 300000000,
				       .form = PS_FORM_MINIMAL,
				       .counting = PS_COUNTING_MESSAGES,
				       .zstd = true,
				       .training = true,
				       .presets = presets};
	ps_trainer_options_init(&o->trainer);
}

static enum ps_counting parse_counting(const char *text, struct argp_state *state)
{
	if (!strcmp(text, "part"))
		return PS_COUNTING_PARTS;
	if (strcmp(text, "message") && strcmp(text, "auto"))
		argp_error(state, "--stream-counter %s: expected part, message or auto", text);
	return PS_COUNTING_MESSAGES;
}

static bool parse_connection(int key, char *arg, struct ps_peers_options *o,
			     struct argp_state *state)
{
	switch (key) {
	case WEBSOCKETS:
		o->sockets.count_max = (unsigned)ps_options_number(arg, "max-websockets", state);
		return true;
	case ACCEPT_TIMEOUT:
		o->sockets.accept_ns = ps_options_time(arg, "accept-timeout", state);
		return true;
	case PING:
		o->sockets.ping_ns = ps_options_time(arg, "ping-interval", state);
		return true;
	case WS_MESSAGE:
		o->message_max = ps_options_size(arg, "max-ws-message", state);
		return true;
	case WS_RECEIVED:
		o->sockets.message_max = ps_options_size(arg, "max-ws-received", state);
		return true;
	case PENDING_SENDS:
		o->pending_max = ps_options_count(arg, "max-pending-sends", state);
		return true;
	case UNPROCESSED:
		o->unprocessed_max = ps_options_count(arg, "max-unprocessed", state);
		return true;
	case UNACKNOWLEDGED:
		o->unacknowledged_max = ps_options_count(arg, "max-unacknowledged", state);
		return true;
	case DIRECT_TIMEOUT:
		o->direct_ns = ps_options_time(arg, "direct-timeout", state);
		return true;
	case EXPANDED_HEADERS:
		o->form = PS_FORM_EXPANDED;
		return true;
	case STREAM_COUNTER:
		o->counting = parse_counting(arg, state);
		return true;
	default:
		return false;
	}
}

static bool parse_zstd(int key, char *arg, struct ps_peers_options *o, struct argp_state *state)
{
	switch (key) {
	case NO_ZSTD:
		o->zstd = false;
		return true;
	case NO_TRAINING:
		o->training = false;
		return true;
	case ZSTD_PRESET:
		if (ps_presets_add(o->presets, arg))
			exit(2);
		return true;
	case TRAIN_FIRST:
		o->trainer.low = ps_options_size(arg, "train-first", state);
		return true;
	case TRAIN_SECOND:
		o->trainer.high = ps_options_size(arg, "train-second", state);
		return true;
	case TRAIN_INTERVAL:
		o->trainer.period_ns = ps_options_time(arg, "train-interval", state);
		return true;
	default:
		return false;
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct ps_peers_options *o = state->input;

	return parse_connection(key, arg, o, state) || parse_zstd(key, arg, o, state)
		       ? 0
		       : ARGP_ERR_UNKNOWN;
}

const struct argp ps_peers_argp = {options, parse, NULL, NULL, NULL, NULL, NULL};
