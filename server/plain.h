/* A refusal written to the socket as it is: for requests whose head leaves the HTTP library no memory to answer in. */
#ifndef HF_SERVER_PLAIN_H
#define HF_SERVER_PLAIN_H

#include "server/exchange.h"

/* The answer of a settled exchange, small enough for any socket buffer; the connection is to be closed then. False: it
 * did not go out whole. Never blocks. */
bool hf_plain_send(int fd, const struct hf_exchange *exchange, const char *reason_phrase);

#endif
