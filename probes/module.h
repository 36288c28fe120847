/* The Python module of a provider's points: its C source, and its types for checkers. */
#pragma once

#include <stdio.h>

#include "probes/catalogue.h"

/*
 * Prints the C source of a Python module with a class per operation and a method per point, over
 * <outspan/PROVIDER.h> and probes/python/src/operation.h. What one of the catalogue's
 * implementations lacks has no method and no site: a tracer then knows that it is not provided.
 * 0, or -errno.
 */
int osp_module_print(FILE *f, const struct osp_catalogue *c);

/* Prints the same classes as a Python stub file (.pyi). 0, or -errno. */
int osp_module_print_types(FILE *f, const struct osp_catalogue *c);
