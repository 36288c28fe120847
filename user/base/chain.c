/* The memory of a table of chains (user/base/chain.h). */
#include "user/base/chain.h"

#include <errno.h>

#include "user/base/pages.h"

static size_t heads_size(const struct osp_chains *c)
{
	return (c->mask + 1) * sizeof(*c->heads);
}

int osp_chains_init(struct osp_chains *c, size_t max)
{
	size_t count = 16;

	while (count < max)
		count *= 2;
	c->mask = count - 1;
	c->heads = osp_pages_alloc(heads_size(c));
	return c->heads ? 0 : -ENOMEM;
}

void osp_chains_clear(struct osp_chains *c)
{
	osp_pages_free(c->heads, heads_size(c));
	c->heads = NULL;
}
