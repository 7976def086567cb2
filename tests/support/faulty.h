/* A small HTTP server that does what a script says with each request: answers, is silent, breaks off before or after
 * the request was read, or passes it on to a real server and keeps what that says for itself. For tests of clients. */
#ifndef HF_TESTS_SUPPORT_FAULTY_H
#define HF_TESTS_SUPPORT_FAULTY_H

#include <stdbool.h>
#include <stddef.h>

enum hf_faulty_action {
    HF_FAULTY_ANSWER,           /* sends `answer` and closes */
    HF_FAULTY_ANSWER_AND_KEEP,  /* sends `answer` and waits for the next request on the connection */
    HF_FAULTY_CLOSE_UNREAD,     /* closes once the connection is there */
    HF_FAULTY_CLOSE,            /* reads the request and closes */
    HF_FAULTY_SILENCE,          /* reads the request and answers nothing until the client leaves */
    HF_FAULTY_PASS_ON,          /* asks the real server, and passes its answer back */
    HF_FAULTY_PASS_ON_AND_CLOSE /* asks the real server, and closes without an answer */
};

struct hf_faulty_step {
    enum hf_faulty_action action;
    const char *answer;  /* all of it, from the status line on; borrowed */
    size_t answer_bytes; /* 0: up to its NUL */
    int after_ms;        /* HF_FAULTY_CLOSE: not before so many milliseconds have passed */
};

struct hf_faulty; /* opaque */

/* One step for each request, the last one for all that follow. real_port: 0 where no step passes on. Borrows the steps.
 * Owns: hf_faulty_stop. */
struct hf_faulty *hf_faulty_start(const struct hf_faulty_step *steps, int count, int real_port);
void hf_faulty_stop(struct hf_faulty *faulty);

/* Another real server from now on; 0: there is none, and what would be passed on is closed unanswered. Any thread. */
void hf_faulty_pass_on_to(struct hf_faulty *faulty, int real_port);

/* Takes a request that came, and was not passed on, to the real server now, however long ago its client left. Returns
 * the whole answer (owns: free()); NULL: there was none. Only texts. */
char *hf_faulty_deliver(struct hf_faulty *faulty, int index);

const char *hf_faulty_url(const struct hf_faulty *faulty);
int hf_faulty_requests(struct hf_faulty *faulty);                      /* read so far, and connections closed unread */
void hf_faulty_await(struct hf_faulty *faulty, int requests);          /* until so many came */
const char *hf_faulty_request(struct hf_faulty *faulty, int index);    /* head and body as they came; borrowed */
bool hf_faulty_has(struct hf_faulty *faulty, int index, const char *); /* whether the request holds the text */

#endif
