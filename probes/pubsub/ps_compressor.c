/*
 * A connection's table of compressors. Fed by the session with what is negotiated, enabled and
 * trained; asked by it for each message. Owns the compressors and shares of their dictionaries.
 */
#include "probes/pubsub/ps_compressor.h"

#include <errno.h>
#include <stdlib.h>

#include "user/base/cleanup.h"

enum { STANDARD_MIN = 16 << 10, SMALL_MIN = 32, SMALL_MAX = 16 << 10 };

const char *ps_compressor_fault_to_str(enum ps_compressor_fault fault)
{
	static const char *const texts[] = {
#define X(name, text) text,
		PS_COMPRESSOR_FAULTS(X)
#undef X
	};

	return fault < sizeof(texts) / sizeof(texts[0]) ? texts[fault] : "?";
}

/* ---- the table ------------------------------------------------------------------------------- */

static void free_compressor(struct ps_compressor **compressor)
{
	if (*compressor)
		ps_dictionary_free(&(*compressor)->dictionary);
	free(TAKE_PTR(*compressor));
}

void ps_compressors_clear(struct ps_compressors *c)
{
	while (c->count)
		free_compressor(&c->list[--c->count]);
}

struct ps_compressor *ps_compressors_find(const struct ps_compressors *c, uint64_t id)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->list[i]->id == id)
			return c->list[i];
	return NULL;
}

void ps_compressors_remove(struct ps_compressors *c, struct ps_compressor **compressor)
{
	size_t i = 0;

	while (c->list[i] != *compressor)
		i++;
	memmove(&c->list[i], &c->list[i + 1], (--c->count - i) * sizeof(c->list[0]));
	free_compressor(compressor);
}

static bool is_custom(uint64_t id)
{
	return id >= PS_COMPRESSOR_CUSTOM;
}

static bool is_full(const struct ps_compressors *c, uint64_t id)
{
	size_t custom = 0;

	for (size_t i = 0; i < c->count; i++)
		custom += is_custom(c->list[i]->id);
	return c->count == PS_COMPRESSORS_MAX || (is_custom(id) && custom == PS_CUSTOM_MAX);
}

/* ---- adding ---------------------------------------------------------------------------------- */

static enum ps_compressor_fault judge_error(int r)
{
	switch (r) {
	case 0:
		return PS_COMPRESSOR_FAULT_OK;
	case -EINVAL:
	case -EFBIG:
		return PS_COMPRESSOR_FAULT_SIZE;
	case -EBADMSG:
		return PS_COMPRESSOR_FAULT_DICTIONARY;
	default:
		return PS_COMPRESSOR_FAULT_UNAVAILABLE;
	}
}

/* Copies it, with the dictionary, into the table. */
static enum ps_compressor_fault add(struct ps_compressors *c, struct ps_compressor **out,
				    const struct ps_compressor *compressor)
{
	struct ps_compressor *copy = malloc(sizeof(*copy));

	if (!copy)
		return PS_COMPRESSOR_FAULT_UNAVAILABLE;
	*copy = *compressor;
	copy->state = PS_COMPRESSOR_PREPARING;
	ps_dictionary_share(copy->dictionary);
	*out = c->list[c->count++] = copy;
	return PS_COMPRESSOR_FAULT_OK;
}

static enum ps_compressor_fault check(const struct ps_compressors *c, uint64_t id, bool custom)
{
	bool preset = id >= PS_PRESET_FIRST && id <= PS_PRESET_LAST;

	if (!c->zstd || (custom && !c->training))
		return PS_COMPRESSOR_FAULT_NOT_ALLOWED;
	if (!custom && id != PS_COMPRESSOR_STANDARD &&
	    !(preset && c->presets && ps_presets_find(c->presets, id)))
		return PS_COMPRESSOR_FAULT_UNKNOWN_PRESET;
	if (ps_compressors_find(c, id))
		return PS_COMPRESSOR_FAULT_ALREADY_ENABLED;
	if (custom && !is_custom(id))
		return PS_COMPRESSOR_FAULT_NUMBER;
	return is_full(c, id) ? PS_COMPRESSOR_FAULT_FULL : PS_COMPRESSOR_FAULT_OK;
}

static enum ps_compressor_fault get_announced(struct ps_dictionary **out, const struct ps_frame *f)
{
	enum ps_compressor_fault fault = judge_error(ps_dictionary_new(out, f->payload, f->level));

	if (fault || ps_bytes_equal(ps_dictionary_digest(*out), f->digest))
		return fault;
	ps_dictionary_free(out);
	return PS_COMPRESSOR_FAULT_DIGEST;
}

static enum ps_compressor_fault
get_preset(struct ps_dictionary **out, const struct ps_compressors *c, uint64_t id, int64_t level)
{
	if (id == PS_COMPRESSOR_STANDARD)
		return PS_COMPRESSOR_FAULT_OK;
	return judge_error(ps_preset_get(out, ps_presets_find(c->presets, id), level));
}

enum ps_compressor_fault ps_compressors_enable(struct ps_compressors *c, struct ps_compressor **out,
					       const struct ps_frame *enable)
{
	bool custom = enable->type == PS_FRAME_ENABLE_ZSTD_CUSTOM;
	enum ps_compressor_fault fault = check(c, enable->compressor, custom);
	struct ps_compressor new = {.id = enable->compressor,
				    .level = ps_dictionary_limit_level(enable->level),
				    .min = enable->min_size,
				    .max = enable->max_size};

	if (!fault)
		fault = custom ? get_announced(&new.dictionary, enable)
			       : get_preset(&new.dictionary, c, new.id, enable->level);
	if (!fault)
		fault = add(c, out, &new);
	ps_dictionary_free(&new.dictionary);
	return fault;
}

enum ps_compressor_fault ps_compressors_offer(struct ps_compressors *c, struct ps_compressor **out,
					      uint64_t id)
{
	enum ps_compressor_fault fault = check(c, id, false);
	struct ps_compressor new = {
		.id = id, .level = PS_LEVEL_DEFAULT, .min = STANDARD_MIN, .max = UINT64_MAX};

	if (fault)
		return fault;
	if (id != PS_COMPRESSOR_STANDARD) {
		new.dictionary = ps_presets_find(c->presets, id)->dictionary;
		new.level = ps_dictionary_level(new.dictionary);
		new.min = SMALL_MIN;
	}
	return add(c, out, &new);
}

enum ps_compressor_fault ps_compressors_offer_trained(struct ps_compressors *c,
						      struct ps_compressor **out,
						      struct ps_dictionary *dictionary)
{
	struct ps_compressor new = {.id = PS_COMPRESSOR_CUSTOM + c->custom,
				    .level = ps_dictionary_level(dictionary),
				    .min = SMALL_MIN,
				    .max = SMALL_MAX,
				    .dictionary = dictionary};
	enum ps_compressor_fault fault = check(c, new.id, true);

	if (!fault)
		fault = add(c, out, &new);
	if (!fault)
		c->custom++;
	return fault;
}

enum ps_compressor_fault ps_compressor_prepare(struct ps_compressor *compressor)
{
	int r = compressor->dictionary ? ps_dictionary_prepare(compressor->dictionary) : 0;

	if (!r)
		compressor->state = PS_COMPRESSOR_READY;
	return judge_error(r);
}

/* ---- telling and retiring -------------------------------------------------------------------- */

struct ps_frame ps_compressor_frame(const struct ps_compressor *compressor)
{
	struct ps_frame f = {.type = PS_FRAME_ENABLE_ZSTD_PRESET,
			     .compressor = compressor->id,
			     .level = compressor->level,
			     .min_size = compressor->min,
			     .max_size = compressor->max};

	if (!is_custom(compressor->id))
		return f;
	f.type = PS_FRAME_ENABLE_ZSTD_CUSTOM;
	f.digest = ps_dictionary_digest(compressor->dictionary);
	f.payload = ps_dictionary_bytes(compressor->dictionary);
	return f;
}

static struct ps_compressor *find_custom(const struct ps_compressors *c,
					 enum ps_compressor_state state)
{
	for (size_t i = 0; i < c->count; i++)
		if (is_custom(c->list[i]->id) && c->list[i]->state == state)
			return c->list[i];
	return NULL;
}

struct ps_compressor *ps_compressors_retire(struct ps_compressors *c)
{
	struct ps_compressor *gone = find_custom(c, PS_COMPRESSOR_RETIRED);
	struct ps_compressor *last = find_custom(c, PS_COMPRESSOR_READY);

	if (gone)
		ps_compressors_remove(c, &gone);
	if (!last || last->id == PS_COMPRESSOR_CUSTOM + c->custom - 1)
		return NULL;
	last->state = PS_COMPRESSOR_RETIRED;
	return last;
}

/* ---- choosing -------------------------------------------------------------------------------- */

static bool is_meant_for(const struct ps_compressor *compressor, uint64_t length)
{
	return compressor->state == PS_COMPRESSOR_READY && compressor->min <= length &&
	       length < compressor->max;
}

struct ps_compressor *ps_compressors_choose(const struct ps_compressors *c, uint64_t length)
{
	struct ps_compressor *best = NULL;

	for (size_t i = 0; i < c->count; i++)
		if (is_meant_for(c->list[i], length) &&
		    (!best || c->side == PS_BROADCASTER || c->list[i]->min < best->min))
			best = c->list[i];
	return best;
}

bool ps_compressor_equal(const struct ps_compressor *a, const struct ps_compressor *b)
{
	return a->dictionary == b->dictionary && a->level == b->level;
}
