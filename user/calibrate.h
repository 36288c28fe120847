/*
 * What a hit costs on this machine, measured on a no-op of this program itself.
 */
#pragma once

#include <stdint.h>

#include "user/links.h"

/*
 * Attaches the program, which must do nothing for this process, to a no-op here, passes it some
 * hundred times and gives the processor time of one. The link stays: closing it would take a
 * grace period of the kernel; *links is the caller's. -errno: it could not be attached.
 */
int osp_calibrate_hit(struct osp_links **links, struct bpf_program *program,
		      enum osp_attach_form form, int64_t *hit_ns);
