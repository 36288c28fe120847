/* The automata of a catalogue as lines of text. */
#pragma once

#include <stdio.h>

#include "probes/catalogue.h"

/*
 * Prints a line per transition of our own operations, fields separated by tabs: operation, state
 * and function as they are called in C, the next state ("end", behind a state, which is "*" for all of them),
 * level, the names of the arguments with their C types. -EIO if the stream fails.
 */
int osp_table_print(FILE *f, const struct osp_catalogue *c);
