#include "core/delta.h"

#include <librsync.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define STEP_BYTES ((size_t)64 * 1024) /* how much room a job gets at a time */

struct span {
    const char *data;
    size_t bytes;
};

/* What copies go to. */
struct base {
    struct span span;
    bool left_it; /* a copy begins or goes on past its end */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void silence(void);
static rs_job_t *begin_signature(size_t bytes);
static bool load_signature(struct span from, rs_signature_t **out, struct hf_error *err);
static rs_result run(rs_job_t *job, struct span *input, struct hf_buf *out, bool *full_out);
static bool make_room(struct hf_buf *out, char **place_out, size_t *room_out);
static rs_copy_cb copy_from_base;
static bool tell(rs_result result, const char *what, struct hf_error *err);
static bool tell_of_delta(rs_result result, const struct base *base, struct span rest, struct hf_error *err);
static bool tell_full(const struct hf_buf *out, enum hf_code code, struct hf_error *err);

bool hf_delta_sign(const void *data, size_t bytes, struct hf_buf *signature, struct hf_error *err)
{
    struct span input = {data, bytes};
    bool full;
    pthread_once(&once, silence);
    rs_job_t *job = begin_signature(bytes);
    if (!job)
        return tell(RS_INTERNAL_ERROR, "a signature", err);
    rs_result result = run(job, &input, signature, &full);
    rs_job_free(job);
    return full ? tell_full(signature, HF_OVERLOADED, err) : tell(result, "a signature", err);
}

bool hf_delta_make(const void *signature, size_t signature_bytes, const void *data, size_t bytes, struct hf_buf *delta,
                   struct hf_error *err)
{
    struct span input = {data, bytes};
    rs_signature_t *sums = NULL;
    bool full;
    pthread_once(&once, silence);
    if (!load_signature((struct span){signature, signature_bytes}, &sums, err))
        return false;
    rs_job_t *job = rs_delta_begin(sums);
    rs_result result = run(job, &input, delta, &full);
    rs_job_free(job);
    rs_free_sumset(sums);
    return full ? tell_full(delta, HF_OVERLOADED, err) : tell(result, "a delta", err);
}

bool hf_delta_apply(const void *base, size_t base_bytes, const void *delta, size_t delta_bytes, struct hf_buf *result,
                    struct hf_error *err)
{
    struct base from = {.span = {base, base_bytes}};
    struct span input = {delta, delta_bytes};
    bool full;
    pthread_once(&once, silence);
    rs_job_t *job = rs_patch_begin(copy_from_base, &from);
    rs_result end = run(job, &input, result, &full);
    rs_job_free(job);
    return full ? tell_full(result, HF_BODY_TOO_LARGE, err) : tell_of_delta(end, &from, input, err);
}

/* The library would write to standard error what clients do wrong. */
static void silence(void)
{
    rs_trace_to(NULL);
}

/* NULL: the arguments that it recommends are not to its liking. */
static rs_job_t *begin_signature(size_t bytes)
{
    rs_magic_number magic = RS_RK_BLAKE2_SIG_MAGIC;
    size_t block_bytes = 0, sum_bytes = (size_t)-1; /* the shortest that is safe: the digest of the result is checked */
    if (rs_sig_args((rs_long_t)bytes, &magic, &block_bytes, &sum_bytes) != RS_DONE)
        return NULL;
    return rs_sig_begin(block_bytes, sum_bytes, magic);
}

static bool load_signature(struct span from, rs_signature_t **out, struct hf_error *err)
{
    bool full;
    rs_job_t *job = rs_loadsig_begin(out);
    rs_result result = run(job, &from, NULL, &full);
    rs_job_free(job);
    if (result == RS_DONE && *out)
        result = rs_build_hash_table(*out);
    if (result == RS_DONE && *out)
        return true;
    if (*out)
        rs_free_sumset(*out);
    if (result == RS_MEM_ERROR)
        return tell(result, "a signature", err);
    return hf_error_set(err, HF_INVALID_REQUEST, "the signature is malformed: %s", rs_strerror(result));
}

/* Moves the input on. out NULL: a job that writes nothing. *full_out: the result does not fit into out. */
static rs_result run(rs_job_t *job, struct span *input, struct hf_buf *out, bool *full_out)
{
    rs_buffers_t buffers = {.next_in = (char *)input->data, .avail_in = input->bytes, .eof_in = 1};
    rs_result result = RS_MEM_ERROR;
    bool goes_on = job != NULL;
    *full_out = false;
    while (goes_on) {
        size_t room = 0;
        if (out && !make_room(out, &buffers.next_out, &room))
            return RS_MEM_ERROR;
        buffers.avail_out = room;
        result = rs_job_iter(job, &buffers);
        size_t written = room - buffers.avail_out;
        if (out)
            out->bytes += written;
        *full_out = result == RS_BLOCKED && room == 0;
        goes_on = result == RS_BLOCKED && written > 0;
    }
    input->data += input->bytes - buffers.avail_in;
    input->bytes = buffers.avail_in;
    return result == RS_BLOCKED ? RS_INTERNAL_ERROR : result;
}

/* None left is no failure: the job may need none to end. */
static bool make_room(struct hf_buf *out, char **place_out, size_t *room_out)
{
    size_t left = out->bytes_max - out->bytes;
    *room_out = left < STEP_BYTES ? left : STEP_BYTES;
    *place_out = hf_buf_reserve(out, *room_out);
    return *place_out != NULL;
}

/* The library gives positions and lengths as they stand in the delta. */
static rs_result copy_from_base(void *context, rs_long_t position, size_t *bytes, void **out)
{
    struct base *base = context;
    if (position < 0 || (uintmax_t)position >= base->span.bytes) {
        base->left_it = true;
        return RS_CORRUPT;
    }
    size_t left = base->span.bytes - (size_t)position;
    if (*bytes > left)
        *bytes = left;
    *out = (char *)base->span.data + position;
    return RS_DONE;
}

static bool tell(rs_result result, const char *what, struct hf_error *err)
{
    if (result == RS_DONE)
        return true;
    if (result == RS_MEM_ERROR)
        return hf_error_set(err, HF_OVERLOADED, "there is not enough memory for %s", what);
    return hf_error_set(err, HF_INTERNAL, "%s could not be made: %s", what, rs_strerror(result));
}

static bool tell_of_delta(rs_result result, const struct base *base, struct span rest, struct hf_error *err)
{
    const char *why = "it holds a command that makes no sense";
    if (result == RS_MEM_ERROR)
        return tell(result, "the result of a delta", err);
    if (result == RS_DONE && rest.bytes == 0)
        return true;
    if (result == RS_DONE)
        why = "it goes on after its end";
    else if (base->left_it)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "the delta is malformed: it copies from beyond the end of what it is applied to, %zu bytes",
                            base->span.bytes);
    else if (result == RS_INPUT_ENDED)
        why = "it is cut short";
    else if (result == RS_BAD_MAGIC)
        why = "it does not begin like one; rdiff delta makes them";
    return hf_error_set(err, HF_INVALID_REQUEST, "the delta is malformed: %s", why);
}

static bool tell_full(const struct hf_buf *out, enum hf_code code, struct hf_error *err)
{
    return hf_error_set(err, code, "the result can have at most %zu bytes", out->bytes_max);
}
