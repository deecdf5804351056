/* A digest of a frame's payload, to tell whether a frame that came again is the one that was handed over.
 *
 * Not cryptographic. Up to KVS_DIGEST_WHOLE bytes all are looked at; of a larger payload its first and last
 * bytes and samples at even distances between, so that the cost does not grow with the frame: the payload of
 * different frames, being compressed, differs everywhere. (Lanes of multiply and rotate, then a final mix.)
 */
#ifndef KVSFAST_DIGEST_H
#define KVSFAST_DIGEST_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    KVS_DIGEST_WHOLE = 1024,
    KVS_DIGEST_SAMPLE = 32, /* bytes: one word for each lane */
    KVS_DIGEST_SAMPLES = 24
};

static const uint64_t KVS_MIX_1 = 0x9E3779B185EBCA87u;
static const uint64_t KVS_MIX_2 = 0xC2B2AE3D27D4EB4Fu;

static inline uint64_t kvs_rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

/* KVS_DIGEST_SAMPLE bytes into the four lanes. */
static inline void kvs_digest_take(uint64_t lanes[4], const uint8_t *p)
{
    uint64_t words[4];
    memcpy(words, p, sizeof words);
    for (int i = 0; i < 4; i++)
        lanes[i] = kvs_rotate(lanes[i] + words[i] * KVS_MIX_2, 31) * KVS_MIX_1;
}

static inline uint64_t kvs_digest(const uint8_t *p, size_t n, uint64_t seed)
{
    uint64_t lanes[4] = {seed + KVS_MIX_1, seed ^ KVS_MIX_2, seed, seed - KVS_MIX_1};
    uint8_t tail[KVS_DIGEST_SAMPLE] = {0};
    uint64_t mixed = (uint64_t)n;
    size_t at = 0;
    if (n <= KVS_DIGEST_WHOLE) {
        for (; n - at >= KVS_DIGEST_SAMPLE; at += KVS_DIGEST_SAMPLE)
            kvs_digest_take(lanes, p + at);
        if (n > at)
            memcpy(tail, p + at, n - at);
        kvs_digest_take(lanes, tail);
    } else {
        const size_t step = (n - KVS_DIGEST_SAMPLE) / (KVS_DIGEST_SAMPLES - 1);
        for (int i = 0; i < KVS_DIGEST_SAMPLES - 1; i++)
            kvs_digest_take(lanes, p + (size_t)i * step);
        kvs_digest_take(lanes, p + n - KVS_DIGEST_SAMPLE);
    }
    for (int i = 0; i < 4; i++)
        mixed = (kvs_rotate(mixed ^ lanes[i], 27) + KVS_MIX_2) * KVS_MIX_1;
    mixed = (mixed ^ mixed >> 33) * KVS_MIX_2;
    mixed = (mixed ^ mixed >> 29) * KVS_MIX_1;
    return mixed ^ mixed >> 32;
}

#endif
