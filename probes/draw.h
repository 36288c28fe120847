/* An operation's automaton as a drawing. */
#pragma once

#include "probes/catalogue.h"

/* Lines of text: each state, the steps that may come in it and where they lead. -ENOMEM. */
int osp_draw_text(const struct osp_operation *op, char **out);

/* A stateDiagram-v2 of mermaid. -ENOMEM. */
int osp_draw_mermaid(const struct osp_operation *op, char **out);
