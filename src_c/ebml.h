/* EBML primitives (RFC 8794): variable-size integers, element headers, values.
 *
 * Everything reads from a pointer and a count of readable bytes, and never beyond them. Nothing allocates.
 */
#ifndef KVSFAST_EBML_H
#define KVSFAST_EBML_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Results of the readers that may need more bytes: a length when positive. */
enum {
    KVS_NEED_MORE = 0,
    KVS_BAD_ID = -1,   /* first byte 0x0_ (longer than 4 bytes), or all data bits one */
    KVS_BAD_SIZE = -2, /* first byte 0: longer than 8 bytes */
    KVS_BAD_LACE = -3,
    KVS_BAD_BLOCK = -4,
    KVS_NO_ROOM = -5 /* the parent ends before a header can */
};

#define KVS_UNKNOWN_SIZE UINT64_MAX
#define KVS_MAX_HEADER 12 /* 4 bytes of ID, 8 of size */

static inline uint64_t kvs_load_be64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

static inline uint32_t kvs_load_be32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}

/* Big-endian unsigned integer of n <= 8 bytes (section 7.2). */
static inline uint64_t kvs_uint(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

/* Big-endian two's complement integer of n <= 8 bytes, sign-extended from its own width (section 7.1). */
static inline int64_t kvs_int(const uint8_t *p, size_t n)
{
    if (n == 0)
        return 0;
    uint64_t v = kvs_uint(p, n);
    unsigned shift = 64 - 8 * (unsigned)n;
    return (int64_t)(v << shift) >> shift;
}

/* IEEE 754 of 0, 4 or 8 bytes (section 7.3); the caller has checked n. */
static inline double kvs_float(const uint8_t *p, size_t n)
{
    if (n == 4) {
        uint32_t bits = (uint32_t)kvs_uint(p, 4);
        float f;
        memcpy(&f, &bits, 4);
        return (double)f;
    }
    if (n == 8) {
        uint64_t bits = kvs_load_be64(p);
        double d;
        memcpy(&d, &bits, 8);
        return d;
    }
    return 0.0;
}

/* Width in bytes that a VINT's first byte promises: 1..8, or 9 for 0x00. */
static inline unsigned kvs_vint_width(uint8_t first)
{
    return first ? (unsigned)__builtin_clz((unsigned)first) - 23u : 9u;
}

/* VINT data without its marker (section 4). Returns the width, KVS_NEED_MORE or KVS_BAD_SIZE. */
static inline int kvs_vint(const uint8_t *p, size_t n, uint64_t *value)
{
    if (n == 0)
        return KVS_NEED_MORE;
    unsigned width = kvs_vint_width(p[0]);
    if (width > 8)
        return KVS_BAD_SIZE;
    if (n < width)
        return KVS_NEED_MORE;
    *value = kvs_uint(p, width) & ((UINT64_C(1) << (7 * width)) - 1);
    return (int)width;
}

typedef struct {
    uint64_t size;   /* KVS_UNKNOWN_SIZE if unknown */
    uint32_t id;     /* with its marker bit, as the RFCs spell it */
    uint32_t length; /* bytes of ID and size together: 2..12 */
} kvs_header;

/* One element header, of which n bytes have come; its parent has `room` bytes left (at least n). Returns its length,
 * KVS_NEED_MORE, KVS_NO_ROOM, KVS_BAD_ID or KVS_BAD_SIZE: whatever is wrong is found with the byte that shows it. */
static inline int kvs_read_header(const uint8_t *p, size_t n, uint64_t room, kvs_header *out)
{
    if (room < 2)
        return KVS_NO_ROOM;
    if (n == 0)
        return KVS_NEED_MORE;
    unsigned id_width = kvs_vint_width(p[0]);
    if (id_width > 4)
        return KVS_BAD_ID;
    if (room < id_width + 1)
        return KVS_NO_ROOM;
    if (n < id_width)
        return KVS_NEED_MORE;
    uint32_t id = (uint32_t)kvs_uint(p, id_width);
    uint32_t ones = (UINT32_C(1) << (7 * id_width)) - 1;
    if ((id & ones) == ones)
        return KVS_BAD_ID;
    p += id_width;
    n -= id_width;
    if (n == 0)
        return KVS_NEED_MORE;
    unsigned width = kvs_vint_width(p[0]);
    if (width > 8)
        return KVS_BAD_SIZE;
    if (room < id_width + width)
        return KVS_NO_ROOM;
    if (kvs_vint(p, n, &out->size) <= 0)
        return KVS_NEED_MORE;
    if (out->size == (UINT64_C(1) << (7 * width)) - 1) /* all ones, at any width (section 6.2) */
        out->size = KVS_UNKNOWN_SIZE;
    out->id = id;
    out->length = id_width + width;
    return (int)out->length;
}

#endif
