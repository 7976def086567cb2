/* Turns of requests that change the same thing: who goes on, who waits, who is refused. */
#include "api/turns.h"

#include "tests/support/check_main.h"

#include <string.h>

#define PLACES 2

static struct fake {
    struct hf_request request;
    struct hf_turn turn;
    int asides, resumes, completions;
    bool has_no_worker;
} fakes[HF_TURNS_WAITING + 20];

static void note_aside(struct hf_request *request)
{
    ((struct fake *)request->server)->asides++;
}

static bool note_resume(struct hf_request *request)
{
    struct fake *fake = request->server;
    fake->resumes++;
    return !fake->has_no_worker;
}

static void note_completion(struct hf_request *request)
{
    struct fake *fake = request->server;
    struct hf_error err;
    fake->completions++;
    ck_assert(!request->finish(request, NULL, &err));
    ck_assert_int_eq(err.code, HF_OVERLOADED);
    memset(&fake->turn, 0xaa, sizeof(fake->turn)); /* it is the request's */
}

static enum hf_turn_answer take(int number, const char *component, size_t bytes)
{
    struct fake *fake = &fakes[number];
    struct hf_error err = {.code = HF_OK};
    *fake = (struct fake){.request = {.put_aside = note_aside, .resume = note_resume, .complete = note_completion}};
    fake->request.server = fake;
    fake->turn = (struct hf_turn){
        .request = &fake->request, .system = "default", .component = component, .bytes = bytes, .at_work_max = PLACES};
    enum hf_turn_answer answer = hf_turn_take(&fake->turn, &err);
    ck_assert_int_eq(fake->asides, answer == HF_TURN_LATER);
    ck_assert_int_eq(err.code, answer == HF_TURN_REFUSED ? HF_OVERLOADED : HF_OK);
    return answer;
}

static void end(int number)
{
    hf_turn_end(&fakes[number].turn);
}

START_TEST(one_at_a_time_of_a_thing_in_the_order_they_came)
{
    ck_assert_int_eq(take(0, "a", 1), HF_TURN_NOW);
    ck_assert_int_eq(take(1, "a", 1), HF_TURN_LATER);
    ck_assert_int_eq(take(2, "a", 1), HF_TURN_LATER);
    ck_assert_int_eq(take(3, "b", 1), HF_TURN_NOW);
    end(0);
    ck_assert_int_eq(fakes[1].resumes, 1);
    end(1);
    ck_assert_int_eq(fakes[2].resumes, 1);
    ck_assert_int_eq(fakes[1].resumes, 1);
    end(2);
    end(3);
    ck_assert_int_eq(take(0, "a", 1), HF_TURN_NOW);
    end(0);
}
END_TEST

START_TEST(more_things_than_places_wait_and_none_is_passed_over)
{
    ck_assert_int_eq(take(0, "a", 1), HF_TURN_NOW);
    ck_assert_int_eq(take(1, "b", 1), HF_TURN_NOW);
    ck_assert_int_eq(take(2, "a", 1), HF_TURN_LATER);
    ck_assert_int_eq(take(3, "c", 1), HF_TURN_LATER);
    ck_assert_int_eq(take(4, "d", 1), HF_TURN_LATER);
    end(1); /* a is at work: c is the first that can begin */
    ck_assert_int_eq(fakes[2].resumes, 0);
    ck_assert_int_eq(fakes[3].resumes, 1);
    ck_assert_int_eq(take(5, "b", 1), HF_TURN_LATER);
    end(0);
    ck_assert_int_eq(fakes[2].resumes, 1);
    end(3);
    end(2);
    ck_assert_int_eq(fakes[4].resumes + fakes[5].resumes, 2);
    end(4);
    end(5);
}
END_TEST

START_TEST(who_waits_is_bounded_in_number_and_in_bytes)
{
    int number = 2;
    ck_assert_int_eq(take(0, "a", 1), HF_TURN_NOW);
    for (int i = 0; i < HF_TURNS_WAITING_PER_THING; i++)
        ck_assert_int_eq(take(number++, "a", 1), HF_TURN_LATER);
    ck_assert_int_eq(take(number, "a", 1), HF_TURN_REFUSED);
    ck_assert_int_eq(take(1, "b", HF_TURNS_BYTES), HF_TURN_REFUSED);
    ck_assert_int_eq(take(1, "b", 1), HF_TURN_NOW);
    static const char *const names[] = {"c", "d", "e", "f", "g", "h", "i", "j"};
    while (number < 2 + HF_TURNS_WAITING) {
        ck_assert_int_eq(take(number, names[number % 8], 1), HF_TURN_LATER);
        number++;
    }
    ck_assert_int_eq(take(number, "z", 1), HF_TURN_REFUSED);
    ck_assert_ptr_null(fakes[number].turn.next);
    int at_work[PLACES] = {0, 1};
    for (int ended = 0; ended < number; ended++) {
        end(at_work[ended % PLACES]);
        for (int i = 2; i < number; i++)
            if (fakes[i].resumes == 1) {
                at_work[ended % PLACES] = i;
                fakes[i].resumes = 2;
            }
    }
    for (int i = 2; i < number; i++)
        ck_assert_int_eq(fakes[i].resumes, 2);
    ck_assert_int_eq(take(0, "a", HF_TURNS_BYTES), HF_TURN_NOW); /* all bytes are given back */
    ck_assert_int_eq(take(1, "b", 1), HF_TURN_REFUSED);
    end(0);
}
END_TEST

START_TEST(who_finds_no_worker_is_answered_and_the_turn_goes_on)
{
    ck_assert_int_eq(take(0, "a", 1), HF_TURN_NOW);
    for (int i = 1; i < 4; i++)
        ck_assert_int_eq(take(i, "a", 1), HF_TURN_LATER);
    fakes[1].has_no_worker = fakes[2].has_no_worker = true;
    end(0);
    ck_assert_int_eq(fakes[1].completions, 1);
    ck_assert_int_eq(fakes[2].completions, 1);
    ck_assert_int_eq(fakes[3].resumes, 1);
    ck_assert_int_eq(fakes[3].completions, 0);
    ck_assert_int_eq(take(4, "a", 1), HF_TURN_LATER);
    fakes[4].has_no_worker = true;
    end(3);
    ck_assert_int_eq(fakes[4].completions, 1);
    ck_assert_int_eq(take(0, "a", HF_TURNS_BYTES), HF_TURN_NOW);
    end(0);
}
END_TEST

HF_TEST_MAIN("turns", one_at_a_time_of_a_thing_in_the_order_they_came,
             more_things_than_places_wait_and_none_is_passed_over, who_waits_is_bounded_in_number_and_in_bytes,
             who_finds_no_worker_is_answered_and_the_turn_goes_on);
