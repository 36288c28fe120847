/*
 * The checks of `outspan doctor`: what a recording needs, in the order in which it needs it. Each
 * is tried on this kernel by this user; the last ones are read off one run of the whole chain on
 * a child (selftest.c). Fed by cmd_doctor.c, owns nothing.
 */
#include "user/doctor.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/kernel.h"
#include "user/process.h"
#include "user/selftest.h"

const char *osp_doctor_result_to_str(enum osp_doctor_result r)
{
	static const char *const names[] = {"ok", "warn", "fail", "skip"};

	return names[r];
}

struct doctor {
	void (*fn)(void *arg, const struct osp_doctor_check *c);
	void *arg;
	struct osp_selftest test;
	int test_error; /* the self-test could not begin */
	bool missing, broken;
};

static void set(struct osp_doctor_check *c, enum osp_doctor_result result, const char *hint,
		const char *format, ...) __attribute__((format(printf, 4, 5)));

static void set(struct osp_doctor_check *c, enum osp_doctor_result result, const char *hint,
		const char *format, ...)
{
	va_list ap;

	c->result = result;
	c->hint = result == OSP_DOCTOR_OK || result == OSP_DOCTOR_SKIP ? NULL : hint;
	va_start(ap, format);
	vsnprintf(c->detail, sizeof(c->detail), format, ap);
	va_end(ap);
}

/* A failure that is the kernel's or the user's lack, not a defect. */
static void lack(struct osp_doctor_check *c, int error, const char *hint)
{
	set(c, OSP_DOCTOR_FAIL, hint, "%s", strerror(-error));
	c->unsupported = true;
}

/* ---- the checks ---- */

static void check_kernel(struct doctor *d, struct osp_doctor_check *c)
{
	unsigned int major = 0, minor = 0;
	struct utsname u;

	(void)d;
	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	if (major > 5 || (major == 5 && minor >= 15))
		set(c, OSP_DOCTOR_OK, NULL, "Linux %s on %s", u.release, u.machine);
	else
		set(c, OSP_DOCTOR_WARN,
		    "outspan is made for Linux 5.15 and later: update the kernel", "Linux %s on %s",
		    u.release, u.machine);
}

static void check_user(struct doctor *d, struct osp_doctor_check *c)
{
	char missing[128];

	(void)d;
	osp_kernel_missing_capabilities(missing, sizeof(missing));
	if (!missing[0]) {
		set(c, OSP_DOCTOR_OK, NULL, "uid %u has the capabilities it needs", geteuid());
		return;
	}
	if (!strcmp(missing, "cap_dac_read_search")) {
		set(c, OSP_DOCTOR_WARN, "run as root, or grant it",
		    "uid %u lacks cap_dac_read_search: it can trace its own processes only",
		    geteuid());
		return;
	}
	set(c, OSP_DOCTOR_FAIL,
	    "run as root (sudo outspan ...), or: setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_checkpoint_restore,cap_lease,cap_dac_read_search+ep outspan",
	    "uid %u lacks %s", geteuid(), missing);
	c->unsupported = true;
}

static void check_namespace(struct doctor *d, struct osp_doctor_check *c)
{
	(void)d;
	if (osp_process_is_initial_namespace()) {
		set(c, OSP_DOCTOR_OK, NULL, "this is the initial one");
		return;
	}
	set(c, OSP_DOCTOR_FAIL, "start outspan on the host, or its container with --pid=host",
	    "this is an inner one: the kernel counts pids otherwise");
	c->unsupported = true;
}

static void check_btf(struct doctor *d, struct osp_doctor_check *c)
{
	(void)d;
	if (osp_kernel_has_btf()) {
		set(c, OSP_DOCTOR_OK, NULL, "/sys/kernel/btf/vmlinux");
		return;
	}
	set(c, OSP_DOCTOR_FAIL, "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y, and mount /sys",
	    "no /sys/kernel/btf/vmlinux");
	c->unsupported = true;
}

static void check_ring(struct doctor *d, struct osp_doctor_check *c)
{
	int fd _cleanup_close_ = bpf_map_create(BPF_MAP_TYPE_RINGBUF, NULL, 0, 0,
						(uint32_t)sysconf(_SC_PAGESIZE), NULL);

	(void)d;
	if (fd >= 0)
		set(c, OSP_DOCTOR_OK, NULL, "made and removed");
	else
		lack(c, -errno,
		     errno == EPERM
			     ? "run as root, or grant cap_bpf; if you are root: is the kernel in lockdown (cat /sys/kernel/security/lockdown), or this a container without privileges?"
			     : "this kernel has no BPF ring buffers: Linux 5.8 and later have them");
}

static void check_programs(struct doctor *d, struct osp_doctor_check *c)
{
	if (d->test_error)
		set(c, OSP_DOCTOR_FAIL, "start this again with more memory or processes allowed",
		    "the self-test could not begin: %s", strerror(-d->test_error));
	else if (d->test.loaded)
		lack(c, d->test.loaded,
		     "see the line above; outspan doctor -v shows what the kernel said");
	else
		set(c, OSP_DOCTOR_OK, NULL, "loaded; fork, exec and exit are attached");
}

static bool is_skipped(const struct doctor *d, struct osp_doctor_check *c)
{
	if (d->test_error || d->test.loaded)
		set(c, OSP_DOCTOR_SKIP, NULL, "programs were not loaded");
	else if (d->test.attached)
		set(c, OSP_DOCTOR_SKIP, NULL, "nothing was attached");
	else
		return false;
	return true;
}

static void check_attach(struct doctor *d, struct osp_doctor_check *c)
{
	if (d->test_error || d->test.loaded)
		is_skipped(d, c);
	else if (d->test.attached)
		lack(c, d->test.attached,
		     "perf events need cap_sys_admin and /sys/bus/event_source/devices/uprobe; Linux 6.6 and later need neither");
	else if (d->test.unarmed)
		set(c, OSP_DOCTOR_FAIL, "copy outspan to another file system and try again",
		    "attached, but %s", d->test.unarmed);
	else if (d->test.form == OSP_ATTACH_PERF)
		set(c, OSP_DOCTOR_WARN, "Linux 6.6 and later attach all sites of a file at once",
		    "a perf event per site: stopping takes 0.1 s for each");
	else
		set(c, OSP_DOCTOR_OK, NULL, "%s", osp_attach_form_to_str(d->test.form));
}

static void check_wide(struct doctor *d, struct osp_doctor_check *c)
{
	const struct osp_trial_result *t = &d->test.tried;

	if (!is_skipped(d, c))
		set(c, OSP_DOCTOR_OK, NULL, "of %s; 10 bytes: %s; 5 bytes (not used): %s",
		    t->wide[OSP_WIDE_10] == OSP_WIDE_WORKS ? "10 bytes" : "1 byte",
		    osp_wide_to_str(t->wide[OSP_WIDE_10]), osp_wide_to_str(t->wide[OSP_WIDE_5]));
}

static void check_hits(struct doctor *d, struct osp_doctor_check *c)
{
	const struct osp_selftest *t = &d->test;

	if (is_skipped(d, c))
		return;
	if (t->stored + t->lost == t->expected && !t->lost && t->value_right && t->fork_seen &&
	    t->exit_seen)
		set(c, OSP_DOCTOR_OK, NULL,
		    "%" PRIu64 " of %" PRIu64 " hits, those of a forked child among them",
		    t->stored, t->expected);
	else
		set(c, OSP_DOCTOR_FAIL,
		    "this is a defect of outspan or of the kernel: please report it with the kernel's version",
		    "%" PRIu64 " of %" PRIu64 " hits, %" PRIu64
		    " lost, arguments %s, fork %s, exit %s",
		    t->stored, t->expected, t->lost, t->value_right ? "right" : "wrong",
		    t->fork_seen ? "seen" : "missed", t->exit_seen ? "seen" : "missed");
}

static void check_harmless(struct doctor *d, struct osp_doctor_check *c)
{
	if (is_skipped(d, c))
		return;
	if (!d->test.child_status && d->test.semaphore_back)
		set(c, OSP_DOCTOR_OK, NULL,
		    "the traced child and its fork lived, its semaphore is 0 again");
	else
		set(c, OSP_DOCTOR_FAIL,
		    "do not trace on this kernel; please report it with the kernel's version",
		    "child status %#x, semaphore %s", (unsigned int)d->test.child_status,
		    d->test.semaphore_back ? "0 again" : "still up");
}

static void check_map_files(struct doctor *d, struct osp_doctor_check *c)
{
	if (d->test_error)
		set(c, OSP_DOCTOR_SKIP, NULL, "the self-test could not begin");
	else if (d->test.map_files)
		lack(c, d->test.map_files,
		     "grant cap_checkpoint_restore and cap_sys_ptrace, or run as root");
	else
		set(c, OSP_DOCTOR_OK, NULL,
		    "binaries are found though deleted, replaced or in another mount namespace");
}

static void check_lease(struct doctor *d, struct osp_doctor_check *c)
{
	if (is_skipped(d, c))
		return;
	if (d->test.lease)
		set(c, OSP_DOCTOR_WARN,
		    "grant cap_lease; some file systems have no leases: then do not overwrite traced binaries in place",
		    "%s: overwriting a traced binary in place may crash its next start",
		    strerror(-d->test.lease));
	else
		set(c, OSP_DOCTOR_OK, NULL,
		    "who overwrites a traced binary waits until outspan has let go");
}

int osp_doctor_run(void (*fn)(void *arg, const struct osp_doctor_check *c), void *arg)
{
	static const struct {
		const char *name, *title;
		void (*check)(struct doctor *d, struct osp_doctor_check *c);
	} checks[] = {
		{"kernel", "kernel version", check_kernel},
		{"user", "user and capabilities", check_user},
		{"pidns", "pid namespace", check_namespace},
		{"btf", "the kernel's own types (BTF)", check_btf},
		{"ring", "ring buffer", check_ring},
		{"programs", "BPF programs and process events", check_programs},
		{"map_files", "files behind mappings", check_map_files},
		{"attach", "attaching to a running process", check_attach},
		{"no_op", "which no-op our own points use", check_wide},
		{"hits", "every hit arrives", check_hits},
		{"harmless", "the target is left as it was", check_harmless},
		{"lease", "read lease on a traced binary", check_lease},
	};
	struct doctor d = {.fn = fn, .arg = arg};

	d.test_error = osp_selftest_run(&d.test);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		struct osp_doctor_check c = {.name = checks[i].name, .title = checks[i].title};

		checks[i].check(&d, &c);
		d.missing = d.missing || (c.result == OSP_DOCTOR_FAIL && c.unsupported);
		d.broken = d.broken || (c.result == OSP_DOCTOR_FAIL && !c.unsupported);
		fn(arg, &c);
	}
	return d.missing ? -ENOTSUP : d.broken ? -EIO : 0;
}
