#include "api/routes.h"

#include <string.h>

#include "tests/support/check_main.h"

static const struct hf_route rows[] = {
    {HF_GET, "/", NULL, HF_ROLE_NONE, HF_BODY_NONE, HF_ON_LOOP, "root", NULL},
    {HF_GET, "/v1/systems/{system}", NULL, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_LOOP, "system_get", NULL},
    {HF_PUT, "/v1/systems/{system}", NULL, HF_ROLE_AGENT, HF_BODY_SMALL, HF_ON_LOOP, "system_put", NULL},
    {HF_GET, "/v1/systems/{system}/components/{component}/state", NULL, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_LOOP,
     "state_get", "version at"},
    {HF_GET, "/v1/systems/{system}/snapshots/{id}", NULL, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_LOOP, "snapshot_get",
     NULL},
    {HF_DELETE, "/v1/systems/{system}/snapshots/{id}", NULL, HF_ROLE_OPERATOR, HF_BODY_NONE, HF_ON_LOOP,
     "snapshot_delete", NULL},
    {HF_GET, "/v1/systems/{system}/snapshots/latest", NULL, HF_ROLE_VIEWER, HF_BODY_NONE, HF_ON_LOOP, "latest", NULL},
};
static const struct hf_route_table table = {rows, (int)(sizeof(rows) / sizeof(rows[0]))};

struct lookup {
    struct hf_arena arena;
    struct hf_route_match match;
    struct hf_error err;
    bool found;
};

static struct lookup look_up(enum hf_method method, const char *path)
{
    struct lookup lookup = {0};
    hf_arena_init(&lookup.arena);
    lookup.found = hf_route_find_in(&table, method, path, &lookup.arena, &lookup.match, &lookup.err);
    return lookup;
}

static void expect_route(enum hf_method method, const char *path, const char *label)
{
    struct lookup lookup = look_up(method, path);
    ck_assert_msg(lookup.found, "%s: %s", path, lookup.err.text);
    ck_assert_str_eq(lookup.match.route->label, label);
    hf_arena_done(&lookup.arena);
}

static void expect_refusal(enum hf_method method, const char *path, enum hf_code code, const char *word)
{
    struct lookup lookup = look_up(method, path);
    ck_assert_msg(!lookup.found, "%s was found", path);
    ck_assert_msg(lookup.err.code == code, "%s: %s", path, hf_code_name(lookup.err.code));
    ck_assert_msg(strstr(lookup.err.text, word) != NULL, "no \"%s\" in \"%s\"", word, lookup.err.text);
    ck_assert_ptr_null(lookup.match.route);
    hf_arena_done(&lookup.arena);
}

START_TEST(a_path_leads_to_its_row)
{
    expect_route(HF_GET, "/", "root");
    expect_route(HF_GET, "/v1/systems/a", "system_get");
    expect_route(HF_PUT, "/v1/systems/a", "system_put");
    expect_route(HF_DELETE, "/v1/systems/a/snapshots/full-1", "snapshot_delete");
}
END_TEST

START_TEST(parameters_are_decoded_in_the_order_of_the_path)
{
    struct lookup lookup = look_up(HF_GET, "/v1/systems/trading%2Dfloor/components/agent%3a7/state");
    ck_assert_msg(lookup.found, "%s", lookup.err.text);
    ck_assert_str_eq(lookup.match.params[0], "trading-floor");
    ck_assert_str_eq(lookup.match.params[1], "agent:7");
    ck_assert_ptr_null(lookup.match.params[2]);
    hf_arena_done(&lookup.arena);
}
END_TEST

START_TEST(head_is_answered_by_the_get_row)
{
    expect_route(HF_HEAD, "/v1/systems/a", "system_get");
}
END_TEST

START_TEST(fixed_segments_win_over_parameters)
{
    expect_route(HF_GET, "/v1/systems/a/snapshots/latest", "latest");
    expect_route(HF_GET, "/v1/systems/a/snapshots/latest2", "snapshot_get");
}
END_TEST

START_TEST(an_unknown_path_is_not_found)
{
    expect_refusal(HF_GET, "/v1/system/a", HF_NOT_FOUND, "/v1/system/a");
    expect_refusal(HF_GET, "/v1/systems/a/", HF_NOT_FOUND, "no path");
    expect_refusal(HF_GET, "/v1/systems/", HF_NOT_FOUND, "no path");
    expect_refusal(HF_GET, "//v1/systems/a", HF_NOT_FOUND, "no path");
    expect_refusal(HF_GET, "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19", HF_NOT_FOUND, "no path");
}
END_TEST

START_TEST(another_method_is_told_what_the_path_allows)
{
    struct lookup lookup = look_up(HF_DELETE, "/v1/systems/a");
    ck_assert(!lookup.found);
    ck_assert_int_eq(lookup.err.code, HF_METHOD_NOT_ALLOWED);
    ck_assert_str_eq(lookup.match.allow, "GET, HEAD, PUT");
    hf_arena_done(&lookup.arena);
    expect_refusal(HF_METHOD_COUNT, "/v1/systems/a", HF_METHOD_NOT_ALLOWED, "GET, HEAD, PUT");
    expect_refusal(HF_METHOD_COUNT, "/nowhere", HF_NOT_FOUND, "/nowhere");
}
END_TEST

START_TEST(an_encoded_slash_never_splits_a_segment)
{
    expect_refusal(HF_GET, "/v1/systems/a%2Fb", HF_INVALID_REQUEST, "system is \"a/b\"");
    expect_refusal(HF_GET, "/v1%2Fsystems/a", HF_NOT_FOUND, "no path");
}
END_TEST

START_TEST(relative_segments_are_refused_however_they_are_written)
{
    expect_refusal(HF_GET, "/v1/systems/../a", HF_INVALID_REQUEST, "relative");
    expect_refusal(HF_GET, "/v1/systems/%2e%2E", HF_INVALID_REQUEST, "relative");
    expect_refusal(HF_GET, "/v1/./systems/a", HF_INVALID_REQUEST, "relative");
}
END_TEST

START_TEST(bad_percent_encoding_and_nul_are_refused)
{
    expect_refusal(HF_GET, "/v1/systems/a%00b", HF_INVALID_REQUEST, "segment 3");
    expect_refusal(HF_GET, "/v1/systems/a%", HF_INVALID_REQUEST, "segment 3");
    expect_refusal(HF_GET, "/v1/systems/a%4", HF_INVALID_REQUEST, "segment 3");
    expect_refusal(HF_GET, "/v1/systems/a%zz", HF_INVALID_REQUEST, "segment 3");
}
END_TEST

START_TEST(a_name_that_breaks_the_rule_is_named)
{
    expect_refusal(HF_GET, "/v1/systems/-a", HF_INVALID_REQUEST, "system is \"-a\"");
    expect_refusal(HF_GET, "/v1/systems/a/components/%20/state", HF_INVALID_REQUEST, "component is \" \"");
    expect_refusal(HF_GET, "a", HF_INVALID_REQUEST, "slash");
}
END_TEST

static bool parse_query(const char *query, struct hf_request *request, struct hf_error *err)
{
    *request = (struct hf_request){0};
    hf_arena_init(&request->arena);
    return hf_route_parse_query(&rows[3], query, request, err);
}

static void expect_query_refusal(const char *query, const char *word)
{
    struct hf_request request;
    struct hf_error err;
    ck_assert_msg(!parse_query(query, &request, &err), "%s passed", query);
    ck_assert_int_eq(err.code, HF_INVALID_REQUEST);
    ck_assert_msg(strstr(err.text, word) != NULL, "no \"%s\" in \"%s\"", word, err.text);
    hf_arena_done(&request.arena);
}

START_TEST(query_parameters_are_decoded)
{
    struct hf_request request;
    struct hf_error err;
    ck_assert(parse_query("&at=2026-11-23T01%3A30%3A00Z+x&version", &request, &err));
    ck_assert_int_eq(request.query_count, 2);
    ck_assert_str_eq(hf_request_query(&request, "at"), "2026-11-23T01:30:00Z x");
    ck_assert_str_eq(hf_request_query(&request, "version"), "");
    ck_assert_ptr_null(hf_request_query(&request, "limit"));
    hf_arena_done(&request.arena);
}
END_TEST

START_TEST(wrong_query_parameters_are_refused)
{
    expect_query_refusal("verison=1", "unknown query parameter \"verison\"");
    expect_query_refusal("vers=1", "unknown");
    expect_query_refusal("version%20at=1", "unknown");
    expect_query_refusal("=1", "unknown");
    expect_query_refusal("version=1&version=2", "twice");
    expect_query_refusal("version=%00", "NUL");
    expect_query_refusal("version=%4", "percent");
    struct hf_request request = {0};
    struct hf_error err;
    hf_arena_init(&request.arena);
    ck_assert(!hf_route_parse_query(&rows[0], "x=1", &request, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "none"));
    hf_arena_done(&request.arena);
}
END_TEST

START_TEST(whole_numbers_are_read_within_their_range)
{
    static const char *const bad[] = {"version=0",
                                      "version=1001",
                                      "version=",
                                      "version=+5",
                                      "version=%205",
                                      "version=1e2",
                                      "version=99999999999999999999"};
    struct hf_request request;
    struct hf_error err;
    int64_t value = -1;
    ck_assert(parse_query("version=1000", &request, &err));
    ck_assert(hf_request_query_int(&request, "version", 1, 1000, &value, &err));
    ck_assert_int_eq(value, 1000);
    ck_assert(hf_request_query_int(&request, "at", 1, 1000, &value, &err));
    ck_assert_int_eq(value, 1000);
    hf_arena_done(&request.arena);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert(parse_query(bad[i], &request, &err));
        ck_assert_msg(!hf_request_query_int(&request, "version", 1, 1000, &value, &err), "%s passed", bad[i]);
        ck_assert_ptr_nonnull(strstr(err.text, "1 to 1000"));
        ck_assert_int_eq(value, 1000);
        hf_arena_done(&request.arena);
    }
}
END_TEST

HF_TEST_MAIN("routes", a_path_leads_to_its_row, parameters_are_decoded_in_the_order_of_the_path,
             head_is_answered_by_the_get_row, fixed_segments_win_over_parameters, an_unknown_path_is_not_found,
             another_method_is_told_what_the_path_allows, an_encoded_slash_never_splits_a_segment,
             relative_segments_are_refused_however_they_are_written, bad_percent_encoding_and_nul_are_refused,
             a_name_that_breaks_the_rule_is_named, query_parameters_are_decoded, wrong_query_parameters_are_refused,
             whole_numbers_are_read_within_their_range);
