#include "cli/ask.h"

#include "cli/interrupt.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
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
    /* What was typed before cannot have been an answer to this. */
    tcflush(STDIN_FILENO, TCIFLUSH);
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
        if (got <= 0)
            return HF_ANSWER_NO;
        if (c == '\n')
            break;
        if (used + 1 < sizeof(line))
            line[used++] = c;
    }
    line[used] = '\0';
    return strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0 ? HF_ANSWER_YES : HF_ANSWER_NO;
}
