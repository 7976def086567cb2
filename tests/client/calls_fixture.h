/* A handle and a server that fails as it is told to. */
#ifndef HF_TESTS_CALLS_FIXTURE_H
#define HF_TESTS_CALLS_FIXTURE_H

#include "client/holdfast.h"
#include "tests/support/faulty.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define OK_HEAD   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: r-1\r\n"
#define OK        OK_HEAD "Content-Length: 2\r\n\r\n{}"
#define TOKEN     "very-secret-token"
#define COUNT(of) ((int)(sizeof(of) / sizeof((of)[0])))

#define PROBLEM(status, code, retryable, more)                                                                         \
    "HTTP/1.1 " status " x\r\nContent-Type: application/problem+json\r\n" more                                         \
    "Connection: close\r\n\r\n{\"type\":\"t\",\"title\":\"t\",\"status\":1,\"detail\":\"why it failed\","              \
    "\"instance\":\"/\",\"code\":\"" code "\",\"retryable\":" retryable ",\"requestId\":\"r-2\"}"

struct scene {
    struct hf_faulty *faulty;
    struct holdfast *service;
    struct holdfast_error err;
};

static void start_with(struct scene *scene, const struct hf_faulty_step *steps, int count,
                       struct holdfast_options options)
{
    setenv("no_proxy", "127.0.0.1", 1);
    *scene = (struct scene){.faulty = hf_faulty_start(steps, count, 0)};
    options.url = hf_faulty_url(scene->faulty);
    options.token = TOKEN;
    ck_assert_msg(holdfast_open(&options, &scene->service, &scene->err), "%s", scene->err.text);
}

#define start(scene, steps, ...) start_with(scene, steps, COUNT(steps), (struct holdfast_options){__VA_ARGS__})

static void stop(struct scene *scene)
{
    holdfast_close(scene->service);
    hf_faulty_stop(scene->faulty);
}

static bool call(struct scene *scene, const char *method, const char *path)
{
    struct holdfast_answer answer = {0};
    const struct holdfast_request request = {.method = method, .path = path, .body = "{}", .bytes = 2};
    bool ok =
        holdfast_call(scene->service, strcmp(method, "GET") == 0 ? &(struct holdfast_request){.path = path} : &request,
                      &answer, &scene->err);
    holdfast_answer_free(&answer);
    return ok;
}

static void expect_error(const struct scene *scene, const char *code, bool retryable)
{
    ck_assert_str_eq(scene->err.code, code);
    ck_assert_msg(scene->err.retryable == retryable, "%s is %sretryable", code, retryable ? "not " : "");
    ck_assert_msg(!strstr(scene->err.text, TOKEN), "the token is in: %s", scene->err.text);
}

#endif
