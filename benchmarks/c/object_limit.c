/* The floor of handing out: what CPython costs for an object a frame, where nothing is parsed.
 *
 * An extension module with one function: `frames(count)` is an iterator that gives so many objects over rows that are
 * ready, each with a copy of its row and one integer attribute, `time`, that is read as all numbers of C are: by a
 * getter. An object that nobody holds any more is used for the next row but one, the least that a binding can do.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

enum { ROWS = 512 }; /* ready ones, gone over again and again, so that they are in cache */

typedef struct {
    int64_t time;
    uint64_t offset;
    uint32_t length, track, flags, extra;
} row;

static row rows[ROWS];

typedef struct {
    PyObject_HEAD
    row row;
} frame;

typedef struct {
    PyObject_HEAD
    Py_ssize_t at, count;
    frame *recent[2]; /* owned */
} frames;

static PyObject *frame_time(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLongLong(((frame *)self)->row.time);
}

static PyGetSetDef frame_getset[] = {{"time", frame_time, NULL, "ns", NULL}, {NULL, NULL, NULL, NULL, NULL}};

static PyTypeObject frame_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "object_limit.Frame",
    .tp_basicsize = sizeof(frame),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_getset = frame_getset,
};

static PyObject *frames_next(PyObject *self)
{
    frames *all = (frames *)self;
    if (all->at == all->count)
        return NULL;
    frame **place = &all->recent[all->at & 1];
    if (!*place || Py_REFCNT(*place) > 1) {
        frame *made = PyObject_New(frame, &frame_type);
        if (!made)
            return NULL;
        Py_XDECREF(*place);
        *place = made;
    }
    (*place)->row = rows[all->at++ % ROWS];
    Py_INCREF(*place);
    return (PyObject *)*place;
}

static void frames_dealloc(PyObject *self)
{
    Py_XDECREF(((frames *)self)->recent[0]);
    Py_XDECREF(((frames *)self)->recent[1]);
    PyObject_Free(self);
}

static PyTypeObject frames_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "object_limit.Frames",
    .tp_basicsize = sizeof(frames),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = frames_next,
    .tp_dealloc = frames_dealloc,
};

static PyObject *make_frames(PyObject *module, PyObject *count)
{
    (void)module;
    frames *all = PyObject_New(frames, &frames_type);
    if (!all)
        return NULL;
    all->at = 0;
    all->recent[0] = all->recent[1] = NULL;
    all->count = PyLong_AsSsize_t(count);
    if (all->count == -1 && PyErr_Occurred()) {
        Py_DECREF(all);
        return NULL;
    }
    return (PyObject *)all;
}

static PyMethodDef functions[] = {
    {"frames", make_frames, METH_O, "An iterator over so many objects."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "object_limit", .m_size = -1,
                                    .m_methods = functions};

PyMODINIT_FUNC PyInit_object_limit(void)
{
    for (int i = 0; i < ROWS; i++)
        rows[i].time = INT64_C(1000000000000) + i; /* as large as media times in ns are */
    if (PyType_Ready(&frame_type) || PyType_Ready(&frames_type))
        return NULL;
    return PyModule_Create(&module);
}
