#include "server/listen.h"

#include "core/auto.h"
#include "core/config.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool address_is_free(const struct hf_listen_address *address, struct hf_error *err);
static bool open_one(struct hf_listen_address *address, int *fd_out, struct hf_error *err);
static bool bind_failed(const struct hf_listen_address *address, int error_number, struct hf_error *err);

bool hf_listen_resolve(const char *listen, struct hf_listen_address *out, struct hf_error *err)
{
    char host[256];
    char service[8];
    int port;
    if (!hf_config_listen_split(listen, host, &port, err))
        return false;
    snprintf(service, sizeof(service), "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, service, &hints, &found);
    if (failed)
        return hf_error_set(err, HF_CONFIG, "cannot listen on %s: %s", listen, gai_strerror(failed));
    memcpy(&out->address, found->ai_addr, found->ai_addrlen);
    out->bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

bool hf_listen_is_ipv6(const struct hf_listen_address *address)
{
    return address->address.ss_family == AF_INET6;
}

bool hf_listen_is_loopback(const struct hf_listen_address *address)
{
    if (hf_listen_is_ipv6(address)) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->address;
        return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) && six->sin6_addr.s6_addr[12] == 127);
    }
    const struct sockaddr_in *four = (const struct sockaddr_in *)&address->address;
    return ntohl(four->sin_addr.s_addr) >> 24 == 127;
}

int hf_listen_port(const struct hf_listen_address *address)
{
    if (hf_listen_is_ipv6(address))
        return ntohs(((const struct sockaddr_in6 *)&address->address)->sin6_port);
    return ntohs(((const struct sockaddr_in *)&address->address)->sin_port);
}

bool hf_listen_open(struct hf_listen_address *address, int fds[], int count, struct hf_error *err)
{
    if (hf_listen_port(address) != 0 && !address_is_free(address, err))
        return false;
    for (int i = 0; i < count; i++) {
        if (open_one(address, &fds[i], err))
            continue;
        while (i > 0)
            close(fds[--i]);
        return false;
    }
    return true;
}

/* With SO_REUSEPORT a second server of the same user would share the port in silence, and each would get half of the
 * requests. A socket without that option finds the first one. */
static bool address_is_free(const struct hf_listen_address *address, struct hf_error *err)
{
    HF_AUTO(close) int fd = socket(address->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;
    if (fd < 0)
        return bind_failed(address, errno, err);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (const struct sockaddr *)&address->address, address->bytes) != 0)
        return bind_failed(address, errno, err);
    return true;
}

static bool open_one(struct hf_listen_address *address, int *fd_out, struct hf_error *err)
{
    int fd = socket(address->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;
    if (fd < 0)
        return bind_failed(address, errno, err);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    socklen_t bytes = sizeof(address->address);
    if (bind(fd, (const struct sockaddr *)&address->address, address->bytes) != 0 || listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)&address->address, &bytes) != 0) {
        int error_number = errno;
        close(fd);
        return bind_failed(address, error_number, err);
    }
    *fd_out = fd;
    return true;
}

static bool bind_failed(const struct hf_listen_address *address, int error_number, struct hf_error *err)
{
    char host[128] = "?";
    getnameinfo((const struct sockaddr *)&address->address, address->bytes, host, sizeof(host), NULL, 0,
                NI_NUMERICHOST);
    hf_error_errno(err, error_number, "cannot listen on %s port %d", host, hf_listen_port(address));
    if (error_number == EADDRINUSE)
        hf_error_set(err, HF_CONFIG, "%s; another process has it, or set PERSISTENCE_LISTEN to another port",
                     err->text);
    err->code = HF_CONFIG;
    return false;
}
