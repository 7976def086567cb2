#include "cli/ask.h"

#include "cli/interrupt.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

bool hf_ask_possible(const struct hf_cli *cli)
{
    return isatty(STDIN_FILENO) && cli->err.terminal;
}

enum hf_answer hf_ask_yes(struct hf_cli *cli, const char *question)
{
    char line[64];
    size_t used = 0;
    fflush(cli->out.file);
    hf_pen_print(&cli->err, HF_BOLD, "%s [y/N] ", question);
    fflush(cli->err.file);
    for (;;) {
        if (!hf_interrupt_await_input(STDIN_FILENO)) {
            putc('\n', cli->err.file);
            return HF_ANSWER_INTERRUPTED;
        }
        char c;
        ssize_t got = read(STDIN_FILENO, &c, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || c == '\n')
            break;
        if (used + 1 < sizeof(line))
            line[used++] = c;
    }
    line[used] = '\0';
    return strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0 ? HF_ANSWER_YES : HF_ANSWER_NO;
}
