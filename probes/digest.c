/*
 * The signature of a point as one number. The generator compiles it into the binary's note and
 * the recorder compares: a program built from another version of the catalogue is refused point
 * by point instead of being misread.
 */
#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>

#include "probes/load.h"
#include "user/base/buffer.h"

static int print_arg(struct osp_buffer *b, const struct osp_arg *a)
{
	static const char *const names[] = {"u",     "i",  "bool",	 "f64",	       "str",
					    "bytes", "op", "context_in", "context_out"};

	if (a->enumeration)
		return osp_buffer_print(b, "enum:%s %s,", a->enumeration->name, a->name);
	if (a->type == OSP_TYPE_UINT || a->type == OSP_TYPE_INT)
		return osp_buffer_print(b, "%s%d %s,", names[a->type], 8 * a->bytes, a->name);
	if (a->max)
		return osp_buffer_print(b, "%s:%u %s,", names[a->type], a->max, a->name);
	return osp_buffer_print(b, "%s %s,", names[a->type], a->name);
}

/* "provider:probe(type[:max] name,...)", every argument followed by a comma. */
int osp_point_digest(const struct osp_point *p, uint64_t *out)
{
	struct osp_buffer b = OSP_BUFFER_INIT(64 * 1024);
	unsigned char hash[SHA256_DIGEST_LENGTH];
	uint64_t digest = 0;
	int r = osp_buffer_print(&b, "%s:%s(", p->provider, p->probe);

	for (size_t i = 0; !r && i < p->arg_count; i++)
		r = print_arg(&b, &p->args[i]);
	if (!r)
		r = osp_buffer_add(&b, ")", 1);
	if (!r && !SHA256(b.data, b.size, hash))
		r = -EIO;
	osp_buffer_clear(&b);
	if (r)
		return r;
	for (int i = 0; i < 8; i++)
		digest = digest << 8 | hash[i];
	*out = digest;
	return 0;
}
