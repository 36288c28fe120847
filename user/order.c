/*
 * The seam between decode and stitch at which sources are merged (user/order.h). With the one
 * ring there is nothing to merge and nothing to own; a step of one operation is never before its
 * predecessor, and operations need no order among each other.
 */
#include "user/order.h"

void osp_order_init(struct osp_order *o, osp_order_fn next, void *arg)
{
	*o = (struct osp_order){next, arg};
}

int osp_order_push(struct osp_order *o, const struct osp_event *event)
{
	return o->next(o->arg, event);
}
