/*
 * Attached binaries: loader.c's other half. What each function promises stands in loader.h; only
 * loader.c calls them.
 */
#pragma once

#include "user/loader.h"

struct bpf_program;
struct osp_attach;

struct osp_attach_programs {
	struct bpf_program *step, *foreign, *mapped; /* borrowed: the loader's */
	int sites, numbers;			     /* descriptors of the maps */
};

int osp_attach_new(struct osp_attach **out, const struct osp_attach_programs *p,
		   const struct osp_loader_options *o, enum osp_attach_form form);
void osp_attach_free(struct osp_attach **a);

enum osp_attach_form osp_attach_form(const struct osp_attach *a);

int osp_attach_add(struct osp_attach *a, struct osp_binary *b, struct osp_attach_result *result);
int osp_attach_switch(struct osp_attach *a, const struct osp_wanted *wanted, size_t *attached);
void osp_attach_clear(struct osp_attach *a);

void osp_attach_use_wide(struct osp_attach *a);

int osp_attach_lease_fd(const struct osp_attach *a);
int osp_attach_timeout_ms(const struct osp_attach *a);
int osp_attach_handle(struct osp_attach *a, struct osp_binaries *binaries, osp_loader_change_fn fn,
		      void *arg);
