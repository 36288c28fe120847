/*
 * Tries what this kernel and this user can do for outspan, one check after the other, and says
 * how to mend what is missing.
 */
#pragma once

#include <stdbool.h>

enum osp_doctor_result {
	OSP_DOCTOR_OK,
	OSP_DOCTOR_WARN, /* recording works, with less */
	OSP_DOCTOR_FAIL, /* recording does not work here */
	OSP_DOCTOR_SKIP, /* could not be tried, because of an earlier failure */
};

struct osp_doctor_check {
	const char *name;  /* a short word: "btf" */
	const char *title; /* what was tried */
	enum osp_doctor_result result;
	bool unsupported; /* FAIL: not permitted or not supported, as opposed to broken */
	char detail[200]; /* what came out */
	const char *hint; /* how to mend it, or NULL */
};

/* Runs all checks, calls fn after each. 0 all well, -ENOTSUP not here, -EIO something is broken. */
int osp_doctor_run(void (*fn)(void *arg, const struct osp_doctor_check *c), void *arg);

const char *osp_doctor_result_to_str(enum osp_doctor_result r);
