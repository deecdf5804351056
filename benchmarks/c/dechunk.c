/* The floor of HTTP chunked decoding: a plain loop that strips framing in place and trusts every byte of it.
 *
 * dechunk FILE ROUNDS. The file is a chunked body. As after a receive, each window of 64 KiB is first copied to where
 * it is decoded; how long that takes alone is told apart.
 */
#define _POSIX_C_SOURCE 199309L

#include <string.h>

#include "timing.h"

typedef struct {
    uint64_t remaining, size;
    int in_size; /* digits of a size line were seen */
} decoder;

static size_t decode(decoder *d, uint8_t *buf, size_t n)
{
    uint8_t *dst = buf;
    const uint8_t *src = buf, *end = buf + n;
    while (src < end) {
        if (d->remaining) {
            size_t here = (size_t)(end - src);
            size_t take = d->remaining < here ? (size_t)d->remaining : here;
            memmove(dst, src, take);
            dst += take;
            src += take;
            d->remaining -= take;
            continue;
        }
        uint8_t c = *src++;
        if (c == '\n') {
            if (d->in_size) {
                d->remaining = d->size;
                d->size = 0;
                d->in_size = 0;
            }
        } else if (c != '\r') {
            d->size = d->size << 4 | (uint64_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
            d->in_size = 1;
        }
    }
    return (size_t)(dst - buf);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return fprintf(stderr, "usage: dechunk FILE ROUNDS\n"), 2;
    size_t size;
    const uint8_t *wire = read_file(argv[1], &size);
    int rounds = atoi(argv[2]);
    double *seconds = malloc((size_t)rounds * sizeof *seconds), *copying = malloc((size_t)rounds * sizeof *copying);
    uint8_t *window = malloc(WINDOW);
    if (!seconds || !copying || !window)
        return 1;
    uint64_t payload = 0, check = 0;
    for (int i = 0; i < rounds; i++) {
        double began = cpu_seconds();
        for (size_t at = 0; at < size; at += WINDOW) {
            memcpy(window, wire + at, size - at < WINDOW ? size - at : WINDOW);
            check += window[at % WINDOW];
        }
        copying[i] = cpu_seconds() - began;
        decoder d = {0};
        payload = 0;
        began = cpu_seconds();
        for (size_t at = 0; at < size; at += WINDOW) {
            size_t n = size - at < WINDOW ? size - at : WINDOW;
            memcpy(window, wire + at, n);
            payload += decode(&d, window, n);
            check += window[at % WINDOW];
        }
        seconds[i] = cpu_seconds() - began;
    }
    printf("{\"payload\": %llu, \"check\": %llu, ", (unsigned long long)payload, (unsigned long long)check);
    print_seconds("seconds", seconds, rounds);
    printf(", ");
    print_seconds("copying", copying, rounds);
    printf("}\n");
    return 0;
}
