/*
 * Everything in which kernels and their configurations differ, each under its reason. What can be
 * tried is tried, not guessed from a version.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How sites are attached. */
enum osp_attach_form {
	OSP_ATTACH_AUTO,  /* the first of the others that works */
	OSP_ATTACH_MULTI, /* one link for many sites: Linux 6.6 and later */
	OSP_ATTACH_PERF,  /* a perf event for each: detaching takes about 0.1 s per site */
};

enum { OSP_ATTACH_MULTI_TYPE = 48 }; /* BPF_TRACE_UPROBE_MULTI: expected by programs, too */

const char *osp_attach_form_to_str(enum osp_attach_form f);

/* A program for uprobe_multi links that does nothing. The descriptor, or -errno. */
int osp_kernel_load_empty(void);

/* True if one link can hold many sites. Loads a program of two instructions to find out. */
bool osp_kernel_has_multi(void);

/* True if the kernel describes its own types (needed for process events). */
bool osp_kernel_has_btf(void);

/* Many sites of one file. Arrays of `count`. */
struct osp_kernel_sites {
	const char *path;
	const uint64_t *offsets;
	const uint64_t *semaphores; /* file offsets; 0 = none */
	const uint64_t *cookies;
	uint32_t count;
};

/* One link for all of them, or for none. The descriptor, or -errno. */
int osp_kernel_link_multi(int program, const struct osp_kernel_sites *sites);

/* Why a site could not be attached, from what the kernel said. A literal. */
const char *osp_kernel_attach_reason(int error);

/*
 * Which of the capabilities outspan needs this process lacks: "cap_bpf, cap_perfmon", or "" for
 * none. Returns out.
 */
char *osp_kernel_missing_capabilities(char *out, size_t room);

/* "6.1.0-13-amd64" */
const char *osp_kernel_release(void);
