/*
 * Session files as commands see them: the default name, one place that turns a file name or a
 * store's URI into an open store, with the message people get when that fails, and the facts that
 * a recording tells of itself.
 */
#include "user/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "user/base/log.h"
#include "user/base/text.h"
#include "user/kernel.h"
#include "user/version.h"

char *osp_session_name(char out[40], int64_t wall_ns)
{
	time_t t = (time_t)(wall_ns / 1000000000);
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(out, 40, "outspan-%Y%m%dT%H%M%SZ.db", &tm))
		snprintf(out, 40, "outspan.db");
	return out;
}

/* A name is a URI if it begins with letters and a colon ("mem:", "sqlite:x"); else a file's path. */
static bool has_scheme(const char *file)
{
	size_t n = strspn(file, "abcdefghijklmnopqrstuvwxyz");

	return n > 1 && file[n] == ':';
}

int osp_session_create(struct osp_store **out, const char *file, bool overwrite)
{
	enum osp_store_mode mode = overwrite ? OSP_STORE_OVERWRITE : OSP_STORE_CREATE;
	char uri[4200], error[512];
	int n = snprintf(uri, sizeof(uri), "%s%s", has_scheme(file) ? "" : "sqlite:", file);
	int r;

	if (n < 0 || (size_t)n >= sizeof(uri))
		return osp_err(-ENAMETOOLONG, "create %.60s...", file);
	r = osp_store_open(out, uri, mode, error);
	if (r)
		osp_err(0, "%s", error);
	return r;
}

int osp_session_tell(struct osp_feed *f, const struct osp_recorder_options *o,
		     const char *attach_form, enum osp_wide wide)
{
	char random[17], ring[24], limit[24], sample[16];
	uint8_t id[8];
	struct {
		const char *name, *value;
	} settings[] = {
		{"id", random},
		{"version", OSP_VERSION},
		{"kernel", osp_kernel_release()},
		{"command_line", o->command_line},
		{"level", osp_level_to_str(o->wanted.level)},
		{"form", osp_form_to_str(o->wanted.form)},
		{"trace_context", o->wanted.no_context ? "off" : "on"},
		{"attach_form", attach_form},
		{"no_op", wide == OSP_WIDE_WORKS ? "10 bytes" : "1 byte"},
		{"no_op_10_bytes", osp_wide_to_str(wide)},
		{"ring_bytes", ring},
		{"overload", o->overload == OSP_OVERLOAD_KEEP_LAST ? "keep-last" : "drop-newest"},
		{"sample", sample},
		{"match_topic", o->match_topic},
		{"where", o->where},
		{"limit", o->limit},
		{"aggregate", o->aggregate ? "on" : NULL},
		{"overhead_limit", o->overhead > 0 ? limit : NULL},
	};
	int r = 0;

	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return osp_err(-errno, "make an id for the session");
	osp_text_hex(random, id, sizeof(id));
	snprintf(ring, sizeof(ring), "%zu", o->ring_bytes);
	snprintf(sample, sizeof(sample), "1/%" PRIu32, o->sample ? o->sample : 1);
	snprintf(limit, sizeof(limit), "%.6g", o->overhead);
	for (size_t i = 0; !r && i < sizeof(settings) / sizeof(settings[0]); i++)
		if (settings[i].value)
			r = osp_feed_setting(f, settings[i].name, settings[i].value);
	return r ? r : osp_feed_clock(f);
}
