/* The floor of many streams in one process: epoll, and what comes is received into one buffer and forgotten.
 *
 * fleet PORT STREAMS SECONDS CA; CA is "-" over plain TCP. Over TLS it is SSL_read with read-ahead, so that a system call
 * brings more than a record, and buffers that are given back while a stream is idle. As fleet.py's readers do, it opens
 * every stream on 127.0.0.1, measures from the moment when each has given something, and prints what it measured as JSON.
 */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "timing.h"

enum { EVENTS = 1024 };

static const char REQUEST[] = "POST /getMedia HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}";

typedef struct {
    int socket;
    SSL *ssl; /* NULL over plain TCP */
    uint64_t received, before;
} stream;

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static SSL_CTX *make_context(const char *ca)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context || !SSL_CTX_load_verify_locations(context, ca, NULL))
        fail("no authority");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, WINDOW);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    return context;
}

static void open_stream(stream *s, int port, SSL_CTX *context)
{
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (s->socket < 0 || connect(s->socket, (struct sockaddr *)&peer, sizeof peer))
        fail("could not connect");
    if (context) {
        s->ssl = SSL_new(context);
        if (!s->ssl || !SSL_set1_host(s->ssl, "127.0.0.1") || !SSL_set_fd(s->ssl, s->socket) || SSL_connect(s->ssl) != 1)
            fail("no TLS");
    }
    long size = (long)sizeof REQUEST - 1;
    if ((s->ssl ? SSL_write(s->ssl, REQUEST, (int)size) : send(s->socket, REQUEST, (size_t)size, 0)) != size)
        fail("could not send");
    if (fcntl(s->socket, F_SETFL, O_NONBLOCK))
        fail("fcntl");
}

/* What is there, as far as a turn goes: over TCP one receive, over TLS the records that it brought. */
static void receive(stream *s, char *buffer)
{
    if (!s->ssl) {
        ssize_t got = recv(s->socket, buffer, WINDOW, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            fail("the body ended early");
        s->received += got > 0 ? (uint64_t)got : 0;
        return;
    }
    int got;
    do {
        got = SSL_read(s->ssl, buffer, WINDOW);
        if (got <= 0 && SSL_get_error(s->ssl, got) != SSL_ERROR_WANT_READ)
            fail("the body ended early");
        s->received += got > 0 ? (uint64_t)got : 0;
    } while (got > 0 && SSL_has_pending(s->ssl));
}

static double wall_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static unsigned long long peak_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long kib = 0;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib * 1024;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return fprintf(stderr, "usage: fleet PORT STREAMS SECONDS CA\n"), 2;
    int port = atoi(argv[1]), count = atoi(argv[2]), missing = count;
    double seconds = atof(argv[3]), began = 0, cpu = 0, wall = 0;
    SSL_CTX *context = strcmp(argv[4], "-") ? make_context(argv[4]) : NULL;
    stream *streams = calloc((size_t)count, sizeof *streams);
    char *buffer = malloc(WINDOW);
    int poll = epoll_create1(0);
    if (!streams || !buffer || poll < 0)
        fail("no memory");
    for (int i = 0; i < count; i++) {
        open_stream(&streams[i], port, context);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &streams[i]};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, streams[i].socket, &event))
            fail("epoll_ctl");
    }
    while (missing || wall < seconds) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            stream *s = events[i].data.ptr;
            int is_first = s->received == 0;
            receive(s, buffer);
            missing -= is_first && s->received;
        }
        double now = wall_seconds();
        if (missing)
            continue;
        if (!began) {
            began = now;
            cpu = cpu_seconds();
            for (int i = 0; i < count; i++)
                streams[i].before = streams[i].received;
        }
        wall = now - began;
    }
    cpu = cpu_seconds() - cpu;
    printf("{\"cpu_s\": %.6f, \"wall_s\": %.6f, \"peak_bytes\": %llu, \"read_bytes\": [", cpu, wall, peak_bytes());
    for (int i = 0; i < count; i++)
        printf("%s%llu", i ? ", " : "", (unsigned long long)(streams[i].received - streams[i].before));
    printf("]}\n");
    return 0;
}
