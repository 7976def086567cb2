/* libFuzzer entry for deltas that come from clients, and for signatures that come from a server. The first byte chooses
 * which of the two the rest is, and how large the base is that a delta is applied to. What is made stays within its
 * bound, and the same input makes the same bytes. tests/fuzz/run_fuzzers builds and runs it. */
#include "core/auto.h"
#include "core/delta.h"

#include <stdint.h>
#include <string.h>

#define RESULT_MAX ((size_t)1 << 20)
#define BASE_MAX   ((size_t)100000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* As write_seeds.c makes it. */
static const char *base_bytes(void)
{
    static char base[BASE_MAX];
    if (base[1] == 0)
        for (size_t i = 0; i < BASE_MAX; i++)
            base[i] = (char)(i * i / 7 + i);
    return base;
}

/* Whether it was taken. */
static bool run_once(const uint8_t *data, size_t bytes, uint8_t mode, struct hf_buf *out)
{
    static const size_t base_sizes[] = {0, 10, 4096, BASE_MAX};
    struct hf_error err = {.code = HF_OK};
    size_t max = mode & 8 ? 1000 : RESULT_MAX;
    hf_buf_init(out, max);
    bool ok = mode & 16 ? hf_delta_make(data, bytes, base_bytes(), BASE_MAX, out, &err)
                        : hf_delta_apply(base_bytes(), base_sizes[mode % 4], data, bytes, out, &err);
    HF_ASSERT(ok == (err.code == HF_OK));
    HF_ASSERT(ok || err.code == HF_INVALID_REQUEST || err.code == HF_BODY_TOO_LARGE ||
              (err.code == HF_OVERLOADED && mode & 16));
    HF_ASSERT(out->bytes <= max);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes == 0)
        return 0;
    /* Outside the fuzzer's own buffer, so that one byte too many is seen. */
    HF_AUTO(free) uint8_t *copy = hf_alloc(bytes > 1 ? bytes - 1 : 1);
    memcpy(copy, data + 1, bytes - 1);
    HF_AUTO(buf) struct hf_buf first;
    HF_AUTO(buf) struct hf_buf second;
    bool ok = run_once(copy, bytes - 1, data[0], &first);
    HF_ASSERT(run_once(data + 1, bytes - 1, data[0], &second) == ok);
    HF_ASSERT(first.bytes == second.bytes && (first.bytes == 0 || memcmp(first.data, second.data, first.bytes) == 0));
    return 0;
}
