/* The leaf routines of src_c without Python, each input flush against a page that cannot be read.
 *
 * A read beyond the count that a routine was given is a crash here, also where a sanitizer would not see it, for
 * the memory is ours by mmap. What the routines give is checked against what was built, or against an obvious
 * second way. Prints the number of checks; the first that fails ends the program with its place.
 */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block.h"
#include "digest.h"
#include "ebml.h"
#include "elements.h"
#include "http_chunk.h"
#include "service_tags.h"

static unsigned long checks;

#define CHECK(what)                                                                  \
    do {                                                                             \
        checks++;                                                                    \
        if (!(what)) {                                                               \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);               \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

/* -- memory -- */

#define ROOM ((size_t)1 << 18)
static uint8_t *guard_page;

static void make_guard(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *mem = mmap(NULL, ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mem != MAP_FAILED);
    guard_page = mem + ROOM;
    CHECK(mprotect(guard_page, page, PROT_NONE) == 0);
}

/* A copy of the data whose last byte is the last that can be read. */
static uint8_t *flush(const void *data, size_t n)
{
    CHECK(n <= ROOM);
    uint8_t *copy = guard_page - n;
    if (n)
        memcpy(copy, data, n);
    return copy;
}

/* -- dice: xorshift64, so that every run is the same -- */

static uint64_t dice = 88172645463325252u;

static uint64_t roll(uint64_t sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice % sides;
}

static uint8_t roll_byte(void)
{
    static const uint8_t telling[] = {0x00, 0x01, 0x08, 0x10, 0x1f, 0x40, 0x7f, 0x80, 0x81, 0xa3, 0xff};
    return roll(3) ? (uint8_t)roll(256) : telling[roll(sizeof telling)];
}

/* -- building -- */

typedef struct {
    uint8_t bytes[ROOM];
    size_t n;
} text;

static void put(text *t, const void *data, size_t n)
{
    CHECK(t->n + n <= ROOM);
    memcpy(t->bytes + t->n, data, n);
    t->n += n;
}

static void put_be(text *t, uint64_t value, size_t width)
{
    for (size_t i = width; i-- > 0;) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        put(t, &byte, 1);
    }
}

static uint64_t most(size_t width) /* of a VINT: all data bits one */
{
    return (UINT64_C(1) << (7 * width)) - 1;
}

static void put_vint(text *t, uint64_t value, size_t width)
{
    put_be(t, value | UINT64_C(1) << (7 * width), width);
}

static size_t vint_width(uint64_t value)
{
    size_t width = 1;
    while (value >= most(width))
        width++;
    return width;
}

/* -- ebml.h -- */

static void check_header(uint64_t id, size_t id_width, uint64_t size, size_t width)
{
    static text t;
    kvs_header h = {0};
    t.n = 0;
    put_vint(&t, id, id_width);
    put_vint(&t, size, width);
    for (size_t n = 0; n < t.n; n++) {
        CHECK(kvs_read_header(flush(t.bytes, n), n, t.n, &h) == KVS_NEED_MORE);
        CHECK(kvs_read_header(flush(t.bytes, n), n, UINT64_MAX, &h) == KVS_NEED_MORE);
        CHECK(kvs_read_header(flush(t.bytes, n), n, n, &h) == KVS_NO_ROOM);
    }
    CHECK(kvs_read_header(flush(t.bytes, t.n), t.n, t.n, &h) == (int)t.n);
    CHECK(h.id == (id | UINT64_C(1) << (7 * id_width)));
    CHECK(h.size == (size == most(width) ? KVS_UNKNOWN_SIZE : size));
    CHECK(h.length == t.n);
}

static void test_headers(void)
{
    for (size_t id_width = 1; id_width <= 4; id_width++)
        for (size_t width = 1; width <= 8; width++) {
            uint64_t sizes[] = {0, 1, most(width) / 2, most(width) - 1, most(width)};
            for (size_t i = 0; i < 5; i++) {
                check_header(1, id_width, sizes[i], width);
                check_header(most(id_width) - 1, id_width, sizes[i], width);
            }
        }
    kvs_header h = {0};
    for (unsigned first = 0; first < 16; first++) {
        uint8_t p = (uint8_t)first;
        CHECK(kvs_read_header(flush(&p, 1), 1, 99, &h) == KVS_BAD_ID);
    }
    for (size_t id_width = 1; id_width <= 4; id_width++) {
        static text t;
        t.n = 0;
        put_vint(&t, most(id_width), id_width);
        CHECK(kvs_read_header(flush(t.bytes, t.n), t.n, 99, &h) == KVS_BAD_ID);
        t.n = 0;
        put_vint(&t, 1, id_width);
        put_be(&t, 0, 1);
        CHECK(kvs_read_header(flush(t.bytes, t.n), t.n, 99, &h) == KVS_BAD_SIZE);
    }
}

static void test_values(void)
{
    for (int round = 0; round < 20000; round++)
        for (size_t n = 0; n <= 8; n++) {
            uint8_t data[8];
            uint64_t expected = 0;
            for (size_t i = 0; i < n; i++) {
                data[i] = roll_byte();
                expected = expected * 256 + data[i];
            }
            CHECK(kvs_uint(flush(data, n), n) == expected);
            int64_t value = kvs_int(flush(data, n), n);
            if (n < 8 && n && data[0] >= 0x80)
                CHECK(value == (int64_t)expected - (INT64_C(1) << (8 * n)));
            else
                CHECK((uint64_t)value == expected);
            uint64_t v = 0;
            int width = kvs_vint(flush(data, n), n, &v);
            if (n == 0)
                CHECK(width == KVS_NEED_MORE);
            else if (data[0] == 0)
                CHECK(width == KVS_BAD_SIZE);
            else if (width > 0)
                CHECK((size_t)width <= n && v <= most((size_t)width) && data[0] >> (8 - width) == 1);
            else
                CHECK(width == KVS_NEED_MORE && kvs_vint_width(data[0]) > n);
        }
    const float single = -1234.5f;
    const double wide = 48000.25;
    uint32_t single_bits;
    uint64_t wide_bits;
    memcpy(&single_bits, &single, 4);
    memcpy(&wide_bits, &wide, 8);
    static text t;
    t.n = 0;
    put_be(&t, single_bits, 4);
    double back = kvs_float(flush(t.bytes, 4), 4);
    CHECK(memcmp(&back, &(double){-1234.5}, 8) == 0);
    t.n = 0;
    put_be(&t, wide_bits, 8);
    back = kvs_float(flush(t.bytes, 8), 8);
    CHECK(memcmp(&back, &wide, 8) == 0);
    back = kvs_float(flush(t.bytes, 0), 0);
    CHECK(memcmp(&back, &(double){0.0}, 8) == 0);
}

/* -- elements.h -- */

static void test_elements(void)
{
    for (int e = KVS_GLOBAL + 1; e < KVS_ELEMENT_COUNT; e++) {
        const kvs_element_row *row = &kvs_elements[e];
        CHECK(kvs_find_element(row->id) == (kvs_element)e);
        CHECK(kvs_elements[row->parent].type == KVS_MASTER);
        CHECK(kvs_is_child((kvs_element)e, (kvs_element)row->parent));
    }
    CHECK(kvs_find_element(0x12345678) == KVS_UNKNOWN);
    CHECK(kvs_is_child(KVS_Void, KVS_Cluster) && kvs_is_child(KVS_UNKNOWN, KVS_Cluster));
    CHECK(kvs_is_child(KVS_SimpleTag, KVS_SimpleTag) && !kvs_is_child(KVS_Tags, KVS_Cluster));
}

/* -- block.h -- */

static void test_prefixes(void)
{
    for (size_t width = 1; width <= 8; width++)
        for (int round = 0; round < 50; round++) {
            static text t;
            uint64_t track = round ? roll(most(width)) : most(width);
            uint16_t time = (uint16_t)roll(65536);
            uint8_t flags = roll_byte();
            kvs_prefix prefix = {0};
            t.n = 0;
            put_vint(&t, track, width);
            put_be(&t, time, 2);
            put_be(&t, flags, 1);
            for (size_t n = 0; n < t.n; n++)
                CHECK(kvs_read_prefix(flush(t.bytes, n), n, &prefix) == KVS_BAD_BLOCK);
            CHECK(kvs_read_prefix(flush(t.bytes, t.n), t.n, &prefix) == (int)t.n);
            CHECK(prefix.track == track && prefix.length == t.n && prefix.flags == flags);
            CHECK(prefix.time == (time < 32768 ? (int)time : (int)time - 65536));
        }
    kvs_prefix prefix = {0};
    CHECK(kvs_read_prefix(flush("\0\0\0\0", 4), 4, &prefix) == KVS_BAD_BLOCK);
}

enum { XIPH = 1, FIXED = 2, EBML = 3 };

static void put_lace(text *t, unsigned lacing, const uint32_t *sizes, size_t count)
{
    put_be(t, count - 1, 1);
    for (size_t i = 0; i + 1 < count && lacing != FIXED; i++)
        if (lacing == XIPH) {
            for (uint32_t left = sizes[i]; left >= 255; left -= 255)
                put_be(t, 255, 1);
            put_be(t, sizes[i] % 255, 1);
        } else if (i == 0) {
            put_vint(t, sizes[0], vint_width(sizes[0]));
        } else {
            int64_t change = (int64_t)sizes[i] - (int64_t)sizes[i - 1];
            size_t width = 1;
            while (llabs(change) > (int64_t)(most(width) >> 1))
                width++;
            put_vint(t, (uint64_t)(change + (int64_t)(most(width) >> 1)), width);
        }
}

static void check_lace(unsigned lacing, const uint32_t *expected, size_t count)
{
    static text t;
    static uint32_t sizes[KVS_MAX_LACE];
    size_t head, used;
    t.n = 0;
    put_lace(&t, lacing, expected, count);
    head = t.n;
    for (size_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < expected[i]; j++)
            put_be(&t, i, 1);
    CHECK(kvs_read_lace(lacing, flush(t.bytes, t.n), t.n, sizes, &used) == (int)count);
    CHECK(used == head && memcmp(sizes, expected, count * sizeof *sizes) == 0);
    size_t body = t.n - head - expected[count - 1]; /* the last frame gets what is left, but for fixed sizes */
    for (size_t n = 0; n < t.n; n++) {
        int got = kvs_read_lace(lacing, flush(t.bytes, n), n, sizes, &used);
        if (lacing == FIXED)
            CHECK(got == (n && (n - 1) % count == 0 ? (int)count : KVS_BAD_LACE));
        else if (n < head + body)
            CHECK(got == KVS_BAD_LACE);
        else
            CHECK(got == (int)count && sizes[count - 1] == n - head - body);
    }
}

static void test_laces(void)
{
    static uint32_t sizes[KVS_MAX_LACE];
    for (int round = 0; round < 200; round++) {
        size_t count = round == 0 ? 256 : 1 + roll(9);
        for (unsigned lacing = XIPH; lacing <= EBML; lacing++) {
            for (size_t i = 0; i < count; i++)
                sizes[i] = lacing == FIXED && i ? sizes[0] : (uint32_t)roll(count > 99 ? 30 : roll(2) ? 9 : 600);
            check_lace(lacing, sizes, count);
        }
    }
    for (int round = 0; round < 300000; round++) {
        static uint8_t data[600];
        size_t n = roll(round % 10 ? 20 : sizeof data), used = 0;
        unsigned lacing = 1 + (unsigned)roll(3);
        for (size_t i = 0; i < n; i++)
            data[i] = i == 0 && roll(2) ? (uint8_t)roll(5) : roll_byte();
        int count = kvs_read_lace(lacing, flush(data, n), n, sizes, &used);
        if (count == KVS_BAD_LACE)
            continue;
        CHECK(n && count == data[0] + 1 && used <= n);
        uint64_t sum = used;
        for (int i = 0; i < count; i++)
            sum += sizes[i];
        CHECK(sum == n);
    }
}

#define BLOCKS 24

/* A Cluster's blocks, one of them sometimes of a kind that the hot loop leaves alone. */
static void check_scan(void)
{
    static text t;
    static kvs_cluster c;
    static size_t starts[BLOCKS + 1], lengths[BLOCKS], payloads[BLOCKS];
    static int16_t times[BLOCKS];
    static uint8_t flags[BLOCKS], numbers[BLOCKS];
    static kvs_row rows[BLOCKS];
    size_t odd = roll(2) ? roll(BLOCKS) : BLOCKS;
    uint64_t kind = roll(6);
    memset(&c, 0, sizeof c);
    c.cluster_ns = (int64_t)roll(UINT64_C(1) << 61);
    c.scale = 1000000;
    c.wall_ns = (int64_t)roll(UINT64_C(1) << 60);
    c.max_block = 5000;
    c.tracks[3].delay_ns = 6500000;
    c.tracks[9].flags = KVS_TRACK_CAREFUL;
    t.n = 0;
    for (size_t i = 0; i < BLOCKS; i++) {
        int is_odd = i == odd;
        uint64_t length = is_odd && kind == 0 ? 6000 : roll(8) ? roll(40) : roll(700);
        starts[i] = t.n;
        lengths[i] = (size_t)length;
        numbers[i] = (uint8_t)(is_odd && kind == 1 ? 9 : 1 + roll(5));
        times[i] = (int16_t)(int)(roll(65536) - 32768);
        flags[i] = roll_byte() & 0x89;
        put_be(&t, is_odd && kind == 2 ? 0xA0 : 0xA3, 1);
        size_t width = vint_width(length + 4);
        if (is_odd && kind == 3)
            put_vint(&t, most(2), 2); /* unknown size */
        else
            put_vint(&t, length + 4, roll(3) ? width : 8);
        put_vint(&t, numbers[i], is_odd && kind == 4 ? 2 : 1);
        put_be(&t, (uint16_t)times[i], 2);
        put_be(&t, flags[i] | (is_odd && kind == 5 ? 2u : 0u), 1);
        payloads[i] = t.n;
        for (uint64_t j = 0; j < length; j++)
            put_be(&t, 0xA3, 1); /* payload that looks like a block */
        if (is_odd && kind == 4)
            lengths[i]--;
    }
    starts[BLOCKS] = t.n;
    for (size_t end = 0; end <= t.n; end++) {
        size_t room = roll(3) ? BLOCKS : roll(BLOCKS);
        size_t made = 99, whole = 0, sure = 0;
        while (whole < BLOCKS && whole < room && whole != odd && starts[whole + 1] <= end)
            whole++;
        while (sure < whole && starts[sure] + 16 <= end) /* it may leave the last few bytes to the long way */
            sure++;
        const uint8_t *base = flush(t.bytes, end);
        size_t pos = kvs_scan_blocks(base, 0, end, &c, rows, room, &made);
        CHECK(made <= whole && made >= sure && pos == starts[made]);
        for (size_t i = 0; i < made; i++) {
            int64_t media = c.cluster_ns + times[i] * c.scale - (numbers[i] == 3 ? 6500000 : 0);
            CHECK(rows[i].media_time_ns == media && rows[i].timestamp_ns == media + c.wall_ns);
            CHECK(rows[i].offset == payloads[i] && rows[i].length == lengths[i]);
            CHECK(rows[i].track == numbers[i] && rows[i].extra == 0);
            CHECK(rows[i].flags == ((flags[i] & 0x80 ? KVS_FRAME_KEY : 0u) | (flags[i] & 8 ? KVS_FRAME_INVISIBLE : 0u) |
                                    (flags[i] & 1 ? KVS_FRAME_DISCARDABLE : 0u)));
        }
    }
}

static void test_scan(void)
{
    static kvs_cluster c;
    static kvs_row rows[64];
    for (int round = 0; round < 60; round++)
        check_scan();
    memset(&c, 0, sizeof c);
    c.scale = 1000000;
    c.max_block = 64;
    for (int round = 0; round < 300000; round++) {
        uint8_t data[80];
        size_t n = roll(sizeof data), made = 0;
        for (size_t i = 0; i < n; i++)
            data[i] = roll(4) ? roll_byte() : 0xA3;
        size_t pos = kvs_scan_blocks(flush(data, n), 0, n, &c, rows, 64, &made);
        CHECK(pos <= n && made <= 64);
        uint64_t last = 0;
        for (size_t i = 0; i < made; i++) {
            CHECK(rows[i].offset >= last + 6 && rows[i].offset + rows[i].length <= pos);
            last = rows[i].offset + rows[i].length;
        }
        CHECK(last == pos);
    }
}

/* -- service_tags.h -- */

static void put_element(text *t, uint32_t id, size_t id_width, const void *data, size_t n)
{
    put_be(t, id, id_width);
    put_vint(t, n, 4);
    put(t, data, n);
}

static void put_tag(text *t, const char *name, const char *value, size_t length)
{
    static text inside;
    inside.n = 0;
    put_element(&inside, 0x45A3, 2, name, strlen(name));
    put_element(&inside, 0x4487, 2, value, length);
    put_element(t, 0x67C8, 2, inside.bytes, inside.n);
}

static int text_is(const kvs_text *t, const char *expected)
{
    return t->text && t->length == strlen(expected) && !memcmp(t->text, expected, t->length);
}

static void test_service_tags(void)
{
    static text all, t, bad;
    kvs_service_tags out;
    all.n = t.n = 0;
    put_tag(&all, "AWS_KINESISVIDEO_FRAGMENT_NUMBER", "91343852333181432392682062622220590765191907586", 47);
    put_tag(&all, "AWS_KINESISVIDEO_SERVER_TIMESTAMP", "1511852109.126", 14);
    put_tag(&all, "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", "1511852108.513\0\0", 16);
    put_tag(&all, "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", "", 0);
    put_tag(&all, "AWS_KINESISVIDEO_CONTINUATION_TOKEN", "token", 5);
    put_element(&t, 0x7373, 2, all.bytes, all.n);
    for (size_t n = 0; n < t.n; n++)
        CHECK(kvs_read_service_tags(flush(t.bytes, n), n, &out) == 0);
    CHECK(kvs_read_service_tags(flush(t.bytes, t.n), t.n, &out) == 1);
    CHECK(out.count == 5 && out.size == 32 + 33 + 35 + 34 + 35 + 47 + 14 + 16 + 0 + 5);
    CHECK(text_is(&out.values[KVS_TAG_NUMBER], "91343852333181432392682062622220590765191907586"));
    CHECK(text_is(&out.values[KVS_TAG_SERVER_TIMESTAMP], "1511852109.126"));
    CHECK(text_is(&out.values[KVS_TAG_PRODUCER_TIMESTAMP], "1511852108.513"));
    CHECK(text_is(&out.values[KVS_TAG_MILLIS_BEHIND_NOW], ""));
    CHECK(text_is(&out.values[KVS_TAG_TOKEN], "token"));

    static const char *const others[] = {
        "AWS_KINESISVIDEO_", "AWS_KINESISVIDEO_ERROR_ID", "aws_kinesisvideo_FRAGMENT_NUMBER",
        "AWS_KINESISVIDEO_FRAGMENT_NUMBERS", "ContactId", "",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        all.n = t.n = 0;
        put_tag(&all, others[i], "1", 1);
        put_element(&t, 0x7373, 2, all.bytes, all.n);
        CHECK(kvs_read_service_tags(flush(t.bytes, t.n), t.n, &out) == 0);
    }
    all.n = t.n = 0;
    put_element(&t, 0x7373, 2, all.bytes, 0);
    CHECK(kvs_read_service_tags(flush(t.bytes, t.n), t.n, &out) == 0);

    all.n = t.n = 0;
    put_tag(&all, "AWS_KINESISVIDEO_CONTINUATION_TOKEN", "token", 5);
    put_tag(&all, "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", "15858", 5);
    put_element(&t, 0x7373, 2, all.bytes, all.n);
    for (int round = 0; round < 200000; round++) {
        bad = t;
        for (uint64_t wounds = 1 + roll(3); wounds > 0; wounds--)
            bad.bytes[roll(bad.n)] = roll_byte();
        const uint8_t *p = flush(bad.bytes, bad.n);
        if (!kvs_read_service_tags(p, bad.n, &out))
            continue;
        for (int i = 0; i < KVS_TAG_COUNT; i++) {
            const kvs_text *value = &out.values[i];
            CHECK(!value->text || ((const uint8_t *)value->text >= p &&
                                   (const uint8_t *)value->text + value->length <= p + bad.n &&
                                   !memchr(value->text, 0, value->length)));
        }
    }
}

static void test_decimals(void)
{
    static const struct {
        const char *text;
        int digits, ok;
        int64_t value;
    } table[] = {
        {"1511852109.126", 3, 1, 1511852109126}, {"0", 3, 1, 0},       {"5", 0, 1, 5},
        {"-3.5", 3, 1, -3500},                   {" 7 ", 3, 1, 7000},  {"\t-12\t", 0, 1, -12},
        {"0.0009", 3, 1, 0},                     {"1.9999", 3, 1, 1999}, {"1.1", 1, 1, 11},
        {"999999999999999", 3, 1, 999999999999999000}, {"1000000000000000", 3, 0, 0},
        {"", 3, 0, 0},  {" ", 3, 0, 0}, {"-", 3, 0, 0},  {"+5", 3, 0, 0},  {".5", 3, 0, 0}, {"5.", 3, 0, 0},
        {"1e3", 3, 0, 0}, {"1.5", 0, 0, 0}, {"1.2.3", 3, 0, 0}, {"1 2", 3, 0, 0}, {"--1", 3, 0, 0}, {"0x1", 3, 0, 0},
        {"1.5-", 3, 0, 0}, {"- 1", 3, 0, 0}, {"1,5", 3, 0, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t n = strlen(table[i].text);
        int64_t value = 0;
        CHECK(kvs_decimal((const char *)flush(table[i].text, n), n, table[i].digits, &value) == table[i].ok);
        if (table[i].ok)
            CHECK(value == table[i].value);
    }
    for (int round = 0; round < 200000; round++) {
        static const char letters[] = "0123456789  .-\t0099";
        char data[24];
        size_t n = roll(sizeof data);
        int digits = (int)roll(4);
        int64_t value = INT64_MIN;
        for (size_t i = 0; i < n; i++)
            data[i] = letters[roll(sizeof letters - 1)];
        if (kvs_decimal((const char *)flush(data, n), n, digits, &value))
            CHECK(value > -1000000000000000000 && value < 1000000000000000000);
        else
            CHECK(value == INT64_MIN);
    }
}

/* -- http_chunk.h -- */

static void put_text(text *t, const char *s)
{
    put(t, s, strlen(s));
}

typedef struct {
    text payload;
    size_t used;
    int status;
    uint8_t state;
} decoded;

/* Decode wire[0..n) in the parts that `next` gives, each flush against the guard page and decoded in place. */
static void decode(const uint8_t *wire, size_t n, size_t first, size_t step, decoded *d)
{
    kvs_chunked c;
    memset(&c, 0, sizeof c);
    c.max_extension = 20;
    c.max_trailer = 40;
    c.max_overhead = 60;
    d->payload.n = d->used = 0;
    d->status = KVS_CHUNK_OK;
    size_t part = first;
    for (size_t at = 0; at < n; at += part, part = step) {
        if (at)
            part = step;
        if (part == 0 || part > n - at)
            part = n - at;
        uint8_t *p = flush(wire + at, part);
        size_t out = 0, used = 0;
        d->status = kvs_decode_chunked(&c, p, part, &out, &used);
        CHECK(out <= used && used <= part);
        put(&d->payload, p, out);
        d->used += used;
        if (d->status != KVS_CHUNK_OK || used < part)
            break;
    }
    d->state = c.state;
    CHECK(c.payload == d->payload.n);
}

static void check_same(const decoded *a, const decoded *b)
{
    CHECK(a->status == b->status && a->used == b->used && a->state == b->state);
    CHECK(a->payload.n == b->payload.n && memcmp(a->payload.bytes, b->payload.bytes, a->payload.n) == 0);
}

static void test_chunked(void)
{
    static const struct {
        const char *wire, *payload;
        int status;
        size_t used; /* 0: all */
    } table[] = {
        {"5\r\nmedia\r\n0\r\n\r\n", "media", KVS_CHUNK_OK, 0},
        {"5\r\nmedia\r\n3\r\nand\r\n1\r\n!\r\n0\r\n\r\n", "mediaand!", KVS_CHUNK_OK, 0},
        {"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n1\r\nd\r\n1\r\ne\r\n0\r\n\r\n", "abcde", KVS_CHUNK_OK, 0},
        {"0A\r\n0123456789\r\n00b\r\n0123456789a\r\n000\r\n\r\n", "01234567890123456789a", KVS_CHUNK_OK, 0},
        {"5;a=b\r\nmedia\r\n5 \t\r\nmedia\r\n0;x\r\nA: b\r\nC: d\r\n\r\n", "mediamedia", KVS_CHUNK_OK, 0},
        {"0\r\n\r\n", "", KVS_CHUNK_OK, 0},
        {"5\r\nmedia\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n", "media", KVS_CHUNK_OK, 15},
        {"5\r\nmedia\r\n0", "media", KVS_CHUNK_OK, 0},
        {"5\r\nmed", "med", KVS_CHUNK_OK, 0},
        {"x\r\n", "", KVS_CHUNK_BAD_SIZE, 1},
        {"5\nmedia", "", KVS_CHUNK_BAD_SIZE, 2},
        {"1000000000000000\r\n", "", KVS_CHUNK_BAD_SIZE, 16},
        {"5\r\r", "", KVS_CHUNK_BAD_LINE, 3},
        {"5;\x01\r\n", "", KVS_CHUNK_BAD_LINE, 3},
        {"5\r\nmediaX", "media", KVS_CHUNK_BAD_END, 9},
        {"5\r\nmedia\rX", "media", KVS_CHUNK_BAD_END, 10},
        {"5\r\nmedia\r\n-1\r\n", "media", KVS_CHUNK_BAD_SIZE, 11},
        {"5;012345678901234567890\r\n", "", KVS_CHUNK_LONG_EXTENSION, 22},
        {"0\r\nA: 0123456789012345678901234567890123456789\r\n\r\n", "", KVS_CHUNK_LONG_TRAILER, 44},
        {"1;aaaaaaaaaaaaaaa\r\nx\r\n1;aaaaaaaaaaaaaaa\r\nx\r\n"
         "1;aaaaaaaaaaaaaaa\r\nx\r\n1;aaaaaaaaaaaaaaa\r\nx\r\n",
         "xxx", KVS_CHUNK_OVERHEAD, 85},
    };
    static decoded whole, part;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const uint8_t *wire = (const uint8_t *)table[i].wire;
        size_t n = strlen(table[i].wire);
        decode(wire, n, n, n, &whole);
        CHECK(whole.status == table[i].status);
        /* `used` stops before the byte that is wrong; the table names the byte, counted from 1. */
        size_t used = table[i].used ? table[i].used - (table[i].status != KVS_CHUNK_OK) : n;
        CHECK(whole.used == used);
        CHECK(whole.payload.n == strlen(table[i].payload));
        CHECK(!memcmp(whole.payload.bytes, table[i].payload, whole.payload.n));
        for (size_t first = 1; first <= n; first++)
            for (size_t step = 1; step <= n; step++) {
                decode(wire, n, first, step, &part);
                check_same(&part, &whole);
            }
    }

    static text wire, sent;
    for (int round = 0; round < 3000; round++) { /* what was sent arrives, in whatever pieces */
        wire.n = sent.n = 0;
        for (uint64_t left = roll(20); left > 0; left--) {
            char line[24];
            size_t n = 1 + roll(roll(9) ? 40 : 5000);
            snprintf(line, sizeof line, roll(2) ? "%zx\r\n" : "%zX\r\n", n);
            put_text(&wire, line);
            for (size_t i = 0; i < n; i++) {
                uint8_t byte = roll(9) ? (uint8_t)roll(256) : (uint8_t)"\r\n0"[roll(3)];
                put(&wire, &byte, 1);
                put(&sent, &byte, 1);
            }
            put_text(&wire, "\r\n");
        }
        put_text(&wire, "0\r\n\r\n");
        decode(wire.bytes, wire.n, 1 + roll(wire.n), 1 + roll(roll(2) ? 30 : 9000), &part);
        CHECK(part.status == KVS_CHUNK_OK && part.state == KVS_IN_END && part.used == wire.n);
        CHECK(part.payload.n == sent.n && !memcmp(part.payload.bytes, sent.bytes, sent.n));
    }
    for (int round = 0; round < 200000; round++) { /* what is no such body is refused at the same byte, however cut */
        static const char letters[] = "\r\n\r\n\r\n0012345aF; xX:\x01\x7f";
        static const char *const good[] = {"1\r\na\r\n", "3\r\nabc\r\n", "0\r\n", "\r\n", "2;e\r\nab\r\n"};
        wire.n = 0;
        for (uint64_t left = roll(40); left > 0; left--)
            if (roll(4))
                put_text(&wire, good[roll(5)]);
            else
                put(&wire, &letters[roll(sizeof letters - 1)], 1);
        decode(wire.bytes, wire.n, wire.n, wire.n, &whole);
        decode(wire.bytes, wire.n, 1 + roll(wire.n + 1), 1 + roll(9), &part);
        check_same(&part, &whole);
    }
}

static void test_random_headers(void)
{
    for (int round = 0; round < 300000; round++) {
        uint8_t data[KVS_MAX_HEADER];
        kvs_header h = {0}, longer = {0};
        kvs_prefix prefix = {0};
        size_t n = roll(sizeof data + 1);
        for (size_t i = 0; i < sizeof data; i++)
            data[i] = roll_byte();
        int got = kvs_read_header(flush(data, n), n, UINT64_MAX, &h);
        CHECK(got != KVS_NO_ROOM && got <= (int)n);
        int all = kvs_read_header(flush(data, sizeof data), sizeof data, UINT64_MAX, &longer);
        if (got != KVS_NEED_MORE) /* what a cut header shows, the whole one shows too */
            CHECK(got == all && (got < 0 || (h.id == longer.id && h.size == longer.size)));
        (void)kvs_read_prefix(flush(data, n), n, &prefix);
    }
}

/* -- digests -- */

/* Every size reads inside its bytes; where all are looked at, each byte counts; so do size and seed. */
static void test_digests(void)
{
    static uint8_t data[3 * KVS_DIGEST_WHOLE];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)roll(256);
    for (size_t n = 0; n <= sizeof data; n++) {
        uint8_t *p = flush(data, n);
        const uint64_t whole = kvs_digest(p, n, 7);
        CHECK(whole == kvs_digest(p, n, 7));
        CHECK(whole != kvs_digest(p, n, 8));
        if (n)
            CHECK(whole != kvs_digest(p, n - 1, 7));
        for (size_t i = 0; i < n && n <= KVS_DIGEST_WHOLE; i += 1 + n / 16) {
            p[i] ^= 1;
            CHECK(whole != kvs_digest(p, n, 7));
            p[i] ^= 1;
        }
        for (size_t i = 0; i < n && i < KVS_DIGEST_SAMPLE; i++) {
            p[n - 1 - i] ^= 0x80;
            CHECK(whole != kvs_digest(p, n, 7));
            p[n - 1 - i] ^= 0x80;
        }
    }
}

int main(void)
{
    make_guard();
    test_headers();
    test_random_headers();
    test_values();
    test_elements();
    test_prefixes();
    test_laces();
    test_scan();
    test_service_tags();
    test_decimals();
    test_chunked();
    test_digests();
    printf("%lu checks\n", checks);
    return 0;
}
