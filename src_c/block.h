/* Blocks of a Cluster (RFC 9559, section 10): prefix, lacing, and the hot loop over SimpleBlocks. */
#ifndef KVSFAST_BLOCK_H
#define KVSFAST_BLOCK_H

#include "ebml.h"

enum {
    KVS_FRAME_KEY = 1,
    KVS_FRAME_INVISIBLE = 2,
    KVS_FRAME_DISCARDABLE = 4,
    KVS_FRAME_LACED = 8,
    KVS_FRAME_ESTIMATED = 16, /* the time is the block's, since nothing tells the frame's own */
    KVS_FRAME_SIDE = 32,      /* the payload lies in the side buffer: it is not verbatim in the document */
    KVS_FRAME_STORED = 64     /* a content encoding was not undone */
};

/* One frame, as the columns of a fragment show it. */
typedef struct {
    int64_t timestamp_ns;  /* wall clock, or media time where nothing tells the wall clock */
    int64_t media_time_ns; /* document time */
    uint64_t offset;       /* of the payload, from the start of the buffer it lies in */
    uint32_t length;
    uint32_t track;
    uint32_t flags; /* KVS_FRAME_* */
    uint32_t extra; /* 0, or 1 + index of what a BlockGroup says besides */
} kvs_row;

typedef struct {
    uint64_t track;
    size_t length; /* of the prefix: 4..11 */
    int16_t time;
    uint8_t flags;
} kvs_prefix;

/* Track number, relative time and flags (section 10.1). KVS_BAD_BLOCK if the block is too short. */
static inline int kvs_read_prefix(const uint8_t *p, size_t n, kvs_prefix *out)
{
    int width = kvs_vint(p, n, &out->track);
    if (width <= 0 || n < (size_t)width + 3)
        return KVS_BAD_BLOCK;
    p += width;
    out->time = (int16_t)(uint16_t)(p[0] << 8 | p[1]);
    out->flags = p[2];
    out->length = (size_t)width + 3;
    return (int)out->length;
}

#define KVS_MAX_LACE 256

/* Sizes of the frames of a lace (section 10.3). `p` is what follows the flags. Returns the number of frames and
 * fills sizes[] and *used, the bytes of the lace head; KVS_BAD_LACE if it does not add up to n. */
static inline int kvs_read_lace(unsigned lacing, const uint8_t *p, size_t n, uint32_t *sizes, size_t *used)
{
    if (n == 0)
        return KVS_BAD_LACE;
    unsigned count = (unsigned)p[0] + 1;
    size_t at = 1;
    uint64_t sum = 0;

    if (lacing == 2) { /* fixed-size: must divide evenly */
        if ((n - 1) % count)
            return KVS_BAD_LACE;
        for (unsigned i = 0; i < count; i++)
            sizes[i] = (uint32_t)((n - 1) / count);
        *used = 1;
        return (int)count;
    }
    if (lacing == 1) { /* Xiph: bytes are added up to the first below 255 */
        for (unsigned i = 0; i + 1 < count; i++) {
            uint64_t size = 0;
            uint8_t byte;
            do {
                if (at >= n)
                    return KVS_BAD_LACE;
                byte = p[at++];
                size += byte;
            } while (byte == 255);
            sum += size;
            if (sum > n - at)
                return KVS_BAD_LACE;
            sizes[i] = (uint32_t)size;
        }
    } else { /* EBML: a first size, then signed differences */
        int64_t size = 0;
        for (unsigned i = 0; i + 1 < count; i++) {
            uint64_t raw;
            int width = kvs_vint(p + at, n - at, &raw);
            if (width <= 0)
                return KVS_BAD_LACE;
            at += (size_t)width;
            if (i == 0)
                size = (int64_t)raw;
            else
                size += (int64_t)raw - ((INT64_C(1) << (7 * width - 1)) - 1);
            if (size < 0 || (uint64_t)size > n)
                return KVS_BAD_LACE;
            sum += (uint64_t)size;
            if (sum > n - at)
                return KVS_BAD_LACE;
            sizes[i] = (uint32_t)size;
        }
    }
    if (sum > n - at)
        return KVS_BAD_LACE;
    sizes[count - 1] = (uint32_t)(n - at - sum);
    *used = at;
    return (int)count;
}

enum { KVS_TRACK_CAREFUL = 1, KVS_TRACK_DROP = 2 };

/* What the hot loop must know of a track with a number below 128. */
typedef struct {
    int64_t delay_ns;
    uint32_t flags; /* KVS_TRACK_CAREFUL: encodings or a time scale of its own; take the long way */
} kvs_track;

/* Frames up to here lie so close that a processor must be told what comes next: it fetches neither the lines between
 * their heads nor the heads by itself. */
enum { KVS_CLOSE_FRAME = 1024, KVS_CACHE_LINE = 64 };

typedef struct {
    int64_t cluster_ns; /* Cluster.Timestamp in ns */
    int64_t scale;      /* TimestampScale: ns a unit; scale x 32768 does not overflow */
    int64_t wall_ns;    /* what turns media time into wall clock time */
    uint64_t max_block;
    size_t ahead; /* memory this far ahead is fetched, where frames are small; 0 if it is in cache anyway */
    kvs_track tracks[128];
} kvs_cluster;

/* The hot loop: rows for every SimpleBlock from `pos` on that is whole in [pos, end) and plain (no lacing, one-byte
 * track number, nothing to undo). Stops before the first element that is anything else. Returns the new position.
 * The caller has made sure that no sum of its times can overflow. */
static inline size_t kvs_scan_blocks(const uint8_t *base, size_t pos, size_t end, const kvs_cluster *c,
                                     kvs_row *rows, size_t room, size_t *made)
{
    /* Copies: as far as the compiler knows, a row might lie over the Cluster. */
    const int64_t cluster_ns = c->cluster_ns, scale = c->scale, wall_ns = c->wall_ns;
    const uintptr_t ahead = c->ahead;
    const uint64_t most = c->max_block - 4; /* what a block has beside its head, of 4 bytes at least */
    kvs_row *row = rows, *const full = rows + (c->max_block < 4 ? 0 : room);

    while (row < full && end - pos >= 16) {
        const uint8_t *p = base + pos;
        if (p[0] != 0xA3)
            break;
        uint64_t size = kvs_load_be64(p + 1);
        unsigned head = 9;
        if (p[1] == 0x01) { /* the width that writers take that do not know the size yet, as the service does */
            size &= (UINT64_C(1) << 56) - 1;
        } else {
            unsigned width = kvs_vint_width(p[1]);
            if (width > 8)
                break;
            size = size << width >> (64 - 7 * width);
            if (size + 1 == UINT64_C(1) << (7 * width)) /* unknown */
                break;
            head = 1 + width;
        }
        const size_t at = pos + head;
        /* An unknown size of 8 bytes is larger than anything that could be here. */
        if (size - 4 > most || size > end - at)
            break;
        const uint32_t block = kvs_load_be32(base + at); /* track number, time, flags */
        if ((block & 0x80000006) != 0x80000000)
            break;
        if (ahead && size < KVS_CLOSE_FRAME) {
            uintptr_t line = (uintptr_t)base + at + ahead;
            for (const uintptr_t stop = line + size; line < stop; line += KVS_CACHE_LINE)
                __builtin_prefetch((const void *)line);
        }
        const unsigned number = block >> 24 & 0x7f;
        const kvs_track *track = &c->tracks[number];
        if (track->flags)
            break;
        row->media_time_ns = cluster_ns + (int16_t)(block >> 8) * scale - track->delay_ns;
        row->timestamp_ns = row->media_time_ns + wall_ns;
        row->offset = at + 4;
        row->length = (uint32_t)size - 4;
        row->track = number;
        /* 0x80 key, 0x08 invisible, 0x01 discardable */
        row->flags = (block >> 7 & 1) | (block >> 2 & 2) | (block << 2 & 4);
        row->extra = 0;
        row++;
        pos = at + (size_t)size;
    }
    *made = (size_t)(row - rows);
    return pos;
}

#endif
