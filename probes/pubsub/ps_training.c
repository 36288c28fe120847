/*
 * Samples of each connection, and psp-train run on them. Fed by the broadcaster's sessions with
 * messages; gives them dictionaries. Owns the samples and the program while it runs.
 */
#include "probes/pubsub/ps_training.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probes/pubsub/ps_system.h"
#include "user/base/cleanup.h"
#include "user/base/log.h"

enum { LOW_SIZE = 16 << 10, HIGH_SIZE = 64 << 10, LOW_LEVEL = 3, HIGH_LEVEL = 10 };

struct ps_trainer {
	struct ps_trainer_options options;
	struct ps_loop *loop; /* borrowed */
	uint64_t memory_used;
	struct osp_list waiting;     /* of struct ps_training, borrowed: the first one is next */
	struct ps_training *current; /* borrowed; NULL: stopped while it was trained, or none is */
	struct ps_timer turn, deadline;
	struct ps_watch process; /* its pidfd; -1: none runs */
	int result;		 /* owned: what it writes to, or -1 */
	enum ps_mark mark;	 /* of the current one */
};

void ps_trainer_options_init(struct ps_trainer_options *o)
{
	*o = (struct ps_trainer_options){.memory_max = 64 << 20,
					 .low = 100 << 10,
					 .high = 10 << 20,
					 .period_ns = 86400 * 1000000000LL,
					 .time_ns = 60 * 1000000000LL};
}

/* ---- samples --------------------------------------------------------------------------------- */

static void drop_samples(struct ps_training *t)
{
	t->trainer->memory_used -= t->samples.size;
	osp_buffer_clear(&t->samples);
	t->seen = t->seen_bytes = t->kept = 0;
	t->stride = 1;
}

/* Every second one goes, from the second on. */
static void thin_out(struct ps_training *t)
{
	uint8_t *data = t->samples.data;
	size_t to = 0, count = 0, before = t->samples.size;

	for (size_t at = 0, size; at < before; at += size, count++) {
		size = 2 + ((size_t)data[at] << 8 | data[at + 1]);
		if (count % 2)
			continue;
		memmove(data + to, data + at, size);
		to += size;
	}
	t->samples.size = to;
	t->kept = (count + 1) / 2;
	t->stride *= 2;
	t->trainer->memory_used -= before - to;
}

static bool keep(struct ps_training *t, const struct ps_spool *message)
{
	struct ps_trainer *all = t->trainer;
	size_t size = (size_t)message->size, need = 2 + size;
	uint8_t *to;

	while (!(t->seen % t->stride) && t->samples.size + need > PS_SAMPLES_MAX)
		thin_out(t);
	if (t->seen % t->stride || need > all->options.memory_max - all->memory_used)
		return false;
	to = osp_buffer_reserve(&t->samples, need);
	if (!to)
		return false;
	to[0] = (uint8_t)(size >> 8);
	to[1] = (uint8_t)size;
	if (ps_spool_read(message, 0, to + 2, size) != (ssize_t)size) {
		t->samples.size -= need;
		return false;
	}
	all->memory_used += need;
	t->kept++;
	return true;
}

/* Which dictionary is due, or none. */
static enum ps_mark judge(const struct ps_training *t)
{
	const struct ps_trainer_options *o = &t->trainer->options;

	if (t->mark == PS_MARK_NONE)
		return t->seen_bytes >= o->low ? PS_MARK_LOW : PS_MARK_NONE;
	if (t->mark == PS_MARK_LOW)
		return t->seen_bytes >= o->high ? PS_MARK_HIGH : PS_MARK_NONE;
	return t->seen_bytes >= o->low && ps_system_steady_ns() >= t->next_ns ? PS_MARK_HIGH
									      : PS_MARK_NONE;
}

static void queue(struct ps_training *t, enum ps_mark mark)
{
	struct ps_trainer *all = t->trainer;

	t->mark = mark;
	t->next_ns = ps_system_steady_ns() + all->options.period_ns;
	t->waits = true;
	osp_list_add(&all->waiting, &t->node);
	if (all->process.fd < 0)
		ps_loop_arm(all->loop, &all->turn, 0);
	t->marked(t, mark, t->kept, t->seen_bytes);
}

bool ps_training_add(struct ps_training *t, const struct ps_spool *message)
{
	enum ps_mark mark;
	bool kept;

	if (!t->trainer || t->waits || message->size < PS_SAMPLE_MIN ||
	    message->size > PS_SAMPLE_MAX)
		return false;
	kept = keep(t, message);
	t->seen++;
	t->seen_bytes += message->size;
	mark = judge(t);
	if (mark)
		queue(t, mark);
	return kept;
}

void ps_training_start(struct ps_training *t, struct ps_trainer *trainer)
{
	t->trainer = trainer;
	t->samples.max = PS_SAMPLES_MAX;
	osp_list_init(&t->node);
	t->stride = 1;
}

void ps_training_stop(struct ps_training *t)
{
	struct ps_trainer *all = t->trainer;

	if (!all)
		return;
	drop_samples(t);
	osp_list_remove(&t->node);
	if (all->current == t)
		all->current = NULL;
	t->trainer = NULL;
}

/* ---- psp-train ------------------------------------------------------------------------------- */

static int samples_file(const struct ps_training *t)
{
	_cleanup_close_ int fd = memfd_create("samples", MFD_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = pwrite(fd, t->samples.data, t->samples.size, 0);
	if (n != (ssize_t)t->samples.size)
		return n < 0 ? -errno : -ENOSPC;
	return TAKE_FD(fd);
}

static const char *program_of(const struct ps_trainer *all, char path[PATH_MAX])
{
	static const char name[] = "psp-train";
	ssize_t n;
	char *slash;

	if (all->options.program)
		return all->options.program;
	n = readlink("/proc/self/exe", path, PATH_MAX - sizeof(name));
	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, name);
	return path;
}

/* The loop blocks and ignores signals that the program must not. */
static int set_signals(posix_spawnattr_t *attributes)
{
	sigset_t none, defaults;
	int r;

	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	r = posix_spawnattr_setsigmask(attributes, &none);
	if (!r)
		r = posix_spawnattr_setsigdefault(attributes, &defaults);
	if (!r)
		r = posix_spawnattr_setflags(attributes,
					     POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return -r;
}

/* Its pid, or -errno. */
static int spawn(const char *program, enum ps_mark mark, int in, int out)
{
	char size[16];
	char *arguments[] = {(char *)"psp-train", size, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	pid_t pid = 0;
	int r;

	snprintf(size, sizeof(size), "%d", mark == PS_MARK_LOW ? LOW_SIZE : HIGH_SIZE);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attributes);
	r = set_signals(&attributes);
	if (!r)
		r = -posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
	if (!r)
		r = -posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	if (!r)
		r = -posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
	if (!r)
		r = -posix_spawn(&pid, program, &files, &attributes, arguments, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	return r ? r : pid;
}

static int watch(struct ps_trainer *all, pid_t pid)
{
	int r;

	all->process.fd = pidfd_open(pid, 0);
	r = all->process.fd < 0 ? -errno : ps_loop_watch(all->loop, &all->process, EPOLLIN);
	if (!r)
		return 0;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (all->process.fd >= 0)
		close(TAKE_FD(all->process.fd));
	return r;
}

static int start_program(struct ps_trainer *all, struct ps_training *t)
{
	_cleanup_close_ int samples = samples_file(t);
	_cleanup_close_ int result = memfd_create("dictionary", MFD_CLOEXEC);
	char path[PATH_MAX];
	const char *program = program_of(all, path);
	int r;

	if (samples < 0 || result < 0)
		return osp_err(samples < 0 ? samples : -errno, "samples for %s", program);
	r = spawn(program, t->mark, samples, result);
	if (r > 0)
		r = watch(all, r);
	if (r)
		return osp_err(r, "run %s - no dictionary is trained without it", program);
	all->result = TAKE_FD(result);
	ps_loop_arm(all->loop, &all->deadline, all->options.time_ns);
	return 0;
}

/* ---- one after the other --------------------------------------------------------------------- */

static void finish(struct ps_trainer *all, struct ps_training *t, struct ps_dictionary *dictionary)
{
	if (!osp_list_empty(&all->waiting))
		ps_loop_arm(all->loop, &all->turn, 0);
	if (!t)
		return;
	if (t->mark == PS_MARK_HIGH) /* the next one is for the messages from now on */
		drop_samples(t);
	t->waits = false;
	t->trained(t, dictionary);
}

static void take_turn(struct ps_timer *timer)
{
	struct ps_trainer *all = timer->owner;
	struct ps_training *t;

	if (osp_list_empty(&all->waiting))
		return;
	t = osp_list_entry(all->waiting.next, struct ps_training, node);
	osp_list_remove(&t->node);
	if (start_program(all, t)) {
		finish(all, t, NULL);
		return;
	}
	all->current = t;
	all->mark = t->mark;
}

/* What the program wrote, if that is a dictionary's size. */
static int read_result(struct ps_dictionary **out, int fd, enum ps_mark mark)
{
	_cleanup_free_ uint8_t *bytes = malloc(HIGH_SIZE);
	ssize_t n;

	if (!bytes)
		return -ENOMEM;
	n = pread(fd, bytes, HIGH_SIZE, 0);
	if (n < 0)
		return -errno;
	return ps_dictionary_new(out, ps_bytes(bytes, (size_t)n),
				 mark == PS_MARK_LOW ? LOW_LEVEL : HIGH_LEVEL);
}

/* Waits for the program, which has ended or is killed. True if all went well. */
static bool reap(struct ps_trainer *all)
{
	siginfo_t how = {0};
	int r;

	ps_loop_disarm(all->loop, &all->deadline);
	ps_loop_unwatch(all->loop, &all->process);
	r = waitid(P_PIDFD, (id_t)all->process.fd, &how, WEXITED);
	close(TAKE_FD(all->process.fd));
	return !r && how.si_code == CLD_EXITED && !how.si_status;
}

static void ended(struct ps_watch *w, uint32_t events)
{
	struct ps_trainer *all = w->owner;
	struct ps_dictionary *dictionary = NULL;

	(void)events;
	if (reap(all) && read_result(&dictionary, all->result, all->mark))
		osp_warn("psp-train: what it made is no dictionary");
	close(TAKE_FD(all->result));
	finish(all, TAKE_PTR(all->current), dictionary);
	ps_dictionary_free(&dictionary);
}

static void expired(struct ps_timer *timer)
{
	struct ps_trainer *all = timer->owner;

	osp_warn("psp-train: killed, it took too long");
	(void)pidfd_send_signal(all->process.fd, SIGKILL, NULL, 0);
}

int ps_trainer_new(struct ps_trainer **out, struct ps_loop *l, const struct ps_trainer_options *o)
{
	struct ps_trainer *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->options = *o;
	all->loop = l;
	osp_list_init(&all->waiting);
	all->turn = (struct ps_timer){.expired = take_turn, .owner = all};
	all->deadline = (struct ps_timer){.expired = expired, .owner = all};
	all->process = (struct ps_watch){.fd = -1, .ready = ended, .owner = all};
	all->result = -1;
	*out = all;
	return 0;
}

void ps_trainer_free(struct ps_trainer **t)
{
	struct ps_trainer *all = TAKE_PTR(*t);

	if (!all)
		return;
	ps_loop_disarm(all->loop, &all->turn);
	if (all->process.fd >= 0) {
		(void)pidfd_send_signal(all->process.fd, SIGKILL, NULL, 0);
		(void)reap(all);
		close(all->result);
	}
	free(all);
}
