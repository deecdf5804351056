/* libcurl, throwing away: each HTTP chunk comes to the callback, which counts. */
#include "transfer.h"

typedef struct {
    meter_t meter;
    uint64_t read, goal;
} state;

static size_t discard(char *data, size_t size, size_t count, void *user)
{
    state *s = user;
    (void)data;
    if (!s->read) /* measured from the first bytes on, as those are that open the body first */
        meter_begin(&s->meter), meter_first(&s->meter);
    s->read += size * count;
    return s->read < s->goal ? size * count : 0;
}

int main(int argc, char **argv)
{
    static job_t job;
    job_read(&job, argc, argv);
    state s = {.goal = job.media_bytes};
    meter_ask(&s.meter);
    transfer(&job, discard, &s);
    meter_end(&s.meter, s.read, NULL);
    return 0;
}
