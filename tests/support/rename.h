/*
 * Renames every operation, nested span, state, point and argument of a catalogue and of a script,
 * to show that no code depends on a name. The new names are "zz_" and the old ones.
 */
#pragma once

#include "probes/catalogue.h"

struct rename;

/* The script with the names of the catalogue, as it is now, renamed; freed by the caller. */
char *rename_events(const struct osp_catalogue *c, const char *events);

/* Renames in the catalogue itself. The result owns the new names: freed after the catalogue. */
struct rename *rename_catalogue(struct osp_catalogue *c);
void rename_free(struct rename **r);

/* Takes every "zz_" out of a text. */
void rename_back(char *text);
