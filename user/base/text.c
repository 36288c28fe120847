/*
 * Pure text functions that every floor may use: what a terminal may be shown, hexadecimal,
 * durations and times. They own nothing and keep nothing.
 */
#include "user/base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Length of the valid UTF-8 sequence at p (table 3-7 of the Unicode standard), or 0. */
static size_t utf8_length(const uint8_t *p, size_t left)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (!n || n > left || p[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

/* C0, DEL, C1, and the marks that reorder or hide text (U+200B..200F, 202A..202E, 2066..2069). */
static bool is_hidden(const uint8_t *p, size_t n)
{
	if (n == 1)
		return p[0] < 0x20 || p[0] == 0x7f;
	if (n == 2)
		return p[0] == 0xc2 && p[1] < 0xa0;
	if (n == 3 && p[0] == 0xe2)
		return (p[1] == 0x80 &&
			((p[2] >= 0x8b && p[2] <= 0x8f) || (p[2] >= 0xa8 && p[2] <= 0xae))) ||
		       (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
	return n == 3 && p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf;
}

/*
 * Eight bytes at once: not 0 unless all are plain characters: ASCII, to be seen, no backslash.
 */
static uint64_t not_plain(const uint8_t *p)
{
	const uint64_t ones = 0x0101010101010101ull, highs = 0x8080808080808080ull;
	uint64_t word, del, backslash;

	memcpy(&word, p, sizeof(word));
	del = word ^ ones * 0x7f;
	backslash = word ^ ones * '\\';
	return (word | (word - ones * 0x20) | (del - ones) | (backslash - ones)) & highs;
}

/* How many of the first bytes are plain characters. */
static size_t count_plain(const uint8_t *p, size_t size)
{
	size_t n = 0;

	while (n + 8 <= size && !not_plain(p + n))
		n += 8;
	while (n < size && p[n] >= 0x20 && p[n] < 0x7f && p[n] != '\\')
		n++;
	return n;
}

size_t osp_text_escape(char *out, size_t room, const void *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = bytes;
	size_t n = count_plain(p, size < room ? size : room);

	n = room && n >= room ? room - 1 : n;
	memcpy(out, p, n);
	for (size_t i = n; i < size;) {
		size_t length = utf8_length(p + i, size - i);
		size_t take = length ? length : 1;
		bool hide = !length || is_hidden(p + i, length);
		size_t need = hide ? 4 * take : p[i] == '\\' ? 2 : take;

		if (n + need >= room)
			break;
		for (size_t k = 0; k < take; k++) {
			if (hide) {
				out[n++] = '\\';
				out[n++] = 'x';
				out[n++] = digits[p[i + k] >> 4];
				out[n++] = digits[p[i + k] & 15];
				continue;
			}
			if (p[i] == '\\')
				out[n++] = '\\';
			out[n++] = (char)p[i + k];
		}
		i += take;
	}
	if (room)
		out[n] = 0;
	return n;
}

/* Eight bytes at once: true if all are ASCII and none is NUL. */
static inline bool is_ascii(uint64_t word)
{
	return !((word | (word - 0x0101010101010101ull)) & 0x8080808080808080ull);
}

/* So few bytes that the rest of a word is filled up with characters. */
static inline bool is_short_ascii(const uint8_t *p, size_t size)
{
	uint64_t word = 0x0101010101010101ull;

	if (size & 4)
		memcpy(&word, p, 4);
	if (size & 2)
		memcpy((uint8_t *)&word + 4, p + (size & 4), 2);
	if (size & 1)
		memcpy((uint8_t *)&word + 6, p + (size & 6), 1);
	return is_ascii(word);
}

/* Most texts are ASCII: that is seen at once. */
static bool is_ascii_text(const uint8_t *p, size_t size)
{
	uint64_t word;

	if (size < sizeof(word))
		return is_short_ascii(p, size);
	for (size_t i = 0; i + sizeof(word) < size; i += sizeof(word)) {
		memcpy(&word, p + i, sizeof(word));
		if (!is_ascii(word))
			return false;
	}
	memcpy(&word, p + size - sizeof(word), sizeof(word));
	return is_ascii(word);
}

bool osp_text_is_utf8(const void *bytes, size_t size)
{
	const uint8_t *p = bytes;

	if (is_ascii_text(p, size))
		return true;
	for (size_t i = 0, n; i < size; i += n) {
		n = utf8_length(p + i, size - i);
		if (!n)
			return false;
	}
	return true;
}

bool osp_text_is_value(const void *bytes, size_t size)
{
	return is_ascii_text(bytes, size) ||
	       (osp_text_is_utf8(bytes, size) && !memchr(bytes, 0, size));
}

size_t osp_text_format_utf8(char *out, size_t room, const void *bytes, size_t size)
{
	if (size >= room || !osp_text_is_value(bytes, size))
		return osp_text_escape(out, room, bytes, size);
	memcpy(out, bytes, size);
	out[size] = 0;
	return size;
}

void osp_text_hex(char *out, const void *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = bytes;

	for (size_t i = 0; i < size; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * size] = 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int osp_text_unhex(void *out, size_t size, const char *text, size_t length)
{
	uint8_t *p = out;

	if (length != 2 * size)
		return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		p[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

int osp_text_parse_duration(const char *text, int64_t *ns)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6},  {"s", 1e9},
		     {"", 1e9}, {"m", 60e9}, {"h", 3600e9}};
	char *end;
	double value;

	errno = 0;
	value = strtod(text, &end);
	if (end == text || errno || !(value >= 0) || value > 1e9)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].name))
			continue;
		if (value * units[i].ns > 9e18)
			return -EINVAL;
		*ns = (int64_t)(value * units[i].ns);
		return 0;
	}
	return -EINVAL;
}

const char *osp_text_plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

char *osp_text_duration(char out[24], int64_t ns)
{
	double v = (double)ns;

	if (ns < 1000)
		snprintf(out, 24, "%" PRId64 " ns", ns);
	else if (ns < 1000000)
		snprintf(out, 24, "%.1f us", v / 1e3);
	else if (ns < 1000000000)
		snprintf(out, 24, "%.2f ms", v / 1e6);
	else
		snprintf(out, 24, "%.2f s", v / 1e9);
	return out;
}

char *osp_text_time(char out[40], int64_t wall_ns, bool utc)
{
	int64_t seconds = wall_ns / 1000000000, rest = wall_ns % 1000000000;
	time_t t;
	struct tm tm;
	size_t n;

	if (rest < 0) {
		rest += 1000000000;
		seconds--;
	}
	t = (time_t)seconds;
	if (!(utc ? gmtime_r(&t, &tm) : localtime_r(&t, &tm))) {
		snprintf(out, 40, "?");
		return out;
	}
	n = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(out + n, 40 - n, ".%06d", (int)(rest / 1000));
	if (utc) {
		snprintf(out + n, 40 - n, "Z");
		return out;
	}
	snprintf(out + n, 40 - n, "%c%02ld:%02ld", tm.tm_gmtoff < 0 ? '-' : '+',
		 labs(tm.tm_gmtoff) / 3600, labs(tm.tm_gmtoff) / 60 % 60);
	return out;
}
