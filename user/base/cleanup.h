/* Cleanup attributes and TAKE_*: ownership as visible syntax (README, "Memory"). */
#pragma once

#include <stdlib.h>
#include <unistd.h>
#include <stdio.h>

static inline void osp_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void osp_cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void osp_cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_(f)	 __attribute__((cleanup(f)))
#define _cleanup_free_	 _cleanup_(osp_cleanup_free)
#define _cleanup_close_	 _cleanup_(osp_cleanup_close)
#define _cleanup_fclose_ _cleanup_(osp_cleanup_fclose)

/* Hands an owned pointer (or descriptor) on and leaves NULL (-1) behind. */
#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) _taken = (p);                                                        \
		(p) = NULL;                                                                        \
		_taken;                                                                            \
	})
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int _taken = (fd);                                                                 \
		(fd) = -1;                                                                         \
		_taken;                                                                            \
	})
