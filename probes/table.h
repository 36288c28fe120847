/* The automata of a catalogue as lines of text. */
#pragma once

#include <stdio.h>

#include "probes/catalogue.h"

/*
 * Prints a line per transition of our own operations, fields separated by tabs: operation, state
 * and function as they are called in C, the next state (or "end"), level, the arguments with their
 * C types. Points of "*" have one line, with the state "*". -EIO if the stream fails.
 */
int osp_table_print(FILE *f, const struct osp_catalogue *c);
