#include "server/plain.h"

#include "core/auto.h"

#include <sys/socket.h>

#define TEXT_BYTES_MAX (64 * 1024)

bool hf_plain_send(int fd, const struct hf_exchange *x, const char *reason_phrase)
{
    const struct hf_reply *reply = hf_exchange_reply(x);
    HF_AUTO(buf) struct hf_buf text;
    hf_buf_init(&text, TEXT_BYTES_MAX);
    hf_buf_add_format(&text, "HTTP/1.1 %d %s\r\nConnection: close\r\nX-Request-Id: %s\r\n", reply->status,
                      reason_phrase, x->request.request_id);
    if (reply->content_type)
        hf_buf_add_format(&text, "Content-Type: %s\r\n", reply->content_type);
    for (int i = 0; i < reply->header_count; i++)
        hf_buf_add_format(&text, "%s: %s\r\n", reply->headers[i].name, reply->headers[i].value);
    hf_buf_add_format(&text, "Content-Length: %zu\r\n\r\n", reply->body.bytes);
    if (x->request.method != HF_HEAD)
        hf_buf_add(&text, reply->body.data, reply->body.bytes);
    return !text.failed && send(fd, text.data, text.bytes, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)text.bytes;
}
