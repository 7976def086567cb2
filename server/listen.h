/* Listening sockets: one address, one socket a loop, the port shared with SO_REUSEPORT. */
#ifndef HF_SERVER_LISTEN_H
#define HF_SERVER_LISTEN_H

#include "core/error.h"

#include <sys/socket.h>

struct hf_listen_address {
    struct sockaddr_storage address;
    socklen_t bytes;
};

/* The first address that "host:port" stands for. HF_CONFIG. May ask the resolver: only at start. */
HF_MUST_USE bool hf_listen_resolve(const char *listen, struct hf_listen_address *out, struct hf_error *err);
bool hf_listen_is_loopback(const struct hf_listen_address *address);
bool hf_listen_is_ipv6(const struct hf_listen_address *address);
int hf_listen_port(const struct hf_listen_address *address);

/* Opens count listening sockets into fds (owns: close them). Port 0 is replaced in address by the port found. HF_CONFIG
 * when the address is in use or not this machine's. On failure none is left open. */
HF_MUST_USE bool hf_listen_open(struct hf_listen_address *address, int fds[], int count, struct hf_error *err);

#endif
