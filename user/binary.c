/*
 * The table of binaries. Fed with pids and paths by target.c and the loader, reads each file once
 * (user/elf.c), says of each site what the catalogue knows of it. Files are opened through
 * /proc/PID/map_files, never by the text of a path: that may name another file by now, or one of
 * another mount namespace. Owns the binaries and their descriptors.
 */
#include "user/binary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "user/base/cleanup.h"
#include "user/base/clock.h"
#include "user/base/map.h"
#include "user/shape.h"

enum { OWN_ABI = 2 }; /* of .note.outspan and the operation block that the kernel side reads */

/* Where a dynamic linker tells debuggers that it mapped something: glibc's and musl's name. */
static const char linker_notice[] = "_dl_debug_state";

struct osp_binaries {
	const struct osp_catalogue *catalogue;		/* borrowed: the caller's */
	struct osp_numbers *numbers[OSP_EVENT_NUMBERS]; /* by table; owned; 0 is nobody's */
	struct osp_map by_file;	   /* struct file_key of stat -> struct osp_binary */
	struct osp_map by_mapping; /* of /proc/PID/maps; borrowed: by_file's */
};

/* A device and an inode; their numbers differ between stat and maps on some file systems. */
struct file_key {
	uint64_t device, inode;
};

/* For so long an inode is believed to be the file it was, although nobody holds it open. */
enum { TRUST_NS = 500000000 };

static void free_binary(struct osp_binary **b)
{
	if (!*b)
		return;
	osp_elf_free(&(*b)->elf);
	osp_cleanup_close(&(*b)->fd);
	free((*b)->sites);
	free((*b)->path);
	free(*b);
	*b = NULL;
}

int osp_binaries_new(struct osp_binaries **out, const struct osp_catalogue *c)
{
	struct osp_binaries *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->catalogue = c;
	osp_map_init(&b->by_file, OSP_BINARY_MAX, (uintptr_t)b);
	osp_map_init(&b->by_mapping, OSP_BINARY_MAX, (uintptr_t)b);
	*out = b;
	return 0;
}

void osp_binaries_free(struct osp_binaries **b)
{
	struct osp_binary *binary;

	if (!*b)
		return;
	for (size_t i = 0; (binary = osp_map_next(&(*b)->by_file, &i));)
		free_binary(&binary);
	osp_map_clear(&(*b)->by_file);
	osp_map_clear(&(*b)->by_mapping);
	for (size_t i = 0; i < OSP_EVENT_NUMBERS; i++)
		free((*b)->numbers[i]);
	free(*b);
	*b = NULL;
}

/* ---- sites and the catalogue ---- */

/* Why the point cannot be recorded at this site, or NULL. */
static const char *find_mismatch(const struct osp_elf_site *s, const struct osp_point *p)
{
	struct osp_site_spec spec;
	struct osp_shape shape;

	if (s->refusal)
		return osp_elf_refusal_to_str(s->refusal);
	if (s->form == OSP_ELF_FORM_LONG)
		return "it stands at a no-op of several bytes, where a probe crashes forked children";
	if (osp_shape_fill(&shape, p))
		return "its arguments do not fit into a record - give them a smaller max";
	if (p->foreign)
		return osp_shape_order(&spec, p, &s->spec, s->operands)
			       ? "it has fewer arguments than the catalogue says"
			       : NULL;
	if (!s->own)
		return "it has no outspan note - strip the program with GNU strip or eu-strip";
	if (s->abi != OWN_ABI)
		return s->abi == 1
			       ? "it was built with ABI 1, this outspan reads ABI 2 - rebuild the program"
			       : "it was built with another ABI than 2, which this outspan reads - rebuild the program";
	if (s->digest != p->digest)
		return "it was compiled with other arguments than the catalogue says - rebuild the program, or load its catalogue";
	return NULL;
}

static void match_site(struct osp_site *s, const struct osp_elf_site *elf,
		       const struct osp_catalogue *c)
{
	*s = (struct osp_site){.elf = elf};
	s->point = osp_catalogue_find_point(c, elf->provider, elf->probe);
	if (!s->point)
		return;
	s->reason = find_mismatch(elf, s->point);
	s->state = s->reason ? OSP_SITE_REFUSED : OSP_SITE_KNOWN;
}

/* A site whose note tells truly what steps with its number are. */
static bool is_numbered(const struct osp_site *s)
{
	return s->point && !s->point->foreign && s->elf->own && s->elf->abi == OWN_ABI &&
	       s->elf->digest == s->point->digest && s->elf->number < OSP_EVENT_POINTS;
}

/* One provider's points by number. A number that two versions of a header give is nobody's. */
static void collect_numbers(const struct osp_binary *binary, const char *provider,
			    struct osp_numbers *out)
{
	uint8_t clash[OSP_EVENT_POINTS] = {0};

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < binary->count; i++) {
		const struct osp_site *s = &binary->sites[i];
		uint16_t point;

		if (!is_numbered(s) || strcmp(s->point->provider, provider) != 0)
			continue;
		point = (uint16_t)(s->point->number + 1);
		clash[s->elf->number] |=
			out->point[s->elf->number] && out->point[s->elf->number] != point;
		out->point[s->elf->number] = point;
	}
	for (size_t i = 0; i < OSP_EVENT_POINTS; i++)
		if (clash[i])
			out->point[i] = 0;
}

/* The table with this content. The last one is empty: for binaries that come when it is full. */
static int find_numbers(struct osp_binaries *b, const struct osp_numbers *n, uint16_t *out)
{
	size_t i = 1;

	while (i < OSP_EVENT_NUMBERS - 1 && b->numbers[i] &&
	       memcmp(b->numbers[i], n, sizeof(*n)) != 0)
		i++;
	*out = (uint16_t)i;
	if (b->numbers[i])
		return 0;
	b->numbers[i] = calloc(1, sizeof(*n));
	if (!b->numbers[i])
		return -ENOMEM;
	if (i < OSP_EVENT_NUMBERS - 1)
		*b->numbers[i] = *n;
	return 0;
}

static int number_sites(struct osp_binaries *b, struct osp_binary *binary)
{
	struct osp_numbers n;

	for (size_t i = 0; i < binary->count; i++) {
		struct osp_site *s = &binary->sites[i];
		size_t k = 0;
		int r;

		if (!is_numbered(s))
			continue;
		while (k < i && (!binary->sites[k].numbers ||
				 strcmp(binary->sites[k].point->provider, s->point->provider) != 0))
			k++;
		s->numbers = binary->sites[k].numbers;
		if (k == i) {
			collect_numbers(binary, s->point->provider, &n);
			r = find_numbers(b, &n, &s->numbers);
			if (r)
				return r;
		}
		s->table = b->numbers[s->numbers];
	}
	return 0;
}

static int match_sites(struct osp_binaries *b, struct osp_binary *binary)
{
	struct osp_site *sites =
		calloc(binary->elf->count ? binary->elf->count : 1, sizeof(*sites));

	if (!sites)
		return -ENOMEM;
	free(binary->sites);
	binary->sites = sites;
	binary->count = binary->elf->count;
	binary->known = 0;
	for (size_t i = 0; i < binary->count; i++) {
		match_site(&sites[i], &binary->elf->sites[i], b->catalogue);
		binary->known += sites[i].state == OSP_SITE_KNOWN;
	}
	return number_sites(b, binary);
}

/* ---- files ---- */

static bool is_linker(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	return !strncmp(name, "ld-", 3) || !strncmp(name, "ld.so", 5);
}

/* Reads what the descriptor holds. A file that is no ELF file is no error: elf stays NULL. */
static int read_binary(struct osp_binaries *b, struct osp_binary *binary, int fd)
{
	struct osp_elf *elf = NULL;
	int r;

	if (fstat(fd, &binary->file))
		return -errno;
	r = S_ISREG(binary->file.st_mode) ? osp_elf_read(&elf, fd) : -ENOEXEC;
	if (r && r != -ENOEXEC && r != -EBADMSG)
		return r;
	osp_elf_free(&binary->elf);
	binary->elf = elf;
	binary->count = binary->known = 0;
	binary->linker_offset = 0;
	if (!elf)
		return 0;
	if (is_linker(binary->path))
		osp_elf_find_function(fd, linker_notice, &binary->linker_offset);
	return match_sites(b, binary);
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Makes the binary of an open file; keeps the descriptor if there is something to attach. */
static int make_binary(struct osp_binary **out, struct osp_binaries *b, int *fd, const char *path)
{
	struct osp_binary *binary _cleanup_(free_binary) = calloc(1, sizeof(*binary));
	int r;

	if (!binary)
		return -ENOMEM;
	binary->fd = -1;
	binary->path = strdup(path);
	if (!binary->path)
		return -ENOMEM;
	r = read_binary(b, binary, *fd);
	if (r)
		return r;
	if (binary->known || binary->linker_offset)
		binary->fd = TAKE_FD(*fd);
	*out = TAKE_PTR(binary);
	return 0;
}

static struct file_key mapping_key(uint32_t device_major, uint32_t device_minor, uint64_t inode)
{
	return (struct file_key){(uint64_t)device_major << 32 | device_minor, inode};
}

static void forget_mapping(struct osp_binaries *b, const struct osp_binary *old)
{
	struct file_key key;

	if (!old)
		return;
	key = mapping_key(old->device_major, old->device_minor, old->inode);
	if (osp_map_find(&b->by_mapping, &key, sizeof(key)) == old)
		osp_map_remove(&b->by_mapping, &key, sizeof(key));
}

/* The table's binary for an open file, read now if it is not known or was changed unattached. */
static int find_binary(struct osp_binary **out, struct osp_binaries *b, int *fd, const char *path)
{
	struct osp_binary *binary, *old;
	struct file_key key;
	struct stat st;
	int r;

	if (fstat(*fd, &st))
		return -errno;
	key = (struct file_key){st.st_dev, st.st_ino};
	old = osp_map_find(&b->by_file, &key, sizeof(key));
	if (old && (old->attachment || old->fd >= 0 || is_same_file(&st, &old->file))) {
		*out = old;
		return 0;
	}
	r = make_binary(&binary, b, fd, path);
	if (r)
		return r;
	r = osp_map_add(&b->by_file, &key, sizeof(key), binary);
	if (r) {
		free_binary(&binary);
		return r;
	}
	forget_mapping(b, old);
	free_binary(&old);
	*out = binary;
	return 0;
}

size_t osp_binary_refuse_own(struct osp_binary *b, const char *reason)
{
	size_t n = 0;

	for (size_t i = 0; i < b->count; i++) {
		struct osp_site *s = &b->sites[i];

		if (s->state != OSP_SITE_KNOWN || s->point->foreign || s->attached)
			continue;
		s->state = OSP_SITE_REFUSED;
		s->reason = reason;
		n++;
	}
	b->known -= n;
	return n;
}

int osp_binaries_open(struct osp_binary **out, struct osp_binaries *b, const char *path)
{
	int fd _cleanup_close_ = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct osp_binary *binary;
	int r;

	if (fd < 0)
		return -errno;
	r = find_binary(&binary, b, &fd, path);
	if (r)
		return r;
	if (!binary->elf)
		return -ENOEXEC;
	*out = binary;
	return 0;
}

bool osp_binary_is_changed(const struct osp_binary *binary)
{
	struct stat st;

	return fstat(binary->fd, &st) || !is_same_file(&st, &binary->file);
}

int osp_binaries_reload(struct osp_binaries *b, struct osp_binary *binary)
{
	return read_binary(b, binary, binary->fd);
}

bool osp_binary_has_mapping(const struct osp_binary *binary, const struct osp_mapping *m)
{
	return m->inode && m->inode == binary->inode && m->device_major == binary->device_major &&
	       m->device_minor == binary->device_minor;
}

/* ---- what a process has mapped ---- */

enum { SCAN_FILES = 4096 }; /* executable files of one process */

struct scan {
	struct osp_binaries *binaries;
	uint32_t pid;
	int64_t now_ns;
	struct osp_binary **seen;
	size_t count;
	int denied; /* why a file could not be opened, or 0 */
};

/* Opens the mapped file without side effects, should it be a device. */
static int open_regular(uint32_t pid, const struct osp_mapping *m, int *fd)
{
	char path[64];
	int handle _cleanup_close_ = -1;
	struct stat st;
	int r = osp_process_open_mapping(pid, m, &handle);

	if (r)
		return r;
	if (fstat(handle, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOEXEC;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", handle);
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	return *fd < 0 ? -errno : 0;
}

/* The binary of a mapping, without opening the file where it was opened just now. */
static int find_mapped(struct osp_binary **out, struct scan *s, const struct osp_mapping *m)
{
	struct file_key key = mapping_key(m->device_major, m->device_minor, m->inode);
	struct osp_binary *binary = osp_map_find(&s->binaries->by_mapping, &key, sizeof(key));
	int fd _cleanup_close_ = -1;
	int r;

	if (!binary || (binary->fd < 0 && s->now_ns - binary->checked_ns > TRUST_NS)) {
		r = open_regular(s->pid, m, &fd);
		if (!r)
			r = find_binary(&binary, s->binaries, &fd, m->path);
		if (r)
			return r;
		binary->checked_ns = s->now_ns;
		forget_mapping(s->binaries, binary);
		binary->device_major = m->device_major;
		binary->device_minor = m->device_minor;
		binary->inode = m->inode;
		r = osp_map_add(&s->binaries->by_mapping, &key, sizeof(key), binary);
		if (r)
			return r;
	}
	*out = binary;
	return 0;
}

static int note_mapping(void *arg, const struct osp_mapping *m)
{
	struct scan *s = arg;
	struct osp_binary *binary = NULL;
	int r;

	if (!m->execute || !m->inode || s->count == SCAN_FILES)
		return 0;
	/* A file that cannot be opened or read is none with sites; the process goes on. */
	r = find_mapped(&binary, s, m);
	if (r == -EACCES || r == -EPERM)
		s->denied = r;
	if (r)
		return 0;
	for (size_t i = 0; i < s->count; i++)
		if (s->seen[i] == binary)
			return 0;
	s->seen[s->count++] = binary;
	return 0;
}

int osp_binaries_scan(struct osp_binaries *b, uint32_t pid,
		      int (*fn)(void *arg, struct osp_binary *binary), void *arg)
{
	struct osp_binary **seen _cleanup_free_ = calloc(SCAN_FILES, sizeof(*seen));
	struct scan s = {.binaries = b,
			 .pid = pid,
			 .now_ns = osp_clock_read(CLOCK_MONOTONIC_COARSE),
			 .seen = seen};
	int r;

	if (!seen)
		return -ENOMEM;
	r = osp_process_mappings(pid, note_mapping, &s);
	if (!r && !s.count)
		r = s.denied;
	for (size_t i = 0; !r && i < s.count; i++)
		if (seen[i]->count || seen[i]->linker_offset)
			r = fn(arg, seen[i]);
	return r;
}
