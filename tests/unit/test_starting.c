/* While the engine starts, HTTP is there already: probes answer, operations say that it is too early. */
#include "api/api.h"
#include "api/routes.h"

#include <string.h>

#include "tests/support/check_main.h"

/* Runs the handler of a route as the server would, with no engine. */
static enum hf_verdict run(const char *label, struct hf_reply *reply, struct hf_error *err)
{
    static struct hf_api api;
    struct hf_request request = {.api = &api, .target = "/", .params = {"s", "c"}};
    hf_arena_init(&request.arena);
    hf_reply_init(reply);
    for (int i = 0; i < hf_route_count; i++)
        if (strcmp(hf_routes[i].label, label) == 0) {
            request.route = &hf_routes[i];
            request.method = hf_routes[i].method;
        }
    ck_assert_ptr_nonnull(request.route);
    enum hf_verdict verdict = request.route->handler(&request, reply, err);
    hf_arena_done(&request.arena);
    return verdict;
}

START_TEST(operations_say_that_the_service_is_starting)
{
    for (int i = 0; i < hf_route_count; i++) {
        struct hf_reply reply;
        struct hf_error err = {0};
        bool open = strncmp(hf_routes[i].path, "/v1/", 4) != 0 || strcmp(hf_routes[i].label, "openapi") == 0;
        enum hf_verdict verdict = run(hf_routes[i].label, &reply, &err);
        ck_assert_msg(verdict == (open ? HF_DONE : HF_FAIL), "%s: %d", hf_routes[i].label, (int)verdict);
        if (!open)
            ck_assert_msg(err.code == HF_STARTING, "%s: %s", hf_routes[i].label, err.text);
        hf_reply_done(&reply);
    }
}
END_TEST

START_TEST(readiness_says_what_is_missing)
{
    struct hf_reply reply;
    struct hf_error err;
    ck_assert_int_eq(run("readyz", &reply, &err), HF_DONE);
    ck_assert_int_eq(reply.status, 503);
    ck_assert_ptr_nonnull(strstr(reply.body.data, "[-]startup failed: "));
    ck_assert_ptr_nonnull(strstr(reply.body.data, "[+]shutdown ok\n"));
    hf_reply_done(&reply);
    ck_assert_int_eq(run("livez", &reply, &err), HF_DONE);
    ck_assert_int_eq(reply.status, 200);
    hf_reply_done(&reply);
}
END_TEST

HF_TEST_MAIN("starting", operations_say_that_the_service_is_starting, readiness_says_what_is_missing);
