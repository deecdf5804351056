"""Many streams in one loop: what a wake-up brings, and what comes of it, with no Python in between.

A loop over many streams wakes up for little: a paced stream brings a few frames at a time. So what is done for each
receive, and for each item, is what it costs. An `Intake` is the short way of one response, from its socket into a
`Delivery`; a `MergedIterator` lets those whose turn it is go their short way, one after the other. Whatever is out of
the ordinary goes the long way, through `kvsfast.stream` and `kvsfast.consume`, which decide in plain Python.
"""

import os

cimport cython

from kvsfast._native.chunked cimport BodyDecoder, ReceiveBuffer
from kvsfast._native.delivery cimport _DATA, _ITEM, Delivery

from time import monotonic

from kvsfast.errors import KvsFastError, TransportError, UsageError

# As Delivery.step, and:
WAIT = _WAIT        # nothing more is there: go on when the descriptor is readable
TURN = _TURN        # it is the turn of others

cdef enum:
    _WAIT = 100
    _TURN


cdef unsigned long forks = 0    # of this process' ancestors, since this module was loaded


def _count_fork():
    global forks
    forks += 1


os.register_at_fork(after_in_child=_count_fork)


@cython.final
cdef class Turnstile:
    """Lets one thread in at a time, which the interpreter's lock makes sure of; ``is_shut`` is its owner's to set."""

    cdef readonly bint is_taken
    cdef public bint is_shut
    cdef unsigned long born

    def __init__(self):
        self.born = forks

    cpdef bint enter(self):
        """False: somebody is inside."""
        if self.is_taken:
            return False
        self.is_taken = True
        return True

    cpdef int leave(self) except -1:
        """Let the next one in."""
        self.is_taken = False
        return 0

    cdef bint is_open(self) noexcept:
        """Not shut, and the same process."""
        return not self.is_shut and self.born == forks


@cython.final
cdef class Intake:
    """From a response's socket, which is never waited for, into ``delivery``.

    ``turnstile``: of whoever reads. ``body``: where its bytes come from, an `HttpBody`; it is told what ends them.
    ``receives``: in a row, before others get their turn. ``idle_timeout``, ``deadline``: how long it may wait, in seconds,
    and up to when, by `time.monotonic`. ``wait_begins()`` is called where nothing more is there, ``wait_ends()`` where
    media came.
    """

    cdef readonly Delivery delivery
    cdef BodyDecoder decoder
    cdef Turnstile turnstile
    cdef object body, recv_into, pending, wait_begins, wait_ends
    cdef int receives, left
    cdef bint is_drained, is_broken
    cdef double idle_timeout, deadline

    def __init__(
        self, Delivery delivery not None, BodyDecoder decoder not None, Turnstile turnstile not None, body,
        recv_into, pending, *, int receives, double idle_timeout, double deadline, wait_begins, wait_ends,
    ):
        self.delivery = delivery
        self.decoder = decoder
        self.turnstile = turnstile
        self.body = body
        self.recv_into = recv_into
        self.pending = pending
        self.receives = self.left = receives
        self.idle_timeout = idle_timeout
        self.deadline = deadline
        self.wait_begins = wait_begins
        self.wait_ends = wait_ends

    cpdef int step(self) except -1:
        """As ``Delivery.step``, but bytes that are there are received, too: ITEM, LOOK, OVER, WAIT or TURN; DATA where the
        long way is to be gone for them."""
        cdef int status
        while True:
            status = self.delivery.step()
            if status != _DATA:
                return status
            if self.is_drained:
                self.is_drained = False
                self.left = self.receives
                self.decoder.buffer.release()
                self.wait_begins()
                return _WAIT
            if self.left == 0:
                self.left = self.receives
                return _TURN
            self.left -= 1
            if not self.receive():
                return _DATA

    def take(self):
        """The item that ``step`` found."""
        return self.delivery.take()

    cdef bint receive(self) except -1:
        """One receive. False: what it would tell is the long way's to find out."""
        cdef bint is_well
        if self.is_broken or self.decoder.is_complete or not self.turnstile.is_open() or not self.turnstile.enter():
            return False
        try:
            is_well = self.receive_there()
        finally:
            self.turnstile.leave()
        return is_well and self.turnstile.is_open()

    cdef bint receive_there(self) except -1:
        cdef BodyDecoder decoder = self.decoder
        cdef ReceiveBuffer buffer = decoder.buffer
        cdef Py_ssize_t room, received
        cdef size_t end
        try:
            room = len(buffer)
            received = self.recv_into(buffer)
            if received <= 0:
                return False
            end = buffer.end
            decoder.commit(received)    # before anything in Python, which may be interrupted
            if decoder.is_complete:
                self.body.close()
            else:
                self.is_drained = received < room and not self.pending()
            if buffer.end > end:
                self.wait_ends()
        except BlockingIOError:
            self.is_drained = True
        except TransportError as error:
            self.is_broken = True
            self.body.broke(error)
        except OSError as error:
            self.is_broken = True
            self.body.failed(error)
            return False
        return True


cdef class Seat:
    """One of many streams: what is known of it without Python.

    ``data`` is its owner's. ``intake``: its short way, None where it has to go the long one. ``armed``: the intake for
    which its socket is registered and a timer is set, if any; then it may wait (``waits``, ``patient_until``) by itself.
    """

    cdef public object data
    cdef public Intake intake, armed
    cdef public bint is_ready, waits
    cdef public double patient_until


@cython.final
cdef class MergedIterator:
    """A loop over many streams: (data, item), of whoever is in ``row``, a deque, in its turn.

    ``go_on(seat, told)`` is called where the short way ends, by a status or by an error, ``told``; where there is none
    (``told`` is None); and where a round is over (``seat`` is None). It returns an item with its owner's data, or None to
    look again, or raises StopIteration. A round is ``left`` seats of the row; ``seat`` is the one whose turn it is.
    ``turnstile``: of whoever iterates; once it is shut, ``clean_up()`` is called by the last one who leaves.
    """

    cdef object row, go_on, clean_up
    cdef Turnstile turnstile
    cdef public Seat seat
    cdef public Py_ssize_t left

    def __init__(self, row, Turnstile turnstile not None, *, go_on, clean_up):
        self.row = row
        self.turnstile = turnstile
        self.go_on = go_on
        self.clean_up = clean_up

    def __iter__(self):
        return self

    def __next__(self):
        if not self.turnstile.enter():
            raise UsageError("the group is being read by another thread; it serves one at a time")
        try:
            while not self.turnstile.is_shut:
                item = self.next_item()
                if item is not None:
                    return item
            raise StopIteration
        finally:
            if self.turnstile.is_shut:
                self.clean_up()
            self.turnstile.leave()

    cdef object next_item(self):
        cdef Seat seat = self.seat
        cdef Intake intake
        cdef int status
        if seat is None:
            if self.left == 0 or not self.row:
                return self.go_on(None, None)
            self.left -= 1
            seat = self.seat = self.row.popleft()
            seat.is_ready = False
        intake = seat.intake
        if intake is None:
            return self.go_on(seat, None)
        try:
            item = intake.delivery.next_row()
            if item is not None:
                return seat.data, item
            status = intake.step()
        except KvsFastError as error:
            return self.go_on(seat, error)
        if status == _ITEM:
            return seat.data, intake.delivery.take()
        if status == _WAIT and self.may_wait(seat, intake):
            self.seat = None
        elif status == _TURN:
            self.seat = None
            seat.is_ready = True
            self.row.append(seat)
        else:
            return self.go_on(seat, status)
        return None

    cdef bint may_wait(self, Seat seat, Intake intake) except -1:
        cdef double now
        if seat.armed is not intake or seat.intake is not intake:
            return False
        now = monotonic()
        seat.patient_until = min(now + intake.idle_timeout, intake.deadline)
        seat.waits = seat.patient_until > now
        return seat.waits
