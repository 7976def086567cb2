#include "api/turns.h"

#include "core/metrics.h"

#include <pthread.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects what follows */
static struct hf_turn *at_work;
static struct hf_turn *waiting; /* in the order in which they came */
static int at_work_count, waiting_count;
static size_t bytes_held;

static bool is_too_much(const struct hf_turn *turn, int waiting_for_this, struct hf_error *err);
static int count_of(const struct hf_turn *list, const struct hf_turn *turn);
static void begin(struct hf_turn *turn);
static void put_aside(struct hf_turn *turn);
static void remove_from(struct hf_turn **list, struct hf_turn *turn);
static struct hf_turn *end_and_begin_next(struct hf_turn *ended);
static bool tell_no_thread(struct hf_request *request, struct hf_reply *reply, struct hf_error *err);

enum hf_turn_answer hf_turn_take(struct hf_turn *turn, struct hf_error *err)
{
    enum hf_turn_answer answer = HF_TURN_REFUSED;
    pthread_mutex_lock(&lock);
    int waiting_for_this = count_of(waiting, turn);
    bool is_first = waiting_for_this == 0 && count_of(at_work, turn) == 0;
    if (bytes_held + turn->bytes > HF_TURNS_BYTES) {
        hf_error_set(err, HF_OVERLOADED, "the changes that wait for their turn hold too many bytes; try again soon");
    } else if (is_first && at_work_count < turn->at_work_max) {
        begin(turn);
        answer = HF_TURN_NOW;
    } else if (!is_too_much(turn, waiting_for_this, err)) {
        put_aside(turn);
        answer = HF_TURN_LATER;
    }
    bytes_held += answer == HF_TURN_REFUSED ? 0 : turn->bytes;
    pthread_mutex_unlock(&lock);
    hf_metric_add(HF_M_REFUSED_OVERLOADED, answer == HF_TURN_REFUSED);
    return answer;
}

void hf_turn_end(struct hf_turn *turn)
{
    struct hf_request *refused = NULL;
    while (turn) {
        struct hf_turn *next = end_and_begin_next(turn); /* turn may be gone when its request is completed */
        if (refused)
            hf_request_complete(refused);
        if (!next || hf_request_resume(next->request))
            return;
        refused = next->request;
        refused->finish = tell_no_thread;
        turn = next;
    }
}

static bool is_too_much(const struct hf_turn *turn, int waiting_for_this, struct hf_error *err)
{
    if (waiting_for_this >= HF_TURNS_WAITING_PER_THING)
        return !hf_error_set(err, HF_OVERLOADED,
                             "%d changes of component %s wait for their turn already; try again soon", waiting_for_this,
                             turn->component);
    if (waiting_count >= HF_TURNS_WAITING)
        return !hf_error_set(err, HF_OVERLOADED, "%d changes wait for their turn already; try again soon",
                             waiting_count);
    return false;
}

/* How many are of the same thing. */
static int count_of(const struct hf_turn *list, const struct hf_turn *turn)
{
    int count = 0;
    for (; list; list = list->next)
        count += strcmp(list->component, turn->component) == 0 && strcmp(list->system, turn->system) == 0;
    return count;
}

static void begin(struct hf_turn *turn)
{
    turn->next = at_work;
    at_work = turn;
    at_work_count++;
}

static void put_aside(struct hf_turn *turn)
{
    struct hf_turn **end = &waiting;
    while (*end)
        end = &(*end)->next;
    turn->next = NULL;
    *end = turn;
    waiting_count++;
    hf_request_put_aside(turn->request);
}

static void remove_from(struct hf_turn **list, struct hf_turn *turn)
{
    while (*list != turn)
        list = &(*list)->next;
    *list = turn->next;
}

/* One end makes one place, and leaves one thing free: at most one can begin, the first that waits for nothing else.
 * NULL: none. */
static struct hf_turn *end_and_begin_next(struct hf_turn *ended)
{
    int at_work_max = ended->at_work_max;
    pthread_mutex_lock(&lock);
    remove_from(&at_work, ended);
    at_work_count--;
    bytes_held -= ended->bytes;
    struct hf_turn *next = at_work_count < at_work_max ? waiting : NULL;
    while (next && count_of(at_work, next) > 0)
        next = next->next;
    if (next) {
        remove_from(&waiting, next);
        waiting_count--;
        begin(next);
    }
    pthread_mutex_unlock(&lock);
    return next;
}

static bool tell_no_thread(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)request, (void)reply;
    return hf_error_set(err, HF_OVERLOADED, "too many requests wait for a worker; nothing was changed; try again soon");
}
