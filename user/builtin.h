/* The catalogues that every command knows: those built in, and files given by the user. */
#pragma once

#include <stddef.h>

#include "probes/catalogue.h"

/* The built-in catalogues, then the files, in order. What is wrong with a file is logged. */
int osp_builtin_catalogue(struct osp_catalogue **out, const char *const *files, size_t count);
