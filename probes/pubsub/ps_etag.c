/*
 * What CHECK and SET_SUBSCRIPTIONS compare: SHA-512 over the url and both lists with their
 * recovery urls. Fed by whoever holds the lists; owns its scratch buffer.
 */
#include "probes/pubsub/ps_etag.h"

#include "user/base/cleanup.h"

static void write_list(struct ps_writer *w, struct ps_etag_list list)
{
	for (size_t i = 0; i < list.count; i++) {
		ps_wire_write_string(w, 2, list.entries[i].key);
		ps_wire_write_string(w, 2, list.entries[i].recovery);
	}
}

int ps_etag_of(uint8_t out[PS_DIGEST_SIZE], struct ps_bytes url, struct ps_etag_list exact,
	       struct ps_etag_list globs)
{
	_cleanup_(osp_buffer_clear) struct osp_buffer text = OSP_BUFFER_INIT(SIZE_MAX / 4);
	struct ps_writer w = {&text, 0};

	ps_wire_write_bytes(&w, ps_bytes_text("URL"));
	ps_wire_write_string(&w, 2, url);
	ps_wire_write_bytes(&w, ps_bytes_text("\nEXACT"));
	write_list(&w, exact);
	ps_wire_write_bytes(&w, ps_bytes_text("\nGLOB"));
	write_list(&w, globs);
	ps_wire_write_bytes(&w, ps_bytes_text("\n"));
	return w.error ? w.error : ps_digest_of(ps_bytes(text.data, text.size), out);
}
