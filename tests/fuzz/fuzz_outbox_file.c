/* libFuzzer entry for the files of an outbox, which a crash, a disk or a person may have made anything of. Lines that
 * are taken for good come out the same when they are written again. tests/fuzz/run_fuzzers builds and runs it. */
#include "client/outbox_file.h"
#include "core/auto.h"
#include "core/error.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void write_again(const struct hf_outbox_header *header, const uint8_t *content, size_t bytes)
{
    HF_AUTO(buf) struct hf_buf text;
    HF_AUTO(blob) struct hf_blob *copy = hf_blob_copy(content, bytes);
    struct hf_queue_state state = header->state;
    struct hf_outbox_header again;
    HF_ASSERT(copy != NULL);
    state.data = copy;
    state.bytes = bytes;
    hf_buf_init(&text, HF_OUTBOX_HEADER_MAX);
    hf_outbox_file_write_header(&text, header->system, &state);
    HF_ASSERT(!text.failed && hf_outbox_file_read_header(text.data, text.bytes, &again));
    HF_ASSERT(again.header_bytes == text.bytes && again.state.bytes == bytes);
    HF_ASSERT(strcmp(again.system, header->system) == 0 && strcmp(again.state.component, state.component) == 0);
    HF_ASSERT(strcmp(again.state.event, state.event) == 0 && again.state.epoch == state.epoch);
    HF_ASSERT(strcmp(again.state.content_type, state.content_type) == 0 && again.state.snapshot == state.snapshot);
    HF_ASSERT(hf_outbox_file_is_sound(&again, text.data, content, bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    /* Outside the fuzzer's own buffer, so that one byte too many is seen. */
    HF_AUTO(free) uint8_t *copy = hf_alloc(bytes);
    struct hf_outbox_header header;
    char name[HF_OUTBOX_NAME_BYTES];
    memcpy(copy, data, bytes);
    if (!hf_outbox_file_read_header(copy, bytes, &header))
        return 0;
    HF_ASSERT(header.header_bytes <= bytes && header.checked_bytes < header.header_bytes);
    HF_ASSERT(!header.state.data && hf_name_is_valid(header.state.component, strlen(header.state.component)));
    hf_outbox_file_name(header.state.component, name);
    HF_ASSERT(strlen(name) < sizeof(name) && !strchr(name, '/'));
    write_again(&header, copy + header.header_bytes, bytes - header.header_bytes);
    return 0;
}
