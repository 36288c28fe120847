/*
 * One message, one frame: compressing and decompressing between spools. Fed by the sessions, which
 * chose the dictionary (ps_compressor). A message is never whole in memory for it; a frame's window
 * and the announced length bound what a hostile one costs. Owns contexts of zstd.
 */
#include "probes/pubsub/ps_zstd.h"

#include <errno.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "user/base/cleanup.h"

enum {
	CHUNK = 32 << 10,	 /* bytes read or written at once */
	SPARE_MAX = 4 << 20,	 /* bytes a spare context may keep */
	MAGIC = (int)0xfd2fb528, /* of a frame; not of an old format or one to be skipped */
};

const char *ps_zstd_verdict_to_str(enum ps_zstd_verdict v)
{
	static const char *const texts[] = {
#define X(name, text) text,
		PS_ZSTD_VERDICTS(X)
#undef X
	};

	return v < sizeof(texts) / sizeof(texts[0]) ? texts[v] : "?";
}

void ps_zstd_clear(struct ps_zstd *z)
{
	ZSTD_freeCCtx(z->compressing);
	ZSTD_freeDCtx(z->decompressing);
	*z = (struct ps_zstd){0};
}

/* ---- contexts -------------------------------------------------------------------------------- */

/* True if all were taken; what zstd refuses is a value out of range. */
static bool configure_compressing(ZSTD_CCtx *c, const struct ps_zstd_run *run, int64_t level)
{
	ZSTD_CCtx_reset(c, ZSTD_reset_session_and_parameters);
	return !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 0)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_dictIDFlag, 0)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel,
						    ps_dictionary_limit_level(level))) &&
	       !ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(c, run->from->size)) &&
	       (!run->dictionary ||
		!ZSTD_isError(ZSTD_CCtx_refCDict(c, ps_dictionary_compressing(run->dictionary))));
}

static bool configure_decompressing(ZSTD_DCtx *c, const struct ps_zstd_run *run)
{
	ZSTD_DCtx_reset(c, ZSTD_reset_session_and_parameters);
	return !ZSTD_isError(ZSTD_DCtx_setParameter(c, ZSTD_d_windowLogMax, PS_ZSTD_WINDOW_LOG)) &&
	       (!run->dictionary ||
		!ZSTD_isError(ZSTD_DCtx_refDDict(c, ps_dictionary_decompressing(run->dictionary))));
}

static void begin(struct ps_zstd_run *run, struct ps_zstd *z, struct ps_dictionary *dictionary,
		  const struct ps_spool *from, struct ps_spool *to)
{
	*run = (struct ps_zstd_run){
		.zstd = z, .dictionary = ps_dictionary_share(dictionary), .from = from, .to = to};
}

int ps_zstd_compress(struct ps_zstd_run *run, struct ps_zstd *z, struct ps_dictionary *dictionary,
		     int64_t level, const struct ps_spool *from, struct ps_spool *to)
{
	begin(run, z, dictionary, from, to);
	run->length = from->size;
	run->compressing = z->compressing ? TAKE_PTR(z->compressing) : ZSTD_createCCtx();
	if (run->compressing && configure_compressing(run->compressing, run, level))
		return 0;
	ps_zstd_stop(run);
	return -ENOMEM;
}

int ps_zstd_decompress(struct ps_zstd_run *run, struct ps_zstd *z, struct ps_dictionary *dictionary,
		       uint64_t length, const struct ps_spool *from, struct ps_spool *to)
{
	begin(run, z, dictionary, from, to);
	run->length = length;
	run->decompressing = z->decompressing ? TAKE_PTR(z->decompressing) : ZSTD_createDCtx();
	if (run->decompressing && configure_decompressing(run->decompressing, run))
		return 0;
	ps_zstd_stop(run);
	return -ENOMEM;
}

/* A context without the dictionary, which may go; a large one is not worth keeping. */
static void keep_spare(struct ps_zstd_run *run)
{
	struct ps_zstd *z = run->zstd;

	if (run->compressing && !z->compressing &&
	    ZSTD_sizeof_CCtx(run->compressing) <= SPARE_MAX) {
		z->compressing = TAKE_PTR(run->compressing);
		ZSTD_CCtx_reset(z->compressing, ZSTD_reset_session_and_parameters);
	}
	if (run->decompressing && !z->decompressing &&
	    ZSTD_sizeof_DCtx(run->decompressing) <= SPARE_MAX) {
		z->decompressing = TAKE_PTR(run->decompressing);
		ZSTD_DCtx_reset(z->decompressing, ZSTD_reset_session_and_parameters);
	}
}

void ps_zstd_stop(struct ps_zstd_run *run)
{
	if (!run->zstd)
		return;
	keep_spare(run);
	ZSTD_freeCCtx(run->compressing);
	ZSTD_freeDCtx(run->decompressing);
	ps_dictionary_free(&run->dictionary);
	*run = (struct ps_zstd_run){0};
}

/* ---- steps ----------------------------------------------------------------------------------- */

static enum ps_zstd_verdict judge_error(size_t code)
{
	switch (ZSTD_getErrorCode(code)) {
	case ZSTD_error_frameParameter_windowTooLarge:
		return PS_ZSTD_WINDOW;
	case ZSTD_error_dictionary_wrong:
		return PS_ZSTD_DICTIONARY;
	case ZSTD_error_memory_allocation:
		return PS_ZSTD_UNAVAILABLE;
	default:
		return PS_ZSTD_CORRUPT;
	}
}

static enum ps_zstd_verdict write_out(struct ps_zstd_run *run, const ZSTD_outBuffer *out)
{
	int r = out->pos ? ps_spool_add(run->to, out->dst, out->pos) : 0;

	if (r == -EFBIG || r == -ENOSPC)
		return PS_ZSTD_NO_SPACE;
	return r ? PS_ZSTD_UNAVAILABLE : PS_ZSTD_MORE;
}

static enum ps_zstd_verdict compress_chunk(struct ps_zstd_run *run, ZSTD_inBuffer *in,
					   ZSTD_outBuffer *out)
{
	bool is_last = run->read + in->size == run->from->size;
	size_t r = ZSTD_compressStream2(run->compressing, out, in,
					is_last ? ZSTD_e_end : ZSTD_e_continue);
	enum ps_zstd_verdict v;

	if (ZSTD_isError(r)) /* it takes any bytes */
		return PS_ZSTD_UNAVAILABLE;
	if (run->to->size + out->pos >= run->length)
		return PS_ZSTD_LARGER;
	v = write_out(run, out);
	return v || !is_last || in->pos < in->size || r ? v : PS_ZSTD_DONE;
}

static bool is_frame(const ZSTD_inBuffer *in)
{
	const uint8_t *b = in->src;

	return in->size < 4 ||
	       (b[0] | b[1] << 8 | b[2] << 16 | (uint32_t)b[3] << 24) == (uint32_t)MAGIC;
}

static enum ps_zstd_verdict judge_end(const struct ps_zstd_run *run, const ZSTD_inBuffer *in)
{
	if (run->read + in->pos < run->from->size)
		return PS_ZSTD_TRAILING;
	return run->to->size < run->length ? PS_ZSTD_TOO_LITTLE : PS_ZSTD_DONE;
}

static enum ps_zstd_verdict decompress_chunk(struct ps_zstd_run *run, ZSTD_inBuffer *in,
					     ZSTD_outBuffer *out)
{
	enum ps_zstd_verdict v;
	size_t r;

	if (!run->read && !is_frame(in))
		return PS_ZSTD_CORRUPT;
	r = ZSTD_decompressStream(run->decompressing, out, in);
	if (ZSTD_isError(r))
		return judge_error(r);
	if (out->pos > run->length - run->to->size)
		return PS_ZSTD_TOO_MUCH;
	v = write_out(run, out);
	if (v)
		return v;
	if (!r)
		return judge_end(run, in);
	return in->size || out->pos ? PS_ZSTD_MORE : PS_ZSTD_CUT;
}

/* What zstd leaves of a chunk is read again: nothing is kept between two. */
static enum ps_zstd_verdict next_chunk(struct ps_zstd_run *run, uint64_t *worked)
{
	uint8_t input[CHUNK], output[CHUNK];
	ssize_t n = ps_spool_read(run->from, run->read, input, sizeof(input));
	ZSTD_inBuffer in = {input, (size_t)(n > 0 ? n : 0), 0};
	ZSTD_outBuffer out = {output, sizeof(output), 0};
	enum ps_zstd_verdict v;

	if (n < 0)
		return PS_ZSTD_UNAVAILABLE;
	v = run->compressing ? compress_chunk(run, &in, &out) : decompress_chunk(run, &in, &out);
	run->read += in.pos;
	*worked += in.pos + out.pos;
	return v;
}

enum ps_zstd_verdict ps_zstd_step(struct ps_zstd_run *run, uint64_t slice)
{
	enum ps_zstd_verdict v = PS_ZSTD_MORE;

	for (uint64_t worked = 0; v == PS_ZSTD_MORE && worked < slice;)
		v = next_chunk(run, &worked);
	if (v != PS_ZSTD_MORE)
		ps_zstd_stop(run);
	return v;
}
