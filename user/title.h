/*
 * Span names for people: templates of the catalogue such as "deliver {url}", filled from the
 * arguments that a span has seen. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/span.h"

enum { OSP_TITLE_HOLES = 4, OSP_TITLE_MAX = 200 };

struct osp_title {
	const char *template; /* borrowed: the catalogue's */
	size_t size;	      /* of it */
	bool plain;	      /* it needs no escaping */
	size_t hole_count;
	struct {
		const char *name; /* of the argument, in the template; not terminated */
		uint16_t name_size;
		uint16_t from, to; /* of the braces, in the template */
	} holes[OSP_TITLE_HOLES];
};

/* Finds the holes; braces beyond the fourth pair are plain text. */
void osp_title_parse(struct osp_title *t, const char *template);

/* Which hole an argument fills, or -1. */
int osp_title_find(const struct osp_title *t, const char *arg);

/*
 * Writes the name: values as text that a terminal may show, bytes as hexadecimal, "?" where there
 * is none (NULL). At most OSP_TITLE_MAX bytes and a NUL. Returns the bytes without the NUL.
 */
size_t osp_title_format(const struct osp_title *t, const struct osp_value *const *values,
			char out[OSP_TITLE_MAX + 1]);
