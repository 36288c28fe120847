/*
 * Large pieces of memory (user/base/pages.h): mapped, aligned to the size of a huge page when they
 * are at least that large, else from the heap.
 */
#include "user/base/pages.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

static const size_t huge = 2u << 20;

static size_t round_up(size_t size)
{
	return (size + huge - 1) & ~(huge - 1);
}

/* Maps one huge page more than needed and gives back what lies before and behind. */
static void *map_aligned(size_t size)
{
	uint8_t *all =
		mmap(NULL, size + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before;

	if (all == MAP_FAILED)
		return NULL;
	before = (huge - ((uintptr_t)all & (huge - 1))) & (huge - 1);
	if (before)
		munmap(all, before);
	if (before < huge)
		munmap(all + before + size, huge - before);
	return all + before;
}

void *osp_pages_alloc(size_t size)
{
	void *pages;

	if (size < huge)
		return calloc(1, size);
	pages = map_aligned(round_up(size));
	if (pages)
		madvise(pages, round_up(size), MADV_HUGEPAGE); /* small ones do as well */
	return pages;
}

void osp_pages_free(void *pages, size_t size)
{
	if (size < huge)
		free(pages);
	else if (pages)
		munmap(pages, round_up(size));
}
