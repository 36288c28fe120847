/*
 * psp-train: makes a zstd dictionary of samples. psp-broadcaster runs it, so that training keeps
 * nobody waiting. Reads all of standard input, writes to standard output.
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zdict.h>

#include "probes/pubsub/ps_wire.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

enum { SIZE_MIN = 256, SIZE_MAX_BYTES = 128 << 10, SAMPLES_MAX = 64 << 20, CPU_SECONDS = 60 };

static const char doc[] =
	"Makes a zstd dictionary of SIZE bytes at most from samples: standard input, each sample behind "
	"its size in two bytes, big-endian. Writes it to standard output.\v"
	"psp-broadcaster runs this program; for files of your own there is zstd --train.\n"
	"Exit status 0: there is a dictionary; 1: there is none.\n\n"
	"Examples:\n"
	"  psp-train 16384 < samples > dictionary\n";

static error_t parse_option(int key, char *text, struct argp_state *state)
{
	size_t *size = state->input;
	char *end;

	if (key == ARGP_KEY_END && !*size)
		argp_usage(state);
	if (key != ARGP_KEY_ARG)
		return key == ARGP_KEY_END ? 0 : ARGP_ERR_UNKNOWN;
	*size = strtoul(text, &end, 10);
	if (*end || *size < SIZE_MIN || *size > SIZE_MAX_BYTES)
		argp_error(state, "SIZE is a number from %d to %d", SIZE_MIN, SIZE_MAX_BYTES);
	return 0;
}

/* Whoever runs it may go; and it may never end by itself. */
static void limit(void)
{
	struct rlimit cpu = {CPU_SECONDS, CPU_SECONDS};

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setrlimit(RLIMIT_CPU, &cpu);
	(void)setpriority(PRIO_PROCESS, 0, 19);
}

static int read_all(struct osp_buffer *in)
{
	enum { CHUNK = 1 << 16 };

	for (;;) {
		uint8_t *to = osp_buffer_reserve(in, CHUNK);
		ssize_t n;

		if (!to)
			return osp_err(-EFBIG, "samples - they may have %d bytes", SAMPLES_MAX);
		n = read(STDIN_FILENO, to, CHUNK);
		in->size -= CHUNK - (n > 0 ? (size_t)n : 0);
		if (n <= 0)
			return n ? osp_err(-errno, "samples") : 0;
	}
}

/* Moves the samples together, their sizes elsewhere; how many there are. */
static int split(struct osp_buffer *in, struct osp_buffer *sizes)
{
	struct ps_reader r = ps_wire_reader(in->data, in->size);
	uint8_t *to = in->data;

	while (r.left) {
		struct ps_bytes sample = ps_wire_read_string(&r, 2);

		if (r.failed)
			return osp_err(-EBADMSG, "samples - the last one is cut");
		to = (uint8_t *)memmove(to, sample.data, sample.size) + sample.size;
		if (osp_buffer_add(sizes, &sample.size, sizeof(sample.size)))
			return osp_err(-ENOMEM, "samples");
	}
	return 0;
}

static int train(size_t size, const struct osp_buffer *in, const struct osp_buffer *sizes)
{
	_cleanup_free_ void *dictionary = malloc(size);
	unsigned count = (unsigned)(sizes->size / sizeof(size_t));
	size_t made;

	if (!dictionary)
		return osp_err(-ENOMEM, "dictionary");
	made = ZDICT_trainFromBuffer(dictionary, size, in->data, (const size_t *)sizes->data,
				     count);
	if (ZDICT_isError(made))
		return osp_err(-EINVAL, "a dictionary of %u samples: %s", count,
			       ZDICT_getErrorName(made));
	if (fwrite(dictionary, 1, made, stdout) != made || fflush(stdout))
		return osp_err(-errno, "write the dictionary");
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {.parser = parse_option, .args_doc = "SIZE", .doc = doc};
	struct osp_buffer in = OSP_BUFFER_INIT(SAMPLES_MAX), sizes = OSP_BUFFER_INIT(SAMPLES_MAX);
	size_t size = 0;
	int r;

	if (argp_parse(&argp, argc, argv, 0, NULL, &size))
		return 2;
	limit();
	r = read_all(&in);
	if (!r)
		r = split(&in, &sizes);
	if (!r)
		r = train(size, &in, &sizes);
	osp_buffer_clear(&in);
	osp_buffer_clear(&sizes);
	return r ? 1 : 0;
}
