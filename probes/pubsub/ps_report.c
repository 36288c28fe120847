/* Keeps and encodes what a broadcaster tells of a fan-out (ps_report.h). Owns its buffers. */
#include "probes/pubsub/ps_report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "probes/pubsub/ps_system.h"
#include "probes/pubsub/ps_trace.h"
#include "user/base/cleanup.h"

/* The field's length has 16 bits; what is not records takes 19 bytes of it, and a context. */
enum {
	FIELD_MAX = 65535,
	AROUND = 19,
	TIMES = 16,
	RECORDS_MAX = FIELD_MAX - AROUND - OUTSPAN_CONTEXT_SIZE
};

int ps_report_mode_from_str(const char *text, enum ps_report_mode *mode)
{
	static const char *const names[PS_REPORT_MODES] = {"none", "own", "simple"};

	for (int i = 0; i < PS_REPORT_MODES; i++)
		if (!strcmp(text, names[i])) {
			*mode = (enum ps_report_mode)i;
			return 0;
		}
	return -EINVAL;
}

void ps_report_start(struct ps_report *r, int64_t received_ns)
{
	r->on = true;
	r->received_ns = received_ns;
	r->records.max = RECORDS_MAX;
	r->whole.max = FIELD_MAX;
}

static char *pack(const char *format, va_list values)
{
	json_t *object = format ? json_vpack_ex(NULL, 0, format, values) : NULL;
	char *text = object ? json_dumps(object, JSON_ENSURE_ASCII) : strdup("{}");

	json_decref(object);
	return text;
}

static int write_record(struct osp_buffer *out, const char *name, const char *extra)
{
	struct ps_writer w = {.out = out};
	double seconds = (double)ps_system_wall_ns() / 1e9;
	uint64_t bits;

	memcpy(&bits, &seconds, sizeof(bits));
	ps_wire_write_string(&w, 2, ps_bytes_text(name));
	ps_wire_write_string(&w, 2, ps_bytes_text(extra));
	ps_wire_write_number(&w, 8, bits);
	return w.error;
}

void ps_report_add(struct ps_report *r, const char *name, const char *format, ...)
{
	_cleanup_free_ char *extra = NULL;
	va_list values;
	size_t before;

	if (!r || !r->on || r->truncated)
		return;
	before = r->records.size;
	va_start(values, format);
	extra = pack(format, values);
	va_end(values);
	if (extra && r->count < UINT16_MAX && !write_record(&r->records, name, extra)) {
		r->count++;
		return;
	}
	r->truncated = true;
	r->records.size = before;
}

struct ps_bytes ps_report_encode(struct ps_report *r, struct ps_bytes context)
{
	struct ps_writer w = {.out = &r->whole};

	if (!r->on)
		return context;
	osp_buffer_reset(&r->whole);
	ps_wire_write_bytes(&w, context);
	ps_wire_write_number(&w, 1, r->truncated);
	ps_wire_write_number(&w, 2, r->count);
	ps_wire_write_bytes(&w, ps_bytes(r->records.data, r->records.size));
	ps_wire_write_number(&w, 8, (uint64_t)r->received_ns);
	ps_wire_write_number(&w, 8, (uint64_t)ps_system_wall_ns());
	return ps_bytes(r->whole.data, w.error ? 0 : r->whole.size);
}

bool ps_report_times(struct ps_bytes report, uint64_t *received_ns, uint64_t *sent_ns)
{
	struct ps_reader r;

	if (report.size < AROUND)
		return false;
	r = ps_wire_reader((const uint8_t *)report.data + report.size - TIMES, TIMES);
	*received_ns = ps_wire_read_number(&r, 8);
	*sent_ns = ps_wire_read_number(&r, 8);
	return true;
}

void ps_report_clear(struct ps_report *r)
{
	osp_buffer_clear(&r->records);
	osp_buffer_clear(&r->whole);
}
