/* Where text goes: standard output or error, with colours and the width of the terminal where it is one.
 *
 * All text passes hf_text_clean, so that nothing from the service reaches a terminal raw. */
#ifndef HF_CLI_PEN_H
#define HF_CLI_PEN_H

#include "core/error.h"

#include <stddef.h>
#include <stdio.h>

enum hf_style { HF_PLAIN, HF_BOLD, HF_DIM, HF_GREEN, HF_YELLOW, HF_RED };

enum hf_colour { HF_COLOUR_AUTO, HF_COLOUR_ALWAYS, HF_COLOUR_NEVER };

struct hf_pen {
    FILE *file; /* borrowed */
    bool terminal;
    bool colour;
};

/* Auto: colours on a terminal, unless NO_COLOR is set and not empty or TERM is "dumb". */
void hf_pen_init(struct hf_pen *pen, FILE *file, enum hf_colour when);
HF_MUST_USE bool hf_colour_parse(const char *text, enum hf_colour *out);

/* Columns now (it may be resized); 0 where it is no terminal: then nothing is cut. */
size_t hf_pen_width(const struct hf_pen *pen);
size_t hf_pen_height(const struct hf_pen *pen); /* rows; 24 where it is not known */

/* Writes text in a style; the second one ends the line. */
void hf_pen_print(const struct hf_pen *pen, enum hf_style style, const char *format, ...) HF_PRINTF(3, 4);
void hf_pen_line(const struct hf_pen *pen, enum hf_style style, const char *format, ...) HF_PRINTF(3, 4);
void hf_pen_spaces(const struct hf_pen *pen, size_t count);

/* Paragraphs of the program's own text, broken at spaces before width; "\n" begins a new line. */
void hf_pen_wrap(const struct hf_pen *pen, const char *text, size_t indent, size_t width);

#endif
