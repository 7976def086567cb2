#include "core/id.h"

#include "core/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define RANDOM_CHARACTERS 20

static bool is_alphanumeric(char c);

bool hf_name_is_valid(const char *name, size_t bytes)
{
    if (bytes < 1 || bytes > HF_NAME_MAX || !is_alphanumeric(name[0]))
        return false;
    for (size_t i = 1; i < bytes; i++)
        if (!is_alphanumeric(name[i]) && (name[i] == '\0' || !strchr("._:-", name[i])))
            return false;
    return true;
}

void hf_random_bytes(void *out, size_t bytes)
{
    unsigned char *at = out;
    while (bytes > 0) {
        ssize_t got = getrandom(at, bytes, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            fprintf(stderr, "holdfast: the system gives no random bytes: %s\n", strerror(errno));
            abort();
        }
        at += got;
        bytes -= (size_t)got;
    }
}

void hf_id_random(const char *prefix, char *out, size_t out_bytes)
{
    static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    const unsigned letters = sizeof(alphabet) - 1;
    size_t used = strlen(prefix);
    HF_ASSERT(out_bytes >= used + RANDOM_CHARACTERS + 1);
    memcpy(out, prefix, used);
    size_t end = used + RANDOM_CHARACTERS;
    while (used < end) {
        unsigned char random[32];
        hf_random_bytes(random, sizeof(random));
        /* Bytes past the last whole multiple are thrown away: every character is equally likely. */
        for (size_t i = 0; i < sizeof(random) && used < end; i++)
            if (random[i] < 256 / letters * letters)
                out[used++] = alphabet[random[i] % letters];
    }
    out[used] = '\0';
}

/* ASCII only, whatever the locale says. */
static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
