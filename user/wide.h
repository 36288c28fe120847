/*
 * Whether this kernel can be trusted with the no-op of several bytes that our stubs have behind
 * their one-byte one. A hit there can be cheaper by half; kernels that replace it by a call have
 * crashed children made by fork and overwritten the red zone of callers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "user/links.h"

enum osp_wide_form { OSP_WIDE_10, OSP_WIDE_5, OSP_WIDE_COUNT }; /* bytes of the no-op */

struct osp_wide {
	bool works;
	const char *verdict; /* why not, or what it was tried on: a literal */
};

/*
 * Attaches the program, which must do nothing for this process and its children, to such no-ops of
 * this program; a child passes them, forks, and passes them there, too. The link stays, if there
 * is one: *links is the caller's.
 */
void osp_wide_try(struct osp_links **links, struct bpf_program *program, enum osp_attach_form form,
		  enum osp_wide_form which, struct osp_wide *out);
