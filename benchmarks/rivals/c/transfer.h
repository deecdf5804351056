/* A GetMedia call by libcurl: what a program in C or C++ would take. */
#ifndef RIVALS_TRANSFER_H
#define RIVALS_TRANSFER_H

#include <curl/curl.h>

#include "job.h"

/* Runs until `write` takes less than it is given, which ends the transfer. */
static inline void transfer(const job_t *job, curl_write_callback write, void *user)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    for (size_t at = 0; at < job->header_count; at++)
        headers = curl_slist_append(headers, job->headers[at]);
    curl_easy_setopt(curl, CURLOPT_URL, job->url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, job->body);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)JOB_WINDOW);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, write);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, user);
    if (job->ca)
        curl_easy_setopt(curl, CURLOPT_CAINFO, job->ca);
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_WRITE_ERROR)
        job_fail(curl_easy_strerror(code));
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
}

#endif
