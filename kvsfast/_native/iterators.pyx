"""The compiled iterators that users loop over. Python is called once a receive, never once an event."""

cimport cython

from kvsfast._native.frames cimport Fragment
from kvsfast._native.parser cimport DONE, WAIT, FragmentParser
from kvsfast._native.selection cimport Selection

from kvsfast.errors import InStreamError, StreamClosed, TransportTimeout, UsageError


cdef bint fill_more(FragmentParser parser, object fill) except -1:
    """One receive. Errors that end the media are kept back until what came before them was given."""
    if parser.filling:
        raise UsageError("the stream is being read by another thread; one reader at a time")
    parser.filling = True
    try:
        if not fill():
            parser.eof = True
    except (TransportTimeout, BlockingIOError, StreamClosed, UsageError):
        raise                       # nothing was lost, and reading may go on; or nobody wants the rest
    except Exception as error:      # of the wire, or of the user's own source
        parser.fail(error)
    finally:
        parser.filling = False
    return True


@cython.final
cdef class EventIterator:
    """Every event of the media; ``fill()`` receives more and returns False at its end."""

    cdef FragmentParser parser
    cdef object fill

    def __init__(self, FragmentParser parser not None, fill):
        self.parser = parser
        self.fill = fill

    def __iter__(self):
        return self

    def __next__(self):
        cdef int status
        while True:
            event = self.parser.take()
            if event is not None:
                return event
            status = self.parser.advance()
            if status == DONE:
                raise StopIteration
            if status == WAIT:
                fill_more(self.parser, self.fill)


@cython.final
cdef class FrameIterator:
    """Every frame of the media. An `InStreamError` is raised when its turn comes."""

    cdef FragmentParser parser
    cdef object fill

    def __init__(self, FragmentParser parser not None, fill):
        self.parser = parser
        self.fill = fill

    def __iter__(self):
        return self

    def __next__(self):
        cdef FragmentParser parser = self.parser
        cdef int status
        while True:
            if parser.has_rows():
                return parser.take_frame()
            while parser.queue:
                event = parser.queue.pop(0)
                if isinstance(event, InStreamError):
                    raise event
            status = parser.advance()
            if status == DONE:
                raise StopIteration
            if status == WAIT:
                fill_more(parser, self.fill)


@cython.final
cdef class FragmentIterator:
    """Every fragment of the media, whole. An `InStreamError` is raised when its turn comes."""

    cdef FragmentParser parser
    cdef object fill

    def __init__(self, FragmentParser parser not None, fill):
        if not parser.keep_fragments:
            raise UsageError("fragments need a parser with keep_fragments=True")
        self.parser = parser
        self.fill = fill

    def __iter__(self):
        return self

    def __next__(self):
        cdef FragmentParser parser = self.parser
        cdef int status
        while True:
            while parser.queue:
                event = parser.queue.pop(0)
                if isinstance(event, Fragment):
                    return event
                if isinstance(event, InStreamError):
                    raise event
            status = parser.advance()
            if status == DONE:
                raise StopIteration
            if status == WAIT:
                fill_more(parser, self.fill)


@cython.final
cdef class SelectedIterator:
    """Frames of the media, or all events, without the frames that nobody wants."""

    cdef FragmentParser parser
    cdef object fill
    cdef Selection selection
    cdef bint gives_events

    def __init__(self, FragmentParser parser not None, fill, Selection selection not None, bint events):
        self.parser = parser
        self.fill = fill
        self.selection = selection
        self.gives_events = events

    def __iter__(self):
        return self

    def __next__(self):
        cdef FragmentParser parser = self.parser
        cdef int status
        while True:
            if parser.has_rows():
                self.selection.use_tracks(parser.start.tracks)
                while parser.has_rows():
                    if self.selection.wants(&parser.blocks.rows[parser.next_row]):
                        return parser.take_frame()
                    parser.next_row += 1
            while parser.queue:
                event = parser.queue.pop(0)
                if self.gives_events:
                    return event
                if isinstance(event, InStreamError):
                    raise event
            status = parser.advance()
            if status == DONE:
                raise StopIteration
            if status == WAIT:
                fill_more(parser, self.fill)
