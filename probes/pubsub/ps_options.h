/* The options that all three programs have, and what they open. */
#pragma once

#include <argp.h>

#include "probes/pubsub/ps_auth.h"
#include "probes/pubsub/ps_log.h"
#include "probes/pubsub/ps_retry.h"
#include "probes/pubsub/ps_spool.h"

enum { PS_BROADCASTERS_MAX = 64 };

struct ps_options {
	/* set by the options */
	struct ps_auth auth;
	const char *log_path;
	int verbose;
	int ready_fd; /* -1: only stderr */
	const char *replay_path;
	uint64_t replay_max;
	int64_t busy_ns;
	struct ps_budget budget;
	int64_t connect_ns, read_ns, total_ns;
	/* open while the program runs */
	struct ps_log *log;
	struct ps_replay *replay;
};

/* The defaults; before parsing. */
void ps_options_init(struct ps_options *o);

/* A child parser for a program's argp; its input is the struct ps_options. */
extern const struct argp ps_options_argp;

/*
 * Parses a program's arguments (with --config) into `input`; usage errors end the process with
 * status 2, as does a bad settings file.
 */
void ps_options_parse(const struct argp *a, int argc, char **argv, void *input);

/* Opens the log and the replay table, raises the limit of open files. -errno, said on stderr. */
int ps_options_open(struct ps_options *o);
void ps_options_close(struct ps_options *o);

/* Says "ready: <text>" on stderr and on --ready-fd. */
void ps_options_ready(struct ps_options *o, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Readers for option values; usage errors end the process. Sizes take K, M, G; times take ms, s,
 * m, h.
 */
uint64_t ps_options_size(const char *text, const char *option, struct argp_state *state);
uint64_t ps_options_number(const char *text, const char *option, struct argp_state *state);
/* Of things of which there must be at least one, and at most a million. */
unsigned ps_options_count(const char *text, const char *option, struct argp_state *state);
int64_t ps_options_time(const char *text, const char *option, struct argp_state *state);

/* Broadcasters of one --broadcaster option: urls separated by commas, trailing slashes cut. */
struct ps_broadcasters {
	struct ps_broadcaster_url list[PS_BROADCASTERS_MAX];
	size_t count;
};

void ps_options_broadcasters(struct ps_broadcasters *b, const char *text, struct argp_state *state);
void ps_options_clear_broadcasters(struct ps_broadcasters *b);
