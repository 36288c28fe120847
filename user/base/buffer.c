/*
 * A growing byte buffer with a maximum: whoever collects bytes of unknown number (requests,
 * batches, rendered lines) uses it, so that nothing fed from outside grows without bound.
 */
#include "user/base/buffer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void osp_buffer_clear(struct osp_buffer *b)
{
	free(b->data);
	b->data = NULL;
	b->size = b->capacity = 0;
}

void osp_buffer_reset(struct osp_buffer *b)
{
	b->size = 0;
}

static int grow(struct osp_buffer *b, size_t more)
{
	size_t need, capacity = b->capacity ? b->capacity : 256;
	uint8_t *data;

	if (more > b->max || b->size > b->max - more)
		return -ENOSPC;
	need = b->size + more;
	if (need + 1 <= b->capacity)
		return 0;
	while (capacity < need + 1)
		capacity *= 2;
	data = realloc(b->data, capacity);
	if (!data)
		return -ENOMEM;
	b->data = data;
	b->capacity = capacity;
	return 0;
}

/* Mostly there is room. */
static inline int make_room(struct osp_buffer *b, size_t more)
{
	return more < b->capacity - b->size && more <= b->max - b->size ? 0 : grow(b, more);
}

void *osp_buffer_reserve(struct osp_buffer *b, size_t size)
{
	if (make_room(b, size))
		return NULL;
	b->size += size;
	return b->data + b->size - size;
}

int osp_buffer_add(struct osp_buffer *b, const void *data, size_t size)
{
	int r = make_room(b, size);

	if (r)
		return r;
	if (size)
		memcpy(b->data + b->size, data, size);
	b->size += size;
	return 0;
}

int osp_buffer_print(struct osp_buffer *b, const char *format, ...)
{
	va_list ap, again;
	int n, r;

	va_start(ap, format);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	r = n < 0 ? -EINVAL : grow(b, (size_t)n);
	if (!r) {
		vsnprintf((char *)b->data + b->size, (size_t)n + 1, format, again);
		b->size += (size_t)n;
	}
	va_end(again);
	return r;
}

const char *osp_buffer_text(struct osp_buffer *b)
{
	if (grow(b, 0))
		return NULL;
	b->data[b->size] = 0;
	return (const char *)b->data;
}
