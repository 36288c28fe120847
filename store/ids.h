/* Ids of operations and spans. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * The id of an operation is a multiple of OSP_SPAN_IDS; its n-th nested span has that id + n. So an
 * id tells which operation it lies in, and no two operations claim the same.
 */
enum { OSP_SPAN_IDS = 1 << 16 };

static inline uint64_t osp_span_operation(uint64_t id)
{
	return id & ~(uint64_t)(OSP_SPAN_IDS - 1);
}

static inline bool osp_span_is_operation(uint64_t id)
{
	return id && id == osp_span_operation(id);
}
