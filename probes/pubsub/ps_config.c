/*
 * Settings and secrets files, read by jansson. Fed by the programs before they parse their
 * options. Owns what it read: the expanded argument list lives as long as the process.
 */
#include "probes/pubsub/ps_config.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"

enum { ARGUMENTS_MAX = 4096 };

static void free_json(json_t **j)
{
	json_decref(*j);
}

static int read_object(json_t **out, const char *path)
{
	json_error_t e;
	json_t *j;

	errno = 0;
	j = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
	if (!j && e.line < 0)
		return osp_err(errno ? -errno : -EIO, "read %s", path);
	if (!j) {
		osp_err(0, "%s:%d: %s", path, e.line, e.text);
		return -EINVAL;
	}
	if (!json_is_object(j)) {
		json_decref(j);
		osp_err(0, "%s:1: expected an object { ... }", path);
		return -EINVAL;
	}
	*out = j;
	return 0;
}

/* ---- settings -------------------------------------------------------------------------------- */

struct arguments {
	char **list;
	int count;
};

static int add(struct arguments *a, char *text)
{
	if (!text || a->count == ARGUMENTS_MAX) {
		free(text);
		return text ? -E2BIG : -ENOMEM;
	}
	a->list[a->count++] = text;
	a->list[a->count] = NULL;
	return 0;
}

static int add_value(struct arguments *a, const char *key, const json_t *value)
{
	char *text = NULL;
	int n = -1;

	if (json_is_string(value))
		n = asprintf(&text, "--%s=%s", key, json_string_value(value));
	else if (json_is_integer(value))
		n = asprintf(&text, "--%s=%" PRId64, key, (int64_t)json_integer_value(value));
	else if (json_is_real(value))
		n = asprintf(&text, "--%s=%.17g", key, json_real_value(value));
	else if (json_is_true(value))
		n = asprintf(&text, "--%s", key);
	else
		return json_is_false(value) || json_is_null(value) ? 0 : -EINVAL;
	return n < 0 ? -ENOMEM : add(a, text);
}

static int add_setting(struct arguments *a, const char *key, const json_t *value)
{
	const json_t *item;
	size_t i;
	int r = 0;

	if (!json_is_array(value))
		return add_value(a, key, value);
	json_array_foreach(value, i, item)
	{
		r = json_is_string(item) || json_is_number(item) ? add_value(a, key, item)
								 : -EINVAL;
		if (r)
			return r;
	}
	return 0;
}

static int add_file(struct arguments *a, const char *path)
{
	_cleanup_(free_json) json_t *j = NULL;
	const char *key;
	json_t *value;
	int r = read_object(&j, path);

	if (r)
		return r;
	json_object_foreach(j, key, value)
	{
		r = add_setting(a, key, value);
		if (!r)
			continue;
		osp_err(0, "%s: %s: expected a string, a number, true, false, or a list", path,
			key);
		return r;
	}
	return 0;
}

/* The file of a --config argument at *i (moved past it), or NULL. */
static const char *config_file(int argc, char **argv, int *i)
{
	const char *arg = argv[*i];

	if (!strncmp(arg, "--config=", 9))
		return arg + 9;
	if (!strcmp(arg, "--config") && *i + 1 < argc)
		return argv[++*i];
	return NULL;
}

static struct arguments kept; /* what option values point into, until the process ends */

static void free_kept(void)
{
	for (int i = 0; i < kept.count; i++)
		free(kept.list[i]);
	free(kept.list);
	kept = (struct arguments){0};
}

int ps_config_expand(int *argc, char ***argv)
{
	struct arguments a = {calloc(ARGUMENTS_MAX + 1, sizeof(char *)), 0};
	int r = a.list ? add(&a, strdup((*argv)[0])) : -ENOMEM;
	bool options = true;

	for (int i = 1; i < *argc && !r && strcmp((*argv)[i], "--"); i++) {
		const char *path = config_file(*argc, *argv, &i);

		if (path)
			r = add_file(&a, path);
	}
	for (int i = 1; i < *argc && !r; i++) {
		options &= strcmp((*argv)[i], "--") != 0;
		if (!options || !config_file(*argc, *argv, &i))
			r = add(&a, strdup((*argv)[i]));
	}
	free_kept();
	kept = a;
	atexit(free_kept);
	if (r)
		return r;
	*argc = a.count;
	*argv = a.list;
	return 0;
}

/* ---- secrets --------------------------------------------------------------------------------- */

static int read_secret(struct ps_secret *s, const json_t *file, const char *key, const char *path)
{
	const json_t *j = json_object_get(file, key);
	const char *type, *secret;

	if (!j)
		return ps_auth_set_secret(s, "none", "");
	type = json_string_value(json_object_get(j, "type"));
	secret = json_string_value(json_object_get(j, "secret"));
	if (!type || (!secret && strcmp(type, "none")) ||
	    ps_auth_set_secret(s, type, secret ? secret : "")) {
		osp_err(0,
			"%s: %s: expected \"type\": \"hmac\" or \"token\" and a \"secret\" - for hmac 64 bytes as base64url",
			path, key);
		return -EINVAL;
	}
	return 0;
}

int ps_config_read_secrets(struct ps_auth *a, const char *path)
{
	_cleanup_(free_json) json_t *j = NULL;
	const char *version;
	int r = read_object(&j, path);

	if (r)
		return r;
	version = json_string_value(json_object_get(j, "version"));
	if (!version || strcmp(version, "2")) {
		osp_err(0, "%s: version: expected \"2\"", path);
		return -EINVAL;
	}
	r = read_secret(&a->to_broadcaster, j, "to-broadcaster", path);
	return r ? r : read_secret(&a->to_subscriber, j, "to-subscriber", path);
}
