"""The clip that the project ships: a generated test picture with a tone, for the demo and for first steps.

Eight seconds of H.264 (640x360, 25 pictures a second) and AAC (48 kHz mono) in eight Clusters of a second,
each of which has one key frame of the picture. :mod:`kvsfast.emulator.clip.make` made it.
"""

from pathlib import Path

__all__ = ["CLIP"]

#: Where it lies: a Matroska file of a few hundred kB.
CLIP = Path(__file__).with_name("clip.mkv")
