/* Time. Names say the unit and the clock: _at_ms is UTC epoch milliseconds, _ns is monotonic nanoseconds. */
#ifndef HF_CORE_CLOCK_H
#define HF_CORE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_MS_NS      UINT64_C(1000000)
#define HF_SECOND_NS  UINT64_C(1000000000)
#define HF_TIME_BYTES 32 /* room for any RFC 3339 instant written here */

int64_t hf_clock_now_ms(void);        /* CLOCK_REALTIME */
uint64_t hf_clock_monotonic_ns(void); /* CLOCK_MONOTONIC */

/* RFC 3339, UTC, milliseconds: 2026-11-23T01:30:00.123Z. Writes a terminated text and returns its length. */
size_t hf_time_format(int64_t at_ms, char out[HF_TIME_BYTES]);

/* Compact form used in ids: 20261123T013000Z. */
size_t hf_time_format_compact(int64_t at_ms, char out[HF_TIME_BYTES]);

/* IMF-fixdate of RFC 9110 section 5.6.7, for Last-Modified and Date. */
size_t hf_time_format_http(int64_t at_ms, char out[HF_TIME_BYTES]);

/* RFC 3339 with any offset and fraction; the whole text must match. False when malformed. */
bool hf_time_parse(const char *text, int64_t *at_ms_out);

/* "45 s", "23 minutes", "2 h 5 min", "3 days 4 h": for people. Writes at most bytes, terminated. */
void hf_duration_format(int64_t duration_ms, char *out, size_t bytes);

#endif
