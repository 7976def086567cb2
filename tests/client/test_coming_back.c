/* Hydrating, restoring, epochs and following events, against the real server. */
#include "client/holdfast.h"

#include "core/auto.h"
#include "core/buf.h"
#include "core/json.h"
#include "tests/support/client.h"
#include "tests/support/faulty.h"
#include "tests/support/server.h"
#include "tests/support/temp.h"

#include "tests/support/check_main.h"

#include <pthread.h>
#include <string.h>

struct scene {
    struct hf_test_server *server;
    struct hf_faulty *faulty;
    struct holdfast *service;
    struct holdfast_error err;
    struct hf_buf heard; /* "name=state;" as restore was called; or events */
    const char *fails;   /* this component fails */
    int events_wanted;
};

static void start(struct scene *s, const struct hf_faulty_step *steps, int count)
{
    setenv("no_proxy", "127.0.0.1", 1);
    *s = (struct scene){.server = hf_test_server_start(NULL)};
    int port = hf_test_server_port(s->server);
    s->faulty = steps ? hf_faulty_start(steps, count, port) : NULL;
    HF_AUTO(free) char *url = hf_format("http://127.0.0.1:%d", port);
    const struct holdfast_options options = {.url = steps ? hf_faulty_url(s->faulty) : url};
    ck_assert_msg(holdfast_open(&options, &s->service, &s->err), "%s", s->err.text);
    hf_buf_init(&s->heard, 1000000);
    hf_buf_add_text(&s->heard, "");
}

static void stop(struct scene *s)
{
    holdfast_close(s->service);
    if (s->faulty)
        hf_faulty_stop(s->faulty);
    hf_test_server_free(s->server);
    hf_buf_done(&s->heard);
}

#define must(s, call) ck_assert_msg(call, "%s: %s", (s).err.code, (s).err.text)

static void save(struct scene *s, const char *component, const char *text)
{
    must(*s, holdfast_save(s->service, component, text, strlen(text), NULL, NULL, &s->err));
}

static void depend(struct scene *s, const char *component, const char *on)
{
    const char *const names[] = {on, NULL};
    const struct holdfast_component registration = {.name = component, .depends_on = names};
    must(*s, holdfast_register(s->service, &registration, &s->err));
}

static void expect_refused(struct scene *s, bool ok, const char *code)
{
    ck_assert(!ok);
    ck_assert_msg(strcmp(s->err.code, code) == 0, "%s instead of %s: %s", s->err.code, code, s->err.text);
}

static enum holdfast_outcome restore(void *context, const char *component, const struct holdfast_state *state,
                                     char detail[160])
{
    struct scene *s = context;
    ck_assert_str_eq(detail, "");
    hf_buf_add_format(&s->heard, "%s=%s;", component, state ? (const char *)state->data : "none");
    memset(detail, 'd', 160); /* not ended: must do no harm */
    if (s->fails && strcmp(component, s->fails) == 0)
        return HOLDFAST_FAILED;
    return state ? HOLDFAST_RESTORED : HOLDFAST_FRESH;
}

static struct holdfast_recovery hydrate(struct scene *s, struct holdfast_hydration hydration, const char *expected)
{
    struct holdfast_recovery recovery;
    hydration.restore = restore;
    hydration.context = s;
    hf_buf_reset(&s->heard);
    must(*s, holdfast_hydrate(s->service, &hydration, &recovery, &s->err));
    ck_assert_str_eq(s->heard.data, expected);
    return recovery;
}

#define hydration(...) ((struct holdfast_hydration){__VA_ARGS__})

START_TEST(a_new_system_has_nothing_and_its_epoch_comes_with_the_first_receipt)
{
    static const char *const names[] = {"a", "b", NULL};
    struct scene s;
    start(&s, NULL, 0);
    struct holdfast_recovery recovery = hydrate(&s, hydration(.reason = "first start"), "");
    ck_assert_int_eq(recovery.components, 0);
    ck_assert_int_eq(recovery.epoch, 0);
    ck_assert_str_eq(recovery.status, "fresh");
    recovery = hydrate(&s, hydration(.components = names), "a=none;b=none;");
    ck_assert_int_eq(recovery.fresh, 2);
    ck_assert_int_eq(holdfast_epoch(s.service), 0);
    save(&s, "a", "1");
    ck_assert_int_eq(holdfast_epoch(s.service), 1);
    stop(&s);
}
END_TEST

START_TEST(components_come_back_after_what_they_need_and_are_reported)
{
    struct scene s;
    struct holdfast_answer answer = {0};
    start(&s, NULL, 0);
    save(&s, "a", "1");
    save(&s, "b", "2");
    save(&s, "c", "3");
    depend(&s, "a", "b");
    depend(&s, "b", "c");
    ck_assert_int_eq(holdfast_epoch(s.service), 0); /* not hydrated: no fence asked for */
    struct holdfast_recovery recovery = hydrate(&s, hydration(.reason = "power was back"), "c=3;b=2;a=1;");
    ck_assert_str_eq(recovery.status, "completed");
    ck_assert_str_eq(recovery.source, "head");
    ck_assert_int_eq(recovery.components, 3);
    ck_assert_int_eq(recovery.restored, 3);
    ck_assert_int_eq(recovery.epoch, 1);
    ck_assert_int_eq(holdfast_epoch(s.service), 1);
    HF_AUTO(free) char *path = hf_format("recoveries/%s", recovery.id);
    must(s, holdfast_call(s.service, &(struct holdfast_request){.path = path}, &answer, &s.err));
    ck_assert_ptr_nonnull(strstr(answer.body, "\"reason\":\"power was back\""));
    ck_assert_ptr_nonnull(strstr(answer.body, "\"detail\":\"dddd"));
    ck_assert_ptr_nonnull(strstr(answer.body, "\"progress\":{\"total\":3,\"restored\":3"));
    holdfast_answer_free(&answer);
    s.fails = "b";
    recovery = hydrate(&s, hydration(), "c=3;b=2;a=1;");
    ck_assert_str_eq(recovery.status, "failed");
    ck_assert_int_eq(recovery.failed, 1);
    ck_assert_int_eq(recovery.restored, 2);
    stop(&s);
}
END_TEST

START_TEST(some_components_come_back_with_what_they_need_and_those_without_a_state_are_told)
{
    static const char *const names[] = {"new", "a", NULL}, *const only_new[] = {"new", NULL}, *const none[] = {NULL};
    struct scene s;
    start(&s, NULL, 0);
    save(&s, "a", "1");
    save(&s, "b", "2");
    save(&s, "other", "3");
    depend(&s, "a", "b");
    struct holdfast_recovery recovery = hydrate(&s, hydration(.components = names), "a=1;new=none;");
    ck_assert_int_eq(recovery.components, 2);
    hydrate(&s, hydration(.components = names, .include_dependencies = true), "b=2;a=1;new=none;");
    holdfast_set_epoch(s.service, 0);
    recovery = hydrate(&s, hydration(.components = only_new), "new=none;");
    ck_assert_int_eq(recovery.fresh, 1);
    ck_assert_int_eq(holdfast_epoch(s.service), 1);
    hydrate(&s, hydration(.max_age_ms = 86400000), "b=2;other=3;a=1;");
    const struct holdfast_hydration wrong[] = {{.restore = NULL},
                                               {.restore = restore, .components = none},
                                               {.restore = restore, .max_age_ms = -1}};
    for (int i = 0; i < 3; i++)
        expect_refused(&s, holdfast_hydrate(s.service, &wrong[i], NULL, &s.err), "invalid_argument");
    stop(&s);
}
END_TEST

START_TEST(after_a_restore_the_old_epoch_is_refused_until_hydration)
{
    struct scene s;
    struct holdfast_snapshot snapshot;
    struct holdfast_recovery plan, recovery;
    start(&s, NULL, 0);
    save(&s, "a", "1");
    hydrate(&s, hydration(), "a=1;");
    must(s, holdfast_take_snapshot(s.service, "full", NULL, &snapshot, &s.err));
    save(&s, "a", "2");
    const struct holdfast_restore_options dry = {.snapshot = "latest", .dry_run = true, .reason = "bad step"};
    must(s, holdfast_restore(s.service, &dry, &plan, &s.err));
    ck_assert_str_eq(plan.status, "planned");
    ck_assert_str_eq(plan.snapshot, snapshot.id);
    ck_assert_int_eq(plan.lost_versions, 1);
    save(&s, "a", "3");
    expect_refused(&s, holdfast_restore(s.service, &(struct holdfast_restore_options){.plan = plan.id}, NULL, &s.err),
                   "plan_changed");
    const struct holdfast_restore_options force = {.plan = plan.id, .force = true};
    must(s, holdfast_restore(s.service, &force, &recovery, &s.err));
    ck_assert_str_eq(recovery.status, "applied");
    ck_assert_int_eq(recovery.epoch, 2);
    ck_assert_int_eq(holdfast_epoch(s.service), 1);
    expect_refused(&s, holdfast_save(s.service, "a", "4", 1, NULL, NULL, &s.err), "stale_epoch");
    const struct holdfast_item items[] = {{"a", "4", 1, {0}}};
    expect_refused(&s, holdfast_save_all(s.service, items, 1, NULL, &s.err), "stale_epoch");
    expect_refused(&s, holdfast_remove(s.service, "a", &s.err), "stale_epoch");
    hydrate(&s, hydration(), "a=1;");
    ck_assert_int_eq(holdfast_epoch(s.service), 2);
    struct holdfast_receipt receipt, batch;
    must(s, holdfast_save(s.service, "a", "4", 1, NULL, &receipt, &s.err));
    must(s, holdfast_save_all(s.service, items, 1, &batch, &s.err));
    ck_assert_str_eq(batch.etag, receipt.etag); /* with the epoch at its end */
    const struct holdfast_restore_options wrong[] = {{0},
                                                     {.snapshot = "latest", .plan = "x"},
                                                     {.at = "never"},
                                                     {.snapshot = "latest", .force = true},
                                                     {.plan = "x", .dry_run = true}};
    for (int i = 0; i < 5; i++)
        expect_refused(&s, holdfast_restore(s.service, &wrong[i], NULL, &s.err), "invalid_argument");
    stop(&s);
}
END_TEST

/* The header line of a request that was sent; owns. */
static char *key_of(struct scene *s, int request)
{
    const char *key = strstr(hf_faulty_request(s->faulty, request), "Idempotency-Key: ");
    ck_assert_ptr_nonnull(key);
    return hf_strndup(key, strcspn(key, "\r"));
}

START_TEST(a_restore_whose_answer_is_lost_is_done_once)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_PASS_ON, NULL},           {HF_FAULTY_PASS_ON, NULL},
                                                  {HF_FAULTY_PASS_ON_AND_CLOSE, NULL}, {HF_FAULTY_CLOSE, NULL},
                                                  {HF_FAULTY_PASS_ON, NULL},           {HF_FAULTY_PASS_ON, NULL}};
    struct scene s;
    struct holdfast_recovery first, second;
    start(&s, steps, 6);
    save(&s, "a", "1");
    must(s, holdfast_take_snapshot(s.service, "full", NULL, NULL, &s.err));
    const struct holdfast_restore_options latest = {.snapshot = "latest"};
    must(s, holdfast_restore(s.service, &latest, &first, &s.err));
    ck_assert_str_eq(first.status, "applied");
    ck_assert_int_eq(first.epoch, 2);
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 5);
    HF_AUTO(free) char *key = key_of(&s, 2);
    ck_assert_uint_gt(strlen(key), strlen("Idempotency-Key: ") + 16);
    ck_assert(hf_faulty_has(s.faulty, 3, key));
    ck_assert(hf_faulty_has(s.faulty, 4, key));
    must(s, holdfast_restore(s.service, &latest, &second, &s.err)); /* another call is another restore */
    ck_assert_int_eq(second.epoch, 3);
    ck_assert_str_ne(second.id, first.id);
    ck_assert(!hf_faulty_has(s.faulty, 5, key));
    stop(&s);
}
END_TEST

START_TEST(a_plan_whose_application_was_not_answered_is_applied_once)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_PASS_ON, NULL},           {HF_FAULTY_PASS_ON, NULL},
                                                  {HF_FAULTY_PASS_ON_AND_CLOSE, NULL}, {HF_FAULTY_PASS_ON, NULL},
                                                  {HF_FAULTY_PASS_ON_AND_CLOSE, NULL}, {HF_FAULTY_PASS_ON, NULL}};
    struct scene s;
    struct holdfast_recovery plan, recovery;
    start(&s, steps, 6);
    save(&s, "a", "1");
    must(s, holdfast_take_snapshot(s.service, "full", NULL, NULL, &s.err));
    const struct holdfast_restore_options dry = {.snapshot = "latest", .dry_run = true};
    must(s, holdfast_restore(s.service, &dry, &plan, &s.err));
    ck_assert_str_eq(plan.status, "planned");
    must(s, holdfast_restore(s.service, &(struct holdfast_restore_options){.plan = plan.id}, &recovery, &s.err));
    ck_assert_str_eq(recovery.status, "applied");
    ck_assert_str_eq(recovery.id, plan.id);
    ck_assert_int_eq(recovery.epoch, 2);
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 6);
    stop(&s);
}
END_TEST

START_TEST(a_restore_that_is_given_up_is_unknown_and_its_key_takes_it_up_again)
{
    static const struct hf_faulty_step steps[] = {
        {HF_FAULTY_PASS_ON, NULL},
        {HF_FAULTY_PASS_ON, NULL},
        {HF_FAULTY_PASS_ON_AND_CLOSE, NULL},
        {HF_FAULTY_ANSWER, "HTTP/1.1 503 x\r\nContent-Type: application/problem+json\r\nRetry-After: 3600\r\n"
                           "Connection: close\r\n\r\n{\"code\":\"starting\",\"detail\":\"wait\",\"retryable\":true}"},
        {HF_FAULTY_PASS_ON, NULL}};
    struct scene s;
    struct holdfast_recovery recovery;
    start(&s, steps, 5);
    save(&s, "a", "1");
    must(s, holdfast_take_snapshot(s.service, "full", NULL, NULL, &s.err));
    const struct holdfast_restore_options keyed = {.snapshot = "latest", .key = "our-key"};
    expect_refused(&s, holdfast_restore(s.service, &keyed, NULL, &s.err), "outcome_unknown");
    ck_assert_int_eq(hf_faulty_requests(s.faulty), 4);
    ck_assert(hf_faulty_has(s.faulty, 2, "Idempotency-Key: our-key\r"));
    ck_assert(hf_faulty_has(s.faulty, 3, "Idempotency-Key: our-key\r"));
    must(s, holdfast_restore(s.service, &keyed, &recovery, &s.err));
    ck_assert_str_eq(recovery.status, "applied");
    ck_assert_int_eq(recovery.epoch, 2);
    static const char *const wrong[] = {"", "a\r\nX-Other: 1"};
    for (int i = 0; i < 2; i++) {
        const struct holdfast_restore_options bad = {.snapshot = "latest", .key = wrong[i]};
        expect_refused(&s, holdfast_restore(s.service, &bad, NULL, &s.err), "invalid_argument");
    }
    stop(&s);
}
END_TEST

static void expect_recoveries(struct scene *s, size_t wanted)
{
    struct hf_answer answer;
    struct hf_error ignored;
    struct hf_client *client = hf_client_new(hf_test_server_port(s->server));
    HF_AUTO(free) char *path = hf_format("/v1/systems/%s/recoveries", holdfast_system(s->service));
    ck_assert(hf_client_call(client, "GET", path, NULL, NULL, &answer));
    HF_AUTO(json) json_t *page = hf_json_parse(answer.body, answer.body_bytes, &ignored);
    ck_assert_uint_eq(json_array_size(json_object_get(page, "recoveries")), wanted);
    hf_answer_done(&answer);
    hf_client_free(client);
}

START_TEST(hydration_survives_lost_answers_and_keeps_the_epoch_out_until_it_is_through)
{
    static const struct hf_faulty_step steps[] = {
        {HF_FAULTY_PASS_ON, NULL}, {HF_FAULTY_PASS_ON_AND_CLOSE, NULL}, /* save; the recovery */
        {HF_FAULTY_PASS_ON, NULL}, {HF_FAULTY_CLOSE, NULL},             /* again; the state */
        {HF_FAULTY_PASS_ON, NULL}, {HF_FAULTY_PASS_ON_AND_CLOSE, NULL}, /* again; the report */
        {HF_FAULTY_PASS_ON, NULL}, {HF_FAULTY_PASS_ON, NULL},           /* again; the end */
        {HF_FAULTY_PASS_ON, NULL}, {HF_FAULTY_ANSWER, "HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n"}};
    struct scene s;
    start(&s, steps, sizeof(steps) / sizeof(steps[0]));
    save(&s, "a", "1");
    struct holdfast_recovery recovery = hydrate(&s, hydration(), "a=1;");
    ck_assert_str_eq(recovery.status, "completed");
    ck_assert_int_eq(holdfast_epoch(s.service), 1);
    HF_AUTO(free) char *key = key_of(&s, 1);
    ck_assert(hf_faulty_has(s.faulty, 2, key));
    expect_recoveries(&s, 1); /* no other one waits for reports */
    holdfast_set_epoch(s.service, 0);
    struct holdfast_hydration again = {.restore = restore, .context = &s};
    expect_refused(&s, holdfast_hydrate(s.service, &again, &recovery, &s.err), "forbidden");
    ck_assert_int_eq(holdfast_epoch(s.service), 0);
    stop(&s);
}
END_TEST

START_TEST(a_damaged_state_is_not_given_and_one_that_does_not_match_ends_the_hydration)
{
    static const struct hf_faulty_step steps[] = {
        {HF_FAULTY_PASS_ON, NULL},
        {HF_FAULTY_PASS_ON, NULL},
        {HF_FAULTY_ANSWER, "HTTP/1.1 500 x\r\nContent-Type: application/problem+json\r\nConnection: close\r\n\r\n"
                           "{\"code\":\"data_damaged\",\"detail\":\"bytes do not match\",\"retryable\":false}"},
        {HF_FAULTY_PASS_ON, NULL},
        {HF_FAULTY_PASS_ON, NULL},
        {HF_FAULTY_PASS_ON, NULL},
        {HF_FAULTY_ANSWER, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nState-Version: 1\r\n"
                           "Repr-Digest: sha-256=:1HNeOiZeFu7gP1lxi5tdAwGcB9i2xR+Q2jpmbuwTqzU=:\r\n"
                           "Content-Length: 1\r\n\r\n2"}};
    struct scene s;
    start(&s, steps, sizeof(steps) / sizeof(steps[0]));
    save(&s, "a", "1");
    struct holdfast_recovery recovery = hydrate(&s, hydration(), "a=none;");
    ck_assert_int_eq(recovery.fresh, 1);
    holdfast_set_epoch(s.service, 0);
    struct holdfast_hydration again = {.restore = restore, .context = &s};
    hf_buf_reset(&s.heard);
    expect_refused(&s, holdfast_hydrate(s.service, &again, &recovery, &s.err), "bad_answer");
    ck_assert_msg(strstr(s.err.text, "another one than the recovery says"), "%s", s.err.text);
    ck_assert_str_eq(s.heard.data, "");
    ck_assert_int_eq(holdfast_epoch(s.service), 0);
    stop(&s);
}
END_TEST

START_TEST(an_agents_token_brings_the_present_back_in_the_same_order)
{
    static const char *const names[] = {"a", "new", NULL};
    struct scene s = {0};
    struct holdfast_answer answer = {0};
    HF_AUTO(free) char *directory = hf_test_temp_directory();
    HF_AUTO(free) char *file = hf_format("%s/tokens", directory);
    HF_AUTO(free) char *setting = hf_format("PERSISTENCE_TOKENS_FILE=%s", file);
    const char *const arguments[] = {"token", "create", "--role", "agent", "--tokens-file", file, NULL};
    const char *const environment[] = {setting, NULL};
    int exit_code;
    HF_AUTO(free) char *token = hf_test_server_run(arguments, &exit_code, NULL);
    ck_assert_int_eq(exit_code, 0);
    token[strcspn(token, "\n")] = '\0';
    setenv("no_proxy", "127.0.0.1", 1);
    s.server = hf_test_server_start(&(struct hf_test_server_options){.environment = environment});
    HF_AUTO(free) char *url = hf_format("http://127.0.0.1:%d", hf_test_server_port(s.server));
    must(s, holdfast_open(&(struct holdfast_options){.url = url, .token = token}, &s.service, &s.err));
    hf_buf_init(&s.heard, 1000000);
    hydrate(&s, hydration(.components = names), "a=none;new=none;"); /* the system is new */
    save(&s, "a", "1");
    save(&s, "b", "2");
    save(&s, "c", "3");
    depend(&s, "a", "b");
    depend(&s, "b", "c");
    depend(&s, "stateless", "a");
    holdfast_set_epoch(s.service, 0);
    struct holdfast_recovery recovery = hydrate(&s, hydration(), "c=3;b=2;a=1;");
    ck_assert_str_eq(recovery.status, "completed");
    ck_assert_str_eq(recovery.id, "");
    ck_assert_int_eq(recovery.restored, 3);
    ck_assert_int_eq(holdfast_epoch(s.service), 1);
    hydrate(&s, hydration(.components = names), "a=1;new=none;");
    hydrate(&s, hydration(.components = names, .include_dependencies = true), "c=3;b=2;a=1;new=none;");
    const struct holdfast_request recoveries = {.path = "recoveries"};
    must(s, holdfast_call(s.service, &recoveries, &answer, &s.err));
    ck_assert_ptr_nonnull(strstr(answer.body, "\"recoveries\":[]"));
    holdfast_answer_free(&answer);
    hf_test_remove_tree(directory);
    stop(&s);
}
END_TEST

static bool hear(void *context, const struct holdfast_event *event)
{
    struct scene *s = context;
    ck_assert(event->json[0] == '{' && event->time[0] && event->severity[0]);
    hf_buf_add_format(&s->heard, "%s;", event->type);
    return --s->events_wanted > 0;
}

START_TEST(events_are_followed_from_an_id_until_the_callback_has_enough)
{
    struct scene s;
    start(&s, NULL, 0);
    const struct holdfast_follow_options oldest = {.after = "0", .on_event = hear, .context = &s};
    expect_refused(&s, holdfast_follow(s.service, &oldest, &s.err), "not_found");
    save(&s, "a", "1");
    must(s, holdfast_take_snapshot(s.service, "full", NULL, NULL, &s.err));
    s.events_wanted = 2;
    must(s, holdfast_follow(s.service, &oldest, &s.err));
    ck_assert_str_eq(s.heard.data, "system.created;snapshot.completed;");
    const struct holdfast_follow_options wrong[] = {{.after = "x", .on_event = hear}, {.after = "0"}};
    for (int i = 0; i < 2; i++)
        expect_refused(&s, holdfast_follow(s.service, &wrong[i], &s.err), "invalid_argument");
    stop(&s);
}
END_TEST

#define STREAM "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#define EVENT(id)                                                                                                      \
    "id: " id "\nevent: e" id "\ndata: {\"id\":" id ",\"occurredAt\":\"t\",\"severity\":\"info\",\"type\":\"e\","      \
    "\"system\":\"default\",\"text\":\"x\",\"data\":{}}\n\n"

START_TEST(a_stream_that_breaks_off_is_taken_up_where_it_was)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_ANSWER, STREAM "retry: 1\nid: 4711\n\n"},
                                                  {HF_FAULTY_CLOSE, NULL},
                                                  {HF_FAULTY_ANSWER,
                                                   STREAM EVENT("4712") EVENT("4713") "id: 4714\nevent: cut"},
                                                  {HF_FAULTY_ANSWER,
                                                   "HTTP/1.1 503 x\r\nContent-Length: 0\r\nRetry-After: 0\r\n\r\n"},
                                                  {HF_FAULTY_ANSWER, STREAM EVENT("4714")},
                                                  {HF_FAULTY_ANSWER, STREAM "data: no JSON\n\n"}};
    struct scene s;
    start(&s, steps, sizeof(steps) / sizeof(steps[0]));
    const struct holdfast_follow_options options = {.on_event = hear,
                                                    .context = &s,
                                                    .severity = "warning",
                                                    .after = NULL};
    s.events_wanted = 3;
    must(s, holdfast_follow(s.service, &options, &s.err));
    ck_assert_str_eq(s.heard.data, "e4712;e4713;e4714;");
    ck_assert(hf_faulty_has(s.faulty, 0, "events?severity=warning HTTP"));
    ck_assert(hf_faulty_has(s.faulty, 0, "Accept: text/event-stream\r\n"));
    ck_assert(!hf_faulty_has(s.faulty, 0, "Last-Event-ID"));
    ck_assert(hf_faulty_has(s.faulty, 1, "Last-Event-ID: 4711\r\n"));
    ck_assert(hf_faulty_has(s.faulty, 2, "Last-Event-ID: 4711\r\n"));
    ck_assert(hf_faulty_has(s.faulty, 4, "Last-Event-ID: 4713\r\n"));
    s.events_wanted = 3;
    expect_refused(&s, holdfast_follow(s.service, &options, &s.err), "bad_answer");
    stop(&s);
}
END_TEST

static void *cancel(void *argument)
{
    struct scene *s = argument;
    hf_faulty_await(s->faulty, 1);
    holdfast_cancel(s->service);
    return NULL;
}

START_TEST(following_is_cancelled)
{
    static const struct hf_faulty_step steps[] = {{HF_FAULTY_SILENCE, NULL}};
    struct scene s;
    pthread_t thread;
    start(&s, steps, 1);
    const struct holdfast_follow_options options = {.on_event = hear, .context = &s};
    ck_assert_int_eq(pthread_create(&thread, NULL, cancel, &s), 0);
    expect_refused(&s, holdfast_follow(s.service, &options, &s.err), "cancelled");
    pthread_join(thread, NULL);
    stop(&s);
}
END_TEST

HF_TEST_MAIN("coming_back", a_new_system_has_nothing_and_its_epoch_comes_with_the_first_receipt,
             components_come_back_after_what_they_need_and_are_reported,
             some_components_come_back_with_what_they_need_and_those_without_a_state_are_told,
             after_a_restore_the_old_epoch_is_refused_until_hydration, a_restore_whose_answer_is_lost_is_done_once,
             a_plan_whose_application_was_not_answered_is_applied_once,
             a_restore_that_is_given_up_is_unknown_and_its_key_takes_it_up_again,
             hydration_survives_lost_answers_and_keeps_the_epoch_out_until_it_is_through,
             a_damaged_state_is_not_given_and_one_that_does_not_match_ends_the_hydration,
             an_agents_token_brings_the_present_back_in_the_same_order,
             events_are_followed_from_an_id_until_the_callback_has_enough,
             a_stream_that_breaks_off_is_taken_up_where_it_was, following_is_cancelled);
