/*
 * Binaries that processes have mapped, read once each: their sites, matched with the catalogue.
 * A table holds them by file identity; loader.c attaches them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "probes/catalogue.h"
#include "user/elf.h"
#include "user/process.h"

enum { OSP_BINARY_MAX = 16384 }; /* files of one table, those without sites included */

/* How a site and the catalogue agree. */
enum osp_site_state {
	OSP_SITE_UNKNOWN, /* no catalogue has the point */
	OSP_SITE_KNOWN,	  /* can be attached */
	OSP_SITE_REFUSED, /* never, because ... */
};

struct osp_site {
	const struct osp_elf_site *elf;
	const struct osp_point *point; /* NULL: unknown */
	enum osp_site_state state;
	uint16_t numbers; /* our own: table of the header that it was built with; 0 = none */
	const struct osp_numbers *table; /* its content; borrowed: the table of binaries' */
	const char *reason;		 /* of a refusal; also set when attaching failed */
	bool attached;			 /* by a loader */
	bool carried;			 /* so that it is stamped without a trap (user/form.h) */
	uint16_t link;			 /* attach.c's: by which of its links */
};

struct osp_binary {
	struct stat file;		     /* as it was when read */
	uint32_t device_major, device_minor; /* as in /proc/PID/maps: not always st_dev */
	uint64_t inode;
	int64_t checked_ns;  /* when a scan last opened it */
	char *path;	     /* for people; as one process saw it */
	int fd;		     /* held open while it has known sites, or is a dynamic linker; or -1 */
	struct osp_elf *elf; /* NULL: no ELF file for us */
	struct osp_site *sites; /* as elf->sites */
	size_t count;
	size_t known;		/* sites that can be attached */
	uint64_t linker_offset; /* a dynamic linker's notice function, or 0 */
	const char *asked;	/* borrowed: the target's path that names it, or NULL */
	void *attachment;	/* borrowed: loader.c's */
};

struct osp_binaries;

/*
 * Refuses the binary's own sites that are not attached, for a reason (a literal); sites of other
 * programs' making stay. Returns how many they were.
 */
size_t osp_binary_refuse_own(struct osp_binary *b, const char *reason);

/* `c` is borrowed and outlives the table. -ENOMEM. */
int osp_binaries_new(struct osp_binaries **out, const struct osp_catalogue *c);
void osp_binaries_free(struct osp_binaries **b);

/*
 * The binary in a file. It belongs to the table. -ENOENT, -EACCES, ...: it cannot be opened;
 * -ENOEXEC: no ELF file of this machine. Says nothing on stderr.
 */
int osp_binaries_open(struct osp_binary **out, struct osp_binaries *b, const char *path);

/*
 * Calls fn once for each binary with sites (known or not) or with a dynamic linker that the
 * process has mapped. Non-zero from fn ends it and is returned. -ESRCH, -EACCES: of the process.
 */
int osp_binaries_scan(struct osp_binaries *b, uint32_t pid,
		      int (*fn)(void *arg, struct osp_binary *binary), void *arg);

/* Reads the file again: its sites are others then. The binary must not be attached. -errno. */
int osp_binaries_reload(struct osp_binaries *b, struct osp_binary *binary);

/* True if the file is not as it was when it was read. */
bool osp_binary_is_changed(const struct osp_binary *binary);

/* True if the mapping belongs to the binary. */
bool osp_binary_has_mapping(const struct osp_binary *binary, const struct osp_mapping *m);
