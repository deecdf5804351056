"""The elements of EBML and Matroska as the test tools know them, written from RFC 8794 and RFC 9559.

On purpose not the table of the parser: what one of the two gets wrong, the other must show. One element a
line, indented below its parent: name, ID, type, and the default of the RFC where that is neither 0 nor
empty. Types: m master, u unsigned, i signed, f float, s string, 8 UTF-8, d date, b binary.
"""

from __future__ import annotations

from dataclasses import dataclass

TABLE = """
EBML 1A45DFA3 m
  EBMLVersion 4286 u 1
  EBMLReadVersion 42F7 u 1
  EBMLMaxIDLength 42F2 u 4
  EBMLMaxSizeLength 42F3 u 8
  DocType 4282 s
  DocTypeVersion 4287 u 1
  DocTypeReadVersion 4285 u 1
  DocTypeExtension 4281 m
    DocTypeExtensionName 4283 s
    DocTypeExtensionVersion 4284 u
Segment 18538067 m
  SeekHead 114D9B74 m
    Seek 4DBB m
      SeekID 53AB b
      SeekPosition 53AC u
  Info 1549A966 m
    SegmentUUID 73A4 b
    SegmentFilename 7384 8
    PrevUUID 3CB923 b
    PrevFilename 3C83AB 8
    NextUUID 3EB923 b
    NextFilename 3E83BB 8
    SegmentFamily 4444 b
    ChapterTranslate 6924 m
      ChapterTranslateID 69A5 b
      ChapterTranslateCodec 69BF u
      ChapterTranslateEditionUID 69FC u
    TimestampScale 2AD7B1 u 1000000
    Duration 4489 f
    DateUTC 4461 d
    Title 7BA9 8
    MuxingApp 4D80 8
    WritingApp 5741 8
  Cluster 1F43B675 m
    Timestamp E7 u
    SilentTracks 5854 m
      SilentTrackNumber 58D7 u
    Position A7 u
    PrevSize AB u
    SimpleBlock A3 b
    BlockGroup A0 m
      Block A1 b
      BlockVirtual A2 b
      BlockAdditions 75A1 m
        BlockMore A6 m
          BlockAdditional A5 b
          BlockAddID EE u 1
      BlockDuration 9B u
      ReferencePriority FA u
      ReferenceBlock FB i
      ReferenceVirtual FD i
      CodecState A4 b
      DiscardPadding 75A2 i
      Slices 8E m
        TimeSlice E8 m
          LaceNumber CC u
          FrameNumber CD u
          BlockAdditionID CB u
          Delay CE u
          SliceDuration CF u
      ReferenceFrame C8 m
        ReferenceOffset C9 u
        ReferenceTimestamp CA u
    EncryptedBlock AF b
  Tracks 1654AE6B m
    TrackEntry AE m
      TrackNumber D7 u
      TrackUID 73C5 u
      TrackType 83 u
      FlagEnabled B9 u 1
      FlagDefault 88 u 1
      FlagForced 55AA u
      FlagHearingImpaired 55AB u
      FlagVisualImpaired 55AC u
      FlagTextDescriptions 55AD u
      FlagOriginal 55AE u
      FlagCommentary 55AF u
      FlagLacing 9C u 1
      MinCache 6DE7 u
      MaxCache 6DF8 u
      DefaultDuration 23E383 u
      DefaultDecodedFieldDuration 234E7A u
      TrackTimestampScale 23314F f 1.0
      TrackOffset 537F i
      MaxBlockAdditionID 55EE u
      BlockAdditionMapping 41E4 m
        BlockAddIDValue 41F0 u
        BlockAddIDName 41A4 s
        BlockAddIDType 41E7 u
        BlockAddIDExtraData 41ED b
      Name 536E 8
      Language 22B59C s eng
      LanguageBCP47 22B59D s
      CodecID 86 s
      CodecPrivate 63A2 b
      CodecName 258688 8
      AttachmentLink 7446 u
      CodecSettings 3A9697 8
      CodecInfoURL 3B4040 s
      CodecDownloadURL 26B240 s
      CodecDecodeAll AA u 1
      TrackOverlay 6FAB u
      CodecDelay 56AA u
      SeekPreRoll 56BB u
      TrackTranslate 6624 m
        TrackTranslateTrackID 66A5 b
        TrackTranslateCodec 66BF u
        TrackTranslateEditionUID 66FC u
      Video E0 m
        FlagInterlaced 9A u
        FieldOrder 9D u 2
        StereoMode 53B8 u
        AlphaMode 53C0 u
        OldStereoMode 53B9 u
        PixelWidth B0 u
        PixelHeight BA u
        PixelCropBottom 54AA u
        PixelCropTop 54BB u
        PixelCropLeft 54CC u
        PixelCropRight 54DD u
        DisplayWidth 54B0 u
        DisplayHeight 54BA u
        DisplayUnit 54B2 u
        AspectRatioType 54B3 u
        UncompressedFourCC 2EB524 b
        GammaValue 2FB523 f
        FrameRate 2383E3 f
        Colour 55B0 m
          MatrixCoefficients 55B1 u 2
          BitsPerChannel 55B2 u
          ChromaSubsamplingHorz 55B3 u
          ChromaSubsamplingVert 55B4 u
          CbSubsamplingHorz 55B5 u
          CbSubsamplingVert 55B6 u
          ChromaSitingHorz 55B7 u
          ChromaSitingVert 55B8 u
          Range 55B9 u
          TransferCharacteristics 55BA u 2
          Primaries 55BB u 2
          MaxCLL 55BC u
          MaxFALL 55BD u
          MasteringMetadata 55D0 m
            PrimaryRChromaticityX 55D1 f
            PrimaryRChromaticityY 55D2 f
            PrimaryGChromaticityX 55D3 f
            PrimaryGChromaticityY 55D4 f
            PrimaryBChromaticityX 55D5 f
            PrimaryBChromaticityY 55D6 f
            WhitePointChromaticityX 55D7 f
            WhitePointChromaticityY 55D8 f
            LuminanceMax 55D9 f
            LuminanceMin 55DA f
        Projection 7670 m
          ProjectionType 7671 u
          ProjectionPrivate 7672 b
          ProjectionPoseYaw 7673 f
          ProjectionPosePitch 7674 f
          ProjectionPoseRoll 7675 f
      Audio E1 m
        SamplingFrequency B5 f 8000.0
        OutputSamplingFrequency 78B5 f
        Channels 9F u 1
        ChannelPositions 7D7B b
        BitDepth 6264 u
        Emphasis 52F1 u
      TrackOperation E2 m
        TrackCombinePlanes E3 m
          TrackPlane E4 m
            TrackPlaneUID E5 u
            TrackPlaneType E6 u
        TrackJoinBlocks E9 m
          TrackJoinUID ED u
      TrickTrackUID C0 u
      TrickTrackSegmentUID C1 b
      TrickTrackFlag C6 u
      TrickMasterTrackUID C7 u
      TrickMasterTrackSegmentUID C4 b
      ContentEncodings 6D80 m
        ContentEncoding 6240 m
          ContentEncodingOrder 5031 u
          ContentEncodingScope 5032 u 1
          ContentEncodingType 5033 u
          ContentCompression 5034 m
            ContentCompAlgo 4254 u
            ContentCompSettings 4255 b
          ContentEncryption 5035 m
            ContentEncAlgo 47E1 u
            ContentEncKeyID 47E2 b
            ContentEncAESSettings 47E7 m
              AESSettingsCipherMode 47E8 u
            ContentSignature 47E3 b
            ContentSigKeyID 47E4 b
            ContentSigAlgo 47E5 u
            ContentSigHashAlgo 47E6 u
  Cues 1C53BB6B m
    CuePoint BB m
      CueTime B3 u
      CueTrackPositions B7 m
        CueTrack F7 u
        CueClusterPosition F1 u
        CueRelativePosition F0 u
        CueDuration B2 u
        CueBlockNumber 5378 u
        CueCodecState EA u
        CueReference DB m
          CueRefTime 96 u
          CueRefCluster 97 u
          CueRefNumber 535F u 1
          CueRefCodecState EB u
  Attachments 1941A469 m
    AttachedFile 61A7 m
      FileDescription 467E 8
      FileName 466E 8
      FileMediaType 4660 s
      FileData 465C b
      FileUID 46AE u
      FileReferral 4675 b
      FileUsedStartTime 4661 u
      FileUsedEndTime 4662 u
  Chapters 1043A770 m
    EditionEntry 45B9 m
      EditionUID 45BC u
      EditionFlagHidden 45BD u
      EditionFlagDefault 45DB u
      EditionFlagOrdered 45DD u
      EditionDisplay 4520 m
        EditionString 4521 8
        EditionLanguageIETF 45E4 s
      ChapterAtom B6 m
        ChapterUID 73C4 u
        ChapterStringUID 5654 8
        ChapterTimeStart 91 u
        ChapterTimeEnd 92 u
        ChapterFlagHidden 98 u
        ChapterFlagEnabled 4598 u 1
        ChapterSegmentUUID 6E67 b
        ChapterSkipType 4588 u
        ChapterSegmentEditionUID 6EBC u
        ChapterPhysicalEquiv 63C3 u
        ChapterTrack 8F m
          ChapterTrackUID 89 u
        ChapterDisplay 80 m
          ChapString 85 8
          ChapLanguage 437C s eng
          ChapLanguageBCP47 437D s
          ChapCountry 437E s
        ChapProcess 6944 m
          ChapProcessCodecID 6955 u
          ChapProcessPrivate 450D b
          ChapProcessCommand 6911 m
            ChapProcessTime 6922 u
            ChapProcessData 6933 b
  Tags 1254C367 m
    Tag 7373 m
      Targets 63C0 m
        TargetTypeValue 68CA u 50
        TargetType 63CA s
        TagTrackUID 63C5 u
        TagEditionUID 63C9 u
        TagChapterUID 63C4 u
        TagAttachmentUID 63C6 u
      SimpleTag 67C8 m
        TagName 45A3 8
        TagLanguage 447A s und
        TagLanguageBCP47 447B s
        TagDefault 4484 u 1
        TagDefaultBogus 44B4 u 1
        TagString 4487 8
        TagBinary 4485 b
"""


@dataclass(frozen=True, slots=True)
class Element:
    """One row. ``parent``: "" at root level, "*" for those that may stand anywhere."""

    name: str
    id: bytes
    type: str
    parent: str
    default: str | None = None


def _read(table: str) -> dict[str, Element]:
    rows = [Element("Void", b"\xec", "b", "*"), Element("CRC-32", b"\xbf", "b", "*")]
    above: list[str] = [""]
    for line in table.strip().splitlines():
        level = (len(line) - len(line.lstrip())) // 2
        name, digits, kind, *default = line.split()
        del above[level + 1 :]
        rows.append(Element(name, bytes.fromhex(digits), kind, above[level], default[0] if default else None))
        above.append(name)
    return {row.name: row for row in rows}


BY_NAME = _read(TABLE)
BY_ID = {row.id: row for row in BY_NAME.values()}
assert len(BY_ID) == len(BY_NAME), "two elements share an ID"

#: Elements that may stand in themselves.
RECURSIVE = {"SimpleTag", "ChapterAtom"}


def may_contain(parent: str, child: Element) -> bool:
    """Whether ``child`` may stand directly in ``parent`` ("" is the root level)."""
    return child.parent in (parent, "*") or (child.name == parent and child.name in RECURSIVE)
