/*
 * Walking, checking and making packed lists of subscriptions. Fed with the bodies of strangers
 * (every length is checked once, by ps_list_read) and by whoever holds a table of subscriptions.
 * Owns nothing but what a builder has packed.
 */
#include "probes/pubsub/ps_list.h"

#include <errno.h>

#include "user/base/text.h"

static struct ps_entry read_entry(struct ps_reader *r)
{
	struct ps_entry e;

	e.key = ps_wire_read_string(r, 2);
	e.recovery = ps_wire_read_string(r, 2);
	return e;
}

/* Whether `key` may follow `last`. */
static int check_order(struct ps_bytes last, struct ps_bytes key)
{
	int d = ps_bytes_compare(last, key);

	return !d ? -EEXIST : d < 0 ? 0 : -EINVAL;
}

static int check_entry(const struct ps_entry *last, const struct ps_entry *e, bool is_glob)
{
	if (!osp_text_is_utf8(e->recovery.data, e->recovery.size) ||
	    (is_glob && !osp_text_is_utf8(e->key.data, e->key.size)))
		return -EILSEQ;
	return last ? check_order(last->key, e->key) : 0;
}

int ps_list_next(struct ps_list *list, struct ps_entry *entry)
{
	struct ps_reader r = ps_wire_reader(list->packed.data, list->packed.size);

	if (!list->count)
		return 1;
	*entry = read_entry(&r);
	list->packed = ps_bytes(r.at, r.left);
	list->count--;
	return 0;
}

int ps_list_read(struct ps_list *list, struct ps_reader *r, uint32_t count, bool is_glob)
{
	struct ps_reader at = *r;
	struct ps_entry last = {0}, e;
	int error;

	for (uint32_t i = 0; i < count; i++, last = e) {
		e = read_entry(&at);
		if (at.failed)
			return -EBADMSG;
		error = check_entry(i ? &last : NULL, &e, is_glob);
		if (error)
			return error;
	}
	*list = (struct ps_list){ps_bytes(r->at, r->left - at.left), count};
	*r = at;
	return 0;
}

int ps_list_add(struct ps_list_builder *b, const struct ps_entry *entry)
{
	struct ps_writer w = {&b->packed, 0};
	size_t start = b->packed.size;
	struct ps_reader last;
	int error;

	if (b->count == UINT32_MAX)
		return -ENOSPC;
	if (b->count) {
		last = ps_wire_reader(b->packed.data + b->last, b->packed.size - b->last);
		error = check_order(read_entry(&last).key, entry->key);
		if (error)
			return error;
	}
	ps_wire_write_string(&w, 2, entry->key);
	ps_wire_write_string(&w, 2, entry->recovery);
	if (w.error) {
		b->packed.size = start;
		return w.error;
	}
	b->last = start;
	b->count++;
	return 0;
}

struct ps_list ps_list_of(const struct ps_list_builder *b)
{
	return (struct ps_list){ps_bytes(b->packed.data, b->packed.size), b->count};
}
