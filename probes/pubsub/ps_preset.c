/*
 * Preset dictionaries. Fed by an option of the programs, asked by ps_compressor. Owns a share of
 * each dictionary, so that all connections that use it at one level have the same.
 */
#include "probes/pubsub/ps_preset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"

struct ps_preset *ps_presets_find(struct ps_presets *p, uint64_t id)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->list[i].id == id)
			return &p->list[i];
	return NULL;
}

/* Reads `ID[:LEVEL]=`; the file's name, or NULL. */
static const char *parse(const char *option, uint64_t *id, int64_t *level)
{
	char *end = NULL;

	*level = PS_LEVEL_DEFAULT;
	if (*option < '0' || *option > '9')
		return NULL;
	*id = strtoull(option, &end, 10);
	if (*end == ':') {
		option = end + 1;
		*level = strtoll(option, &end, 10);
		if (end == option)
			return NULL;
	}
	return *end == '=' && end[1] ? end + 1 : NULL;
}

/* All of a file, if it is not too large for a dictionary. */
static int read_file(struct osp_buffer *out, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t chunk[4096];
	ssize_t n;
	int r = fd < 0 ? -errno : 0;

	while (!r && (n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0)
			return -errno;
		r = osp_buffer_add(out, chunk, (size_t)n);
	}
	return r;
}

static int load(struct ps_dictionary **out, const char *path, int64_t level)
{
	struct osp_buffer bytes = OSP_BUFFER_INIT(PS_DICTIONARY_MAX);
	struct ps_dictionary *d = NULL;
	int r = read_file(&bytes, path);

	if (!r)
		r = ps_dictionary_new(&d, ps_bytes(bytes.data, bytes.size), level);
	osp_buffer_clear(&bytes);
	if (!r)
		r = ps_dictionary_prepare(d);
	if (r)
		ps_dictionary_free(&d);
	*out = d;
	if (r == -ENOSPC || r == -EFBIG)
		return osp_err(-EFBIG, "dictionary %s - it may have %d bytes", path,
			       PS_DICTIONARY_MAX);
	if (r == -EINVAL)
		return osp_err(r, "dictionary %s - it is empty", path);
	if (r == -EBADMSG)
		return osp_err(r, "dictionary %s - it begins as one of zstd's but is damaged",
			       path);
	return r ? osp_err(r, "dictionary %s", path) : 0;
}

int ps_presets_add(struct ps_presets *p, const char *option)
{
	struct ps_dictionary *d;
	uint64_t id = 0;
	int64_t level;
	const char *path = parse(option, &id, &level);
	int r;

	if (!path || id < PS_PRESET_FIRST || id > PS_PRESET_LAST)
		return osp_err(
			-EINVAL,
			"preset dictionary '%s' - give ID=FILE or ID:LEVEL=FILE, ID from %d to %d",
			option, PS_PRESET_FIRST, PS_PRESET_LAST);
	if (ps_presets_find(p, id))
		return osp_err(-EEXIST, "preset dictionary '%s' - give each number once", option);
	if (p->count == PS_PRESETS_MAX)
		return osp_err(-ENOSPC, "preset dictionary '%s' - there may be %d", option,
			       PS_PRESETS_MAX);
	r = load(&d, path, level);
	if (r)
		return r;
	p->list[p->count++] = (struct ps_preset){id, d};
	return 0;
}

void ps_presets_clear(struct ps_presets *p)
{
	while (p->count)
		ps_dictionary_free(&p->list[--p->count].dictionary);
}

int ps_preset_get(struct ps_dictionary **out, struct ps_preset *p, int64_t level)
{
	struct ps_dictionary *d;
	int r;

	if (ps_dictionary_level(p->dictionary) != ps_dictionary_limit_level(level)) {
		r = ps_dictionary_new(&d, ps_dictionary_bytes(p->dictionary), level);
		if (r)
			return r;
		ps_dictionary_free(&p->dictionary);
		p->dictionary = d;
	}
	*out = ps_dictionary_share(p->dictionary);
	return 0;
}
