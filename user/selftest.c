/*
 * Doctor's patient: this program has a site of its own (plain sys/sdt.h, with a semaphore), a
 * child passes it on command, and the loader attaches to the child as to any target. Errors on
 * the way are told by the loader; what is measured goes to doctor.c. Owns the child.
 */
#define _SDT_HAS_SEMAPHORES 1
#include "user/selftest.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sdt.h>
#include <sys/wait.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/log.h"
#include "user/loader.h"
#include "user/semaphore.h"
#include "user/target.h"

enum { PASSES = 100, DRAIN = 1000, MAGIC = -77 };

static const char catalogue_text[] = "provider: selftest\n"
				     "abi: 1\n"
				     "operations:\n"
				     "  check:\n"
				     "    by: thread\n"
				     "    points:\n"
				     "      \"outspan_selftest:pass\":\n"
				     "        {level: essential, args: {n: {type: i32, arg: 1}}}\n"
				     "    start: Idle\n"
				     "    states:\n"
				     "      Idle: {\"outspan_selftest:pass\": {end: ok}}\n";

unsigned short outspan_selftest_pass_semaphore
	__attribute__((section(".probes"), used, visibility("hidden")));

static __attribute__((noinline)) void pass(int n)
{
	if (*(volatile unsigned short *)&outspan_selftest_pass_semaphore)
		STAP_PROBE1(outspan_selftest, pass, n);
}

/* ---- the patient ---- */

struct patient {
	pid_t pid;
	int command, answer; /* pipes: a byte each */
};

/* On each byte: pass, fork, pass there; then answer. At the end of the pipe: exit. */
static void live(int command, int answer)
{
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(command, &byte, 1) == 1) {
		pid_t child;
		int status;

		for (int i = 0; i < PASSES; i++)
			pass(MAGIC);
		child = fork();
		if (!child) {
			for (int i = 0; i < PASSES; i++)
				pass(MAGIC);
			_exit(0);
		}
		byte = waitpid(child, &status, 0) == child && !status;
		if (write(answer, &byte, 1) != 1)
			break;
	}
	_exit(0);
}

static int start_patient(struct patient *p)
{
	int command[2], answer[2];

	if (pipe(command))
		return -errno;
	if (pipe(answer)) {
		close(command[0]);
		close(command[1]);
		return -errno;
	}
	p->pid = fork();
	if (!p->pid) {
		close(command[1]);
		close(answer[0]);
		live(command[0], answer[1]);
	}
	close(command[0]);
	close(answer[1]);
	p->command = command[1];
	p->answer = answer[0];
	return p->pid < 0 ? -errno : 0;
}

/* True if its forked child lived. */
static bool exercise(struct patient *p)
{
	char byte = 1;

	return write(p->command, &byte, 1) == 1 && read(p->answer, &byte, 1) == 1 && byte;
}

static void stop_patient(struct patient *p)
{
	if (p->command >= 0)
		close(p->command);
	if (p->answer >= 0)
		close(p->answer);
	if (p->pid > 0)
		waitpid(p->pid, NULL, 0);
	*p = (struct patient){.command = -1, .answer = -1};
}

/* ---- the examination ---- */

struct examination {
	struct osp_selftest *out;
	struct osp_catalogue *catalogue;
	struct osp_binaries *binaries;
	struct osp_loader *loader;
	struct patient patient;
};

static void clear_examination(struct examination *e)
{
	stop_patient(&e->patient);
	osp_loader_close(&e->loader);
	osp_binaries_free(&e->binaries);
	osp_catalogue_free(&e->catalogue);
}

static int take_record(void *arg, const struct osp_record *r, size_t size, int64_t seen_ns)
{
	struct osp_selftest *out = arg;
	struct osp_foreign_value v;

	(void)seen_ns;
	out->fork_seen = out->fork_seen || r->kind == OSP_RECORD_FORK;
	out->exit_seen = out->exit_seen || r->kind == OSP_RECORD_EXIT;
	if (r->kind != OSP_RECORD_FOREIGN || size < sizeof(*r) + sizeof(v))
		return 0;
	memcpy(&v, r + 1, sizeof(v));
	out->value_right = out->stored ? out->value_right && (int32_t)v.value == MAGIC
				       : (int32_t)v.value == MAGIC;
	out->stored++;
	return 0;
}

static int add_counter(void *arg, uint32_t slot, uint32_t point, const struct osp_counter *c)
{
	struct osp_selftest *out = arg;

	(void)slot;
	(void)point;
	for (int i = 0; i < OSP_LOSS_KERNEL_COUNT; i++)
		out->lost += c->lost[i];
	return 0;
}

static int find_map_files(void *arg, const struct osp_mapping *m)
{
	struct examination *e = arg;
	int fd _cleanup_close_ = -1;

	if (!m->execute || !m->inode)
		return 0;
	e->out->map_files = osp_process_open_mapping((uint32_t)e->patient.pid, m, &fd);
	return 1;
}

static int note_back(void *arg, const struct osp_armed_site *s)
{
	struct osp_selftest *out = arg;

	out->semaphore_back = out->semaphore_back && s->semaphore == 0;
	return 0;
}

/* Attaches the child's program: this one. */
static int attach_patient(struct examination *e)
{
	struct osp_attach_result result;
	struct osp_binary *binary;
	uint32_t slot;
	int r = osp_binaries_open(&binary, e->binaries, "/proc/self/exe");

	if (!r)
		r = osp_loader_add_member(e->loader, (uint32_t)e->patient.pid, &slot);
	if (!r)
		r = osp_loader_attach(e->loader, binary, &result);
	if (!r && !result.attached)
		r = -ENOENT;
	if (!r)
		e->out->lease = result.lease_error;
	return r;
}

static void verify_patient(struct examination *e, const struct osp_found *f)
{
	size_t unarmed;

	for (size_t i = 0; i < f->binary_count; i++)
		if (f->binaries[i]->known &&
		    osp_semaphore_verify(f->binaries[i], (uint32_t)e->patient.pid, &unarmed,
					 &e->out->unarmed))
			e->out->unarmed = "its memory cannot be read";
}

static void finish(struct examination *e, const struct osp_found *f)
{
	struct osp_selftest *out = e->out;

	osp_loader_detach_all(e->loader);
	out->semaphore_back = true;
	for (size_t i = 0; i < f->binary_count; i++)
		osp_semaphore_scan(f->binaries[i], (uint32_t)e->patient.pid, note_back, out);
	close(e->patient.command);
	e->patient.command = -1;
	waitpid(e->patient.pid, &out->child_status, 0);
	e->patient.pid = 0;
	while (osp_ring_drain(osp_loader_ring(e->loader), DRAIN, take_record, out) > 0)
		;
	osp_loader_counters(e->loader, add_counter, out);
}

static int examine(struct examination *e)
{
	const struct osp_loader_options options = {.ring_bytes = 1 << 18};
	struct osp_found f _cleanup_(osp_found_clear) = {0};
	struct osp_selftest *out = e->out;

	osp_process_mappings((uint32_t)e->patient.pid, find_map_files, e);
	out->loaded = osp_loader_open(&e->loader, e->catalogue, &options);
	if (out->loaded)
		return 0;
	out->form = osp_loader_form(e->loader);
	out->attached = attach_patient(e);
	if (!out->attached)
		out->attached = osp_found_read(&f, e->binaries, (uint32_t)e->patient.pid);
	if (out->attached)
		return 0;
	verify_patient(e, &f);
	out->expected = 2 * PASSES;
	if (!exercise(&e->patient))
		out->child_status = -1;
	finish(e, &f);
	return 0;
}

static int try_machine(struct osp_trial_result *out)
{
	struct osp_trial *t _cleanup_(osp_trial_free) = NULL;
	int r = osp_trial_start(&t, true);

	if (!r)
		osp_trial_read(t, out);
	return r;
}

int osp_selftest_run(struct osp_selftest *out)
{
	struct osp_selftest result = {.map_files = -ENOENT};
	struct examination e _cleanup_(clear_examination) = {
		.out = &result, .patient = {.command = -1, .answer = -1}};
	struct osp_catalogue_error error;
	int r = osp_catalogue_new(&e.catalogue);

	if (!r)
		r = osp_catalogue_add(e.catalogue, "selftest", catalogue_text,
				      sizeof(catalogue_text) - 1, &error);
	if (r)
		return osp_err(0, "%s", error.text), r;
	r = osp_binaries_new(&e.binaries, e.catalogue);
	if (!r)
		r = try_machine(&result.tried);
	if (!r)
		r = start_patient(&e.patient);
	if (!r)
		r = examine(&e);
	if (!r)
		*out = result;
	return r;
}
