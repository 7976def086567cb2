/* The log: one line per event, JSON on a pipe or file, plain on a terminal. Never bodies, never secrets. Any thread. */
#ifndef HF_CORE_LOG_H
#define HF_CORE_LOG_H

#include "core/error.h"

#include <stdint.h>

enum hf_log_level { HF_LOG_ERROR, HF_LOG_WARNING, HF_LOG_INFO, HF_LOG_DEBUG };

/* A key and a value; keys are fixed words of the program, values may be anything (escaped). */
struct hf_log_field {
    const char *key;
    const char *text; /* NULL: the number */
    int64_t number;
};
#define HF_LOG_TEXT(key, text)     hf_log_field_text((key), (text))
#define HF_LOG_NUMBER(key, number) ((struct hf_log_field){(key), NULL, (int64_t)(number)})

/* NULL is written as an empty text. A function, because compilers object to comparing an array with NULL. */
static inline struct hf_log_field hf_log_field_text(const char *key, const char *text)
{
    return (struct hf_log_field){key, text ? text : "", 0};
}

/* Where and how much; fd is borrowed. Plain when json is false. Call before threads start. */
void hf_log_init(int fd, enum hf_log_level level, bool json);
bool hf_log_level_parse(const char *text, enum hf_log_level *out);
bool hf_log_enabled(enum hf_log_level level);

/* event is a fixed snake_case word, message a sentence for people. */
void hf_log_write(enum hf_log_level level, const char *event, const char *message, const struct hf_log_field *fields,
                  int count);

#define hf_log(level, event, message, ...)                                                                             \
    do {                                                                                                               \
        if (hf_log_enabled(level)) {                                                                                   \
            const struct hf_log_field hf_log_fields_[] = {{0}, ##__VA_ARGS__};                                         \
            hf_log_write((level), (event), (message), hf_log_fields_ + 1,                                              \
                         (int)(sizeof(hf_log_fields_) / sizeof(hf_log_fields_[0])) - 1);                               \
        }                                                                                                              \
    } while (0)

#endif
