#include "cli/progress.h"

#include "cli/print.h"
#include "core/clock.h"

#define DRAW_NS      (HF_SECOND_NS / 10)
#define TELL_NS      (10 * HF_SECOND_NS)
#define LINE_MAX     4096
#define BAR_MAX      40
#define FIGURES_WIDE 58

static void add_amount(struct hf_buf *out, const struct hf_progress *progress, int64_t amount);
static void add_bar(struct hf_buf *out, const struct hf_progress *progress, size_t width);

void hf_progress_begin(struct hf_progress *progress, struct hf_cli *cli, const char *label, bool bytes)
{
    uint64_t now_ns = hf_clock_monotonic_ns();
    *progress = (struct hf_progress){
        .pen = cli->quiet || cli->json ? NULL : &cli->err,
        .label = label,
        .bytes = bytes,
        .began_ns = now_ns,
        .told_ns = now_ns,
    };
}

void hf_progress_show(struct hf_progress *progress, int64_t done, int64_t total)
{
    uint64_t now_ns = hf_clock_monotonic_ns();
    progress->done = done;
    progress->total = total;
    const struct hf_pen *pen = progress->pen;
    if (!pen || now_ns - progress->told_ns < (pen->terminal ? DRAW_NS : TELL_NS))
        return;
    progress->told_ns = now_ns;
    HF_AUTO(buf) struct hf_buf line;
    hf_buf_init(&line, LINE_MAX);
    if (!pen->terminal) {
        hf_progress_write(&line, progress, now_ns, 0);
        hf_pen_line(pen, HF_PLAIN, "%s: %s", progress->label, line.data);
        return;
    }
    size_t width = hf_pen_width(pen) - 1, used = hf_text_width(progress->label) + 1 + FIGURES_WIDE;
    size_t bar = width > used + 8 ? width - used : 0;
    hf_progress_write(&line, progress, now_ns, bar > BAR_MAX ? BAR_MAX : bar);
    HF_AUTO(free) char *whole = hf_format("%s %s", progress->label, line.data);
    hf_buf_reset(&line);
    hf_text_fit(&line, whole, width);
    fputs("\r\033[K", pen->file);
    hf_pen_print(pen, HF_PLAIN, "%s", line.data);
    fflush(pen->file);
    progress->drawn = true;
}

void hf_progress_end(struct hf_progress *progress)
{
    if (progress->drawn) {
        fputs("\r\033[K", progress->pen->file);
        fflush(progress->pen->file);
    }
    progress->drawn = false;
}

void hf_progress_write(struct hf_buf *out, const struct hf_progress *progress, uint64_t now_ns, size_t bar_width)
{
    char text[64];
    int64_t done = progress->done, total = progress->total;
    double seconds = (double)(now_ns - progress->began_ns) / (double)HF_SECOND_NS;
    double rate = seconds > 0 ? (double)done / seconds : 0;
    if (total > 0 && done > total)
        done = total;
    if (total > 0) {
        if (bar_width > 2)
            add_bar(out, progress, bar_width);
        hf_buf_add_format(out, "%3d%%  ", (int)((double)done / (double)total * 100));
    }
    add_amount(out, progress, done);
    if (total > 0) {
        hf_buf_add_text(out, " of ");
        add_amount(out, progress, total);
    }
    if (progress->bytes && rate > 0) {
        hf_size_format((int64_t)rate, text);
        hf_buf_add_format(out, "  %s/s", text);
    } else if (rate > 0) {
        hf_buf_add_format(out, "  %.1f/s", rate);
    }
    if (total > 0 && rate > 0 && done < total) {
        double left = (double)(total - done) / rate;
        hf_duration_format((int64_t)(left < 1e12 ? left : 1e12) * 1000, text, sizeof(text));
        hf_buf_add_format(out, "  %s left", text);
    } else if (seconds >= 1) {
        hf_duration_format((int64_t)seconds * 1000, text, sizeof(text));
        hf_buf_add_format(out, "  %s", text);
    }
}

static void add_amount(struct hf_buf *out, const struct hf_progress *progress, int64_t amount)
{
    char text[HF_SIZE_BYTES > HF_NUMBER_BYTES ? HF_SIZE_BYTES : HF_NUMBER_BYTES];
    if (progress->bytes)
        hf_size_format(amount, text);
    else
        hf_number_format(amount, text);
    hf_buf_add_text(out, text);
}

static void add_bar(struct hf_buf *out, const struct hf_progress *progress, size_t width)
{
    double part = (double)progress->done / (double)progress->total;
    size_t inside = width - 2, full = (size_t)((part > 1 ? 1 : part < 0 ? 0 : part) * (double)inside);
    hf_buf_add_char(out, '[');
    for (size_t i = 0; i < inside; i++)
        hf_buf_add_char(out, i < full ? '=' : i == full ? '>' : ' ');
    hf_buf_add_text(out, "] ");
}
