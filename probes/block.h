/*
 * How large the operation block of an operation is: a step at its largest, and the room for steps
 * that the generated header gives the block.
 */
#pragma once

#include <stddef.h>

#include "probes/catalogue.h"

/* Bytes of one step of the point, its head included, at most; a multiple of 8. */
size_t osp_block_step(const struct osp_point *p);

/* Bytes for the steps of an operation of our own, the block's head not included. */
size_t osp_block_room(const struct osp_operation *op);
