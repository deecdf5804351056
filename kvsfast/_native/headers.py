"""From the elements of Info and Tracks to the nouns of kvsfast.model.

Not hot: the parser compares the bytes of these sections with the last ones and comes here only when they
changed. A section arrives as a dict of element name -> value; of a master, a list of such dicts. Of an
element that may occur once, the first counts (RFC 8794, section 11.1.6).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from kvsfast.model import (
    AudioTrack,
    Colour,
    ContentEncoding,
    MasteringMetadata,
    Projection,
    SegmentInfo,
    Track,
    Tracks,
    VideoTrack,
)

Node = dict[str, Any]

_DATE_ORIGIN = datetime(2001, 1, 1, tzinfo=UTC)

_TRACK = {
    "TrackUID": "uid",
    "TrackType": "type",
    "CodecID": "codec_id",
    "Name": "name",
    "CodecName": "codec_name",
    "CodecPrivate": "codec_private",
    "DefaultDuration": "default_duration_ns",
    "DefaultDecodedFieldDuration": "default_decoded_field_duration_ns",
    "CodecDelay": "codec_delay_ns",
    "SeekPreRoll": "seek_pre_roll_ns",
    "TrackTimestampScale": "timestamp_scale",
    "MaxBlockAdditionID": "max_block_addition_id",
}
_FLAGS = {
    "FlagEnabled": "flag_enabled",
    "FlagDefault": "flag_default",
    "FlagForced": "flag_forced",
    "FlagHearingImpaired": "flag_hearing_impaired",
    "FlagVisualImpaired": "flag_visual_impaired",
    "FlagTextDescriptions": "flag_text_descriptions",
    "FlagOriginal": "flag_original",
    "FlagCommentary": "flag_commentary",
    "FlagLacing": "flag_lacing",
}
_VIDEO = {
    "PixelWidth": "pixel_width",
    "PixelHeight": "pixel_height",
    "PixelCropTop": "pixel_crop_top",
    "PixelCropBottom": "pixel_crop_bottom",
    "PixelCropLeft": "pixel_crop_left",
    "PixelCropRight": "pixel_crop_right",
    "DisplayWidth": "display_width",
    "DisplayHeight": "display_height",
    "DisplayUnit": "display_unit",
    "AspectRatioType": "aspect_ratio_type",
    "FlagInterlaced": "flag_interlaced",
    "FieldOrder": "field_order",
    "StereoMode": "stereo_mode",
    "AlphaMode": "alpha_mode",
    "UncompressedFourCC": "uncompressed_fourcc",
    "FrameRate": "frame_rate",
}
_COLOUR = {
    "MatrixCoefficients": "matrix_coefficients",
    "BitsPerChannel": "bits_per_channel",
    "ChromaSubsamplingHorz": "chroma_subsampling_horz",
    "ChromaSubsamplingVert": "chroma_subsampling_vert",
    "CbSubsamplingHorz": "cb_subsampling_horz",
    "CbSubsamplingVert": "cb_subsampling_vert",
    "ChromaSitingHorz": "chroma_siting_horz",
    "ChromaSitingVert": "chroma_siting_vert",
    "Range": "range",
    "TransferCharacteristics": "transfer_characteristics",
    "Primaries": "primaries",
    "MaxCLL": "max_cll",
    "MaxFALL": "max_fall",
}
_MASTERING = {
    "PrimaryRChromaticityX": "primary_r_chromaticity_x",
    "PrimaryRChromaticityY": "primary_r_chromaticity_y",
    "PrimaryGChromaticityX": "primary_g_chromaticity_x",
    "PrimaryGChromaticityY": "primary_g_chromaticity_y",
    "PrimaryBChromaticityX": "primary_b_chromaticity_x",
    "PrimaryBChromaticityY": "primary_b_chromaticity_y",
    "WhitePointChromaticityX": "white_point_chromaticity_x",
    "WhitePointChromaticityY": "white_point_chromaticity_y",
    "LuminanceMax": "luminance_max",
    "LuminanceMin": "luminance_min",
}
_PROJECTION = {
    "ProjectionType": "type",
    "ProjectionPrivate": "private",
    "ProjectionPoseYaw": "pose_yaw",
    "ProjectionPosePitch": "pose_pitch",
    "ProjectionPoseRoll": "pose_roll",
}
_AUDIO = {
    "SamplingFrequency": "sampling_frequency",
    "OutputSamplingFrequency": "output_sampling_frequency",
    "Channels": "channels",
    "BitDepth": "bit_depth",
    "Emphasis": "emphasis",
}


def _fields(node: Node, names: dict[str, str]) -> dict[str, Any]:
    return {field: node[name] for name, field in names.items() if name in node}


def _first(node: Node, name: str) -> Node | None:
    masters = node.get(name)
    return masters[0] if masters else None


def make_tracks(node: Node) -> Tracks:
    """From the Tracks section. ValueError says which rule of RFC 9559 a TrackEntry breaks."""
    return Tracks(_track(entry) for entry in node.get("TrackEntry", ()))


def _track(node: Node) -> Track:
    number = node.get("TrackNumber")
    if not number:
        raise ValueError("a TrackEntry has no TrackNumber" if number is None else "TrackNumber is 0")
    fields = _fields(node, _TRACK)
    fields.update((field, bool(node[name])) for name, field in _FLAGS.items() if name in node)
    fields["language"] = node.get("LanguageBCP47") or node.get("Language", "eng")
    scale = fields.get("timestamp_scale", 1.0)
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"TrackTimestampScale of track {number} is {scale}")
    if fields.get("codec_delay_ns", 0) >= 2**60:
        raise ValueError(f"CodecDelay of track {number} is {fields['codec_delay_ns']} ns")
    encodings = _encodings(_first(node, "ContentEncodings") or {})
    if fields.get("codec_private") is not None:
        fields["codec_private"] = _decoded_private(fields["codec_private"], encodings)
    video, audio = _first(node, "Video"), _first(node, "Audio")
    return Track(
        number=number,
        video=None if video is None else _video(video),
        audio=None if audio is None else AudioTrack(**_fields(audio, _AUDIO)),
        content_encodings=encodings,
        **fields,
    )


def _video(node: Node) -> VideoTrack:
    colour, projection = _first(node, "Colour"), _first(node, "Projection")
    return VideoTrack(
        colour=None if colour is None else _colour(colour),
        projection=None if projection is None else Projection(**_fields(projection, _PROJECTION)),
        **_fields(node, _VIDEO),
    )


def _colour(node: Node) -> Colour:
    mastering = _first(node, "MasteringMetadata")
    return Colour(
        mastering_metadata=None if mastering is None else MasteringMetadata(**_fields(mastering, _MASTERING)),
        **_fields(node, _COLOUR),
    )


def _encodings(node: Node) -> tuple[ContentEncoding, ...]:
    steps = []
    for encoding in node.get("ContentEncoding", ()):
        compression = _first(encoding, "ContentCompression") or {}
        encryption = _first(encoding, "ContentEncryption") or {}
        aes = _first(encryption, "ContentEncAESSettings") or {}
        steps.append(
            ContentEncoding(
                order=encoding.get("ContentEncodingOrder", 0),
                scope=encoding.get("ContentEncodingScope", 1),
                type=encoding.get("ContentEncodingType", 0),
                comp_algo=compression.get("ContentCompAlgo", 0),
                comp_settings=compression.get("ContentCompSettings", b""),
                enc_algo=encryption.get("ContentEncAlgo", 0),
                enc_key_id=encryption.get("ContentEncKeyID"),
                aes_cipher_mode=aes.get("AESSettingsCipherMode"),
            )
        )
    return tuple(steps)


def steps_to_undo(encodings: tuple[ContentEncoding, ...], scope: int) -> list[ContentEncoding]:
    """Those of a scope (1 frames, 2 CodecPrivate), from the highest ContentEncodingOrder down."""
    return sorted((step for step in encodings if step.scope & scope), key=lambda step: -step.order)


def _decoded_private(data: bytes, encodings: tuple[ContentEncoding, ...]) -> bytes:
    steps = steps_to_undo(encodings, 2)
    if not all(step.supported for step in steps):
        return data
    for step in steps:
        data = undo(step.comp_algo, step.comp_settings, data, 16 * 1024 * 1024)
    return data


def undo(algo: int, settings: bytes, data: bytes, limit: int) -> bytes:
    """Undo one compression step (RFC 9559, section 5.1.4.1.31.6): 0 zlib, 3 header stripping.

    ValueError if the data is no whole zlib stream; OverflowError(size so far) beyond ``limit`` bytes.
    """
    if algo == 3:
        data = settings + data
    else:
        import zlib

        inflater = zlib.decompressobj()
        try:
            data = inflater.decompress(data, limit + 1)
        except zlib.error as error:
            raise ValueError(f"zlib: {error}") from None
        if not inflater.eof and len(data) <= limit:
            raise ValueError("zlib: the data is cut")
    if len(data) > limit:
        raise OverflowError(len(data))
    return data


def make_info(node: Node, doc_type: str) -> SegmentInfo:
    """From the Info section. ValueError says which rule of RFC 9559 it breaks."""
    scale = node.get("TimestampScale", 1_000_000)
    if not 0 < scale < 2**45:
        raise ValueError(f"TimestampScale is {scale} ns")
    duration = node.get("Duration")
    known = duration is not None and math.isfinite(duration) and 0 <= duration * scale < 2**63
    return SegmentInfo(
        doc_type=doc_type,
        timestamp_scale_ns=scale,
        title=node.get("Title", ""),
        muxing_app=node.get("MuxingApp", ""),
        writing_app=node.get("WritingApp", ""),
        segment_uuid=node.get("SegmentUUID"),
        date_utc=None if node.get("DateUTC") is None else _date(node["DateUTC"]),
        duration_ns=round(duration * scale) if known else None,
    )


def _date(ns: int) -> datetime | None:
    try:
        return _DATE_ORIGIN + timedelta(microseconds=ns // 1000)
    except OverflowError:
        return None
