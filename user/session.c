/*
 * Session files as commands see them: the default name, and one place that turns a file name or a
 * store's URI into an open store, with the message people get when that fails.
 */
#include "user/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "user/base/log.h"

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
