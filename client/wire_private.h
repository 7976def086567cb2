/* What wire.c (handles, sending) and wire_answer.c (what comes back) share. */
#ifndef HF_CLIENT_WIRE_PRIVATE_H
#define HF_CLIENT_WIRE_PRIVATE_H

#include "client/wire.h"

#include <curl/curl.h>

enum exchange_end {
    EXCHANGE_OPEN,
    EXCHANGE_REFUSED,   /* a callback of the caller ended it */
    EXCHANGE_TOO_LARGE, /* for answer_bytes_max */
    EXCHANGE_NO_MEMORY,
    EXCHANGE_CANCELLED,
    EXCHANGE_IDLE, /* no byte moved for idle_ms */
};

/* One request on its way. */
struct exchange {
    CURL *easy;
    const struct hf_wire_request *request;
    struct hf_wire_answer *answer;
    enum exchange_end end;
    int begun;          /* how often it was sent, at least in part */
    int64_t head_bytes; /* received */
    int64_t body_bytes; /* received */
};

/* Callbacks of libcurl; userdata is the exchange. */
size_t hf_wire_take_header(char *data, size_t size, size_t count, void *userdata);
size_t hf_wire_take_body(char *data, size_t size, size_t count, void *userdata);
size_t hf_wire_give_body(char *to, size_t size, size_t count, void *userdata);

#endif
