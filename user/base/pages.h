/*
 * Large pieces of memory, in huge pages where the kernel has them: tables that are read all over
 * cost a page-table walk per look otherwise.
 */
#pragma once

#include <stddef.h>

/* Zeroed memory, given back by osp_pages_free with the same size. NULL: -ENOMEM. */
void *osp_pages_alloc(size_t size);
void osp_pages_free(void *pages, size_t size); /* NULL is ignored */
