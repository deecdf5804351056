/* HTTP/1.1 chunked transfer coding (RFC 9112, section 7.1), decoded in place and resumable at any byte.
 *
 * Zero-fill kvs_chunked and set the limits before use. Every framing byte is verified: digits, CR LF after each size
 * line, after each HTTP chunk's data and after each trailer line. Bare LF is refused, as is a size of more than 16
 * digits. Chunk extensions, white space and superfluous zeros are allowed up to max_extension bytes a line, and up
 * to max_overhead bytes in all unless the payload outweighs them: a peer cannot keep us busy with framing alone.
 */
#ifndef KVSFAST_HTTP_CHUNK_H
#define KVSFAST_HTTP_CHUNK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    KVS_CHUNK_OK = 0,
    KVS_CHUNK_BAD_SIZE = -1,      /* no hexadecimal digit where a size must be, or too many */
    KVS_CHUNK_BAD_LINE = -2,      /* CR without LF, LF without CR, a control character */
    KVS_CHUNK_BAD_END = -3,       /* the data of an HTTP chunk is not followed by CR LF */
    KVS_CHUNK_LONG_EXTENSION = -4,
    KVS_CHUNK_LONG_TRAILER = -5,
    KVS_CHUNK_OVERHEAD = -6
};

enum {
    KVS_IN_SIZE,      /* first digit of a size line */
    KVS_IN_DIGITS,    /* further digits */
    KVS_IN_EXTENSION, /* anything up to CR */
    KVS_IN_SIZE_LF,
    KVS_IN_DATA,
    KVS_IN_DATA_CR,
    KVS_IN_DATA_LF,
    KVS_IN_TRAILER,      /* first byte of a trailer line, or CR of the last, empty one */
    KVS_IN_TRAILER_LINE, /* within a trailer line */
    KVS_IN_TRAILER_LF,
    KVS_IN_LAST_LF,
    KVS_IN_END
};

typedef struct {
    uint64_t remaining; /* of the HTTP chunk being read; while a size line is read, the size so far */
    uint64_t overhead;  /* framing bytes beyond the shortest form */
    uint64_t payload;
    uint32_t line;  /* bytes of the current extension, or of the whole trailer section */
    uint8_t digits; /* significant digits of the current size line */
    uint8_t state;
    uint32_t max_extension;
    uint32_t max_trailer;
    uint64_t max_overhead;
} kvs_chunked;

static const int8_t kvs_hex[256] = {
    /* value + 1, so that 0 means "no digit" */
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* Move n payload bytes down from src to dst. Short pieces are the common case (one element each): two fixed-size
 * copies, when the gap that framing has left is wide enough for them not to overrun unread bytes. */
static inline void kvs_move_down(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t *end)
{
    if (n <= 32 && (size_t)(src - dst) >= 32 && (size_t)(end - src) >= 32)
        memcpy(dst, src, 32);
    else if (dst != src)
        memmove(dst, src, n);
}

/* Decode buf[0..n) in place. *out is the payload length afterwards, *used the bytes taken: all of them, unless the
 * body ended (state KVS_IN_END) or is broken. Returns KVS_CHUNK_OK or what is wrong at buf[*used]. */
static inline int kvs_decode_chunked(kvs_chunked *c, uint8_t *buf, size_t n, size_t *out, size_t *used)
{
    uint8_t *dst = buf;
    const uint8_t *src = buf;
    const uint8_t *end = buf + n;
    int result = KVS_CHUNK_OK;

    while (src < end) {
        switch (c->state) {
        case KVS_IN_DATA: {
        data:;
            size_t here = (size_t)(end - src);
            size_t take = c->remaining < here ? (size_t)c->remaining : here;
            kvs_move_down(dst, src, take, end);
            dst += take;
            src += take;
            c->remaining -= take;
            if (c->remaining)
                break;
            /* The usual case, whole in the buffer: CR LF, one to four digits, CR LF. */
            if (end - src >= 8 && src[0] == '\r' && src[1] == '\n') {
                const uint8_t *p = src + 2;
                uint32_t size = 0;
                int digit;
                while ((digit = kvs_hex[*p]) && p < src + 6) {
                    size = size << 4 | (uint32_t)(digit - 1);
                    p++;
                }
                if (size && src[2] != '0' && end - p >= 2 && p[0] == '\r' && p[1] == '\n') {
                    src = p + 2;
                    c->remaining = size;
                    if (src < end)
                        goto data;
                    break;
                }
            }
            c->state = KVS_IN_DATA_CR;
            break;
        }
        case KVS_IN_DATA_CR:
            if (*src != '\r') {
                result = KVS_CHUNK_BAD_END;
                goto done;
            }
            src++;
            c->state = KVS_IN_DATA_LF;
            break;
        case KVS_IN_DATA_LF:
            if (*src != '\n') {
                result = KVS_CHUNK_BAD_END;
                goto done;
            }
            src++;
            c->state = KVS_IN_SIZE;
            break;
        case KVS_IN_SIZE:
            if (!kvs_hex[*src]) {
                result = KVS_CHUNK_BAD_SIZE;
                goto done;
            }
            c->remaining = 0;
            c->digits = 0;
            c->line = 0;
            c->state = KVS_IN_DIGITS;
            break;
        case KVS_IN_DIGITS: {
            int digit = kvs_hex[*src];
            if (digit) {
                if (c->digits == 0 && digit == 1) { /* leading zeros carry nothing, but for the one of the end */
                    c->overhead++;
                    if (++c->line > c->max_extension) {
                        result = KVS_CHUNK_LONG_EXTENSION;
                        goto done;
                    }
                } else {
                    if (++c->digits > 15) {
                        result = KVS_CHUNK_BAD_SIZE;
                        goto done;
                    }
                    c->remaining = c->remaining << 4 | (uint64_t)(digit - 1);
                }
                src++;
                break;
            }
            if (*src == '\r') {
                src++;
                c->state = KVS_IN_SIZE_LF;
            } else if (*src == ';' || *src == ' ' || *src == '\t') {
                c->state = KVS_IN_EXTENSION;
            } else {
                result = KVS_CHUNK_BAD_SIZE;
                goto done;
            }
            break;
        }
        case KVS_IN_EXTENSION:
            if (*src == '\r') {
                src++;
                c->state = KVS_IN_SIZE_LF;
                break;
            }
            if ((*src < 0x20 && *src != '\t') || *src == 0x7f) {
                result = KVS_CHUNK_BAD_LINE;
                goto done;
            }
            c->overhead++;
            if (++c->line > c->max_extension) {
                result = KVS_CHUNK_LONG_EXTENSION;
                goto done;
            }
            src++;
            break;
        case KVS_IN_SIZE_LF:
            if (*src != '\n') {
                result = KVS_CHUNK_BAD_LINE;
                goto done;
            }
            if (c->overhead > c->max_overhead && c->overhead > c->payload + (uint64_t)(dst - buf)) {
                result = KVS_CHUNK_OVERHEAD;
                goto done;
            }
            src++;
            c->line = 0;
            c->state = c->remaining ? KVS_IN_DATA : KVS_IN_TRAILER;
            break;
        case KVS_IN_TRAILER:
            if (*src == '\r') {
                src++;
                c->state = KVS_IN_LAST_LF;
                break;
            }
            c->state = KVS_IN_TRAILER_LINE;
            /* fall through */
        case KVS_IN_TRAILER_LINE:
            if (*src == '\r') {
                src++;
                c->state = KVS_IN_TRAILER_LF;
                break;
            }
            if ((*src < 0x20 && *src != '\t') || *src == 0x7f) {
                result = KVS_CHUNK_BAD_LINE;
                goto done;
            }
            if (++c->line > c->max_trailer) {
                result = KVS_CHUNK_LONG_TRAILER;
                goto done;
            }
            src++;
            break;
        case KVS_IN_TRAILER_LF:
        case KVS_IN_LAST_LF:
            if (*src != '\n') {
                result = KVS_CHUNK_BAD_LINE;
                goto done;
            }
            src++;
            if (c->state == KVS_IN_LAST_LF) {
                c->state = KVS_IN_END;
                goto done;
            }
            c->state = KVS_IN_TRAILER;
            break;
        default: /* KVS_IN_END: what follows is not of this body */
            goto done;
        }
    }
done:
    *out = (size_t)(dst - buf);
    *used = (size_t)(src - buf);
    c->payload += (uint64_t)(dst - buf);
    return result;
}

#endif
