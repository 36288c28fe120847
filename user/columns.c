/*
 * Text of traced processes on a terminal (user/columns.h): the one door through which it passes,
 * escaped, counted in characters and cut to its column. Fed by render.c and ledger.c; owns nothing.
 */
#include "user/columns.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "user/base/text.h"

enum { USUAL = 100 }; /* columns of a terminal that does not tell how many it has */

size_t osp_columns_find(FILE *f)
{
	struct winsize size = {.ws_col = 0};

	if (!isatty(fileno(f)))
		return SIZE_MAX;
	return ioctl(fileno(f), TIOCGWINSZ, &size) || !size.ws_col ? USUAL : size.ws_col;
}

size_t osp_columns_count(const char *text, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++)
		n += ((uint8_t)text[i] & 0xc0) != 0x80;
	return n;
}

size_t osp_columns_count_text(const char *text)
{
	char line[1024];

	return osp_columns_count(line, osp_text_escape(line, sizeof(line), text, strlen(text)));
}

/* The byte at which the n-th character begins. */
static size_t character(const char *text, size_t size, size_t n)
{
	size_t i = 0;

	for (; i < size; i++)
		if (((uint8_t)text[i] & 0xc0) != 0x80 && !n--)
			break;
	return i;
}

/*
 * What is wider than `most` loses its middle: the beginning tells most (hosts, ports), then the
 * end (the last part of a topic). Returns the columns written.
 */
static size_t put_cut(FILE *f, const char *line, size_t size, size_t most)
{
	size_t wide = osp_columns_count(line, size), head = most - most / 5 - 2;

	if (wide <= most) {
		fputs(line, f);
		return wide;
	}
	fwrite(line, 1, character(line, size, head), f);
	fputs("..", f);
	fputs(line + character(line, size, wide - (most - head - 2)), f);
	return most;
}

size_t osp_columns_write(FILE *f, const char *text, size_t most)
{
	char line[1024];

	return put_cut(f, line, osp_text_escape(line, sizeof(line), text, strlen(text)), most);
}

size_t osp_columns_write_title(FILE *f, const char *name, size_t most)
{
	char line[1024];
	size_t n = 0;

	for (const char *at = name; *at && n + 5 < sizeof(line);) {
		size_t part = *at == '\\' ? 1 : strcspn(at, "\\");

		if (*at == '\\')
			line[n++] = '\\';
		else
			n += osp_text_escape(line + n, sizeof(line) - n, at, part);
		at += part;
	}
	line[n] = 0;
	return put_cut(f, line, n, most);
}

void osp_columns_write_spaces(FILE *f, size_t n)
{
	fprintf(f, "%*s", (int)n, "");
}

void osp_columns_write_padded(FILE *f, const char *text, size_t width)
{
	osp_columns_write_spaces(f, width - osp_columns_write(f, text, width));
}

void osp_columns_process(const struct osp_session *s, uint32_t key, char out[64])
{
	const struct osp_process_row *p = osp_session_process(s, key);

	if (p)
		snprintf(out, 64, "%.40s/%u", *p->comm ? p->comm : "?", p->pid);
	else
		snprintf(out, 64, "process #%u", key);
}
