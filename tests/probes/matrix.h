/* What the two halves of the build matrix's program share. */
#pragma once

#include "outspan/tiny.h"

#ifdef __cplusplus
extern "C" {
#endif

extern int work; /* how often the argument that needs work was computed */

int second_half(const struct outspan_op *parent);

#ifdef __cplusplus
}
#endif
