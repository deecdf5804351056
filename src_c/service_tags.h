/* The Tags elements that the service itself writes: one Tag of SimpleTags under names of its own.
 *
 * They stand twice in every fragment and never repeat, so they are read here at once instead of element by
 * element. Whatever is not exactly of this shape is left to the general walk.
 */
#ifndef KVSFAST_SERVICE_TAGS_H
#define KVSFAST_SERVICE_TAGS_H

#include "ebml.h"

enum {
    KVS_TAG_NUMBER,
    KVS_TAG_SERVER_TIMESTAMP,
    KVS_TAG_PRODUCER_TIMESTAMP,
    KVS_TAG_MILLIS_BEHIND_NOW,
    KVS_TAG_TOKEN,
    KVS_TAG_COUNT
};

typedef struct {
    const char *text; /* NULL if absent; up to the first NUL */
    size_t length;
} kvs_text;

typedef struct {
    kvs_text values[KVS_TAG_COUNT];
    uint32_t count; /* SimpleTags */
    uint64_t size;  /* of names and values, as limits count them */
} kvs_service_tags;

/* One child header inside [*p, end): its ID must be `id` and it must fit. Leaves *p on the payload. */
static inline int kvs_expect(const uint8_t **p, const uint8_t *end, uint32_t id, uint64_t *size)
{
    kvs_header h;
    if (kvs_read_header(*p, (size_t)(end - *p), (uint64_t)(end - *p), &h) <= 0 || h.id != id)
        return 0;
    *p += h.length;
    if (h.size > (uint64_t)(end - *p))
        return 0;
    *size = h.size;
    return 1;
}

static inline int kvs_service_name(const uint8_t *p, uint64_t n)
{
    static const char prefix[] = "AWS_KINESISVIDEO_";
    static const struct {
        const char *name;
        uint8_t length;
    } names[KVS_TAG_COUNT] = {
        {"FRAGMENT_NUMBER", 15}, {"SERVER_TIMESTAMP", 16}, {"PRODUCER_TIMESTAMP", 18},
        {"MILLIS_BEHIND_NOW", 17}, {"CONTINUATION_TOKEN", 18},
    };
    if (n < 17 || memcmp(p, prefix, 17))
        return -1;
    for (int i = 0; i < KVS_TAG_COUNT; i++)
        if (n - 17 == names[i].length && !memcmp(p + 17, names[i].name, names[i].length))
            return i;
    return -1;
}

/* `p` is the body of a Tags element. Returns 1 if it is one Tag of nothing but the five names, else 0. */
static inline int kvs_read_service_tags(const uint8_t *p, size_t n, kvs_service_tags *out)
{
    const uint8_t *end = p + n;
    uint64_t size;
    memset(out, 0, sizeof *out);
    if (!kvs_expect(&p, end, 0x7373, &size) || size != (uint64_t)(end - p))
        return 0;
    while (p < end) {
        if (!kvs_expect(&p, end, 0x67C8, &size))
            return 0;
        const uint8_t *tag_end = p + size;
        if (!kvs_expect(&p, tag_end, 0x45A3, &size))
            return 0;
        int field = kvs_service_name(p, size);
        if (field < 0)
            return 0;
        out->size += size;
        p += size;
        if (!kvs_expect(&p, tag_end, 0x4487, &size) || p + size != tag_end)
            return 0;
        out->values[field].text = (const char *)p;
        const void *nul = memchr(p, 0, (size_t)size);
        out->values[field].length = nul ? (size_t)((const uint8_t *)nul - p) : (size_t)size;
        out->size += size;
        out->count++;
        p = tag_end;
    }
    return out->count > 0;
}

/* Decimal text to an integer, times 10^digits, further digits dropped; never through a float. White space around it
 * and a sign are let pass. Returns 1, or 0 if it is no such number or has more than 15 digits before the point. */
static inline int kvs_decimal(const char *text, size_t n, int digits, int64_t *value)
{
    const char *end = text + n;
    while (text < end && (*text == ' ' || *text == '\t'))
        text++;
    while (text < end && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    int negative = text < end && *text == '-';
    text += negative;
    const char *first = text;
    int64_t v = 0;
    while (text < end && *text >= '0' && *text <= '9') {
        if (text - first >= 15)
            return 0;
        v = v * 10 + (*text++ - '0');
    }
    if (text == first)
        return 0;
    if (text < end) {
        if (*text != '.' || digits == 0)
            return 0;
        first = ++text;
        while (text < end && *text >= '0' && *text <= '9') {
            if (digits) {
                v = v * 10 + (*text - '0');
                digits--;
            }
            text++;
        }
        if (text == first || text != end)
            return 0;
    }
    while (digits-- > 0)
        v *= 10;
    *value = negative ? -v : v;
    return 1;
}

#endif
