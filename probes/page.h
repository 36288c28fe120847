/* The reference page of a catalogue: what its operations, steps and arguments mean to people. */
#pragma once

#include <stdio.h>

#include "probes/catalogue.h"
#include "probes/markup.h"

/*
 * Prints the page of a catalogue of one file in the form given. Equal catalogues give equal text.
 * -EIO if the stream fails, -ENOMEM.
 */
int osp_page_print(FILE *f, const struct osp_catalogue *c, const struct osp_markup *form);
