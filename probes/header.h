/* The generated header of one provider: typed chains over probes/op.h. */
#pragma once

#include <stdio.h>

#include "probes/catalogue.h"

/*
 * Prints the header of the catalogue's own provider (a catalogue of one file). Equal catalogues
 * give equal text. -EINVAL if it has no points of its own, -EIO if the stream fails, -ENOMEM.
 */
int osp_header_print(FILE *f, const struct osp_catalogue *c);
