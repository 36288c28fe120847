/* A growing byte buffer with a maximum. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct osp_buffer {
	uint8_t *data;	 /* owned; not NUL-terminated unless osp_buffer_text is asked */
	size_t size;	 /* bytes in use */
	size_t capacity; /* bytes allocated */
	size_t max;	 /* bytes it may ever hold */
};

#define OSP_BUFFER_INIT(limit)                                                                     \
	{                                                                                          \
		.max = (limit)                                                                     \
	}

void osp_buffer_clear(struct osp_buffer *b); /* frees; the buffer may be used again */
void osp_buffer_reset(struct osp_buffer *b); /* empties, keeps the memory */

/* Makes room for `size` more bytes and returns where they go (NULL: -ENOMEM or over the max). */
void *osp_buffer_reserve(struct osp_buffer *b, size_t size);

/* Appends. 0, -ENOMEM, or -ENOSPC past the maximum (then nothing is appended). */
int osp_buffer_add(struct osp_buffer *b, const void *data, size_t size);
int osp_buffer_print(struct osp_buffer *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The contents as a NUL-terminated string, borrowed until the next change; NULL: -ENOMEM. */
const char *osp_buffer_text(struct osp_buffer *b);
