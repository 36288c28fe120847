/*
 * The steps of an operation that hangs, read from its process' memory while it goes on running.
 */
#pragma once

#include <stdint.h>

#include "bpf/event.h"
#include "user/stitch.h"

/*
 * Makes a record (LEFT, PEEKED) of what the operation's block holds, with the time given; `out` has
 * room for OSP_EVENT_DATA bytes behind it. -ENODATA: nothing that would be new; -ESTALE: the block
 * is not there any more, or changes faster than it can be read; -ESRCH, -EACCES, -EIO of the memory.
 */
int osp_peek_read(const struct osp_hung *h, int64_t now_ns, struct osp_record *out);
