/* Talk on stderr: four levels, one line each, object first (README, "Logging"). */
#pragma once

enum osp_log_level { OSP_LOG_ERR, OSP_LOG_WARN, OSP_LOG_INFO, OSP_LOG_DEBUG };

/* Raises or lowers what is shown; the default is OSP_LOG_INFO. */
void osp_log_level_set(enum osp_log_level level);
enum osp_log_level osp_log_level_get(void);

/* Writes one line; control characters in the result are escaped. errno is kept. */
void osp_log_write(enum osp_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Writes an error line ending in the text of the errno value `-code` (none for code 0), then
 * returns code, so that an error path is one statement. A hint follows a " - " in the format:
 * the errno text is put before it.
 */
int osp_err(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define osp_warn(...)  osp_log_write(OSP_LOG_WARN, __VA_ARGS__)
#define osp_info(...)  osp_log_write(OSP_LOG_INFO, __VA_ARGS__)
#define osp_debug(...) osp_log_write(OSP_LOG_DEBUG, __VA_ARGS__)
