/*
 * Fills the templates of span names (user/title.h) for the rows that stitch emits. Owns nothing.
 */
#include "user/title.h"

#include <stdio.h>
#include <string.h>

#include "user/base/text.h"

void osp_title_parse(struct osp_title *t, const char *template)
{
	const char *open = template, *close;

	*t = (struct osp_title){.template = template, .size = strlen(template), .plain = true};
	for (size_t i = 0; i < t->size; i++)
		t->plain &= template[i] >= ' ' && template[i] < 0x7f && template[i] != '\\';
	while (t->hole_count < OSP_TITLE_HOLES && (open = strchr(open, '{')) &&
	       (close = strchr(open, '}')) && close - template <UINT16_MAX) {
		t->holes[t->hole_count].name = open + 1;
		t->holes[t->hole_count].name_size = (uint16_t)(close - open - 1);
		t->holes[t->hole_count].from = (uint16_t)(open - template);
		t->holes[t->hole_count].to = (uint16_t)(close + 1 - template);
		t->hole_count++;
		open = close + 1;
	}
}

int osp_title_find(const struct osp_title *t, const char *arg)
{
	for (size_t i = 0; i < t->hole_count; i++)
		if (!strncmp(t->holes[i].name, arg, t->holes[i].name_size) &&
		    !arg[t->holes[i].name_size])
			return (int)i;
	return -1;
}

/* Appends what fits; a value that does not fit whole is cut between characters. */
static size_t add_text(char *out, size_t used, const void *text, size_t size)
{
	return used + osp_text_escape(out + used, OSP_TITLE_MAX + 1 - used, text, size);
}

static size_t add_number(char *out, size_t used, uint64_t number, bool negative)
{
	char digits[24], *at = digits + sizeof(digits);

	do
		*--at = (char)('0' + number % 10);
	while (number /= 10);
	if (negative)
		*--at = '-';
	return add_text(out, used, at, (size_t)(digits + sizeof(digits) - at));
}

static size_t add_hex(char *out, size_t used, const struct osp_value *v)
{
	char hex[2 * 64 + 1];
	uint32_t size = v->size < 64 ? v->size : 64;

	osp_text_hex(hex, v->data, size);
	return add_text(out, used, hex, 2 * (size_t)size);
}

static size_t add_value(char *out, size_t used, const struct osp_value *v)
{
	char number[64] = "?";

	if (v && v->type == OSP_VALUE_STR)
		return add_text(out, used, v->data, v->size);
	if (v && v->type == OSP_VALUE_BYTES)
		return add_hex(out, used, v);
	if (v && v->type == OSP_VALUE_I64)
		return add_number(out, used, v->i64 < 0 ? 0 - v->u64 : v->u64, v->i64 < 0);
	if (v && v->type == OSP_VALUE_U64)
		return add_number(out, used, v->u64, false);
	if (v && v->type == OSP_VALUE_F64)
		snprintf(number, sizeof(number), "%g", v->f64);
	else if (v && v->type == OSP_VALUE_BOOL)
		snprintf(number, sizeof(number), "%s", v->boolean ? "true" : "false");
	return add_text(out, used, number, strlen(number));
}

/* Text of the template, which mostly needs no escaping. */
static size_t add_piece(char *out, size_t used, const struct osp_title *t, size_t from, size_t to)
{
	if (!t->plain || to - from > OSP_TITLE_MAX - used)
		return add_text(out, used, t->template + from, to - from);
	memcpy(out + used, t->template + from, to - from);
	out[used + to - from] = 0;
	return used + to - from;
}

size_t osp_title_format(const struct osp_title *t, const struct osp_value *const *values,
			char out[OSP_TITLE_MAX + 1])
{
	size_t used = 0, at = 0;

	out[0] = 0;
	for (size_t i = 0; i < t->hole_count; i++) {
		used = add_piece(out, used, t, at, t->holes[i].from);
		used = add_value(out, used, values[i]);
		at = t->holes[i].to;
	}
	return add_piece(out, used, t, at, t->size);
}
