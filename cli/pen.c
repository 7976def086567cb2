#include "cli/pen.h"

#include "cli/print.h"
#include "core/auto.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LINE_BYTES_MAX ((size_t)16 << 20)
#define WIDTH_DEFAULT  80
#define WIDTH_MIN      20
#define HEIGHT_DEFAULT 24

static const char *const codes[] = {"", "\033[1m", "\033[2m", "\033[32m", "\033[33m", "\033[31m"};

static void put(const struct hf_pen *pen, enum hf_style style, const char *format, va_list args);

void hf_pen_init(struct hf_pen *pen, FILE *file, enum hf_colour when)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    pen->file = file;
    pen->terminal = isatty(fileno(file));
    bool suits = pen->terminal && !(no_color && *no_color) && term && *term && strcmp(term, "dumb") != 0;
    pen->colour = when == HF_COLOUR_ALWAYS || (when == HF_COLOUR_AUTO && suits);
}

bool hf_colour_parse(const char *text, enum hf_colour *out)
{
    static const char *const words[] = {"auto", "always", "never"};
    for (int i = 0; i < 3; i++)
        if (strcmp(text, words[i]) == 0) {
            *out = (enum hf_colour)i;
            return true;
        }
    return false;
}

size_t hf_pen_width(const struct hf_pen *pen)
{
    struct winsize size;
    if (!pen->terminal)
        return 0;
    if (ioctl(fileno(pen->file), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col < WIDTH_MIN ? WIDTH_MIN : size.ws_col;
    const char *columns = getenv("COLUMNS");
    int given = columns ? atoi(columns) : 0;
    return given >= WIDTH_MIN ? (size_t)given : WIDTH_DEFAULT;
}

size_t hf_pen_height(const struct hf_pen *pen)
{
    struct winsize size;
    return ioctl(fileno(pen->file), TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : HEIGHT_DEFAULT;
}

void hf_pen_print(const struct hf_pen *pen, enum hf_style style, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put(pen, style, format, args);
    va_end(args);
}

void hf_pen_line(const struct hf_pen *pen, enum hf_style style, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put(pen, style, format, args);
    va_end(args);
    putc('\n', pen->file);
}

void hf_pen_spaces(const struct hf_pen *pen, size_t count)
{
    for (size_t i = 0; i < count; i++)
        putc(' ', pen->file);
}

void hf_pen_wrap(const struct hf_pen *pen, const char *text, size_t indent, size_t width)
{
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " \n");
        if (column > 0 && column + 1 + word > width) {
            putc('\n', pen->file);
            column = 0;
        }
        if (word > 0) {
            hf_pen_spaces(pen, column == 0 ? indent : 1);
            fwrite(text, 1, word, pen->file);
            column += (column == 0 ? indent : 1) + word;
        }
        text += word;
        if (*text == '\n') {
            putc('\n', pen->file);
            column = 0;
        }
        text += *text != '\0';
    }
    if (column > 0)
        putc('\n', pen->file);
}

static void put(const struct hf_pen *pen, enum hf_style style, const char *format, va_list args)
{
    HF_AUTO(free) char *text = NULL;
    HF_AUTO(buf) struct hf_buf clean;
    hf_buf_init(&clean, LINE_BYTES_MAX);
    if (vasprintf(&text, format, args) < 0) {
        text = NULL;
        return;
    }
    hf_text_clean(&clean, text, strlen(text));
    bool styled = pen->colour && style != HF_PLAIN && clean.bytes > 0;
    if (styled)
        fputs(codes[style], pen->file);
    if (clean.bytes > 0)
        fwrite(clean.data, 1, clean.bytes, pen->file);
    if (styled)
        fputs("\033[0m", pen->file);
}
