/* Options of web sockets by argp. Fed by psp-subscriber and psp-notify. */
#include "probes/pubsub/ps_session_argp.h"

#include <stdlib.h>
#include <string.h>

#include "probes/pubsub/ps_options.h"

enum option_key {
	WS = 0x2000,
	SENT,
	RECEIVED,
	EXPANDED,
	COUNTER,
	PING,
	ANSWER,
	STABLE,
	WINDOW,
	UNSENT,
	QUEUE,
	ZSTD,
	TRAINING,
	PRESET,
	DICTIONARY,
};

enum { SIZE_LEAST = 1024 };

static const struct argp_option options[] = {
	{NULL, 0, NULL, 0, "Web sockets:", 5},
	{"ws", WS, NULL, 0,
	 "keep a web socket to a broadcaster, for all that goes both ways, and connect again when it"
	 " is lost",
	 5},
	{"ws-message", SENT, "SIZE", 0, "send larger messages in parts of this size (3584K)", 5},
	{"ws-receive", RECEIVED, "SIZE", 0, "largest part received (16M)", 5},
	{"expanded-headers", EXPANDED, NULL, 0, "send the names of headers, too", 5},
	{"stream-counter", COUNTER, "WHAT", 0,
	 "what the broadcaster counts of a message in parts: part, message, or auto, to learn it"
	 " from the first (auto)",
	 5},
	{"ping", PING, "TIME", 0, "ask whether a silent broadcaster is there, 0 = never (20s)", 5},
	{"answer-timeout", ANSWER, "TIME", 0,
	 "how long the next answer may take, 0 = any time (30s)", 5},
	{"stable-after", STABLE, "TIME", 0,
	 "a connection that is lost after it lasted so long is renewed at once (1s)", 5},
	{"window", WINDOW, "N", 0, "parts sent before the first is confirmed (3)", 5},
	{"max-unsent", UNSENT, "N", 0, "messages that wait to be confirmed (255)", 5},
	{"max-received", QUEUE, "N", 0, "messages that wait for their handler (255)", 5},
	{"zstd", ZSTD, NULL, 0, "ask for compression", 5},
	{"zstd-training", TRAINING, NULL, 0,
	 "ask for dictionaries that are trained on what the broadcaster sees, too", 5},
	{"zstd-preset", PRESET, "ID=FILE", 0,
	 "a dictionary that broadcasters have, too; may be repeated (ID from 2)", 5},
	{"zstd-initial", DICTIONARY, "ID", 0, "the preset to ask for (0: none)", 5},
	{0},
};

void ps_session_argp_init(struct ps_session_argp *a)
{
	*a = (struct ps_session_argp){0};
	ps_session_options_init(&a->options);
	a->options.presets = &a->presets;
}

void ps_session_argp_clear(struct ps_session_argp *a)
{
	ps_presets_clear(&a->presets);
}

static void set_counter(struct ps_session_options *o, const char *text, struct argp_state *state)
{
	o->is_counting_known = strcmp(text, "auto") != 0;
	o->counting = strcmp(text, "part") ? PS_COUNTING_MESSAGES : PS_COUNTING_PARTS;
	if (o->is_counting_known && strcmp(text, "part") && strcmp(text, "message"))
		argp_error(state, "--stream-counter %s: expected part, message or auto", text);
}

static size_t part_size(const char *text, const char *option, struct argp_state *state)
{
	uint64_t size = ps_options_size(text, option, state);

	if (size < SIZE_LEAST || size > 1 << 30)
		argp_error(state, "--%s %s: expected 1K to 1G", option, text);
	return size;
}

static error_t parse_bounds(int key, char *arg, struct ps_session_options *o,
			    struct argp_state *state)
{
	switch (key) {
	case SENT:
		o->message_max = part_size(arg, "ws-message", state);
		return 0;
	case RECEIVED:
		o->frame_max = part_size(arg, "ws-receive", state);
		return 0;
	case WINDOW:
		o->window = ps_options_count(arg, "window", state);
		return 0;
	case UNSENT:
		o->unsent_max = ps_options_count(arg, "max-unsent", state);
		return 0;
	case QUEUE:
		o->received_max = ps_options_count(arg, "max-received", state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_compression(int key, char *arg, struct ps_session_argp *a,
				 struct argp_state *state)
{
	switch (key) {
	case ZSTD:
		a->options.zstd = true;
		return 0;
	case TRAINING:
		a->options.zstd = a->options.training = true;
		return 0;
	case PRESET:
		if (ps_presets_add(&a->presets, arg))
			exit(2);
		return 0;
	case DICTIONARY:
		a->options.zstd = true;
		a->options.dictionary = (uint16_t)ps_options_number(arg, "zstd-initial", state);
		if (ps_options_number(arg, "zstd-initial", state) > PS_PRESET_LAST)
			argp_error(state, "--zstd-initial %s: expected 0 to %d", arg,
				   PS_PRESET_LAST);
		return 0;
	default:
		return parse_bounds(key, arg, &a->options, state);
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct ps_session_argp *a = state->input;

	switch (key) {
	case WS:
		a->wanted = true;
		return 0;
	case EXPANDED:
		a->options.form = PS_FORM_EXPANDED;
		return 0;
	case COUNTER:
		set_counter(&a->options, arg, state);
		return 0;
	case PING:
		a->options.ping_ns = ps_options_time(arg, "ping", state);
		return 0;
	case ANSWER:
		a->options.answer_ns = ps_options_time(arg, "answer-timeout", state);
		return 0;
	case STABLE:
		a->options.stable_ns = ps_options_time(arg, "stable-after", state);
		return 0;
	default:
		return parse_compression(key, arg, a, state);
	}
}

const struct argp ps_session_argp_child = {.options = options, .parser = parse};
