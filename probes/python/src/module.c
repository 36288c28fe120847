/*
 * The module outspan_lonelypsp.points: the base type of all operations and the module's making.
 * The types themselves, one per operation with a method per point, are in the generated points.c.
 * Everything runs under the interpreter's lock; an operation's block lies in its object and needs
 * no lock of its own.
 */
#include "operation.h"

/* ---- arguments ------------------------------------------------------------------------------- */

static PyObject *argument(PyObject *const *args, Py_ssize_t count, size_t index)
{
	return (Py_ssize_t)index < count ? args[index] : Py_None;
}

struct outspan_text outspan_read_text(PyObject *const *args, Py_ssize_t count, size_t index)
{
	PyObject *o = argument(args, count, index);
	struct outspan_text text = {NULL, 0};
	Py_ssize_t size = 0;

	if (PyBytes_Check(o)) {
		text.data = PyBytes_AS_STRING(o);
		size = PyBytes_GET_SIZE(o);
	} else if (PyUnicode_Check(o)) {
		text.data = PyUnicode_AsUTF8AndSize(o, &size);
		if (!text.data) {
			PyErr_Clear();
			size = 0;
		}
	}
	text.size = (size_t)size;
	return text;
}

uint64_t outspan_read_integer(PyObject *const *args, Py_ssize_t count, size_t index)
{
	PyObject *o = argument(args, count, index);
	uint64_t value;

	if (!PyLong_Check(o))
		return 0;
	value = PyLong_AsUnsignedLongLongMask(o);
	if (PyErr_Occurred())
		PyErr_Clear();
	return value;
}

double outspan_read_real(PyObject *const *args, Py_ssize_t count, size_t index)
{
	PyObject *o = argument(args, count, index);
	double value;

	if (!PyFloat_Check(o) && !PyLong_Check(o))
		return 0;
	value = PyFloat_AsDouble(o);
	if (PyErr_Occurred()) {
		PyErr_Clear();
		return 0;
	}
	return value;
}

const struct outspan_op *outspan_read_operation(PyObject *const *args, Py_ssize_t count,
						size_t index)
{
	PyObject *o = argument(args, count, index);

	return PyObject_TypeCheck(o, &outspan_operation_type)
		       ? ((struct outspan_operation *)o)->head
		       : NULL;
}

void outspan_read_context(struct outspan_context *out, PyObject *const *args, Py_ssize_t count,
			  size_t index)
{
	PyObject *o = argument(args, count, index);

	out->valid = 0;
	if (PyBytes_Check(o))
		outspan_context_read(out, PyBytes_AS_STRING(o), (size_t)PyBytes_GET_SIZE(o));
}

PyObject *outspan_context_bytes(const struct outspan_context *c)
{
	uint8_t bytes[OUTSPAN_CONTEXT_SIZE];

	return PyBytes_FromStringAndSize((const char *)bytes,
					 (Py_ssize_t)outspan_context_write(bytes, c));
}

PyObject *outspan_none(void)
{
	Py_RETURN_NONE;
}

/* ---- operations ------------------------------------------------------------------------------ */

/* Not cleared: a block is some kilobytes, of which its head alone must be set. */
void *outspan_operation_new(PyTypeObject *type, PyObject *args, PyObject *names)
{
	PyObject *self;

	if (PyTuple_GET_SIZE(args) || (names && PyDict_GET_SIZE(names)))
		return PyErr_Format(PyExc_TypeError, "%s() takes no arguments", type->tp_name);
	self = PyObject_Malloc((size_t)type->tp_basicsize);
	return self ? PyObject_Init(self, type) : PyErr_NoMemory();
}

void outspan_operation_begin(struct outspan_operation *self, struct outspan_op *head,
			     unsigned int start, void (*leave)(struct outspan_operation *, int32_t),
			     bool (*is_wanted)(void))
{
	self->head = head;
	self->leave = leave;
	self->is_wanted = is_wanted;
	self->state = start;
}

/* Ends it from wherever it is; once ended, nothing. */
static void leave(struct outspan_operation *self, int32_t cause)
{
	if (self->state == OUTSPAN_STATE_END)
		return;
	self->state = OUTSPAN_STATE_END;
	self->leave(self, cause);
}

void outspan_operation_free(PyObject *object)
{
	leave((struct outspan_operation *)object, 0);
	PyObject_Free(object);
}

static PyObject *operation_leave(PyObject *object, PyObject *const *args, Py_ssize_t count)
{
	leave((struct outspan_operation *)object, (int32_t)outspan_read_integer(args, count, 0));
	Py_RETURN_NONE;
}

static PyObject *operation_silence(PyObject *object, PyObject *Py_UNUSED(args))
{
	outspan_silence(((struct outspan_operation *)object)->head);
	Py_RETURN_NONE;
}

static PyObject *operation_ended(PyObject *object, void *Py_UNUSED(closure))
{
	return PyBool_FromLong(((struct outspan_operation *)object)->state == OUTSPAN_STATE_END);
}

static PyObject *operation_wanted(PyObject *object, void *Py_UNUSED(closure))
{
	return PyBool_FromLong(((struct outspan_operation *)object)->is_wanted());
}

static PyMethodDef operation_methods[] = {
	{"leave", (PyCFunction)(void (*)(void))operation_leave, METH_FASTCALL,
	 "leave($self, cause=0, /)\n--\n\nEnds the operation where it is, if it has not ended; "
	 "cause: the errno value of why, 0 = unknown."},
	{"silence", operation_silence, METH_NOARGS,
	 "silence($self, /)\n--\n\nSays that the protocol's implementation has no room for trace "
	 "context in what this operation sends: none is recorded as sent."},
	{NULL, NULL, 0, NULL},
};

static PyGetSetDef operation_values[] = {
	{"ended", operation_ended, NULL, "Whether the operation has ended or was left.", NULL},
	{"wanted", operation_wanted, NULL,
	 "Whether a tracer wants any point of this kind of operation now.", NULL},
	{NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject outspan_operation_type = {
	PyVarObject_HEAD_INIT(NULL, 0).tp_name = "outspan_lonelypsp.points.Operation",
	.tp_basicsize = sizeof(struct outspan_operation),
	.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.tp_methods = operation_methods,
	.tp_getset = operation_values,
	.tp_doc = "One run of a protocol exchange on one side; its methods are its trace points.",
};

/* ---- the module ------------------------------------------------------------------------------ */

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "outspan_lonelypsp.points",
	.m_doc = "The trace points of lonelypsp: a class per operation, a method per point. Points "
		 "never raise, whatever they are given.",
	.m_size = -1,
};

static int add_type(PyObject *module, PyTypeObject *type)
{
	const char *name = strrchr(type->tp_name, '.') + 1;

	if (PyType_Ready(type) < 0)
		return -1;
	Py_INCREF(type);
	if (PyModule_AddObject(module, name, (PyObject *)type) < 0) {
		Py_DECREF(type);
		return -1;
	}
	return 0;
}

PyMODINIT_FUNC PyInit_points(void)
{
	PyObject *module = PyModule_Create(&definition);
	int r = module ? add_type(module, &outspan_operation_type) : -1;

	for (size_t i = 0; !r && outspan_operation_types[i]; i++)
		r = add_type(module, outspan_operation_types[i]);
	for (size_t i = 0; !r && outspan_constants[i].name; i++)
		r = PyModule_AddIntConstant(module, outspan_constants[i].name,
					    (long)outspan_constants[i].value);
	if (r)
		Py_CLEAR(module);
	return module;
}
