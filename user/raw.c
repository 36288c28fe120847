/*
 * Writes and reads raw captures (user/raw.h): the recorder writes what it pushes into the
 * pipeline, a replay pushes what it reads. Owns one buffer with the entry at hand and, while
 * reading, the catalogue.
 */
#include "user/raw.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "user/base/buffer.h"

enum {
	VERSION = 4,
	ORDER = 0x01020304,
	KIND_CATALOGUE = 100,
	ENTRY_MAX = 4 << 20,
	RECORD_MAX = sizeof(struct osp_record) + OSP_EVENT_DATA,
};
static const char magic[8] = "OSPRAW\n";

struct head {
	char magic[8];
	uint32_t version, order;
};

struct entry {
	uint32_t size, kind;
	int64_t time_ns;
};

struct osp_raw {
	FILE *file; /* borrowed */
	struct osp_buffer buffer;
	struct osp_catalogue *catalogue;
	struct entry entry;
	struct osp_numbers numbers; /* of the entry, aligned */
	const uint8_t *at;	    /* fields of the entry not yet read */
	size_t left;
	bool pending; /* the entry was read and not yet handed out */
	bool bad;     /* a field was not there */
};

void osp_raw_free(struct osp_raw **r)
{
	if (!*r)
		return;
	osp_buffer_clear(&(*r)->buffer);
	osp_catalogue_free(&(*r)->catalogue);
	free(*r);
	*r = NULL;
}

static int new_raw(struct osp_raw **out, FILE *file)
{
	struct osp_raw *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->file = file;
	r->buffer.max = ENTRY_MAX;
	*out = r;
	return 0;
}

/* ---- writing ---- */

static int write_bytes(struct osp_raw *r, const void *bytes, size_t size)
{
	if (size && fwrite(bytes, size, 1, r->file) != 1)
		return errno ? -errno : -EIO;
	return 0;
}

static int put(struct osp_raw *r, const void *bytes, size_t size)
{
	int e = osp_buffer_add(&r->buffer, bytes, size);

	return e == -ENOSPC ? -E2BIG : e;
}

static int put_u32(struct osp_raw *r, uint32_t value)
{
	return put(r, &value, sizeof(value));
}

static int put_u64(struct osp_raw *r, uint64_t value)
{
	return put(r, &value, sizeof(value));
}

static int put_text(struct osp_raw *r, const char *text)
{
	size_t size = text ? strlen(text) : 0;
	int e = size > ENTRY_MAX ? -E2BIG : put_u32(r, (uint32_t)size);

	return e ? e : put(r, text, size);
}

static int put_process(struct osp_raw *r, const struct osp_input_process *p)
{
	const uint32_t numbers[] = {p->slot, p->pid,	 p->namespace_pid,
				    p->uid,  p->exec_id, p->parent_pid};
	int e = put(r, numbers, sizeof(numbers));

	if (!e)
		e = put_u64(r, p->start_ns);
	if (!e)
		e = put_text(r, p->comm);
	if (!e)
		e = put_text(r, p->exe);
	return e ? e : put_text(r, p->cmdline);
}

static int put_sites(struct osp_raw *r, const struct osp_input_sites *s)
{
	const uint32_t numbers[] = {s->slot, s->point, s->sites, s->attached, s->fires};

	return put(r, numbers, sizeof(numbers));
}

static int put_attach(struct osp_raw *r, const struct osp_input_attach *a)
{
	const uint32_t numbers[] = {a->slot, a->detach, a->begins};

	return put(r, numbers, sizeof(numbers));
}

static int put_counters(struct osp_raw *r, const struct osp_input_counters *c)
{
	const uint32_t numbers[] = {c->slot, c->point, c->last};
	int e = put(r, numbers, sizeof(numbers));

	return e ? e : put(r, &c->counter, sizeof(c->counter));
}

/* The kernel reserves more than a record needs: what lies behind its data is left out. */
static int put_record(struct osp_raw *r, const struct osp_input *in)
{
	const struct osp_record *record = in->record;
	size_t size = sizeof(*record);

	if (in->size < size)
		return -EINVAL;
	if (record->data_size > 0)
		size += (size_t)record->data_size;
	return put(r, record, size < in->size ? size : in->size);
}

static int put_input(struct osp_raw *r, const struct osp_input *in)
{
	int e;

	switch (in->kind) {
	case OSP_INPUT_RECORD:
	case OSP_INPUT_DISCARD:
		return put_record(r, in);
	case OSP_INPUT_PROCESS:
		return put_process(r, &in->process);
	case OSP_INPUT_SITES:
		return put_sites(r, &in->sites);
	case OSP_INPUT_ATTACH:
		return put_attach(r, &in->attach);
	case OSP_INPUT_COUNTERS:
		return put_counters(r, &in->counters);
	case OSP_INPUT_CLOCK:
		e = put_u64(r, (uint64_t)in->clock.wall_ns);
		return e ? e : put_u64(r, (uint64_t)in->clock.error_ns);
	case OSP_INPUT_STAMP:
		e = put_u64(r, in->stamp.stamp);
		e = e ? e : put_u64(r, (uint64_t)in->stamp.low_ns);
		return e ? e : put_u64(r, (uint64_t)in->stamp.high_ns);
	case OSP_INPUT_SETTING:
		e = put_text(r, in->setting.name);
		return e ? e : put_text(r, in->setting.value);
	case OSP_INPUT_NUMBERS:
		e = put_u32(r, in->numbers.table);
		return e ? e : put(r, in->numbers.numbers, sizeof(*in->numbers.numbers));
	case OSP_INPUT_TICK:
	case OSP_INPUT_STOP:
		return 0;
	}
	return -EINVAL;
}

/* Head and fields go out in two writes: a crash between them leaves an entry that reads as cut. */
static int write_entry(struct osp_raw *r, uint32_t kind, int64_t time_ns)
{
	struct entry entry = {(uint32_t)(sizeof(entry) - sizeof(entry.size) + r->buffer.size), kind,
			      time_ns};
	int e = write_bytes(r, &entry, sizeof(entry));

	return e ? e : write_bytes(r, r->buffer.data, r->buffer.size);
}

int osp_raw_write(struct osp_raw *r, const struct osp_input *in)
{
	int e;

	osp_buffer_reset(&r->buffer);
	e = put_input(r, in);
	return e ? e : write_entry(r, (uint32_t)in->kind, in->time_ns);
}

static int write_start(struct osp_raw *r, const struct osp_catalogue *c)
{
	struct head head = {.version = VERSION, .order = ORDER};
	int e;

	memcpy(head.magic, magic, sizeof(magic));
	e = write_bytes(r, &head, sizeof(head));
	for (size_t i = 0; i < c->file_count && !e; i++) {
		osp_buffer_reset(&r->buffer);
		e = put_text(r, c->names[i]);
		if (!e)
			e = put_text(r, c->texts[i]);
		if (!e)
			e = write_entry(r, KIND_CATALOGUE, 0);
	}
	return e;
}

int osp_raw_create(struct osp_raw **out, FILE *file, const struct osp_catalogue *c)
{
	struct osp_raw *r;
	int e = new_raw(&r, file);

	if (e)
		return e;
	e = write_start(r, c);
	if (e) {
		osp_raw_free(&r);
		return e;
	}
	*out = r;
	return 0;
}

/* ---- reading ---- */

/* 0, 1 if the file ends before the first byte, -ENODATA if it ends later, -EIO. */
static int read_bytes(struct osp_raw *r, void *bytes, size_t size)
{
	size_t got = fread(bytes, 1, size, r->file);

	if (got == size)
		return 0;
	if (ferror(r->file))
		return -EIO;
	return got ? -ENODATA : 1;
}

/* Brings the next entry into the buffer and points at its fields. */
static int read_entry(struct osp_raw *r)
{
	size_t size;
	void *room;
	int e = read_bytes(r, &r->entry, sizeof(r->entry));

	if (e)
		return e;
	if (r->entry.size < sizeof(r->entry) - sizeof(r->entry.size))
		return -EBADMSG;
	size = r->entry.size - (sizeof(r->entry) - sizeof(r->entry.size));
	osp_buffer_reset(&r->buffer);
	if (size > ENTRY_MAX)
		return -EBADMSG;
	/* Grown by what is there, not by what the file claims. */
	for (size_t done = 0; done < size;) {
		size_t chunk = size - done < 65536 ? size - done : 65536;

		room = osp_buffer_reserve(&r->buffer, chunk);
		if (!room)
			return -ENOMEM;
		e = read_bytes(r, room, chunk);
		if (e)
			return e == 1 ? -ENODATA : e;
		done += chunk;
	}
	r->at = r->buffer.data;
	r->left = size;
	r->bad = false;
	return 0;
}

/* The next `size` bytes of the entry; what is missing makes the whole entry bad, checked once. */
static const void *get(struct osp_raw *r, size_t size)
{
	const uint8_t *at = r->at;

	if (r->left < size) {
		r->bad = true;
		return NULL;
	}
	r->at += size;
	r->left -= size;
	return at;
}

static uint32_t get_u32(struct osp_raw *r)
{
	const void *at = get(r, sizeof(uint32_t));
	uint32_t value = 0;

	if (at)
		memcpy(&value, at, sizeof(value));
	return value;
}

static uint64_t get_u64(struct osp_raw *r)
{
	const void *at = get(r, sizeof(uint64_t));
	uint64_t value = 0;

	if (at)
		memcpy(&value, at, sizeof(value));
	return value;
}

/*
 * A string in place: it moves one byte forward, over its own size field, to make room for the NUL.
 * "" if it is not there or holds a NUL.
 */
static const char *get_text(struct osp_raw *r)
{
	uint32_t size = get_u32(r);
	const uint8_t *bytes = r->bad ? NULL : get(r, size);
	char *text;

	if (!bytes || memchr(bytes, 0, size)) {
		r->bad = true;
		return "";
	}
	text = (char *)r->buffer.data + (bytes - r->buffer.data) - 1;
	memmove(text, bytes, size);
	text[size] = 0;
	return text;
}

static bool get_bool(struct osp_raw *r)
{
	uint32_t value = get_u32(r);

	if (value > 1)
		r->bad = true;
	return value;
}

static uint16_t get_u16(struct osp_raw *r)
{
	uint32_t value = get_u32(r);

	if (value > UINT16_MAX)
		r->bad = true;
	return (uint16_t)value;
}

static void get_process(struct osp_raw *r, struct osp_input_process *p)
{
	p->slot = get_u32(r);
	p->pid = get_u32(r);
	p->namespace_pid = get_u32(r);
	p->uid = get_u32(r);
	p->exec_id = get_u32(r);
	p->parent_pid = get_u32(r);
	p->start_ns = get_u64(r);
	p->comm = get_text(r);
	p->exe = get_text(r);
	p->cmdline = get_text(r);
}

/* The buffer comes from malloc, so a record at its start is aligned. */
static void get_record(struct osp_raw *r, struct osp_input *in)
{
	const struct osp_record *record = (const struct osp_record *)r->at;

	in->record = record;
	in->size = r->left;
	if (in->size > RECORD_MAX || in->size < sizeof(*record) ||
	    (record->data_size > 0 && (size_t)record->data_size > in->size - sizeof(*record)))
		r->bad = true;
	get(r, in->size);
}

static void get_counters(struct osp_raw *r, struct osp_input_counters *c)
{
	const void *counter;

	c->slot = get_u32(r);
	c->point = get_u16(r);
	c->last = get_bool(r);
	counter = get(r, sizeof(c->counter));
	if (counter)
		memcpy(&c->counter, counter, sizeof(c->counter));
}

static void get_input(struct osp_raw *r, struct osp_input *in)
{
	const void *numbers;

	switch (in->kind) {
	case OSP_INPUT_RECORD:
	case OSP_INPUT_DISCARD:
		get_record(r, in);
		break;
	case OSP_INPUT_PROCESS:
		get_process(r, &in->process);
		break;
	case OSP_INPUT_SITES:
		in->sites.slot = get_u32(r);
		in->sites.point = get_u16(r);
		in->sites.sites = get_u16(r);
		in->sites.attached = get_bool(r);
		in->sites.fires = get_bool(r);
		break;
	case OSP_INPUT_ATTACH:
		in->attach.slot = get_u32(r);
		in->attach.detach = get_bool(r);
		in->attach.begins = get_bool(r);
		break;
	case OSP_INPUT_COUNTERS:
		get_counters(r, &in->counters);
		break;
	case OSP_INPUT_CLOCK:
		in->clock.wall_ns = (int64_t)get_u64(r);
		in->clock.error_ns = (int64_t)get_u64(r);
		break;
	case OSP_INPUT_STAMP:
		in->stamp.stamp = get_u64(r);
		in->stamp.low_ns = (int64_t)get_u64(r);
		in->stamp.high_ns = (int64_t)get_u64(r);
		break;
	case OSP_INPUT_SETTING:
		in->setting.name = get_text(r);
		in->setting.value = get_text(r);
		break;
	case OSP_INPUT_NUMBERS:
		in->numbers.table = get_u32(r);
		numbers = get(r, sizeof(r->numbers));
		if (numbers)
			memcpy(&r->numbers, numbers, sizeof(r->numbers));
		in->numbers.numbers = &r->numbers;
		break;
	case OSP_INPUT_TICK:
	case OSP_INPUT_STOP:
		break;
	default:
		r->bad = true;
	}
}

int osp_raw_read(struct osp_raw *r, struct osp_input *out)
{
	int e = r->pending ? 0 : read_entry(r);
	struct osp_input in = {.kind = (enum osp_input_kind)r->entry.kind,
			       .time_ns = r->entry.time_ns};

	r->pending = false;
	if (e)
		return e;
	get_input(r, &in);
	if (r->bad || r->left)
		return -EBADMSG;
	*out = in;
	return 0;
}

static int read_start(struct osp_raw *r, struct osp_catalogue_error *error)
{
	struct head head;
	int e = read_bytes(r, &head, sizeof(head));

	if (e == -EIO)
		snprintf(error->text, sizeof(error->text), "it cannot be read");
	else if (e || memcmp(head.magic, magic, sizeof(magic)) != 0)
		snprintf(error->text, sizeof(error->text), "it is not a raw capture");
	else if (head.order != ORDER)
		snprintf(error->text, sizeof(error->text),
			 "it was written on a machine of another byte order");
	else if (head.version != VERSION)
		snprintf(error->text, sizeof(error->text),
			 "it has version %u, this program reads %d", head.version, VERSION);
	else
		return 0;
	if (e == -EIO)
		return e;
	return e || memcmp(head.magic, magic, sizeof(magic)) != 0 ? -EBADMSG : -ENOTSUP;
}

/* Reads up to the first entry that is no catalogue, which stays pending. */
static int read_catalogues(struct osp_raw *r, struct osp_catalogue_error *error)
{
	int e;

	while (!(e = read_entry(r)) && r->entry.kind == KIND_CATALOGUE) {
		const char *name = get_text(r), *text = get_text(r);

		if (r->bad || r->left)
			e = -EBADMSG;
		else
			e = osp_catalogue_add(r->catalogue, name, text, strlen(text), error);
		if (e)
			break;
	}
	r->pending = !e;
	if (e == -EBADMSG || e == -ENODATA || e == -EIO)
		snprintf(error->text, sizeof(error->text), "its catalogues are damaged");
	/* A capture may end right behind its catalogues. */
	return e == 1 ? 0 : e == -ENODATA ? -EBADMSG : e;
}

int osp_raw_open(struct osp_raw **out, FILE *file, struct osp_catalogue_error *error)
{
	struct osp_raw *r;
	int e;

	snprintf(error->text, sizeof(error->text), "no memory");
	e = new_raw(&r, file);
	if (e)
		return e;
	e = osp_catalogue_new(&r->catalogue);
	if (!e)
		e = read_start(r, error);
	if (!e)
		e = read_catalogues(r, error);
	if (e) {
		osp_raw_free(&r);
		return e;
	}
	*out = r;
	return 0;
}

const struct osp_catalogue *osp_raw_catalogue(const struct osp_raw *r)
{
	return r->catalogue;
}
