from typing_extensions import disjoint_base

from kvsfast._native.chunked import ReceiveBuffer

@disjoint_base
class Assembly:
    @property
    def buffer(self) -> ReceiveBuffer: ...
    @property
    def keep_fragments(self) -> bool: ...
