/*
 * Whether attached sites are really attached in a process: a look into its memory. A link to a
 * file can be made and never fire (overlay file systems after a copy-up, lld's default layout).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "user/binary.h"

enum osp_armed {
	OSP_ARMED,	  /* a semaphore of it is up, or a trap in place */
	OSP_ARMED_NOT,	  /* they are 0, or the instruction is as in the file */
	OSP_ARMED_HIDDEN, /* the process does not have that part of the file mapped as it should */
};

struct osp_armed_site {
	const struct osp_site *site;
	enum osp_armed armed;
	uint16_t semaphore; /* its value; 0 if there is none */
	uint16_t carry;	    /* of our own sites: that of who has it carried */
};

/*
 * Looks at every site of the binary (attached or not) in the process and calls fn for each, until
 * it returns non-zero; for none if the process does not have the file mapped (any more). -ESRCH,
 * -EACCES of the process.
 */
int osp_semaphore_scan(const struct osp_binary *binary, uint32_t pid,
		       int (*fn)(void *arg, const struct osp_armed_site *s), void *arg);

/*
 * How many attached sites of the binary are not armed in the process, and a sentence why (a
 * literal). 0 = all are.
 */
int osp_semaphore_verify(const struct osp_binary *binary, uint32_t pid, size_t *unarmed,
			 const char **reason);
