/* Names in the generated C, for the header and for the tests of it. */
#pragma once

#include "probes/catalogue.h"

enum { OSP_NAMES_BYTES = 512 };

void osp_names_upper(char out[OSP_NAMES_BYTES], const char *text);

/* "AwaitingResponse" -> "awaiting_response", "trusted_notify.Scan" -> "trusted_notify_scan" */
void osp_names_snake(char out[OSP_NAMES_BYTES], const char *state);

/*
 * The function of a transition: "<provider>_<operation>__<point>", and "_in_<state>" behind it if
 * several states of the operation have the point.
 */
void osp_names_chain(char out[OSP_NAMES_BYTES], const struct osp_operation *op,
		     const struct osp_transition *t);

/* The C type of an argument that is one parameter ("uint32_t"); NULL for str and bytes. */
const char *osp_names_type(const struct osp_arg *a);
