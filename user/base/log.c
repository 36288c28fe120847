/*
 * The process's talk on stderr. Fed by the edges (loader, stores, commands), never by the
 * pure floors. A line is built whole, escaped, and written with one call, so that lines of
 * several processes on one terminal do not mix.
 */
#include "user/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "user/base/text.h"

static enum osp_log_level shown = OSP_LOG_INFO;

void osp_log_level_set(enum osp_log_level level)
{
	shown = level;
}

enum osp_log_level osp_log_level_get(void)
{
	return shown;
}

static void write_line(enum osp_log_level level, const char *text)
{
	static const char *const prefix[] = {"error: ", "warning: ", "", "debug: "};
	char line[4096];
	size_t n;

	n = (size_t)snprintf(line, sizeof(line), "%s", prefix[level]);
	n += osp_text_escape(line + n, sizeof(line) - n - 1, text, strlen(text));
	line[n++] = '\n';
	if (write(STDERR_FILENO, line, n) < 0)
		return; /* nobody is left to tell */
}

void osp_log_write(enum osp_log_level level, const char *format, ...)
{
	int saved = errno;
	char text[1024];
	va_list ap;

	if (level > shown)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	write_line(level, text);
	errno = saved;
}

int osp_err(int code, const char *format, ...)
{
	char text[1024], whole[1400];
	const char *hint;
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (!code) {
		write_line(OSP_LOG_ERR, text);
		return code;
	}
	hint = strstr(text, " - ");
	snprintf(whole, sizeof(whole), "%.*s: %s%s", hint ? (int)(hint - text) : (int)strlen(text),
		 text, strerror(-code), hint ? hint : "");
	write_line(OSP_LOG_ERR, whole);
	return code;
}
