/*
 * What CHECK and SET_SUBSCRIPTIONS compare. Fed by whoever holds the lists, packed as they are
 * on the wire; owns its running hash.
 */
#include "probes/pubsub/ps_etag.h"

#include "user/base/cleanup.h"

int ps_etag_of(uint8_t out[PS_DIGEST_SIZE], struct ps_bytes url, const struct ps_list *exact,
	       const struct ps_list *globs)
{
	_cleanup_(osp_buffer_clear) struct osp_buffer head = OSP_BUFFER_INIT(3 + 2 + 65535 + 6);
	_cleanup_(ps_digest_clear) struct ps_digest digest = {0};
	struct ps_writer w = {&head, 0};
	int r;

	ps_wire_write_bytes(&w, ps_bytes_text("URL"));
	ps_wire_write_string(&w, 2, url);
	ps_wire_write_bytes(&w, ps_bytes_text("\nEXACT"));
	r = w.error ? w.error : ps_digest_start(&digest);
	if (!r)
		r = ps_digest_add(&digest, head.data, head.size);
	if (!r)
		r = ps_digest_add(&digest, exact->packed.data, exact->packed.size);
	if (!r)
		r = ps_digest_add(&digest, "\nGLOB", 5);
	if (!r)
		r = ps_digest_add(&digest, globs->packed.data, globs->packed.size);
	if (!r)
		r = ps_digest_add(&digest, "\n", 1);
	return r ? r : ps_digest_stop(&digest, out);
}
