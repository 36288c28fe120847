/*
 * What the kernel side must know to read a point's arguments, made from the catalogue and from a
 * note's operands. Pure.
 */
#pragma once

#include <stdint.h>

#include "bpf/event.h"
#include "probes/catalogue.h"

/*
 * How the kernel side reads the point. -E2BIG: its text and bytes do not fit into a record, or it
 * needs more operands than there can be.
 */
int osp_shape_fill(struct osp_shape *out, const struct osp_point *p);

/*
 * Puts a note's operands into the order of a foreign point's shape: the point's arguments, then
 * the byte counts it needs besides. -ERANGE: the note has fewer operands than the point names.
 */
int osp_shape_order(struct osp_site_spec *out, const struct osp_point *p,
		    const struct osp_site_spec *note, uint32_t operands);
