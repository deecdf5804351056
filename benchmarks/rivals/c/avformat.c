/* libavformat with its own HTTP client, packets as it gives them: AVFORMAT ... as in job.h, or
 * AVFORMAT memory FILE ROUNDS. Nothing is probed for codecs, nothing decoded.
 */
#include <libavformat/avformat.h>
#include <libavutil/log.h>

#include "../../c/timing.h"
#include "job.h"

enum { SMALL_BUFFER = 65536 };

/* Reads `frames` of them, or all. */
static sums_t read_frames(AVFormatContext *context, uint64_t frames, meter_t *meter)
{
    sums_t sums = {0};
    AVPacket *packet = av_packet_alloc();
    while (sums.frames < frames && av_read_frame(context, packet) >= 0) {
        if (meter)
            meter_first(meter);
        AVRational base = context->streams[packet->stream_index]->time_base;
        int64_t time_ns = av_rescale_q(packet->pts, base, (AVRational){1, 1000000000});
        sums_add(&sums, time_ns, packet->data, (size_t)packet->size);
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    return sums;
}

static AVFormatContext *plain_context(void)
{
    AVFormatContext *context = avformat_alloc_context();
    context->flags |= AVFMT_FLAG_NOPARSE | AVFMT_FLAG_NOFILLIN;
    return context;
}

typedef struct {
    const uint8_t *data;
    size_t left;
} window;

static int read_memory(void *opaque, uint8_t *buffer, int size)
{
    window *w = opaque;
    size_t take = w->left < (size_t)size ? w->left : (size_t)size;
    if (!take)
        return AVERROR_EOF;
    memcpy(buffer, w->data, take);
    w->data += take;
    w->left -= take;
    return (int)take;
}

static sums_t read_file_frames(const uint8_t *media, size_t size)
{
    window w = {media, size};
    AVFormatContext *context = plain_context();
    context->pb = avio_alloc_context(av_malloc(SMALL_BUFFER), SMALL_BUFFER, 0, &w, read_memory, NULL, NULL);
    if (avformat_open_input(&context, NULL, av_find_input_format("matroska"), NULL))
        job_fail("libavformat refuses the media");
    AVIOContext *io = context->pb;
    sums_t sums = read_frames(context, UINT64_MAX, NULL);
    avformat_close_input(&context);
    av_freep(&io->buffer);
    avio_context_free(&io);
    return sums;
}

static void memory(const char *path, int rounds)
{
    size_t size;
    const uint8_t *media = read_file(path, &size);
    double *seconds = malloc((size_t)rounds * sizeof *seconds);
    sums_t sums = {0};
    for (int round = 0; round < rounds; round++) {
        double began = cpu_seconds();
        sums = read_file_frames(media, size);
        seconds[round] = cpu_seconds() - began;
    }
    printf("{\"sums\": ");
    sums_print(&sums);
    printf(", ");
    print_seconds("seconds", seconds, rounds);
    printf("}\n");
}

int main(int argc, char **argv)
{
    av_log_set_level(AV_LOG_FATAL); /* it complains of each new document */
    if (argc == 4 && !strcmp(argv[1], "memory")) {
        memory(argv[2], atoi(argv[3]));
        return 0;
    }
    static job_t job;
    job_read(&job, argc, argv);
    meter_t meter;
    meter_ask(&meter);
    static char headers[sizeof job.text], body[2 * sizeof job.text];
    for (size_t at = 0; at < job.header_count; at++)
        sprintf(headers + strlen(headers), "%s\r\n", job.headers[at]);
    for (const char *c = job.body; *c; c++)
        sprintf(body + strlen(body), "%02x", (unsigned char)*c);
    AVDictionary *options = NULL;
    av_dict_set(&options, "headers", headers, 0);
    av_dict_set(&options, "post_data", body, 0); /* in hexadecimal */
    av_dict_set(&options, "multiple_requests", "0", 0);
    av_dict_set(&options, "seekable", "0", 0);
    if (job.ca) {
        av_dict_set(&options, "ca_file", job.ca, 0);
        av_dict_set(&options, "tls_verify", "1", 0);
    }
    AVFormatContext *context = plain_context();
    int status = avformat_open_input(&context, job.url, av_find_input_format("matroska"), &options);
    if (status) {
        fprintf(stderr, "%s\n", av_err2str(status));
        job_fail("libavformat refuses the stream");
    }
    meter_begin(&meter);
    sums_t sums = read_frames(context, job.frames, &meter);
    meter_end(&meter, job.media_bytes, &sums);
    return 0;
}
