/*
 * What every operation of the Python module is: an object with its operation block in it, and the
 * reading of arguments. The generated points.c has a type per operation over it; module.c makes
 * the module of them. Nothing here raises: an argument that is missing or of another kind is read
 * as nothing, for a trace point may not fail its application.
 */
#ifndef OUTSPAN_PYTHON_OPERATION_H
#define OUTSPAN_PYTHON_OPERATION_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "outspan/op.h"

struct outspan_operation {
	PyObject ob_base;
	struct outspan_op *head; /* of the block behind this */
	void (*leave)(struct outspan_operation *self, int32_t cause);
	bool (*is_wanted)(void); /* whether a tracer wants any point of this type */
	unsigned int state;	 /* of the catalogue's automaton; 255 = ended */
};

enum { OUTSPAN_STATE_END = 255 };

extern PyTypeObject outspan_operation_type;
extern PyTypeObject *const outspan_operation_types[]; /* up to NULL */

struct outspan_constant {
	const char *name;
	long long value;
};
extern const struct outspan_constant
	outspan_constants[]; /* the catalogue's enumerations; up to NULL */

/* An object of the type, nothing of it set; NULL with an exception if arguments were given. */
void *outspan_operation_new(PyTypeObject *type, PyObject *args, PyObject *names);
void outspan_operation_begin(struct outspan_operation *self, struct outspan_op *head,
			     unsigned int start, void (*leave)(struct outspan_operation *, int32_t),
			     bool (*is_wanted)(void));
/* Leaves the operation if it has not ended: whoever had it has dropped it. */
void outspan_operation_free(PyObject *object);

struct outspan_text {
	const void *data; /* borrowed from the argument */
	size_t size;
};

/* bytes, or str as UTF-8; anything else: empty */
struct outspan_text outspan_read_text(PyObject *const *args, Py_ssize_t count, size_t index);
/* int (and its subclasses: enums, bool), the lowest 64 bits of it; anything else: 0 */
uint64_t outspan_read_integer(PyObject *const *args, Py_ssize_t count, size_t index);
double outspan_read_real(PyObject *const *args, Py_ssize_t count, size_t index);
/* The block of an operation of this module; anything else: NULL */
const struct outspan_op *outspan_read_operation(PyObject *const *args, Py_ssize_t count,
						size_t index);
/* What a peer sent in its tracing field. */
void outspan_read_context(struct outspan_context *out, PyObject *const *args, Py_ssize_t count,
			  size_t index);

/* For the tracing field; empty if there is no context. NULL with MemoryError only. */
PyObject *outspan_context_bytes(const struct outspan_context *c);
PyObject *outspan_none(void);

#endif
