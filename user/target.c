/*
 * Turns targets into processes and binaries. Fed by commands and the recorder with what the user
 * asked for, feeds loader.c. Looks at /proc once per question; processes come and go meanwhile,
 * and one that went is no error unless it was asked for by its pid. Owns the lists it returns;
 * binaries belong to their table.
 */
#include "user/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/kernel.h"

/* ---- one process ---- */

void osp_found_clear(struct osp_found *f)
{
	free(f->binaries);
	*f = (struct osp_found){0};
}

static int push_binary(struct osp_binary ***list, size_t *count, struct osp_binary *b)
{
	struct osp_binary **bigger;

	for (size_t i = 0; i < *count; i++)
		if ((*list)[i] == b)
			return 0;
	bigger = realloc(*list, (*count + 1) * sizeof(struct osp_binary *));
	if (!bigger)
		return -ENOMEM;
	bigger[(*count)++] = b;
	*list = bigger;
	return 0;
}

static int note_binary(void *arg, struct osp_binary *b)
{
	struct osp_found *f = arg;

	f->known += b->known;
	return push_binary(&f->binaries, &f->binary_count, b);
}

/* Its steps would read the CPU counter, which the kernel then answers with a signal. */
static void refuse_own(struct osp_found *f)
{
	for (size_t i = 0; i < f->binary_count; i++)
		f->known -= osp_binary_refuse_own(
			f->binaries[i],
			"a process that runs it is in seccomp's strict mode, where the stamp of a step would kill it - build that program with OUTSPAN_NO_PROBES");
}

int osp_found_read(struct osp_found *out, struct osp_binaries *b, uint32_t pid)
{
	struct osp_found f _cleanup_(osp_found_clear) = {0};
	int r = osp_process_read(&f.process, pid);

	if (!r)
		r = osp_binaries_scan(b, pid, note_binary, &f);
	if (!r && f.process.strict)
		refuse_own(&f);
	/* Nothing is mapped any more: that says nothing of what it was. */
	if (!r && !f.known && osp_process_is_ending(pid))
		r = -ESRCH;
	if (r)
		return r;
	*out = f;
	f.binaries = NULL;
	return 0;
}

bool osp_target_matches(const struct osp_target *t, const struct osp_found *f)
{
	switch (t->kind) {
	case OSP_TARGET_PID:
		return f->process.pid == t->pid;
	case OSP_TARGET_PATH:
		for (size_t i = 0; i < f->binary_count; i++)
			if (f->binaries[i]->asked && !strcmp(f->binaries[i]->asked, t->text))
				return true;
		return false;
	case OSP_TARGET_COMM:
		return !strcmp(f->process.comm, t->text);
	case OSP_TARGET_ALL:
		return f->known > 0;
	}
	return false;
}

/* ---- lists ---- */

void osp_targets_clear(struct osp_targets *t)
{
	for (size_t i = 0; i < t->count; i++)
		osp_found_clear(&t->found[i]);
	free(t->found);
	free(t->binaries);
	*t = (struct osp_targets){0};
}

/* Takes the process over; it is cleared on failure. */
static int push_found(struct osp_targets *t, struct osp_found *f)
{
	struct osp_found *bigger = realloc(t->found, (t->count + 1) * sizeof(*bigger));

	if (!bigger) {
		osp_found_clear(f);
		return -ENOMEM;
	}
	t->found = bigger;
	t->found[t->count++] = *f;
	return 0;
}

static bool has_found(const struct osp_targets *t, uint32_t pid)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->found[i].process.pid == pid)
			return true;
	return false;
}

static int push_binaries(struct osp_targets *t, const struct osp_found *f)
{
	int r = 0;

	for (size_t i = 0; !r && i < f->binary_count; i++)
		if (f->binaries[i]->fd >= 0)
			r = push_binary(&t->binaries, &t->binary_count, f->binaries[i]);
	return r;
}

/* ---- targets by their pid or path ---- */

static bool is_denied(int r)
{
	return r == -EACCES || r == -EPERM;
}

int osp_target_tell_error(int r, uint32_t pid)
{
	char missing[128];

	if (r == -ESRCH)
		return osp_err(r, "process %u", pid);
	if (!is_denied(r))
		return osp_err(r, "look into process %u", pid);
	osp_kernel_missing_capabilities(missing, sizeof(missing));
	if (!missing[0])
		return osp_err(r, "look into process %u - a security module forbids it", pid);
	return osp_err(r,
		       "look into process %u: %s missing - run as root, or grant the capabilities",
		       pid, missing);
}

static int add_pid(struct osp_targets *t, struct osp_binaries *b, uint32_t pid)
{
	struct osp_found f;
	int r;

	if (has_found(t, pid))
		return 0;
	r = osp_found_read(&f, b, pid);
	if (r)
		return osp_target_tell_error(r, pid);
	if (!f.known) {
		osp_err(0,
			"process %u (%s) has no trace points that a loaded catalogue knows - see outspan probes -p %u",
			pid, f.process.comm, pid);
		osp_found_clear(&f);
		return -ENXIO;
	}
	f.target = true;
	r = push_binaries(t, &f);
	if (!r)
		return push_found(t, &f);
	osp_found_clear(&f);
	return r;
}

static int add_path(struct osp_targets *t, struct osp_binaries *b, const char *path)
{
	struct osp_binary *binary;
	int r = osp_binaries_open(&binary, b, path);

	if (r == -ENOEXEC)
		return osp_err(
			-ENXIO,
			"%s is no 64-bit ELF program of this machine - name the program itself, not a script",
			path);
	if (r)
		return osp_err(r, "open %s", path);
	if (!binary->known) {
		osp_err(0,
			"%s has no trace points that a loaded catalogue knows - see outspan probes %s",
			path, path);
		return -ENXIO;
	}
	binary->asked = path;
	return push_binary(&t->binaries, &t->binary_count, binary);
}

/* ---- targets that may be many ---- */

static bool matches_any(const struct osp_target *targets, size_t count, const struct osp_found *f)
{
	for (size_t i = 0; i < count; i++)
		if (osp_target_matches(&targets[i], f))
			return true;
	return false;
}

/* Looks at one process of the machine; one that is gone or hidden is left out. */
static int look_at(struct osp_targets *t, struct osp_binaries *b, uint32_t pid,
		   const struct osp_target *targets, size_t count)
{
	struct osp_found f;
	int r;

	if (pid == (uint32_t)getpid() || has_found(t, pid))
		return 0;
	r = osp_found_read(&f, b, pid);
	t->hidden += is_denied(r);
	if (r)
		return 0;
	if (!f.known || !matches_any(targets, count, &f)) {
		osp_found_clear(&f);
		return 0;
	}
	f.target = true;
	/* A path asks for one file; a process that was found by name or point for all it has. */
	r = targets[0].kind == OSP_TARGET_PATH ? 0 : push_binaries(t, &f);
	if (r) {
		osp_found_clear(&f);
		return r;
	}
	return push_found(t, &f);
}

static int look_at_all(struct osp_targets *t, struct osp_binaries *b,
		       const struct osp_target *targets, size_t count)
{
	uint32_t *pids _cleanup_free_ = NULL;
	size_t n;
	int r = osp_process_list(&pids, &n);

	if (r)
		return osp_err(r, "list the processes in /proc");
	for (size_t i = 0; !r && i < n; i++)
		r = look_at(t, b, pids[i], targets, count);
	return r;
}

/* Who may not look into every process must know it: what he asked for may be among the others. */
static bool tell_hidden(const struct osp_targets *t)
{
	char missing[128];

	osp_kernel_missing_capabilities(missing, sizeof(missing));
	if (!t->hidden || !missing[0])
		return false;
	osp_warn(
		"%zu process%s may not be looked into: %s missing - run as root, or grant the capabilities",
		t->hidden, t->hidden == 1 ? "" : "es", missing);
	return true;
}

/* A name or all must stand for some process; for all, one may start later. */
static int check_found(const struct osp_targets *t, const struct osp_target *target, bool hidden)
{
	if (target->kind != OSP_TARGET_COMM && target->kind != OSP_TARGET_ALL)
		return 0;
	for (size_t i = 0; i < t->count; i++)
		if (osp_target_matches(target, &t->found[i]))
			return 0;
	if (target->kind == OSP_TARGET_ALL && !hidden) {
		osp_info(
			"no running process has trace points that a loaded catalogue knows - waiting for one to start");
		return 0;
	}
	if (target->kind == OSP_TARGET_ALL)
		osp_err(0,
			"no process that may be looked into has trace points that a loaded catalogue knows");
	else
		osp_err(0, "no process named %s has trace points that a loaded catalogue knows",
			target->text);
	return hidden ? -EACCES : -ENXIO;
}

static int find_targets(struct osp_targets *t, struct osp_binaries *b,
			const struct osp_target *targets, size_t count)
{
	bool hidden;
	int r = 0;

	for (size_t i = 0; !r && i < count; i++)
		if (targets[i].kind == OSP_TARGET_PID)
			r = add_pid(t, b, targets[i].pid);
		else if (targets[i].kind == OSP_TARGET_PATH)
			r = add_path(t, b, targets[i].text);
	for (size_t i = 0; !r && i < count; i++)
		if (targets[i].kind != OSP_TARGET_PID)
			r = look_at_all(t, b, &targets[i], 1);
	hidden = !r && tell_hidden(t);
	for (size_t i = 0; !r && i < count; i++)
		r = check_found(t, &targets[i], hidden);
	return r;
}

int osp_targets_find(struct osp_targets *out, struct osp_binaries *b,
		     const struct osp_target *targets, size_t count)
{
	struct osp_targets t _cleanup_(osp_targets_clear) = {0};
	int r = find_targets(&t, b, targets, count);

	if (r)
		return r;
	*out = t;
	t = (struct osp_targets){0};
	return 0;
}

/* ---- bystanders ---- */

static bool shares_binary(const struct osp_targets *t, const struct osp_found *f)
{
	for (size_t i = 0; i < f->binary_count; i++)
		for (size_t k = 0; k < t->binary_count; k++)
			if (t->binaries[k] == f->binaries[i] && f->binaries[i]->known)
				return true;
	return false;
}

/* By its number alone: no file is opened. */
static int note_shared(void *arg, const struct osp_mapping *m)
{
	const struct osp_targets *t = arg;

	for (size_t i = 0; i < t->binary_count; i++)
		if (t->binaries[i]->known && osp_binary_has_mapping(t->binaries[i], m))
			return 1;
	return 0;
}

/* Every process of the machine is looked at, which must be cheap: most share nothing. */
int osp_targets_add_bystanders(struct osp_targets *t, struct osp_binaries *b)
{
	uint32_t *pids _cleanup_free_ = NULL;
	struct osp_found f;
	size_t n;
	int r = osp_process_list(&pids, &n);

	if (r)
		return osp_err(r, "list the processes in /proc");
	for (size_t i = 0; !r && i < n; i++) {
		if (pids[i] == (uint32_t)getpid() || has_found(t, pids[i]) ||
		    osp_process_mappings(pids[i], note_shared, t) <= 0 ||
		    osp_found_read(&f, b, pids[i]))
			continue;
		if (shares_binary(t, &f))
			r = push_found(t, &f);
		else
			osp_found_clear(&f);
	}
	return r;
}
