/*
 * Raw captures: a file of the inputs of a pipeline, so that a recording can be run again
 * (replay), byte for byte as it came. The file starts with the catalogues that were in use. It is
 * untrusted when read: sizes are bounded and every field is checked.
 *
 * Layout, in the byte order of the machine that wrote it:
 *   "OSPRAW\n" NUL, u32 version (2), u32 byte order mark 0x01020304
 *   entries: u32 size of what follows, u32 kind, i64 time, fields
 *   kinds are those of enum osp_input_kind; 100 is a catalogue (name, text)
 *   strings: u32 size, bytes; integers as in struct osp_input, widened to 4 or 8 bytes
 */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "probes/catalogue.h"
#include "user/input.h"

struct osp_raw;

/* Starts a capture with the catalogues' texts. The file is borrowed. -errno. */
int osp_raw_create(struct osp_raw **out, FILE *file, const struct osp_catalogue *c);

/* Appends one input. -errno; -E2BIG: it is larger than any input can be. */
int osp_raw_write(struct osp_raw *r, const struct osp_input *in);

/*
 * Opens a capture for reading and loads its catalogues. The file is borrowed. -EBADMSG: not a
 * capture, or damaged; -ENOTSUP: of another version or byte order; -EINVAL: a catalogue in it is
 * refused; -errno. The error says more.
 */
int osp_raw_open(struct osp_raw **out, FILE *file, struct osp_catalogue_error *error);

/* The catalogues of an opened capture, as one; lives as long as the capture. */
const struct osp_catalogue *osp_raw_catalogue(const struct osp_raw *r);

/*
 * The next input: 0 got one (it lives until the next call), 1 the capture ends here, -ENODATA it
 * was cut off within an entry, -EBADMSG it is damaged, -errno.
 */
int osp_raw_read(struct osp_raw *r, struct osp_input *out);

/* Frees; after writing, flush or close the file to know that all was written. */
void osp_raw_free(struct osp_raw **r);
