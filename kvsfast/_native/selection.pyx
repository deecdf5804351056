"""Which frames are wanted: decided on rows, before there is an object for any of them."""

cimport cython
from libc.string cimport memset

from kvsfast._native.fragments cimport Fragment
from kvsfast._native.frames cimport kvs_row

from kvsfast.errors import UsageError
from kvsfast.model import TrackType


@cython.final
cdef class Selection:
    """Frames of some tracks: of these numbers (int), names (str) or types (`TrackType`); of all if none is given.
    ``key_frames_only`` may be changed at any time."""

    def __init__(self, tracks=(), bint key_frames_only=False):
        if isinstance(tracks, (int, str)):
            raise UsageError(f"tracks is {tracks!r}, expected several, as in [{tracks!r}]")
        self.tracks = tuple(tracks)
        for each in self.tracks:
            if isinstance(each, bool) or not isinstance(each, (int, str)):
                raise UsageError(f"tracks has {each!r}, expected a track's number, name or TrackType")
        self.key_frames_only = key_frames_only
        self.high = set()

    def __bool__(self):
        return bool(self.tracks) or self.key_frames_only

    cdef int use_tracks(self, object tracks) except -1:
        """The tracks of the fragment that the next rows belong to."""
        if tracks is self.known or not self.tracks:
            return 0
        self.known = tracks
        self.high = {each for each in self.tracks if not isinstance(each, (str, TrackType))}
        for track in tracks:
            if track.name in self.tracks or any(
                isinstance(each, TrackType) and each == track.type for each in self.tracks
            ):
                self.high.add(track.number)
        memset(self.low, 0, sizeof(self.low))
        for number in self.high:
            if 0 <= number < 128:
                self.low[<int>number] = True
        return 0

    cdef int reduce(self, Fragment fragment) except -1:
        """Leave the fragment only the rows that are wanted. Its bytes stay as they are."""
        cdef size_t i, kept = 0
        self.use_tracks(fragment.start.tracks)
        for i in range(fragment.row_count):
            if self.wants(&fragment.rows[i]):
                if kept != i:
                    fragment.rows[kept] = fragment.rows[i]
                kept += 1
        fragment.row_count = kept
        return 0
