/*
 * Reading values out of a catalogue's tree, and refusing them: every message of the loader is
 * made here, as "FILE:LINE: PATH: expected ...". PATH is the keys that lead to the place.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probes/load.h"
#include "user/base/text.h"

int osp_load_fail(struct osp_load *l, const struct osp_node *at, const char *format, ...)
{
	char text[sizeof(l->error->text)], path[256] = "", whole[1024];
	size_t n = 0;
	va_list ap;

	for (size_t i = 0; i < l->depth && i < OSP_LOAD_PATH && n < sizeof(path); i++)
		n += (size_t)snprintf(path + n, sizeof(path) - n, "%s%s", i ? "." : "", l->path[i]);
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "%s:%d: %s%s%s", l->file, at ? at->line : 1, path,
		 path[0] ? ": " : "", text);
	osp_text_escape(l->error->text, sizeof(l->error->text), whole, strlen(whole));
	return -EINVAL;
}

void osp_load_enter(struct osp_load *l, const char *key)
{
	if (l->depth < OSP_LOAD_PATH)
		l->path[l->depth] = key;
	l->depth++;
}

void osp_load_leave(struct osp_load *l)
{
	l->depth--;
}

/* Words are separated by single spaces; index counts them. */
static bool has_word(const char *words, const char *word, int *index)
{
	size_t n = strlen(word);
	int i = 0;

	for (const char *p = words; *p; i++) {
		size_t length = strcspn(p, " ");

		if (length == n && !memcmp(p, word, n)) {
			if (index)
				*index = i;
			return true;
		}
		p += length;
		p += *p == ' ';
	}
	return false;
}

int osp_load_map(struct osp_load *l, const struct osp_node *n)
{
	if (n->kind != OSP_NODE_MAP)
		return osp_load_fail(l, n, "expected a map");
	return 0;
}

int osp_load_keys(struct osp_load *l, const struct osp_node *n, const char *keys)
{
	int r = osp_load_map(l, n);

	for (size_t i = 0; !r && i < n->count; i++)
		if (!has_word(keys, n->keys[i]->text, NULL))
			r = osp_load_fail(l, n->keys[i], "%s: expected one of: %s",
					  n->keys[i]->text, keys);
	return r;
}

int osp_load_text(struct osp_load *l, const struct osp_node *n, const char *key, const char **out)
{
	const struct osp_node *v = osp_node_find(n, key);

	if (!v)
		return 0;
	if (v->kind != OSP_NODE_SCALAR || !v->text[0])
		return osp_load_fail(l, v, "%s: expected text", key);
	*out = v->text;
	return 0;
}

static int load_printable(struct osp_load *l, const struct osp_node *n, const char *key, size_t max,
			  const char **out)
{
	const char *text = NULL;
	int r = osp_load_text(l, n, key, &text);

	if (r || !text)
		return r;
	for (const char *p = text; *p; p++)
		if (iscntrl((unsigned char)*p))
			return osp_load_fail(l, osp_node_find(n, key),
					     "%s: expected one line of text", key);
	if (strlen(text) > max)
		return osp_load_fail(l, osp_node_find(n, key), "%s: expected at most %zu bytes",
				     key, max);
	*out = text;
	return 0;
}

int osp_load_line(struct osp_load *l, const struct osp_node *n, const char *key, const char **out)
{
	return load_printable(l, n, key, 200, out);
}

int osp_load_prose(struct osp_load *l, const struct osp_node *n, const char *key, const char **out)
{
	return load_printable(l, n, key, 600, out);
}

int osp_load_bool(struct osp_load *l, const struct osp_node *n, const char *key, bool *out)
{
	const char *text = NULL;
	int r = osp_load_text(l, n, key, &text);

	if (r || !text)
		return r;
	if (strcmp(text, "true") && strcmp(text, "false"))
		return osp_load_fail(l, osp_node_find(n, key), "%s: expected true or false", key);
	*out = text[0] == 't';
	return 0;
}

int osp_load_uint(struct osp_load *l, const struct osp_node *n, const char *key, uint64_t min,
		  uint64_t max, uint64_t *out)
{
	const char *text = NULL;
	int r = osp_load_text(l, n, key, &text);
	unsigned long long value;
	char *end;

	if (r || !text)
		return r;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || errno || value < min || value > max)
		return osp_load_fail(l, osp_node_find(n, key),
				     "%s: expected a number from %llu to %llu", key,
				     (unsigned long long)min, (unsigned long long)max);
	*out = value;
	return 0;
}

int osp_load_duration(struct osp_load *l, const struct osp_node *n, const char *key, int64_t *out)
{
	const char *text = NULL;
	int64_t ns = 0;
	int r = osp_load_text(l, n, key, &text);

	if (r || !text)
		return r;
	if (osp_text_parse_duration(text, &ns) || !ns)
		return osp_load_fail(l, osp_node_find(n, key),
				     "%s: expected a duration such as 250ms, 30s or 5m", key);
	*out = ns;
	return 0;
}

int osp_load_choice(struct osp_load *l, const struct osp_node *n, const char *key,
		    const char *words, int *out)
{
	const char *text = NULL;
	int r = osp_load_text(l, n, key, &text);

	if (r || !text)
		return r;
	if (!has_word(words, text, out))
		return osp_load_fail(l, osp_node_find(n, key), "%s: expected one of: %s", key,
				     words);
	return 0;
}

/* Names become identifiers of the generated header, which C and C++ programs include. */
static const char reserved[] =
	"alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t "
	"char32_t char8_t class co_await co_return co_yield compl concept const const_cast "
	"consteval constexpr constinit continue decltype default delete do double dynamic_cast "
	"else enum explicit export extern false float for friend goto if inline int long mutable "
	"namespace new noexcept not not_eq nullptr operator or or_eq private protected public "
	"register reinterpret_cast requires restrict return short signed sizeof static "
	"static_assert static_cast struct switch template this thread_local throw true try typedef "
	"typeid typename typeof union unsigned using virtual void volatile wchar_t while xor xor_eq "
	"linux unix i386";

int osp_load_word(struct osp_load *l, const struct osp_node *n)
{
	const char *name = n->kind == OSP_NODE_SCALAR ? n->text : "";

	if (!islower((unsigned char)name[0]) || strlen(name) > OSP_LOAD_NAME_BYTES ||
	    name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] || strstr(name, "__") ||
	    name[strlen(name) - 1] == '_')
		return osp_load_fail(l, n,
				     "expected a name of lower-case letters, digits and single "
				     "underscores, at most %d bytes",
				     OSP_LOAD_NAME_BYTES);
	return 0;
}

int osp_load_name(struct osp_load *l, const struct osp_node *n)
{
	const char *name = n->text;
	int r = osp_load_word(l, n);

	if (r)
		return r;
	if (has_word(reserved, name, NULL) || !strncmp(name, "outspan", 7))
		return osp_load_fail(l, n, "expected a name that is no word of C, C++ or outspan");
	return 0;
}

int osp_load_state_name(struct osp_load *l, const struct osp_node *n)
{
	const char *name = n->text;

	if (!isupper((unsigned char)name[0]) || strlen(name) > OSP_LOAD_NAME_BYTES)
		return osp_load_fail(l, n,
				     "expected the name of a state, such as AwaitingResponse");
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p))
			return osp_load_fail(l, n,
					     "expected the name of a state, such as "
					     "AwaitingResponse");
	return 0;
}
