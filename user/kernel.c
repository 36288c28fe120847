/*
 * Kernel differences. Asked by loader.c, links.c and doctor.c. Owns nothing.
 *
 *   6.6   uprobe_multi links. libbpf 1.1 (Debian 12) has no call for them: raw BPF_LINK_CREATE.
 *   5.15  the oldest kernel outspan supports: attach cookies, ring buffers, tp_btf, atomics.
 */
#include "user/kernel.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Not in the headers of Debian 12. */
#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif
#ifndef CAP_BPF
#define CAP_BPF 39
#endif
#ifndef CAP_CHECKPOINT_RESTORE
#define CAP_CHECKPOINT_RESTORE 40
#endif

enum { KERNEL_ENOTSUPP = 524 }; /* a number of the kernel's own, with no name in user space */

const char *osp_attach_form_to_str(enum osp_attach_form f)
{
	static const char *const names[] = {"auto", "uprobe_multi", "perf_event"};

	return names[f];
}

/* The part of union bpf_attr that links many uprobes (linux/bpf.h of 6.6 and later). */
struct multi_attr {
	uint32_t program, target, attach_type, flags;
	uint64_t path, offsets, semaphores, cookies;
	uint32_t count, multi_flags, pid, unused;
};

int osp_kernel_link_multi(int program, const struct osp_kernel_sites *sites)
{
	struct multi_attr a = {
		.program = (uint32_t)program,
		.attach_type = OSP_ATTACH_MULTI_TYPE,
		.path = (uintptr_t)sites->path,
		.offsets = (uintptr_t)sites->offsets,
		.semaphores = (uintptr_t)sites->semaphores,
		.cookies = (uintptr_t)sites->cookies,
		.count = sites->count,
	};
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &a, sizeof(a));

	return fd < 0 ? -errno : (int)fd;
}

int osp_kernel_load_empty(void)
{
	const struct bpf_insn body[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts,
		    .expected_attach_type = (enum bpf_attach_type)OSP_ATTACH_MULTI_TYPE);
	int program = bpf_prog_load(BPF_PROG_TYPE_KPROBE, NULL, "GPL", body, 2, &opts);

	return program < 0 ? -errno : program;
}

bool osp_kernel_has_multi(void)
{
	const struct osp_kernel_sites nowhere = {
		.path = "/", .offsets = (uint64_t[]){1}, .count = 1};
	int program = osp_kernel_load_empty(), link;

	if (program < 0)
		return false;
	link = osp_kernel_link_multi(program, &nowhere);
	close(program);
	if (link >= 0)
		close(link);
	/* A kernel that knows the type gets as far as finding that a folder has no code. */
	return link == -EBADF;
}

bool osp_kernel_has_btf(void)
{
	return !access("/sys/kernel/btf/vmlinux", R_OK);
}

const char *osp_kernel_attach_reason(int error)
{
	switch (error) {
	case -EINVAL:
		return "another tracer holds this site with another semaphore, or with none - stop it, or let it use the semaphore";
	case -KERNEL_ENOTSUPP:
	case -ENOTSUP:
		return "the kernel cannot put a probe on its instruction";
	case -EIO:
		return "the file could not be read";
	default:
		return strerror(-error);
	}
}

char *osp_kernel_missing_capabilities(char *out, size_t room)
{
	static const struct {
		int number;
		const char *name;
	} needed[] = {
		{CAP_BPF, "cap_bpf"},
		{CAP_PERFMON, "cap_perfmon"},
		{CAP_SYS_PTRACE, "cap_sys_ptrace"},
		{CAP_CHECKPOINT_RESTORE, "cap_checkpoint_restore"},
		{CAP_LEASE, "cap_lease"},
		{CAP_DAC_READ_SEARCH, "cap_dac_read_search"},
	};
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};
	size_t n = 0;

	out[0] = 0;
	if (syscall(SYS_capget, &head, data))
		return out;
	/* cap_sys_admin stands in for the ones that were split off from it, as dac_override does. */
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]) && n < room; i++) {
		int c = needed[i].number;
		bool split = c == CAP_BPF || c == CAP_PERFMON || c == CAP_CHECKPOINT_RESTORE;
		int wider = split ? CAP_SYS_ADMIN : c == CAP_DAC_READ_SEARCH ? CAP_DAC_OVERRIDE : c;

		if (data[c / 32].effective & 1u << (c % 32) ||
		    data[wider / 32].effective & 1u << (wider % 32))
			continue;
		n += (size_t)snprintf(out + n, room - n, "%s%s", n ? ", " : "", needed[i].name);
	}
	return out;
}

const char *osp_kernel_release(void)
{
	static struct utsname name;

	return uname(&name) ? "?" : name.release;
}
