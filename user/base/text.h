/* Text in and out: escaping for terminals, hexadecimal, durations, times. Pure functions. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Copies `size` bytes as text that a terminal and a log can show: valid printable UTF-8 stays,
 * control characters, ESC, DEL, C1 controls, bidirectional overrides and invalid bytes become
 * \xNN, a backslash becomes \\. Writes at most `room` bytes including the NUL, whole escapes
 * only. Returns the bytes written, without the NUL.
 */
size_t osp_text_escape(char *out, size_t room, const void *bytes, size_t size);

/*
 * Copies `size` bytes as text that a store may keep: UTF-8 without NUL stays as it is, anything
 * else is escaped as above. `room` as above; 4 * size + 1 always suffices.
 */
size_t osp_text_format_utf8(char *out, size_t room, const void *bytes, size_t size);

/* True if the bytes are valid UTF-8 (no surrogates, no overlong forms, NUL allowed). */
bool osp_text_is_utf8(const void *bytes, size_t size);

/* True if the bytes are valid UTF-8 without NUL: what a store keeps as text. */
bool osp_text_is_value(const void *bytes, size_t size);

/* Writes 2 * size lower-case digits and a NUL; the caller's room must hold them. */
void osp_text_hex(char *out, const void *bytes, size_t size);

/* Reads exactly 2 * size hexadecimal digits. -EINVAL for anything else. */
int osp_text_unhex(void *out, size_t size, const char *text, size_t length);

/* Reads a duration: a number and ns, us, ms, s, m or h (a bare number is seconds). */
int osp_text_parse_duration(const char *text, int64_t *ns);

/* The "s" of "2 steps": "" for one, "s" for any other number. */
const char *osp_text_plural(uint64_t count);

/* Writes a duration for people: "812 ns", "41.2 us", "3.40 ms", "1.25 s". Returns out. */
char *osp_text_duration(char out[24], int64_t ns);

/* Writes an RFC 3339 time with 6 decimals, local with offset, or in UTC with Z. Returns out. */
char *osp_text_time(char out[40], int64_t wall_ns, bool utc);
