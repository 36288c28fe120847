/*
 * Man pages of the commands, of what their --help says: the same texts, from the same tables. In the
 * form of probes/markup.h.
 */
#pragma once

#include <stdio.h>

#include "user/command.h"

/* outspan-<command>.1 as roff. -ENOMEM. */
int osp_manual_print(FILE *f, const struct osp_command *c);

/* outspan.1: the commands, and where to read on. -ENOMEM. */
int osp_manual_print_index(FILE *f);
