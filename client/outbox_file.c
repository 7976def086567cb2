#include "client/outbox_file.h"

#include "client/order.h"
#include "core/id.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIRST_LINE     "holdfast-outbox 1\n"
#define CHECK_KEY      "sha-256"
#define READABLE_MAX   64
#define TURN_BYTES     68 /* four numbers of 16 digits, and what ends them */
#define DISTINCT_BYTES 16 /* of the hash of the name: enough that no two names ever share them */

_Static_assert(sizeof(FIRST_LINE) == sizeof(HF_OUTBOX_DONE_LINE), "the one is written over the other");

/* What is left of the lines to read. */
struct cursor {
    const char *at, *end;
};

static bool take_line(struct cursor *cursor, const char *key, char *out, size_t room);
static bool take_number(struct cursor *cursor, const char *key, int64_t *out);
static unsigned long long sum_of_turn(const unsigned long long writer[2], unsigned long long turn);
static void digest(const void *lines, size_t line_bytes, const void *data, size_t bytes, struct hf_hash *out);

void hf_outbox_file_name(const char *component, char out[HF_OUTBOX_NAME_BYTES])
{
    struct hf_hash hash;
    char hex[HF_HASH_HEX];
    size_t length = strnlen(component, READABLE_MAX);
    for (size_t i = 0; i < length; i++)
        out[i] = component[i] == ':' ? '_' : (char)tolower((unsigned char)component[i]);
    hf_hash_of(component, strlen(component), &hash);
    hf_hash_hex(&hash, hex);
    snprintf(out + length, HF_OUTBOX_NAME_BYTES - length, "-%.*s.state", DISTINCT_BYTES * 2, hex);
}

void hf_outbox_file_write_header(struct hf_buf *out, const char *system, const struct hf_queue_state *state)
{
    struct hf_hash hash;
    char hex[HF_HASH_HEX];
    hf_buf_add_format(out, FIRST_LINE "system %s\ncomponent %s\n", system, state->component);
    hf_buf_add_format(out, "content-type %s\nevent %s\nevent-snapshot %d\n", state->content_type, state->event,
                      state->snapshot ? 1 : 0);
    hf_buf_add_format(out, "epoch %" PRId64 "\nqueued-at %" PRId64 "\nbytes %zu\n", state->epoch, state->queued_at_ms,
                      state->bytes);
    digest(out->data, out->bytes, state->data->data, state->bytes, &hash);
    hf_hash_hex(&hash, hex);
    hf_buf_add_format(out, CHECK_KEY " %s\n\n", hex);
}

bool hf_outbox_file_read_header(const void *file, size_t bytes, struct hf_outbox_header *out)
{
    struct cursor cursor = {file, (const char *)file + bytes};
    size_t first = strlen(FIRST_LINE);
    char hex[HF_HASH_HEX], nothing[1];
    int64_t snapshot, size;
    if (bytes < first || memcmp(file, FIRST_LINE, first) != 0)
        return false;
    cursor.at += first;
    memset(out, 0, sizeof(*out));
    struct hf_queue_state *state = &out->state;
    if (!take_line(&cursor, "system", out->system, sizeof(out->system)) ||
        !take_line(&cursor, "component", state->component, sizeof(state->component)) ||
        !take_line(&cursor, "content-type", state->content_type, sizeof(state->content_type)) ||
        !take_line(&cursor, "event", state->event, sizeof(state->event)) ||
        !take_number(&cursor, "event-snapshot", &snapshot) || snapshot > 1 ||
        !take_number(&cursor, "epoch", &state->epoch) || !take_number(&cursor, "queued-at", &state->queued_at_ms) ||
        !take_number(&cursor, "bytes", &size))
        return false;
    out->checked_bytes = (size_t)(cursor.at - (const char *)file);
    if (!take_line(&cursor, CHECK_KEY, hex, sizeof(hex)) || !hf_hash_parse(hex, &out->check) ||
        !take_line(&cursor, "", nothing, sizeof(nothing)))
        return false;
    state->snapshot = snapshot == 1;
    state->bytes = (size_t)size;
    out->header_bytes = (size_t)(cursor.at - (const char *)file);
    return hf_name_is_valid(state->component, strlen(state->component)) && out->header_bytes <= HF_OUTBOX_HEADER_MAX;
}

bool hf_outbox_file_is_done(const void *file, size_t bytes)
{
    size_t length = strlen(HF_OUTBOX_DONE_LINE);
    return bytes >= length && memcmp(file, HF_OUTBOX_DONE_LINE, length) == 0;
}

bool hf_outbox_file_is_sound(const struct hf_outbox_header *header, const void *header_text, const void *data,
                             size_t bytes)
{
    struct hf_hash found;
    digest(header_text, header->checked_bytes, data, bytes, &found);
    return hf_hash_equal(&found, &header->check);
}

/* "key value" and a line feed; a value may be empty, and an empty key means an empty line. */
static bool take_line(struct cursor *cursor, const char *key, char *out, size_t room)
{
    size_t left = (size_t)(cursor->end - cursor->at), key_bytes = strlen(key);
    const char *feed = memchr(cursor->at, '\n', left);
    if (!feed || (size_t)(feed - cursor->at) < key_bytes || memcmp(cursor->at, key, key_bytes) != 0)
        return false;
    const char *value = cursor->at + key_bytes;
    if (key_bytes > 0 && *value++ != ' ')
        return false;
    size_t length = (size_t)(feed - value);
    if (length >= room || memchr(value, '\0', length))
        return false;
    memcpy(out, value, length);
    out[length] = '\0';
    cursor->at = feed + 1;
    return true;
}

static bool take_number(struct cursor *cursor, const char *key, int64_t *out)
{
    char text[24], *end;
    if (!take_line(cursor, key, text, sizeof(text)) || !isdigit((unsigned char)text[0]) || strlen(text) > 18)
        return false;
    *out = strtoll(text, &end, 10);
    return *end == '\0';
}

static void digest(const void *lines, size_t line_bytes, const void *data, size_t bytes, struct hf_hash *out)
{
    struct hf_hasher *hasher = hf_hasher_new();
    hf_hasher_add(hasher, lines, line_bytes);
    hf_hasher_add(hasher, data, bytes);
    hf_hasher_finish(hasher, out);
    hf_hasher_free(hasher);
}

bool hf_outbox_file_take_turn(int fd, uint64_t writer_out[2], int64_t *turn_out)
{
    char line[TURN_BYTES + 1] = "";
    unsigned long long writer[2] = {0}, turn = 0, check = 0;
    bool known = pread(fd, line, TURN_BYTES, 0) == TURN_BYTES &&
                 sscanf(line, "%16llx %16llx %16llx %16llx", &writer[0], &writer[1], &turn, &check) == 4 &&
                 check == sum_of_turn(writer, turn) && turn < HF_ORDER_TURN_MAX;
    if (!known) {
        hf_random_bytes(writer, sizeof(writer));
        turn = 0;
    }
    turn++;
    snprintf(line, sizeof(line), "%016llx %016llx %016llx %016llx\n", writer[0], writer[1], turn,
             sum_of_turn(writer, turn));
    if (pwrite(fd, line, TURN_BYTES, 0) != TURN_BYTES || fsync(fd) != 0)
        return false;
    writer_out[0] = writer[0];
    writer_out[1] = writer[1];
    *turn_out = (int64_t)turn;
    return true;
}

/* Gives a line away that was written in part, over the one before. */
static unsigned long long sum_of_turn(const unsigned long long writer[2], unsigned long long turn)
{
    unsigned long long sum = turn * 0x9e3779b97f4a7c15ULL;
    for (int i = 0; i < 2; i++)
        sum = ((sum << 13) | (sum >> 51)) ^ (writer[i] * 0xff51afd7ed558ccdULL);
    return sum;
}
