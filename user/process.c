/*
 * Reads /proc/PID. Fed by target.c and the recorder with pids, feeds them with identities and
 * mappings. What stands there was chosen by the processes themselves (names, arguments, paths):
 * it is bounded here and escaped wherever it is shown. Owns nothing between calls.
 */
#include "user/process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/base/cleanup.h"

enum {
	INITIAL_PID_NAMESPACE = 0xeffffffc, /* PROC_PID_INIT_INO: a fixed number of the kernel */
	FLAG_EXITING = 4,		    /* PF_EXITING */
};

static void close_directory(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* A process that ended gives ENOENT or ESRCH, whichever file was asked. */
static int process_errno(void)
{
	return errno == ENOENT ? -ESRCH : -errno;
}

/* Reads at most room - 1 bytes of a file of /proc/PID and ends them with a NUL. */
static int read_file(uint32_t pid, const char *name, char *out, size_t room, size_t *size)
{
	char path[64];
	int fd _cleanup_close_ = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return process_errno();
	*size = 0;
	while (*size < room - 1 && (n = read(fd, out + *size, room - 1 - *size)) != 0) {
		if (n < 0)
			return process_errno();
		*size += (size_t)n;
	}
	out[*size] = 0;
	return 0;
}

/* Field `number` (from 3 on) of /proc/PID/stat; the second, the name, may hold anything. */
static int read_stat(uint32_t pid, int number, uint64_t *value)
{
	char text[1024], *p;
	size_t n;
	int r = read_file(pid, "stat", text, sizeof(text), &n);

	if (r)
		return r;
	p = strrchr(text, ')');
	for (int i = 2; p && i < number; i++)
		p = strchr(p + 1, ' ');
	if (!p)
		return -EBADMSG;
	*value = strtoull(p + 1, NULL, 10);
	return 0;
}

int osp_process_start(uint32_t pid, uint64_t *start_ns)
{
	uint64_t ticks;
	int r = read_stat(pid, 22, &ticks);

	if (!r)
		*start_ns = ticks * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
	return r;
}

bool osp_process_is_ending(uint32_t pid)
{
	uint64_t flags;

	return read_stat(pid, 9, &flags) || flags & FLAG_EXITING;
}

/* The last number on the line "NAME:\t..." of a status file. */
static bool find_number(const char *status, const char *name, bool last, uint32_t *value)
{
	const char *line = strstr(status, name), *p;

	if (!line)
		return false;
	p = line + strlen(name);
	do {
		char *end;
		unsigned long n;

		p += strspn(p, " \t");
		n = strtoul(p, &end, 10);
		if (end == p)
			break;
		*value = (uint32_t)n;
		p = end;
	} while (last);
	return true;
}

static int read_status(struct osp_process *p)
{
	char text[4096];
	uint32_t seccomp = 0;
	size_t n;
	int r = read_file(p->pid, "status", text, sizeof(text), &n);

	if (r)
		return r;
	p->namespace_pid = p->pid;
	find_number(text, "\nNSpid:", true, &p->namespace_pid);
	find_number(text, "\nSeccomp:", false, &seccomp);
	p->strict = seccomp == SECCOMP_MODE_STRICT;
	if (!find_number(text, "\nPPid:", false, &p->parent_pid) ||
	    !find_number(text, "\nUid:", false, &p->uid))
		return -EBADMSG;
	return 0;
}

static void read_exe(struct osp_process *p)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/exe", p->pid);
	n = readlink(path, p->exe, sizeof(p->exe) - 1);
	p->exe[n < 0 ? 0 : n] = 0;
}

static void read_cmdline(struct osp_process *p)
{
	size_t n;

	if (read_file(p->pid, "cmdline", p->cmdline, sizeof(p->cmdline), &n)) {
		p->cmdline[0] = 0;
		return;
	}
	while (n && !p->cmdline[n - 1])
		n--;
	for (size_t i = 0; i < n; i++)
		if (!p->cmdline[i])
			p->cmdline[i] = ' ';
}

int osp_process_read(struct osp_process *out, uint32_t pid)
{
	struct osp_process p = {.pid = pid};
	uint64_t again;
	size_t n;
	int r = osp_process_start(pid, &p.start_ns);

	if (!r)
		r = read_status(&p);
	if (!r)
		r = read_file(pid, "comm", p.comm, sizeof(p.comm), &n);
	if (r)
		return r;
	p.comm[strcspn(p.comm, "\n")] = 0;
	read_exe(&p);
	read_cmdline(&p);
	/* Another process of the same pid may have come between two of the reads. */
	if (osp_process_start(pid, &again) || again != p.start_ns)
		return -ESRCH;
	*out = p;
	return 0;
}

static int compare_pids(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

int osp_process_list(uint32_t **pids, size_t *count)
{
	DIR *dir _cleanup_(close_directory) = opendir("/proc");
	uint32_t *list _cleanup_free_ = NULL, *bigger;
	size_t n = 0, capacity = 0;
	struct dirent *d;

	if (!dir)
		return -errno;
	while ((d = readdir(dir))) {
		if (!isdigit((unsigned char)d->d_name[0]))
			continue;
		if (n == capacity) {
			capacity = capacity ? capacity * 2 : 256;
			bigger = realloc(list, capacity * sizeof(*list));
			if (!bigger)
				return -ENOMEM;
			list = bigger;
		}
		list[n++] = (uint32_t)strtoul(d->d_name, NULL, 10);
	}
	if (n)
		qsort(list, n, sizeof(*list), compare_pids);
	*pids = TAKE_PTR(list);
	*count = n;
	return 0;
}

/* "start-end perms offset major:minor inode   path" */
static bool parse_mapping(char *line, struct osp_mapping *m)
{
	char perms[5];
	int at = 0;

	line[strcspn(line, "\n")] = 0;
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n", &m->start,
		   &m->end, perms, &m->offset, &m->device_major, &m->device_minor, &m->inode,
		   &at) < 7)
		return false;
	m->write = perms[1] == 'w';
	m->execute = perms[2] == 'x';
	m->path = line + at;
	return true;
}

int osp_process_mappings(uint32_t pid, int (*fn)(void *arg, const struct osp_mapping *m), void *arg)
{
	char name[64], *line _cleanup_free_ = NULL;
	FILE *f _cleanup_fclose_ = NULL;
	size_t room = 0;
	int r = 0;

	snprintf(name, sizeof(name), "/proc/%u/maps", pid);
	f = fopen(name, "re");
	if (!f)
		return process_errno();
	errno = 0;
	while (!r && getline(&line, &room, f) > 0) {
		struct osp_mapping m;

		if (parse_mapping(line, &m))
			r = fn(arg, &m);
	}
	return r ? r : ferror(f) ? process_errno() : 0;
}

int osp_process_open_mapping(uint32_t pid, const struct osp_mapping *m, int *fd)
{
	char path[96];
	int opened;

	snprintf(path, sizeof(path), "/proc/%u/map_files/%" PRIx64 "-%" PRIx64, pid, m->start,
		 m->end);
	opened = open(path, O_PATH | O_CLOEXEC);
	if (opened < 0)
		return process_errno();
	*fd = opened;
	return 0;
}

int osp_process_open_memory(uint32_t pid, int *memory)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return process_errno();
	*memory = fd;
	return 0;
}

int osp_process_peek(int memory, uint64_t address, void *to, size_t size)
{
	ssize_t n = pread(memory, to, size, (off_t)address);

	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : n ? -EIO : -ESRCH;
}

bool osp_process_is_initial_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) || st.st_ino == INITIAL_PID_NAMESPACE;
}
