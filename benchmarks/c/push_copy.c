/* The floor of parsing in memory: a push parser that copies every frame's payload out, and nothing else.
 *
 * push_copy FILE ROUNDS. The file is a stream of EBML documents; it is pushed in windows of 64 KiB. All masters are
 * walked into, with a stack of levels, unknown sizes and bounds; payload goes to a ring of 4 MiB as it comes, as
 * one that hands out frames would have it. No lacing, no content encodings, no limits, no Python.
 */
#define _POSIX_C_SOURCE 199309L

#include "block.h"
#include "ebml.h"
#include "elements.h"
#include "timing.h"

enum { MAX_DEPTH = 16, SLAB = 4 << 20, MOST_HEAD = 24 }; /* ID, size and block prefix: 4 + 8 + 11 */

typedef struct {
    uint64_t end; /* KVS_UNKNOWN_SIZE: to the first element that cannot be a child */
    kvs_element element;
} level;

typedef struct {
    uint64_t at;   /* position of the next byte to be looked at */
    uint64_t skip; /* bytes of a leaf that nobody wants */
    uint64_t copy; /* bytes of a frame that are still to come */
    uint8_t carry[MOST_HEAD];
    size_t carried;
    level stack[MAX_DEPTH + 1];
    int depth;
    int64_t cluster_ms;
    uint8_t *slab;
    size_t slab_at, frame_at;
    int64_t frame_ms;
    uint64_t frames, bytes, edges;
    int64_t time_ns;
} parser;

static void fail(const parser *p, const char *what)
{
    fprintf(stderr, "%s at byte %llu\n", what, (unsigned long long)p->at);
    exit(1);
}

static void end_frame(parser *p)
{
    size_t size = p->slab_at - p->frame_at;
    p->frames++;
    p->bytes += size;
    p->time_ns += p->frame_ms * 1000000;
    if (size)
        p->edges += (uint64_t)p->slab[p->frame_at] + p->slab[p->slab_at - 1];
}

/* One element header, with what a block or a Timestamp has behind it. Returns the bytes taken, or 0 for more. */
static size_t begin_element(parser *p, const uint8_t *data, size_t n)
{
    kvs_header h;
    int status = kvs_read_header(data, n, UINT64_MAX, &h);
    if (status < 0)
        fail(p, "no element");
    if (status == 0)
        return 0;
    while (p->depth && p->at >= p->stack[p->depth].end)
        p->depth--;
    kvs_element element = kvs_find_element(h.id);
    while (p->depth && !kvs_is_child(element, p->stack[p->depth].element)) {
        if (p->stack[p->depth].end != KVS_UNKNOWN_SIZE)
            fail(p, "misplaced element");
        p->depth--;
    }
    uint64_t parent_end = p->stack[p->depth].end;
    uint64_t body = p->at + h.length;
    if (h.size != KVS_UNKNOWN_SIZE && h.size > parent_end - body)
        fail(p, "element beyond its parent");
    size_t taken = h.length;
    if (kvs_elements[element].type == KVS_MASTER) {
        if (p->depth == MAX_DEPTH)
            fail(p, "nested too deep");
        p->depth++;
        p->stack[p->depth].element = element;
        p->stack[p->depth].end = h.size == KVS_UNKNOWN_SIZE ? parent_end : body + h.size;
    } else if (h.size == KVS_UNKNOWN_SIZE) {
        fail(p, "leaf of unknown size");
    } else if (element == KVS_SimpleBlock) {
        kvs_prefix prefix;
        size_t left = n - h.length < h.size ? n - h.length : (size_t)h.size;
        if (kvs_read_prefix(data + h.length, left, &prefix) < 0) {
            if (left < h.size)
                return 0;
            fail(p, "short block");
        }
        if (h.size > SLAB)
            fail(p, "frame larger than the slab");
        p->copy = h.size - prefix.length;
        if (p->slab_at + p->copy > SLAB)
            p->slab_at = 0;
        p->frame_at = p->slab_at;
        p->frame_ms = p->cluster_ms + prefix.time;
        taken += prefix.length;
        if (!p->copy)
            end_frame(p);
    } else if (element == KVS_Timestamp && h.size <= 8) {
        if (n - h.length < h.size)
            return 0;
        p->cluster_ms = (int64_t)kvs_uint(data + h.length, (size_t)h.size);
        taken += (size_t)h.size;
    } else {
        p->skip = h.size;
    }
    p->at += taken;
    return taken;
}

static void push(parser *p, const uint8_t *data, size_t n)
{
    const uint8_t *end = data + n;
    while (data < end) {
        size_t here = (size_t)(end - data);
        if (p->copy) {
            size_t take = p->copy < here ? (size_t)p->copy : here;
            memcpy(p->slab + p->slab_at, data, take);
            p->slab_at += take;
            p->copy -= take;
            p->at += take;
            data += take;
            if (!p->copy)
                end_frame(p);
        } else if (p->skip) {
            size_t take = p->skip < here ? (size_t)p->skip : here;
            p->skip -= take;
            p->at += take;
            data += take;
        } else if (!p->carried) {
            size_t taken = begin_element(p, data, here);
            if (!taken) {
                memcpy(p->carry, data, here);
                p->carried = here;
                return;
            }
            data += taken;
        } else { /* a head that the windows' border cut: what was not needed of this window is given back */
            size_t take = MOST_HEAD - p->carried < here ? MOST_HEAD - p->carried : here;
            memcpy(p->carry + p->carried, data, take);
            size_t taken = begin_element(p, p->carry, p->carried + take);
            if (!taken) {
                p->carried += take;
                return;
            }
            data += taken - p->carried;
            p->carried = 0;
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return fprintf(stderr, "usage: push_copy FILE ROUNDS\n"), 2;
    size_t size;
    const uint8_t *media = read_file(argv[1], &size);
    int rounds = atoi(argv[2]);
    double *seconds = malloc((size_t)rounds * sizeof *seconds);
    uint8_t *slab = malloc(SLAB);
    if (!seconds || !slab)
        return 1;
    memset(slab, 0, SLAB);
    parser p = {0};
    for (int i = 0; i < rounds; i++) {
        double began = cpu_seconds();
        memset(&p, 0, sizeof p);
        p.slab = slab;
        p.stack[0].element = KVS_ROOT;
        p.stack[0].end = KVS_UNKNOWN_SIZE;
        for (size_t at = 0; at < size; at += WINDOW)
            push(&p, media + at, size - at < WINDOW ? size - at : WINDOW);
        seconds[i] = cpu_seconds() - began;
    }
    printf("{\"sums\": {\"frames\": %llu, \"bytes\": %llu, \"time_ns\": %lld, \"edges\": %llu}, ",
           (unsigned long long)p.frames, (unsigned long long)p.bytes, (long long)p.time_ns,
           (unsigned long long)p.edges);
    print_seconds("seconds", seconds, rounds);
    printf("}\n");
    return 0;
}
