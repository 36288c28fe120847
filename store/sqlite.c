/*
 * The SQLite driver: one session, one file. Here: making, opening, finishing and refusing files,
 * the connection, the translation of SQLite's errors. A recording runs in WAL mode so that others
 * can read along; a clean close leaves one plain file with its indexes. The file belongs to the
 * user who called sudo, mode 0600, and so do its -wal and -shm (SQLite copies owner and mode).
 *
 * Threads: one connection, used by one thread.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/pack.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/base/owner.h"

/* The schema as text, put into the program by the assembler. */
__asm__(".section .rodata\n"
	".global osp_schema_sql\n"
	"osp_schema_sql:\n"
	".incbin \"store/schema.sql\"\n"
	".byte 0\n"
	".previous\n");
extern const char osp_schema_sql[];

/* What leads from format n to n + 1, from the oldest that is read; format 0 is an empty file. */
enum { OLDEST_FORMAT = 2 };
static const char *const migrations[SESSION_FORMAT - OLDEST_FORMAT + 1] = {osp_schema_sql};

enum { BUFFER_MAX = 256 << 20, HEADER = 100, BUSY_MS = 2000 };

/* ---- errors and statements ---- */

/* The errno behind an I/O error: the file's own, the WAL's, else what SQLite kept for all. */
static int system_errno(sqlite3 *db)
{
	sqlite3_file *wal = NULL;
	int e = 0;

	sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
	if (wal && wal->pMethods)
		wal->pMethods->xFileControl(wal, SQLITE_FCNTL_LAST_ERRNO, &e);
	if (!e)
		sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &e);
	return e ? e : sqlite3_system_errno(db);
}

static int sqlite_errno(sqlite3 *db)
{
	int code = sqlite3_errcode(db), system;

	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_TOOBIG:
		return -EFBIG;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		system = system_errno(db);
		return system > 0 ? -system : -EIO;
	default:
		return -EIO;
	}
}

static const char *hint(int r)
{
	switch (r) {
	case -ENOSPC:
	case -EDQUOT:
		return " - free some space; what was written before is safe";
	case -EFBIG:
		return " - the file size limit (ulimit -f) is reached; what was written before is safe";
	case -EBADMSG:
		return " - the file is damaged";
	case -EBUSY:
		return " - another program holds the file";
	default:
		return "";
	}
}

int sqlite_fail(struct sqlite_store *s, const char *what)
{
	int r = sqlite_errno(s->db);

	return osp_store_fail(&s->base, r, "%s: %s: %s%s", s->path, what, sqlite3_errmsg(s->db),
			      hint(r));
}

sqlite3_stmt *sqlite_statement(struct sqlite_store *s, enum sqlite_statement id)
{
	static const char *const sql[STATEMENT_COUNT] = {
#define X(name, text) text,
		SQLITE_STATEMENTS(X)
#undef X
	};

	if (!s->statements[id] && sqlite3_prepare_v3(s->db, sql[id], -1, SQLITE_PREPARE_PERSISTENT,
						     &s->statements[id], NULL))
		return NULL;
	return s->statements[id];
}

int sqlite_run(struct sqlite_store *s, sqlite3_stmt *st)
{
	int code;
	int r = 0;

	while ((code = sqlite3_step(st)) == SQLITE_ROW)
		;
	if (code != SQLITE_DONE)
		r = sqlite_fail(s, "write");
	sqlite3_reset(st);
	return r;
}

int sqlite_damaged(struct sqlite_store *s, const char *what)
{
	return osp_store_fail(&s->base, -EBADMSG, "%s: damaged: %s", s->path, what);
}

void sqlite_bind_id(sqlite3_stmt *st, int at, uint64_t id)
{
	uint8_t bytes[8];

	osp_pack_put(bytes, id, 8);
	if (id)
		sqlite3_bind_blob(st, at, bytes, 8, SQLITE_TRANSIENT);
	else
		sqlite3_bind_null(st, at);
}

int sqlite_exec(struct sqlite_store *s, const char *sql)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) ? sqlite_fail(s, "write") : 0;
}

/* ---- what kind of file is it ---- */

/* Says on failure what is wrong with PATH; the errno text stands in the middle. */
static int refuse(char error[512], int r, const char *path, const char *advice)
{
	snprintf(error, 512, "%.300s: %s%s%s", path, strerror(-r), *advice ? " - " : "", advice);
	return r;
}

static int refuse_as(char error[512], int r, const char *path, const char *text)
{
	snprintf(error, 512, "%.300s: %s", path, text);
	return r;
}

static int judge_header(const uint8_t h[HEADER], size_t size, const char *path, char error[512])
{
	uint64_t format;

	if (!size)
		return refuse_as(error, -EBADMSG, path, "is empty, not a session file");
	if (size < HEADER || memcmp(h, "SQLite format 3", 16))
		return refuse_as(error, -EBADMSG, path, "not a session file of outspan");
	if (osp_pack_get(h + 68, 4) != SESSION_APPLICATION)
		return refuse_as(error, -EBADMSG, path,
				 "an SQLite database, but not a session file of outspan");
	format = osp_pack_get(h + 60, 4);
	if (format > SESSION_FORMAT) {
		snprintf(error, 512,
			 "%.300s: session format %u, this outspan reads up to %d - "
			 "use the outspan that wrote it, or a newer one",
			 path, (unsigned)format, SESSION_FORMAT);
		return -ENOTSUP;
	}
	if (!format)
		return refuse_as(error, -EBADMSG, path, "a session file that was never begun");
	if (format < OLDEST_FORMAT) {
		snprintf(error, 512,
			 "%.300s: session format %u, this outspan reads from %d on - "
			 "use the outspan that wrote it",
			 path, (unsigned)format, OLDEST_FORMAT);
		return -ENOTSUP;
	}
	return 0;
}

/* Closing any descriptor of a file drops the process's locks on it: called before SQLite opens it. */
static int judge_file(const char *path, bool empty_is_fine, char error[512])
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	uint8_t header[HEADER];
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return refuse(error, -errno, path,
			      errno == EACCES ? "run as its owner or as root" : "");
	if (fstat(fd, &st))
		return refuse(error, -errno, path, "");
	if (!S_ISREG(st.st_mode))
		return refuse_as(error, -EBADMSG, path, "not a regular file");
	n = read(fd, header, sizeof(header));
	if (n < 0)
		return refuse(error, -errno, path, "");
	return !n && empty_is_fine ? 0 : judge_header(header, (size_t)n, path, error);
}

/* A process that has the file open as SQLite does holds a lock on these bytes. */
static int judge_users(const char *path, char error[512])
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000000, .l_len = 512};
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return refuse(error, -errno, path, "");
	if (fcntl(fd, F_GETLK, &lock) || lock.l_type == F_UNLCK)
		return 0;
	snprintf(error, 512, "%.300s: in use by process %d - it is not replaced", path,
		 (int)lock.l_pid);
	return -EBUSY;
}

/* ---- making a file ---- */

/* The directory with its links resolved, then the name as it is. */
static int resolve(const char *path, char **out, char error[512])
{
	_cleanup_free_ char *a = strdup(path), *b = strdup(path);
	_cleanup_free_ char *directory = NULL;
	const char *name;

	if (!a || !b)
		return refuse(error, -ENOMEM, path, "");
	name = basename(b);
	if (!*path || path[strlen(path) - 1] == '/' || !strcmp(name, ".") || !strcmp(name, ".."))
		return refuse_as(error, -EINVAL, path, "not the name of a file");
	directory = realpath(dirname(a), NULL);
	if (!directory)
		return refuse(error, -errno, path, "the directory must exist");
	if (asprintf(out, "%s/%s", strcmp(directory, "/") ? directory : "", name) < 0)
		return refuse(error, -ENOMEM, path, "");
	return 0;
}

static void remove_beside(const char *path, const char *suffix)
{
	char beside[PATH_MAX + 16];

	if ((size_t)snprintf(beside, sizeof(beside), "%s%s", path, suffix) < sizeof(beside))
		unlink(beside);
}

static void remove_file(const char *path)
{
	unlink(path);
	remove_beside(path, "-wal");
	remove_beside(path, "-shm");
	remove_beside(path, "-journal");
}

/* Only a session or an empty file makes way, and no link is followed. */
static int make_way(const char *path, char error[512])
{
	struct stat st;
	int r;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : refuse(error, -errno, path, "");
	if (!S_ISREG(st.st_mode))
		return refuse_as(error, -EEXIST, path, "not a regular file - it is not replaced");
	r = judge_file(path, true, error);
	if (r == -EBADMSG)
		return refuse_as(error, -EEXIST, path,
				 "exists and is not a session file - it is not replaced");
	if (r == -ENOTSUP)
		r = 0;
	if (!r)
		r = judge_users(path, error);
	if (!r)
		remove_file(path);
	return r;
}

static int make_file(const char *path, ino_t *inode, char error[512])
{
	_cleanup_close_ int fd =
		open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat st;
	int r;

	if (fd < 0 && errno == EEXIST)
		return refuse_as(error, -EEXIST, path,
				 "exists already - choose another name or use --overwrite");
	if (fd < 0)
		return refuse(error, -errno, path,
			      errno == EROFS || errno == EACCES
				      ? "choose a directory that you may write to"
				      : "");
	r = osp_owner_give(fd);
	if (!r && fstat(fd, &st))
		r = -errno;
	if (r) {
		unlink(path);
		return refuse(error, r, path, "");
	}
	*inode = st.st_ino;
	return 0;
}

/* ---- the connection ---- */

static void finalize_statements(struct sqlite_store *s)
{
	for (int i = 0; i < STATEMENT_COUNT; i++) {
		sqlite3_finalize(s->statements[i]);
		s->statements[i] = NULL;
	}
	for (int i = 0; i < READ_COUNT; i++) {
		sqlite3_finalize(s->reads[i]);
		s->reads[i] = NULL;
	}
}

static int free_store(struct sqlite_store **s)
{
	int r = 0;

	if (!*s)
		return 0;
	finalize_statements(*s);
	if ((*s)->db && sqlite3_close((*s)->db))
		r = -EBUSY;
	sqlite_names_clear(*s);
	sqlite_shape_clear(*s);
	sqlite_probes_clear(*s);
	osp_map_clear(&(*s)->explained);
	sqlite_place_clear(*s);
	sqlite_batch_clear(&(*s)->batch);
	sqlite_feed_clear(*s);
	for (size_t i = 0; i < sizeof((*s)->buffers) / sizeof((*s)->buffers[0]); i++)
		osp_buffer_clear(&(*s)->buffers[i]);
	free((*s)->path);
	free(*s);
	*s = NULL;
	return r;
}

static void drop_store(struct sqlite_store **s)
{
	free_store(s);
}

static int new_store(struct sqlite_store **out, const char *path)
{
	struct sqlite_store *s = calloc(1, sizeof(*s));

	if (!s || !(s->path = strdup(path))) {
		free(s);
		return -ENOMEM;
	}
	s->base.ops = &osp_store_sqlite;
	for (size_t i = 0; i < sizeof(s->buffers) / sizeof(s->buffers[0]); i++)
		s->buffers[i].max = BUFFER_MAX;
	s->feed.bytes.max = BUFFER_MAX;
	sqlite_names_clear(s);
	sqlite_shape_clear(s);
	sqlite_probes_clear(s);
	osp_map_init(&s->explained, SQLITE_PROBES, 0x6578706c);
	sqlite_place_clear(s);
	*out = s;
	return 0;
}

/*
 * Before the first connection of the process: no thread of outspan shares SQLite (there are none), so
 * its locks and its statistics of memory are only in the way. Too late is no failure.
 */
static void configure(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/* A session file comes from anybody: its views, triggers and functions are not run. */
static int connect_file(struct sqlite_store *s, int flags)
{
	int code;

	configure();
	code = sqlite3_open_v2(s->path, &s->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
	if (code)
		return sqlite_fail(s, "open");
	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, BUSY_MS);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	return 0;
}

static int add_bytes(struct sqlite_store *s)
{
	sqlite3_stmt *st = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(s->db, "INSERT INTO byte VALUES(?1, ?2)", -1, &st, NULL))
		return sqlite_fail(s, "create");
	for (int i = 0; !r && i < 256; i++) {
		uint8_t b = (uint8_t)i;

		sqlite3_bind_blob(st, 1, &b, 1, SQLITE_TRANSIENT);
		sqlite3_bind_int(st, 2, i);
		r = sqlite_run(s, st);
	}
	sqlite3_finalize(st);
	return r;
}

/*
 * The header says what the file is from its first page on: a crash cannot leave it unnamed. The
 * read at the end takes the lock by which others see that the file is in use (judge_users).
 * A checkpoint moves all of the WAL at once while the ring waits: a short one is no dearer in sum.
 */
static int create_schema(struct sqlite_store *s)
{
	char pragma[200];
	int r;

	snprintf(pragma, sizeof(pragma),
		 "PRAGMA page_size = 16384; PRAGMA application_id = %d; PRAGMA user_version = %d;",
		 SESSION_APPLICATION, SESSION_FORMAT);
	r = sqlite_exec(s, "PRAGMA journal_mode = MEMORY");
	r = r ? r : sqlite_exec(s, pragma);
	r = r ? r : sqlite_exec(s, "BEGIN");
	for (int i = 0; !r && i <= SESSION_FORMAT - OLDEST_FORMAT; i++)
		r = sqlite_exec(s, migrations[i]);
	r = r ? r : add_bytes(s);
	r = r ? r : sqlite_exec(s, "COMMIT");
	return r ? r
		 : sqlite_exec(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
				  "PRAGMA wal_autocheckpoint = 128; PRAGMA cache_size = -6144;"
				  "SELECT count(*) FROM sqlite_schema;");
}

static int check_inode(struct sqlite_store *s, ino_t inode)
{
	struct stat st;

	if (!lstat(s->path, &st) && st.st_ino == inode)
		return 0;
	return osp_store_fail(&s->base, -EEXIST, "%s: somebody replaced it just now", s->path);
}

static int create(struct sqlite_store **out, const char *path, ino_t inode, char error[512])
{
	_cleanup_(drop_store) struct sqlite_store *s = NULL;
	int r = new_store(&s, path);

	if (r)
		return refuse(error, r, path, "");
	r = connect_file(s, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW);
	r = r ? r : check_inode(s, inode);
	r = r ? r : create_schema(s);
	r = r ? r : sqlite_feed_open(s);
	if (r) {
		memcpy(error, s->base.error, sizeof(s->base.error));
		return r;
	}
	*out = TAKE_PTR(s);
	return 0;
}

static int open_new(struct sqlite_store **out, const char *address, bool overwrite, char error[512])
{
	_cleanup_free_ char *path = NULL;
	ino_t inode = 0;
	int r = resolve(address, &path, error);

	if (!r && overwrite)
		r = make_way(path, error);
	r = r ? r : make_file(path, &inode, error);
	if (r)
		return r;
	r = create(out, path, inode, error);
	if (r)
		remove_file(path);
	return r;
}

/* From now on the session is seen as it is now, however the recording goes on. */
static int begin_reading(struct sqlite_store *s)
{
	sqlite3_stmt *st = NULL;
	int r = sqlite_exec(s, "PRAGMA cell_size_check = ON; BEGIN;"
			       "SELECT count(*) FROM sqlite_schema;");

	if (r)
		return r;
	if (sqlite3_prepare_v2(s->db, "SELECT EXISTS(SELECT 1 FROM amend)", -1, &st, NULL) ||
	    sqlite3_step(st) != SQLITE_ROW)
		r = sqlite_fail(s, "open");
	else
		s->late_marks = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return r;
}

static int open_old(struct sqlite_store **out, const char *path, char error[512])
{
	_cleanup_(drop_store) struct sqlite_store *s = NULL;
	_cleanup_free_ char *real = NULL;
	int r = judge_file(path, false, error);

	if (r)
		return r;
	real = realpath(path, NULL);
	r = real ? new_store(&s, real) : -errno;
	if (r)
		return refuse(error, r, path, "");
	r = connect_file(s, SQLITE_OPEN_READONLY);
	if (!r)
		sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	r = r ? r : begin_reading(s);
	if (r == -EACCES || r == -EPERM || r == -EROFS) {
		snprintf(error, 512,
			 "%.300s: its recording did not end cleanly and its -wal or -shm "
			 "cannot be opened here: %s - run as its owner or as root",
			 path, strerror(-r));
		return r;
	}
	if (r) {
		memcpy(error, s->base.error, sizeof(s->base.error));
		return r;
	}
	*out = TAKE_PTR(s);
	return 0;
}

static int sqlite_open(struct osp_store **out, const char *address, enum osp_store_mode mode,
		       char error[512])
{
	struct sqlite_store *s = NULL;
	int r = mode == OSP_STORE_READ ? open_old(&s, address, error)
				       : open_new(&s, address, mode == OSP_STORE_OVERWRITE, error);

	if (!r)
		*out = &s->base;
	return r;
}

/* ---- finishing ---- */

static int finish(struct sqlite_store *s)
{
	int r = sqlite_place_flush(s);

	if (r)
		return osp_err(0, "%s", s->base.error), r;
	if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) ||
	    sqlite3_exec(s->db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL)) {
		r = sqlite_errno(s->db);
		if (r != -EBUSY)
			return osp_err(r, "close %s", s->path);
		osp_warn("%s: another program is reading it - keep the -wal file beside it",
			 s->path);
	}
	return 0;
}

static int sqlite_close(struct osp_store **store, bool clean)
{
	struct sqlite_store *s = sqlite(*store);
	int r = 0, closed;

	*store = NULL;
	if (s->base.writable && clean)
		r = sqlite_write_commit(&s->base);
	finalize_statements(s);
	if (s->base.writable && clean)
		r = r ? osp_err(0, "%s", s->base.error), r : finish(s);
	else if (s->base.writable)
		sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	closed = free_store(&s);
	return r ? r : closed;
}

/* A checkpoint syncs the WAL before it moves anything. */
static int sqlite_flush(struct osp_store *store)
{
	struct sqlite_store *s = sqlite(store);

	if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL))
		return sqlite_fail(s, "flush");
	return 0;
}

/* SQLite fills an empty file, which is made as that of a new session is. */
static int sqlite_save(struct osp_store *store, const char *address, bool overwrite)
{
	struct sqlite_store *s = sqlite(store);
	_cleanup_free_ char *path = NULL;
	sqlite3_stmt *st = NULL;
	ino_t inode = 0;
	int r = resolve(address, &path, store->error);

	if (!r && overwrite)
		r = make_way(path, store->error);
	r = r ? r : make_file(path, &inode, store->error);
	if (r)
		return r;
	if (store->writable)
		r = sqlite_place_flush(s);
	else if (sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL)) /* VACUUM is no part of one */
		r = sqlite_fail(s, "save");
	if (!r &&
	    (sqlite3_prepare_v2(s->db, "VACUUM INTO ?1", -1, &st, NULL) ||
	     sqlite3_bind_text(st, 1, path, -1, SQLITE_STATIC) || sqlite3_step(st) != SQLITE_DONE))
		r = sqlite_fail(s, "save");
	sqlite3_finalize(st);
	if (!store->writable)
		begin_reading(s);
	if (r)
		remove_file(path);
	return r;
}

const struct osp_store_ops osp_store_sqlite = {
	.scheme = "sqlite",
	.open = sqlite_open,
	.close = sqlite_close,
	.write = sqlite_write_parts,
	.commit = sqlite_write_commit,
	.flush = sqlite_flush,
	.forget = sqlite_forget,
	.save = sqlite_save,
	.traces = sqlite_read_traces,
	.find = sqlite_read_find,
	.scan = sqlite_read_scan,
	.next = sqlite_read_next,
	.end = sqlite_read_end,
};
