/*
 * How the steps and values of an operation lie in the BLOBs of a session file (store/schema.sql,
 * table operation). Big-endian; narrow entries where everything fits, wide ones else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	OSP_PACK_STEP_NARROW = 7,
	OSP_PACK_STEP_WIDE = 12,
	OSP_PACK_FIELD_NARROW = 4,
	OSP_PACK_FIELD_WIDE = 8,
};

struct osp_pack_step {
	uint16_t point, span;
	uint64_t after_ns; /* since the operation's start; two's complement in the wide form */
};

struct osp_pack_field {
	uint16_t field, step;
	uint32_t end; /* of the value in the payload; it begins where the one before ends */
};

static inline bool osp_pack_step_fits(const struct osp_pack_step *s)
{
	return s->point <= 0xff && s->span <= 0xff && s->after_ns < 1ull << 40;
}

static inline bool osp_pack_field_fits(const struct osp_pack_field *f)
{
	return f->field <= 0xff && f->step <= 0xff && f->end <= 0xffff;
}

static inline size_t osp_pack_step_size(bool wide)
{
	return wide ? OSP_PACK_STEP_WIDE : OSP_PACK_STEP_NARROW;
}

static inline size_t osp_pack_field_size(bool wide)
{
	return wide ? OSP_PACK_FIELD_WIDE : OSP_PACK_FIELD_NARROW;
}

static inline uint8_t *osp_pack_put(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
	return p + bytes;
}

static inline uint64_t osp_pack_get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

static inline void osp_pack_put_step(uint8_t *p, const struct osp_pack_step *s, bool wide)
{
	p = osp_pack_put(p, s->point, wide ? 2 : 1);
	p = osp_pack_put(p, s->span, wide ? 2 : 1);
	osp_pack_put(p, s->after_ns, wide ? 8 : 5);
}

static inline struct osp_pack_step osp_pack_get_step(const uint8_t *p, bool wide)
{
	unsigned w = wide ? 2 : 1;

	return (struct osp_pack_step){.point = (uint16_t)osp_pack_get(p, w),
				      .span = (uint16_t)osp_pack_get(p + w, w),
				      .after_ns = osp_pack_get(p + 2 * w, wide ? 8 : 5)};
}

static inline void osp_pack_put_field(uint8_t *p, const struct osp_pack_field *f, bool wide)
{
	p = osp_pack_put(p, f->field, wide ? 2 : 1);
	p = osp_pack_put(p, f->step, wide ? 2 : 1);
	osp_pack_put(p, f->end, wide ? 4 : 2);
}

static inline struct osp_pack_field osp_pack_get_field(const uint8_t *p, bool wide)
{
	unsigned w = wide ? 2 : 1;

	return (struct osp_pack_field){.field = (uint16_t)osp_pack_get(p, w),
				       .step = (uint16_t)osp_pack_get(p + w, w),
				       .end = (uint32_t)osp_pack_get(p + 2 * w, 2 * w)};
}
