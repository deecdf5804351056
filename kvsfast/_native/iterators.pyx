"""The compiled iterators that users loop over. Python is called once a receive, never once an event."""

cimport cython

from kvsfast._native.fragments cimport Fragment
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


cdef class MediaIterator:
    """The loop that all share. ``fill()`` receives more and returns False at the end of the media."""

    cdef FragmentParser parser
    cdef object fill
    cdef bint gives_all         # each row of the parser is an item

    def __init__(self, FragmentParser parser not None, fill):
        self.parser = parser
        self.fill = fill

    def __iter__(self):
        return self

    def __next__(self):
        cdef int status
        if self.gives_all and self.parser.has_rows():
            return self.parser.take_frame()
        while True:
            item = self.next_item()
            if item is not None:
                return item
            status = self.parser.advance()
            if status == DONE:
                raise StopIteration
            if status == WAIT:
                fill_more(self.parser, self.fill)

    cdef object next_item(self):
        """Of what the parser has ready, what this iterator gives; None if there is nothing more. Raises what is an
        error here."""
        raise NotImplementedError


@cython.final
cdef class EventIterator(MediaIterator):
    """Every event of the media."""

    def __cinit__(self):
        self.gives_all = True

    cdef object next_item(self):
        return self.parser.take()


@cython.final
cdef class FrameIterator(MediaIterator):
    """Every frame of the media. An `InStreamError` is raised when its turn comes."""

    def __cinit__(self):
        self.gives_all = True

    cdef object next_item(self):
        cdef FragmentParser parser = self.parser
        if parser.has_rows():
            return parser.take_frame()
        while parser.queue:
            event = parser.queue.pop(0)
            if isinstance(event, InStreamError):
                raise event
        return None


@cython.final
cdef class FragmentIterator(MediaIterator):
    """Every fragment of the media, whole. An `InStreamError` is raised when its turn comes."""

    def __init__(self, FragmentParser parser not None, fill):
        if not parser.keep_fragments:
            raise UsageError("fragments need a parser with keep_fragments=True")
        MediaIterator.__init__(self, parser, fill)

    cdef object next_item(self):
        cdef list queue = self.parser.queue
        while queue:
            event = queue.pop(0)
            if isinstance(event, Fragment):
                return event
            if isinstance(event, InStreamError):
                raise event
        return None


@cython.final
cdef class SelectedIterator(MediaIterator):
    """Frames of the media, or all events, without the frames that nobody wants."""

    cdef Selection selection
    cdef bint gives_events

    def __init__(self, FragmentParser parser not None, fill, Selection selection not None, bint events):
        MediaIterator.__init__(self, parser, fill)
        self.selection = selection
        self.gives_events = events

    cdef object next_item(self):
        cdef FragmentParser parser = self.parser
        if parser.has_rows():
            self.selection.use_tracks(parser.start.tracks)
            while parser.has_rows():
                if self.selection.wants(parser.row):
                    return parser.take_frame()
                parser.row += 1
        while parser.queue:
            event = parser.queue.pop(0)
            if self.gives_events:
                return event
            if isinstance(event, InStreamError):
                raise event
        return None
