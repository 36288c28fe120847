/* Arrays that grow by one row at a time. */
#pragma once

#include <errno.h>
#include <stdlib.h>

/*
 * Room for one more row of `size` bytes behind `count`. Doubles whenever the count reaches a power
 * of two, so no capacity has to be kept. -E2BIG at `max` rows, -ENOMEM.
 */
static inline int osp_rows_grow(void **rows, size_t count, size_t size, size_t max)
{
	void *more;

	if (count == max)
		return -E2BIG;
	if (count & (count - 1))
		return 0;
	more = realloc(*rows, (count ? 2 * count : 1) * size);
	if (!more)
		return -ENOMEM;
	*rows = more;
	return 0;
}
