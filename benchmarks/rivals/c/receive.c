/* The least a client in C can do: recv, or SSL_read, over a ring of 1 MiB. HTTP framing stays in, nothing is looked at.
 * Over TLS with read-ahead, so that a system call brings more than a record.
 */
#define _GNU_SOURCE

#include <netdb.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "job.h"

enum { RING = 1 << 20 };

typedef struct {
    int socket;
    SSL *ssl; /* NULL over plain TCP */
} connection;

static size_t receive(connection *c, void *buffer, size_t size)
{
    long got = c->ssl ? SSL_read(c->ssl, buffer, (int)size) : (long)recv(c->socket, buffer, size, 0);
    if (got <= 0)
        job_fail("the body ended early");
    return (size_t)got;
}

static void send_all(connection *c, const char *data, size_t size)
{
    while (size) {
        long sent = c->ssl ? SSL_write(c->ssl, data, (int)size) : (long)send(c->socket, data, size, 0);
        if (sent <= 0)
            job_fail("could not send");
        data += sent;
        size -= (size_t)sent;
    }
}

static void open_connection(connection *c, const char *host, const char *port, const char *ca)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    if (getaddrinfo(host, port, &hints, &found))
        job_fail("no such host");
    c->socket = socket(found->ai_family, SOCK_STREAM, 0);
    if (c->socket < 0 || connect(c->socket, found->ai_addr, found->ai_addrlen))
        job_fail("could not connect");
    freeaddrinfo(found);
    c->ssl = NULL;
    if (!ca)
        return;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context || !SSL_CTX_load_verify_locations(context, ca, NULL))
        job_fail("no authority");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, 2 * JOB_WINDOW);
    c->ssl = SSL_new(context);
    if (!c->ssl || !SSL_set1_host(c->ssl, host) || !SSL_set_fd(c->ssl, c->socket) || SSL_connect(c->ssl) != 1) {
        ERR_print_errors_fp(stderr);
        job_fail("no TLS");
    }
}

int main(int argc, char **argv)
{
    static job_t job;
    job_read(&job, argc, argv);
    char host[256], port[16], path[256];
    if (sscanf(job.url, "%*[a-z]://%255[^:/]:%15[0-9]%255s", host, port, path) != 3)
        job_fail("bad URL");
    char *ring = malloc(RING);
    if (!ring)
        job_fail("no memory");
    memset(ring, 0, RING);

    meter_t meter;
    meter_ask(&meter);
    connection c;
    open_connection(&c, host, port, job.ca);
    char head[8192];
    int size = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: %s:%s\r\nContent-Length: %zu\r\n", path, host, port,
                        strlen(job.body));
    for (size_t at = 0; at < job.header_count; at++)
        size += snprintf(head + size, sizeof head - (size_t)size, "%s\r\n", job.headers[at]);
    size += snprintf(head + size, sizeof head - (size_t)size, "\r\n%s", job.body);
    send_all(&c, head, (size_t)size);
    size_t received = 0;
    char *end = NULL;
    while (!end) {
        if (received == sizeof head - 1)
            job_fail("a long head");
        received += receive(&c, head + received, sizeof head - 1 - received);
        head[received] = 0;
        end = strstr(head, "\r\n\r\n");
    }
    if (strncmp(head, "HTTP/1.1 200", 12))
        job_fail(head);

    int64_t left = (int64_t)job.wire_bytes - (int64_t)(received - (size_t)(end + 4 - head));
    meter_begin(&meter);
    for (size_t at = 0; left > 0; at = (at + JOB_WINDOW) % RING) {
        left -= (int64_t)receive(&c, ring + at, left < JOB_WINDOW ? (size_t)left : JOB_WINDOW);
        meter_first(&meter);
    }
    meter_end(&meter, (uint64_t)((int64_t)job.wire_bytes - left), NULL);
    return 0;
}
