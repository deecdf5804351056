from typing import final

@final
class TrackState: ...

@final
class BlockReader: ...
