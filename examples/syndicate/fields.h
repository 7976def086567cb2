/* Fields of states in JSON, exact both ways: doubles are written with 17 digits, and what may exceed 2^53 as text.
 *
 * Reading is sticky: the first problem is kept, and everything read after it is zero. */
#ifndef SYNDICATE_FIELDS_H
#define SYNDICATE_FIELDS_H

#include "dice.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values must be finite. */
void put_real(json_t *to, const char *key, double value);
void put_reals(json_t *to, const char *key, const double *values, size_t count);
void put_integer(json_t *to, const char *key, int64_t value); /* within 2^53 */
void put_integers(json_t *to, const char *key, const int64_t *values, size_t count);
void put_bool(json_t *to, const char *key, bool value);
void put_text(json_t *to, const char *key, const char *text);
void put_word(json_t *to, const char *key, uint64_t value); /* 64 bits, as hexadecimal text */
void put_dice(json_t *to, const struct dice *dice);         /* under "dice" */
json_t *put_list(json_t *to, const char *key);              /* an empty array, borrowed from `to` */
json_t *add_object(json_t *list);                           /* an empty object at its end, borrowed from it */

struct reading {
    const json_t *from;
    char problem[160]; /* "": none so far */
};

/* Notes a problem, if it is the first. */
void reading_fail(struct reading *reading, const char *format, ...) __attribute__((format(printf, 2, 3)));

double get_real(struct reading *reading, const char *key);
double get_real_within(struct reading *reading, const char *key, double least, double most);
void get_reals(struct reading *reading, const char *key, double *out, size_t count);
int64_t get_integer(struct reading *reading, const char *key, int64_t least, int64_t most);
void get_integers(struct reading *reading, const char *key, int64_t *out, size_t count, int64_t most); /* 0 to most */
bool get_bool(struct reading *reading, const char *key);
void get_text(struct reading *reading, const char *key, char *out, size_t size);
uint64_t get_word(struct reading *reading, const char *key);
void get_dice(struct reading *reading, struct dice *out);
/* The length of a list, which must be between least and most. */
size_t get_list(struct reading *reading, const char *key, size_t least, size_t most);
/* The reading of one object of a list; end it with reading_leave, which carries its problem over. */
struct reading reading_enter(const struct reading *reading, const char *key, size_t index);
void reading_leave(struct reading *reading, const struct reading *inner, const char *key, size_t index);

#endif
