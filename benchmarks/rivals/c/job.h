/* What a rival in C is told and tells, as in job.py but by the launcher (contenders/native.py), which has signed the
 * request: PROGRAM URL CA MEDIA_BYTES WIRE_BYTES FRAMES < HEAD. HEAD: lines "Name: value", an empty one, the body. CA is
 * "-" over plain TCP. The outcome goes to stdout as JSON.
 */
#ifndef RIVALS_JOB_H
#define RIVALS_JOB_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { JOB_WINDOW = 65536, JOB_MOST_HEADERS = 32 };

typedef struct {
    const char *url, *ca; /* ca: NULL over plain TCP */
    uint64_t media_bytes, wire_bytes, frames;
    char *headers[JOB_MOST_HEADERS]; /* lines without their end */
    size_t header_count;
    char *body;
    char text[8192]; /* of HEAD */
} job_t;

typedef struct {
    uint64_t frames, bytes;
    int64_t time_ns;
    uint64_t edges;
} sums_t;

typedef struct {
    double asked, first, began, cpu;
    uint64_t base;
} meter_t;

static inline void job_fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline void job_read(job_t *job, int argc, char **argv)
{
    if (argc != 6)
        job_fail("usage: PROGRAM URL CA MEDIA_BYTES WIRE_BYTES FRAMES < HEAD");
    job->url = argv[1];
    job->ca = strcmp(argv[2], "-") ? argv[2] : NULL;
    job->media_bytes = strtoull(argv[3], NULL, 10);
    job->wire_bytes = strtoull(argv[4], NULL, 10);
    job->frames = strtoull(argv[5], NULL, 10);
    size_t size = fread(job->text, 1, sizeof job->text - 1, stdin);
    job->text[size] = 0;
    job->header_count = 0;
    char *line = job->text;
    for (;;) {
        char *end = strchr(line, '\n');
        if (!end || job->header_count == JOB_MOST_HEADERS)
            job_fail("bad head");
        *end = 0;
        if (!*line) {
            job->body = end + 1;
            return;
        }
        job->headers[job->header_count++] = line;
        line = end + 1;
    }
}

static inline double job_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* User and system time, as getrusage counts it. */
static inline double job_cpu(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static inline uint64_t job_resident(const char *field)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long kib = 0;
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, field, strlen(field)))
            sscanf(line + strlen(field), "%llu", &kib);
    if (file)
        fclose(file);
    return kib * 1024;
}

static inline void meter_ask(meter_t *meter)
{
    meter->asked = job_clock(CLOCK_MONOTONIC);
    meter->first = 0;
}

static inline void meter_begin(meter_t *meter)
{
    FILE *file = fopen("/proc/self/clear_refs", "w"); /* forget the peak of before, see proc(5) */
    if (file) {
        fputs("5", file);
        fclose(file);
    }
    meter->base = job_resident("VmRSS:");
    meter->began = job_clock(CLOCK_MONOTONIC);
    meter->cpu = job_cpu();
}

static inline void meter_first(meter_t *meter)
{
    if (!meter->first)
        meter->first = job_clock(CLOCK_MONOTONIC) - meter->asked;
}

static inline void sums_add(sums_t *sums, int64_t time_ns, const uint8_t *data, size_t size)
{
    sums->frames++;
    sums->bytes += size;
    sums->time_ns += time_ns;
    sums->edges += (uint64_t)data[0] + data[size - 1];
}

static inline void sums_print(const sums_t *sums)
{
    printf("{\"frames\": %llu, \"bytes\": %llu, \"time_ns\": %lld, \"edges\": %llu}", (unsigned long long)sums->frames,
           (unsigned long long)sums->bytes, (long long)sums->time_ns, (unsigned long long)sums->edges);
}

/* sums: NULL of those that do not parse. */
static inline void meter_end(meter_t *meter, uint64_t read_bytes, const sums_t *sums)
{
    double cpu = job_cpu() - meter->cpu, wall = job_clock(CLOCK_MONOTONIC) - meter->began;
    printf("{\"cpu_s\": %.6f, \"wall_s\": %.6f, \"first_s\": %.6f, \"base_bytes\": %llu, \"peak_bytes\": %llu, "
           "\"read_bytes\": %llu, \"sums\": ",
           cpu, wall, meter->first, (unsigned long long)meter->base, (unsigned long long)job_resident("VmHWM:"),
           (unsigned long long)read_bytes);
    if (sums)
        sums_print(sums);
    else
        printf("null");
    printf("}\n");
}

#endif
