#include "cli/table.h"

#include "cli/print.h"
#include "core/auto.h"

#include <stdarg.h>
#include <string.h>

#define COLUMNS_MAX    16
#define GAP            2
#define CELL_BYTES_MAX ((size_t)1 << 20)
#define SHRUNK_MIN     8

struct cell {
    char *text;
    enum hf_style style;
};

struct hf_table {
    const struct hf_column *columns;
    size_t column_count;
    struct cell *cells; /* row by row */
    size_t cell_count, cell_capacity;
};

static void measure(const struct hf_table *table, size_t widths[COLUMNS_MAX]);
static void fit(const struct hf_table *table, size_t widths[COLUMNS_MAX], size_t width);
static size_t sum(const struct hf_table *table, const size_t widths[COLUMNS_MAX]);
static bool shrink(const struct hf_table *table, size_t widths[COLUMNS_MAX], size_t excess);
static bool leave_one_out(const struct hf_table *table, size_t widths[COLUMNS_MAX]);
static void write_row(const struct hf_table *table, const struct hf_pen *pen, const struct cell *cells,
                      const size_t widths[COLUMNS_MAX], size_t indent);

struct hf_table *hf_table_new(const struct hf_column *columns, size_t count)
{
    HF_ASSERT(count > 0 && count <= COLUMNS_MAX);
    struct hf_table *table = hf_alloc(sizeof(*table));
    table->columns = columns;
    table->column_count = count;
    return table;
}

void hf_table_free(struct hf_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->cell_count; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
}

void hf_table_add(struct hf_table *table, enum hf_style style, const char *format, ...)
{
    HF_AUTO(buf) struct hf_buf clean;
    hf_buf_init(&clean, CELL_BYTES_MAX);
    va_list args;
    va_start(args, format);
    HF_AUTO(free) char *text = hf_format_args(format, args);
    va_end(args);
    hf_text_clean(&clean, text, strlen(text));
    if (table->cell_count == table->cell_capacity) {
        table->cell_capacity = table->cell_capacity ? table->cell_capacity * 2 : 64;
        table->cells = hf_realloc(table->cells, table->cell_capacity * sizeof(*table->cells));
    }
    char *taken = clean.bytes ? hf_buf_take(&clean, NULL) : hf_strdup("");
    table->cells[table->cell_count++] = (struct cell){taken, style};
}

void hf_table_write(const struct hf_table *table, const struct hf_pen *pen, size_t indent)
{
    size_t widths[COLUMNS_MAX] = {0}, width = hf_pen_width(pen);
    struct cell titles[COLUMNS_MAX];
    HF_ASSERT(table->cell_count % table->column_count == 0);
    measure(table, widths);
    if (width > 0)
        fit(table, widths, width > indent ? width - indent : 1);
    for (size_t i = 0; i < table->column_count; i++) {
        HF_AUTO(buf) struct hf_buf title;
        hf_buf_init(&title, CELL_BYTES_MAX);
        hf_text_fit(&title, table->columns[i].title, widths[i]);
        titles[i] = (struct cell){hf_strdup(title.bytes ? title.data : ""), HF_BOLD};
    }
    write_row(table, pen, titles, widths, indent);
    for (size_t i = 0; i < table->column_count; i++)
        free(titles[i].text);
    for (size_t i = 0; i < table->cell_count; i += table->column_count)
        write_row(table, pen, table->cells + i, widths, indent);
}

static void measure(const struct hf_table *table, size_t widths[COLUMNS_MAX])
{
    for (size_t i = 0; i < table->column_count; i++)
        widths[i] = hf_text_width(table->columns[i].title);
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t width = hf_text_width(table->cells[i].text), column = i % table->column_count;
        if (width > widths[column])
            widths[column] = width;
    }
}

/* A width of 0: the column is left out. */
static void fit(const struct hf_table *table, size_t widths[COLUMNS_MAX], size_t width)
{
    while (sum(table, widths) > width) {
        size_t excess = sum(table, widths) - width;
        if (!shrink(table, widths, excess) && !leave_one_out(table, widths))
            return;
    }
}

static size_t sum(const struct hf_table *table, const size_t widths[COLUMNS_MAX])
{
    size_t total = 0;
    for (size_t i = 0; i < table->column_count; i++)
        if (widths[i] > 0)
            total += widths[i] + (total > 0 ? GAP : 0);
    return total;
}

/* Takes what it can from the widest column that may shrink. */
static bool shrink(const struct hf_table *table, size_t widths[COLUMNS_MAX], size_t excess)
{
    size_t widest = table->column_count;
    for (size_t i = 0; i < table->column_count; i++)
        if (table->columns[i].shrinks && widths[i] > SHRUNK_MIN &&
            (widest == table->column_count || widths[i] > widths[widest]))
            widest = i;
    if (widest == table->column_count)
        return false;
    size_t spare = widths[widest] - SHRUNK_MIN;
    widths[widest] -= spare < excess ? spare : excess;
    return true;
}

static bool leave_one_out(const struct hf_table *table, size_t widths[COLUMNS_MAX])
{
    size_t least = table->column_count;
    for (size_t i = 0; i < table->column_count; i++)
        if (widths[i] > 0 && table->columns[i].rank > 0 &&
            (least == table->column_count || table->columns[i].rank >= table->columns[least].rank))
            least = i;
    if (least == table->column_count)
        return false;
    widths[least] = 0;
    return true;
}

static void write_row(const struct hf_table *table, const struct hf_pen *pen, const struct cell *cells,
                      const size_t widths[COLUMNS_MAX], size_t indent)
{
    size_t owed = indent; /* spaces before the next text, so that no line ends in spaces */
    bool first = true;
    for (size_t i = 0; i < table->column_count; i++) {
        if (widths[i] == 0)
            continue;
        HF_AUTO(buf) struct hf_buf text;
        hf_buf_init(&text, CELL_BYTES_MAX);
        hf_text_fit(&text, cells[i].text, widths[i]);
        size_t used = text.bytes ? hf_text_width(text.data) : 0, pad = widths[i] > used ? widths[i] - used : 0;
        owed += first ? 0 : GAP;
        first = false;
        if (used == 0) {
            owed += widths[i];
            continue;
        }
        hf_pen_spaces(pen, owed + (table->columns[i].right ? pad : 0));
        hf_pen_print(pen, cells[i].style, "%s", text.data);
        owed = table->columns[i].right ? 0 : pad;
    }
    putc('\n', pen->file);
}
