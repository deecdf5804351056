/* The elements of EBML (RFC 8794) and Matroska (RFC 9559): the only place where an element ID is spelled.
 *
 * X(id, name, type, parent). Recursive elements (SimpleTag, ChapterAtom) are listed under their first parent.
 * Names are the RFCs', but for CRC-32, which is no C name.
 */
#ifndef KVSFAST_ELEMENTS_H
#define KVSFAST_ELEMENTS_H

#include <stddef.h>
#include <stdint.h>

#define KVS_ELEMENTS(X) \
    /* EBML header (RFC 8794, section 11.2) */                                \
    X(0x1A45DFA3, EBML, MASTER, ROOT)                                         \
    X(0x4286, EBMLVersion, UINT, EBML)                                        \
    X(0x42F7, EBMLReadVersion, UINT, EBML)                                    \
    X(0x42F2, EBMLMaxIDLength, UINT, EBML)                                    \
    X(0x42F3, EBMLMaxSizeLength, UINT, EBML)                                  \
    X(0x4282, DocType, STRING, EBML)                                          \
    X(0x4287, DocTypeVersion, UINT, EBML)                                     \
    X(0x4285, DocTypeReadVersion, UINT, EBML)                                 \
    X(0x4281, DocTypeExtension, MASTER, EBML)                                 \
    X(0x4283, DocTypeExtensionName, STRING, DocTypeExtension)                 \
    X(0x4284, DocTypeExtensionVersion, UINT, DocTypeExtension)                \
    /* Global elements: legal inside every master (RFC 8794, section 11.3) */ \
    X(0xEC, Void, BINARY, GLOBAL)                                             \
    X(0xBF, Crc32, BINARY, GLOBAL)                                            \
    /* Segment (RFC 9559, section 5.1) */                                     \
    X(0x18538067, Segment, MASTER, ROOT)                                      \
    X(0x114D9B74, SeekHead, MASTER, Segment)                                  \
    X(0x4DBB, Seek, MASTER, SeekHead)                                         \
    X(0x53AB, SeekID, BINARY, Seek)                                           \
    X(0x53AC, SeekPosition, UINT, Seek)                                       \
    X(0x1549A966, Info, MASTER, Segment)                                      \
    X(0x73A4, SegmentUUID, BINARY, Info)                                      \
    X(0x7384, SegmentFilename, UTF8, Info)                                    \
    X(0x3CB923, PrevUUID, BINARY, Info)                                       \
    X(0x3C83AB, PrevFilename, UTF8, Info)                                     \
    X(0x3EB923, NextUUID, BINARY, Info)                                       \
    X(0x3E83BB, NextFilename, UTF8, Info)                                     \
    X(0x4444, SegmentFamily, BINARY, Info)                                    \
    X(0x6924, ChapterTranslate, MASTER, Info)                                 \
    X(0x69A5, ChapterTranslateID, BINARY, ChapterTranslate)                   \
    X(0x69BF, ChapterTranslateCodec, UINT, ChapterTranslate)                  \
    X(0x69FC, ChapterTranslateEditionUID, UINT, ChapterTranslate)             \
    X(0x2AD7B1, TimestampScale, UINT, Info)                                   \
    X(0x4489, Duration, FLOAT, Info)                                          \
    X(0x4461, DateUTC, DATE, Info)                                            \
    X(0x7BA9, Title, UTF8, Info)                                              \
    X(0x4D80, MuxingApp, UTF8, Info)                                          \
    X(0x5741, WritingApp, UTF8, Info)                                         \
    X(0x1F43B675, Cluster, MASTER, Segment)                                   \
    X(0xE7, Timestamp, UINT, Cluster)                                         \
    X(0x5854, SilentTracks, MASTER, Cluster)                                  \
    X(0x58D7, SilentTrackNumber, UINT, SilentTracks)                          \
    X(0xA7, Position, UINT, Cluster)                                          \
    X(0xAB, PrevSize, UINT, Cluster)                                          \
    X(0xA3, SimpleBlock, BINARY, Cluster)                                     \
    X(0xA0, BlockGroup, MASTER, Cluster)                                      \
    X(0xA1, Block, BINARY, BlockGroup)                                        \
    X(0xA2, BlockVirtual, BINARY, BlockGroup)                                 \
    X(0x75A1, BlockAdditions, MASTER, BlockGroup)                             \
    X(0xA6, BlockMore, MASTER, BlockAdditions)                                \
    X(0xA5, BlockAdditional, BINARY, BlockMore)                               \
    X(0xEE, BlockAddID, UINT, BlockMore)                                      \
    X(0x9B, BlockDuration, UINT, BlockGroup)                                  \
    X(0xFA, ReferencePriority, UINT, BlockGroup)                              \
    X(0xFB, ReferenceBlock, INT, BlockGroup)                                  \
    X(0xFD, ReferenceVirtual, INT, BlockGroup)                                \
    X(0xA4, CodecState, BINARY, BlockGroup)                                   \
    X(0x75A2, DiscardPadding, INT, BlockGroup)                                \
    X(0x8E, Slices, MASTER, BlockGroup)                                       \
    X(0xE8, TimeSlice, MASTER, Slices)                                        \
    X(0xCC, LaceNumber, UINT, TimeSlice)                                      \
    X(0xCD, FrameNumber, UINT, TimeSlice)                                     \
    X(0xCB, BlockAdditionID, UINT, TimeSlice)                                 \
    X(0xCE, Delay, UINT, TimeSlice)                                           \
    X(0xCF, SliceDuration, UINT, TimeSlice)                                   \
    X(0xC8, ReferenceFrame, MASTER, BlockGroup)                               \
    X(0xC9, ReferenceOffset, UINT, ReferenceFrame)                            \
    X(0xCA, ReferenceTimestamp, UINT, ReferenceFrame)                         \
    X(0xAF, EncryptedBlock, BINARY, Cluster)                                  \
    X(0x1654AE6B, Tracks, MASTER, Segment)                                    \
    X(0xAE, TrackEntry, MASTER, Tracks)                                       \
    X(0xD7, TrackNumber, UINT, TrackEntry)                                    \
    X(0x73C5, TrackUID, UINT, TrackEntry)                                     \
    X(0x83, TrackType, UINT, TrackEntry)                                      \
    X(0xB9, FlagEnabled, UINT, TrackEntry)                                    \
    X(0x88, FlagDefault, UINT, TrackEntry)                                    \
    X(0x55AA, FlagForced, UINT, TrackEntry)                                   \
    X(0x55AB, FlagHearingImpaired, UINT, TrackEntry)                          \
    X(0x55AC, FlagVisualImpaired, UINT, TrackEntry)                           \
    X(0x55AD, FlagTextDescriptions, UINT, TrackEntry)                         \
    X(0x55AE, FlagOriginal, UINT, TrackEntry)                                 \
    X(0x55AF, FlagCommentary, UINT, TrackEntry)                               \
    X(0x9C, FlagLacing, UINT, TrackEntry)                                     \
    X(0x6DE7, MinCache, UINT, TrackEntry)                                     \
    X(0x6DF8, MaxCache, UINT, TrackEntry)                                     \
    X(0x23E383, DefaultDuration, UINT, TrackEntry)                            \
    X(0x234E7A, DefaultDecodedFieldDuration, UINT, TrackEntry)                \
    X(0x23314F, TrackTimestampScale, FLOAT, TrackEntry)                       \
    X(0x537F, TrackOffset, INT, TrackEntry)                                   \
    X(0x55EE, MaxBlockAdditionID, UINT, TrackEntry)                           \
    X(0x41E4, BlockAdditionMapping, MASTER, TrackEntry)                       \
    X(0x41F0, BlockAddIDValue, UINT, BlockAdditionMapping)                    \
    X(0x41A4, BlockAddIDName, STRING, BlockAdditionMapping)                   \
    X(0x41E7, BlockAddIDType, UINT, BlockAdditionMapping)                     \
    X(0x41ED, BlockAddIDExtraData, BINARY, BlockAdditionMapping)              \
    X(0x536E, Name, UTF8, TrackEntry)                                         \
    X(0x22B59C, Language, STRING, TrackEntry)                                 \
    X(0x22B59D, LanguageBCP47, STRING, TrackEntry)                            \
    X(0x86, CodecID, STRING, TrackEntry)                                      \
    X(0x63A2, CodecPrivate, BINARY, TrackEntry)                               \
    X(0x258688, CodecName, UTF8, TrackEntry)                                  \
    X(0x7446, AttachmentLink, UINT, TrackEntry)                               \
    X(0x3A9697, CodecSettings, UTF8, TrackEntry)                              \
    X(0x3B4040, CodecInfoURL, STRING, TrackEntry)                             \
    X(0x26B240, CodecDownloadURL, STRING, TrackEntry)                         \
    X(0xAA, CodecDecodeAll, UINT, TrackEntry)                                 \
    X(0x6FAB, TrackOverlay, UINT, TrackEntry)                                 \
    X(0x56AA, CodecDelay, UINT, TrackEntry)                                   \
    X(0x56BB, SeekPreRoll, UINT, TrackEntry)                                  \
    X(0x6624, TrackTranslate, MASTER, TrackEntry)                             \
    X(0x66A5, TrackTranslateTrackID, BINARY, TrackTranslate)                  \
    X(0x66BF, TrackTranslateCodec, UINT, TrackTranslate)                      \
    X(0x66FC, TrackTranslateEditionUID, UINT, TrackTranslate)                 \
    X(0xE0, Video, MASTER, TrackEntry)                                        \
    X(0x9A, FlagInterlaced, UINT, Video)                                      \
    X(0x9D, FieldOrder, UINT, Video)                                          \
    X(0x53B8, StereoMode, UINT, Video)                                        \
    X(0x53C0, AlphaMode, UINT, Video)                                         \
    X(0x53B9, OldStereoMode, UINT, Video)                                     \
    X(0xB0, PixelWidth, UINT, Video)                                          \
    X(0xBA, PixelHeight, UINT, Video)                                         \
    X(0x54AA, PixelCropBottom, UINT, Video)                                   \
    X(0x54BB, PixelCropTop, UINT, Video)                                      \
    X(0x54CC, PixelCropLeft, UINT, Video)                                     \
    X(0x54DD, PixelCropRight, UINT, Video)                                    \
    X(0x54B0, DisplayWidth, UINT, Video)                                      \
    X(0x54BA, DisplayHeight, UINT, Video)                                     \
    X(0x54B2, DisplayUnit, UINT, Video)                                       \
    X(0x54B3, AspectRatioType, UINT, Video)                                   \
    X(0x2EB524, UncompressedFourCC, BINARY, Video)                            \
    X(0x2FB523, GammaValue, FLOAT, Video)                                     \
    X(0x2383E3, FrameRate, FLOAT, Video)                                      \
    X(0x55B0, Colour, MASTER, Video)                                          \
    X(0x55B1, MatrixCoefficients, UINT, Colour)                               \
    X(0x55B2, BitsPerChannel, UINT, Colour)                                   \
    X(0x55B3, ChromaSubsamplingHorz, UINT, Colour)                            \
    X(0x55B4, ChromaSubsamplingVert, UINT, Colour)                            \
    X(0x55B5, CbSubsamplingHorz, UINT, Colour)                                \
    X(0x55B6, CbSubsamplingVert, UINT, Colour)                                \
    X(0x55B7, ChromaSitingHorz, UINT, Colour)                                 \
    X(0x55B8, ChromaSitingVert, UINT, Colour)                                 \
    X(0x55B9, Range, UINT, Colour)                                            \
    X(0x55BA, TransferCharacteristics, UINT, Colour)                          \
    X(0x55BB, Primaries, UINT, Colour)                                        \
    X(0x55BC, MaxCLL, UINT, Colour)                                           \
    X(0x55BD, MaxFALL, UINT, Colour)                                          \
    X(0x55D0, MasteringMetadata, MASTER, Colour)                              \
    X(0x55D1, PrimaryRChromaticityX, FLOAT, MasteringMetadata)                \
    X(0x55D2, PrimaryRChromaticityY, FLOAT, MasteringMetadata)                \
    X(0x55D3, PrimaryGChromaticityX, FLOAT, MasteringMetadata)                \
    X(0x55D4, PrimaryGChromaticityY, FLOAT, MasteringMetadata)                \
    X(0x55D5, PrimaryBChromaticityX, FLOAT, MasteringMetadata)                \
    X(0x55D6, PrimaryBChromaticityY, FLOAT, MasteringMetadata)                \
    X(0x55D7, WhitePointChromaticityX, FLOAT, MasteringMetadata)              \
    X(0x55D8, WhitePointChromaticityY, FLOAT, MasteringMetadata)              \
    X(0x55D9, LuminanceMax, FLOAT, MasteringMetadata)                         \
    X(0x55DA, LuminanceMin, FLOAT, MasteringMetadata)                         \
    X(0x7670, Projection, MASTER, Video)                                      \
    X(0x7671, ProjectionType, UINT, Projection)                               \
    X(0x7672, ProjectionPrivate, BINARY, Projection)                          \
    X(0x7673, ProjectionPoseYaw, FLOAT, Projection)                           \
    X(0x7674, ProjectionPosePitch, FLOAT, Projection)                         \
    X(0x7675, ProjectionPoseRoll, FLOAT, Projection)                          \
    X(0xE1, Audio, MASTER, TrackEntry)                                        \
    X(0xB5, SamplingFrequency, FLOAT, Audio)                                  \
    X(0x78B5, OutputSamplingFrequency, FLOAT, Audio)                          \
    X(0x9F, Channels, UINT, Audio)                                            \
    X(0x7D7B, ChannelPositions, BINARY, Audio)                                \
    X(0x6264, BitDepth, UINT, Audio)                                          \
    X(0x52F1, Emphasis, UINT, Audio)                                          \
    X(0xE2, TrackOperation, MASTER, TrackEntry)                               \
    X(0xE3, TrackCombinePlanes, MASTER, TrackOperation)                       \
    X(0xE4, TrackPlane, MASTER, TrackCombinePlanes)                           \
    X(0xE5, TrackPlaneUID, UINT, TrackPlane)                                  \
    X(0xE6, TrackPlaneType, UINT, TrackPlane)                                 \
    X(0xE9, TrackJoinBlocks, MASTER, TrackOperation)                          \
    X(0xED, TrackJoinUID, UINT, TrackJoinBlocks)                              \
    X(0xC0, TrickTrackUID, UINT, TrackEntry)                                  \
    X(0xC1, TrickTrackSegmentUID, BINARY, TrackEntry)                         \
    X(0xC6, TrickTrackFlag, UINT, TrackEntry)                                 \
    X(0xC7, TrickMasterTrackUID, UINT, TrackEntry)                            \
    X(0xC4, TrickMasterTrackSegmentUID, BINARY, TrackEntry)                   \
    X(0x6D80, ContentEncodings, MASTER, TrackEntry)                           \
    X(0x6240, ContentEncoding, MASTER, ContentEncodings)                      \
    X(0x5031, ContentEncodingOrder, UINT, ContentEncoding)                    \
    X(0x5032, ContentEncodingScope, UINT, ContentEncoding)                    \
    X(0x5033, ContentEncodingType, UINT, ContentEncoding)                     \
    X(0x5034, ContentCompression, MASTER, ContentEncoding)                    \
    X(0x4254, ContentCompAlgo, UINT, ContentCompression)                      \
    X(0x4255, ContentCompSettings, BINARY, ContentCompression)                \
    X(0x5035, ContentEncryption, MASTER, ContentEncoding)                     \
    X(0x47E1, ContentEncAlgo, UINT, ContentEncryption)                        \
    X(0x47E2, ContentEncKeyID, BINARY, ContentEncryption)                     \
    X(0x47E7, ContentEncAESSettings, MASTER, ContentEncryption)               \
    X(0x47E8, AESSettingsCipherMode, UINT, ContentEncAESSettings)             \
    X(0x47E3, ContentSignature, BINARY, ContentEncryption)                    \
    X(0x47E4, ContentSigKeyID, BINARY, ContentEncryption)                     \
    X(0x47E5, ContentSigAlgo, UINT, ContentEncryption)                        \
    X(0x47E6, ContentSigHashAlgo, UINT, ContentEncryption)                    \
    X(0x1C53BB6B, Cues, MASTER, Segment)                                      \
    X(0xBB, CuePoint, MASTER, Cues)                                           \
    X(0xB3, CueTime, UINT, CuePoint)                                          \
    X(0xB7, CueTrackPositions, MASTER, CuePoint)                              \
    X(0xF7, CueTrack, UINT, CueTrackPositions)                                \
    X(0xF1, CueClusterPosition, UINT, CueTrackPositions)                      \
    X(0xF0, CueRelativePosition, UINT, CueTrackPositions)                     \
    X(0xB2, CueDuration, UINT, CueTrackPositions)                             \
    X(0x5378, CueBlockNumber, UINT, CueTrackPositions)                        \
    X(0xEA, CueCodecState, UINT, CueTrackPositions)                           \
    X(0xDB, CueReference, MASTER, CueTrackPositions)                          \
    X(0x96, CueRefTime, UINT, CueReference)                                   \
    X(0x97, CueRefCluster, UINT, CueReference)                                \
    X(0x535F, CueRefNumber, UINT, CueReference)                               \
    X(0xEB, CueRefCodecState, UINT, CueReference)                             \
    X(0x1941A469, Attachments, MASTER, Segment)                               \
    X(0x61A7, AttachedFile, MASTER, Attachments)                              \
    X(0x467E, FileDescription, UTF8, AttachedFile)                            \
    X(0x466E, FileName, UTF8, AttachedFile)                                   \
    X(0x4660, FileMediaType, STRING, AttachedFile)                            \
    X(0x465C, FileData, BINARY, AttachedFile)                                 \
    X(0x46AE, FileUID, UINT, AttachedFile)                                    \
    X(0x4675, FileReferral, BINARY, AttachedFile)                             \
    X(0x4661, FileUsedStartTime, UINT, AttachedFile)                          \
    X(0x4662, FileUsedEndTime, UINT, AttachedFile)                            \
    X(0x1043A770, Chapters, MASTER, Segment)                                  \
    X(0x45B9, EditionEntry, MASTER, Chapters)                                 \
    X(0x45BC, EditionUID, UINT, EditionEntry)                                 \
    X(0x45BD, EditionFlagHidden, UINT, EditionEntry)                          \
    X(0x45DB, EditionFlagDefault, UINT, EditionEntry)                         \
    X(0x45DD, EditionFlagOrdered, UINT, EditionEntry)                         \
    X(0x4520, EditionDisplay, MASTER, EditionEntry)                           \
    X(0x4521, EditionString, UTF8, EditionDisplay)                            \
    X(0x45E4, EditionLanguageIETF, STRING, EditionDisplay)                    \
    X(0xB6, ChapterAtom, MASTER, EditionEntry)                                \
    X(0x73C4, ChapterUID, UINT, ChapterAtom)                                  \
    X(0x5654, ChapterStringUID, UTF8, ChapterAtom)                            \
    X(0x91, ChapterTimeStart, UINT, ChapterAtom)                              \
    X(0x92, ChapterTimeEnd, UINT, ChapterAtom)                                \
    X(0x98, ChapterFlagHidden, UINT, ChapterAtom)                             \
    X(0x4598, ChapterFlagEnabled, UINT, ChapterAtom)                          \
    X(0x6E67, ChapterSegmentUUID, BINARY, ChapterAtom)                        \
    X(0x4588, ChapterSkipType, UINT, ChapterAtom)                             \
    X(0x6EBC, ChapterSegmentEditionUID, UINT, ChapterAtom)                    \
    X(0x63C3, ChapterPhysicalEquiv, UINT, ChapterAtom)                        \
    X(0x8F, ChapterTrack, MASTER, ChapterAtom)                                \
    X(0x89, ChapterTrackUID, UINT, ChapterTrack)                              \
    X(0x80, ChapterDisplay, MASTER, ChapterAtom)                              \
    X(0x85, ChapString, UTF8, ChapterDisplay)                                 \
    X(0x437C, ChapLanguage, STRING, ChapterDisplay)                           \
    X(0x437D, ChapLanguageBCP47, STRING, ChapterDisplay)                      \
    X(0x437E, ChapCountry, STRING, ChapterDisplay)                            \
    X(0x6944, ChapProcess, MASTER, ChapterAtom)                               \
    X(0x6955, ChapProcessCodecID, UINT, ChapProcess)                          \
    X(0x450D, ChapProcessPrivate, BINARY, ChapProcess)                        \
    X(0x6911, ChapProcessCommand, MASTER, ChapProcess)                        \
    X(0x6922, ChapProcessTime, UINT, ChapProcessCommand)                      \
    X(0x6933, ChapProcessData, BINARY, ChapProcessCommand)                    \
    X(0x1254C367, Tags, MASTER, Segment)                                      \
    X(0x7373, Tag, MASTER, Tags)                                              \
    X(0x63C0, Targets, MASTER, Tag)                                           \
    X(0x68CA, TargetTypeValue, UINT, Targets)                                 \
    X(0x63CA, TargetType, STRING, Targets)                                    \
    X(0x63C5, TagTrackUID, UINT, Targets)                                     \
    X(0x63C9, TagEditionUID, UINT, Targets)                                   \
    X(0x63C4, TagChapterUID, UINT, Targets)                                   \
    X(0x63C6, TagAttachmentUID, UINT, Targets)                                \
    X(0x67C8, SimpleTag, MASTER, Tag)                                         \
    X(0x45A3, TagName, UTF8, SimpleTag)                                       \
    X(0x447A, TagLanguage, STRING, SimpleTag)                                 \
    X(0x447B, TagLanguageBCP47, STRING, SimpleTag)                            \
    X(0x4484, TagDefault, UINT, SimpleTag)                                    \
    X(0x44B4, TagDefaultBogus, UINT, SimpleTag)                               \
    X(0x4487, TagString, UTF8, SimpleTag)                                     \
    X(0x4485, TagBinary, BINARY, SimpleTag)

typedef enum { KVS_MASTER, KVS_UINT, KVS_INT, KVS_FLOAT, KVS_STRING, KVS_UTF8, KVS_DATE, KVS_BINARY } kvs_type;

/* Index of an element in the tables. KVS_UNKNOWN stands for every ID that is not listed. */
typedef enum {
    KVS_UNKNOWN,
    KVS_ROOT,   /* not an element: the level above EBML and Segment */
    KVS_GLOBAL, /* not an element: the parent of Void and CRC-32 */
#define X(id, name, type, parent) KVS_##name,
    KVS_ELEMENTS(X)
#undef X
    KVS_ELEMENT_COUNT
} kvs_element;

typedef struct {
    uint32_t id;
    uint8_t type;
    uint16_t parent;
    const char *name;
} kvs_element_row;

static const kvs_element_row kvs_elements[KVS_ELEMENT_COUNT] = {
    {0, KVS_BINARY, KVS_GLOBAL, "Unknown"},
    {0, KVS_MASTER, KVS_ROOT, "Root"},
    {0, KVS_MASTER, KVS_ROOT, "Global"},
#define X(id, name, type, parent) {id, KVS_##type, KVS_##parent, #name},
    KVS_ELEMENTS(X)
#undef X
};

static inline kvs_element kvs_find_element(uint32_t id)
{
    switch (id) {
#define X(id, name, type, parent) \
    case id:                      \
        return KVS_##name;
        KVS_ELEMENTS(X)
#undef X
    default:
        return KVS_UNKNOWN;
    }
}

/* May `child` stand directly inside `parent`? Unknown IDs may stand anywhere. */
static inline int kvs_is_child(kvs_element child, kvs_element parent)
{
    uint16_t home = kvs_elements[child].parent;
    return home == (uint16_t)parent || home == KVS_GLOBAL ||
           (child == parent && (child == KVS_SimpleTag || child == KVS_ChapterAtom));
}

#endif
