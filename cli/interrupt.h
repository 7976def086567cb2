/* Ctrl-C and SIGTERM end what is under way in order: the call is cancelled, temporary files are removed and the
 * terminal is as it was. A second one ends the process at once (the terminal is put right even then).
 *
 * The signals are those of the process, so this is its one piece of state outside objects. */
#ifndef HF_CLI_INTERRUPT_H
#define HF_CLI_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

struct holdfast;

/* Call before any other thread exists. Starts a thread that waits for the signals. SIGPIPE is ignored from then on. */
void hf_interrupt_begin(void);

/* The handle whose calls a signal cancels; NULL: none (before it is closed). */
void hf_interrupt_attach(struct holdfast *service);

/* What a second signal writes to standard output before the process ends, as "\033[?25h"; NULL: nothing. Borrowed. */
void hf_interrupt_set_farewell(const char *text);

int hf_interrupt_signal(void); /* SIGINT or SIGTERM when one came; else 0 */

/* Sleeps; false when a signal came. */
bool hf_interrupt_sleep(int64_t ms);

/* Waits until fd can be read, or written; false when a signal came. */
bool hf_interrupt_await_input(int fd);
bool hf_interrupt_await_output(int fd);

/* Open path without waiting for the other end of a FIFO beyond a signal. An input waits in hf_interrupt_await_input,
 * which every read of it needs before it. An output, which must exist, is written without blocking: EAGAIN asks for
 * hf_interrupt_await_output. Own the descriptor; -1: errno says why, EINTR that a signal came. */
int hf_interrupt_open_input(const char *path);
int hf_interrupt_open_output(const char *path);

#endif
