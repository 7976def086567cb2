/* Archives as a client sees them: what leaves and comes back, who may, and what is refused. On SQLite and PostgreSQL.
 */
#include "tests/support/api.h"

#include "core/auto.h"
#include "tests/support/engine.h"
#include "tests/support/snapshots.h"
#include "tests/support/temp.h"

#include <string.h>

#define SHOP "/v1/systems/shop"
#define COPY "/v1/systems/copy"

static const char *const as_tar[] = {"Content-Type: application/x-tar", NULL};
static const char *const as_zstd[] = {"Content-Type: application/zstd", NULL};

struct archive {
    char *data; /* owns */
    size_t bytes;
};

static void start(struct hf_api_test *t, int postgres)
{
    const struct hf_test_server_options options = {.postgres = postgres != 0};
    hf_api_start(t, &options);
    hf_api_call(t, 201, "PUT", SHOP "/components/cart/state", "{\"items\":[1,2,3]}");
    hf_api_call(t, 201, "PUT", SHOP "/components/stock/state", "{\"apples\":7}");
    hf_api_call(t, 201, "PUT", SHOP "/components/gone/state", "1");
    hf_api_call(t, 204, "DELETE", SHOP "/components/gone", NULL);
    hf_api_call(t, 201, "PUT", SHOP "/components/idle", "{\"kind\":\"agent\",\"dependsOn\":[\"stock\"]}");
    hf_api_call(t, 201, "POST", SHOP "/snapshots", "{\"kind\":\"full\",\"label\":\"the first\"}");
}

static struct archive download(struct hf_api_test *t, const char *path)
{
    hf_api_call(t, 200, "GET", path, NULL);
    struct archive archive = {hf_alloc(t->answer.body_bytes + 1), t->answer.body_bytes};
    memcpy(archive.data, t->answer.body, archive.bytes);
    return archive;
}

START_TEST(an_archive_comes_back_into_another_system_and_is_restored)
{
    struct hf_api_test t;
    start(&t, _i);
    HF_AUTO(free) char *root_hash = hf_strdup(hf_json_str(t.json, "rootHash"));
    HF_AUTO(free) char *origin = hf_strdup(hf_json_str(t.json, "id"));
    for (int zstd = 0; zstd < 2; zstd++) {
        struct archive archive =
            download(&t, zstd ? SHOP "/snapshots/latest/archive?compress=zstd" : SHOP "/snapshots/latest/archive");
        ck_assert_str_eq(hf_api_header(&t, "Content-Type"), zstd ? "application/zstd" : "application/x-tar");
        ck_assert_str_eq(hf_api_header(&t, "Trailer"), "Content-Digest");
        ck_assert_ptr_nonnull(strstr(hf_api_header(&t, "Content-Disposition"), origin));
        hf_api_send(&t, 201, "POST", COPY "/snapshots/import", zstd ? as_zstd : as_tar, archive.data, archive.bytes);
        ck_assert_str_eq(hf_json_str(t.json, "rootHash"), root_hash);
        ck_assert_str_eq(hf_json_str(t.json, "label"), "the first");
        ck_assert_str_eq(hf_json_str(t.json, "trigger"), "import");
        ck_assert_str_eq(hf_json_str(t.json, "kind"), "full");
        ck_assert_int_eq(hf_json_int(t.json, "components"), 2);
        free(archive.data);
    }
    HF_AUTO(free) char *restore = hf_format(COPY "/snapshots/%s/restore", hf_json_str(t.json, "id"));
    HF_AUTO(free) char *location = hf_format(COPY "/snapshots/%s", hf_json_str(t.json, "id"));
    ck_assert_str_eq(hf_api_header(&t, "Location"), location);
    hf_api_refused(&t, 404, "not_found", "GET", COPY "/snapshots/latest", NULL);
    hf_api_call(&t, 201, "POST", restore, "{}");
    hf_api_call(&t, 200, "GET", COPY "/components/cart/state", NULL);
    ck_assert_str_eq(t.answer.body, "{\"items\":[1,2,3]}");
    hf_api_refused(&t, 404, "not_found", "GET", COPY "/components/gone/state", NULL);
    hf_api_call(&t, 201, "POST", COPY "/snapshots", "{}");
    ck_assert_str_eq(hf_json_str(t.json, "rootHash"), root_hash);
    hf_api_stop(&t);
}
END_TEST

/* Its file is hit, and the database has the content: the download is whole, and so is the file soon after. */
START_TEST(a_download_takes_what_damage_took_from_elsewhere)
{
    struct hf_api_test t;
    start(&t, _i);
    HF_AUTO(free)
    char *file = hf_format("%s/data/system-state-backups/shop/%s.snapshot", hf_test_server_directory(t.server),
                           hf_json_str(t.json, "id"));
    HF_AUTO(free) char *validate = hf_format(SHOP "/snapshots/%s/validate", hf_json_str(t.json, "id"));
    hf_api_call(&t, 200, "POST", validate, "{}"); /* after which nothing else is about to look at it */
    hf_test_damage_content(file, "{\"apples\":7}");
    struct archive archive = download(&t, SHOP "/snapshots/latest/archive");
    hf_api_send(&t, 201, "POST", COPY "/snapshots/import", as_tar, archive.data, archive.bytes);
    free(archive.data);
    size_t bytes = 0;
    for (bool whole = false; !whole; usleep(10000)) {
        HF_AUTO(free) char *data = hf_test_read_file(file, &bytes);
        whole = memmem(data, bytes, "{\"apples\":7}", 12) != NULL;
    }
    hf_api_stop(&t);
}
END_TEST

START_TEST(a_head_has_no_archive_and_leaves_nothing_leased)
{
    struct hf_api_test t;
    start(&t, _i);
    HF_AUTO(free) char *path = hf_format(SHOP "/snapshots/%s", hf_json_str(t.json, "id"));
    struct hf_answer head;
    ck_assert(hf_client_call(t.client, "HEAD", SHOP "/snapshots/latest/archive", NULL, NULL, &head));
    ck_assert_int_eq(head.status, 200);
    ck_assert_uint_eq(head.body_bytes, 0);
    hf_answer_done(&head);
    struct archive archive = download(&t, SHOP "/snapshots/latest/archive");
    ck_assert_uint_gt(archive.bytes, 1024);
    free(archive.data);
    hf_api_call(&t, 204, "DELETE", path, NULL); /* neither reads it any more */
    hf_api_stop(&t);
}
END_TEST

START_TEST(what_is_asked_wrongly_is_refused)
{
    struct hf_api_test t;
    start(&t, _i);
    struct archive archive = download(&t, SHOP "/snapshots/latest/archive");
    hf_api_refused(&t, 400, "invalid_request", "GET", SHOP "/snapshots/latest/archive?compress=rar", NULL);
    hf_api_refused(&t, 400, "invalid_request", "GET", SHOP "/snapshots/latest/archive?colour=red", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", SHOP "/snapshots/full-1/archive", NULL);
    hf_api_refused(&t, 404, "not_found", "GET", "/v1/systems/nowhere/snapshots/latest/archive", NULL);
    hf_api_refused(&t, 415, "unsupported_media_type", "POST", COPY "/snapshots/import", "{}");
    static const char *const no_type[] = {"Content-Type:", NULL};
    hf_api_send(&t, 415, "POST", COPY "/snapshots/import", no_type, archive.data, archive.bytes);
    HF_AUTO(free) char *label = hf_format(COPY "/snapshots/import?label=%0300d", 1);
    hf_api_send(&t, 400, "POST", label, as_tar, archive.data, archive.bytes);
    ck_assert_detail_has(&t, "label");
    hf_api_send(&t, 400, "POST", COPY "/snapshots/import", as_tar, archive.data, archive.bytes / 2);
    hf_api_problem(&t, "invalid_request");
    hf_api_send(&t, 400, "POST", COPY "/snapshots/import", as_tar, "", 0);
    hf_api_problem(&t, "invalid_request");
    archive.data[archive.bytes - 1024 - 512] ^= 1; /* the last state */
    hf_api_send(&t, 400, "POST", COPY "/snapshots/import", as_tar, archive.data, archive.bytes);
    ck_assert_detail_has(&t, "states/stock");
    hf_api_refused(&t, 404, "not_found", "GET", COPY, NULL); /* none of them made the system */
    free(archive.data);
    hf_api_stop(&t);
}
END_TEST

static char *make_token(const char *file, const char *role, const char *prefix)
{
    const char *arguments[12] = {"token", "create", "--role", role, "--tokens-file", file};
    int exit_code;
    if (prefix) {
        arguments[6] = "--component-prefix";
        arguments[7] = prefix;
    }
    char *token = hf_test_server_run(arguments, &exit_code, NULL);
    ck_assert_int_eq(exit_code, 0);
    token[strcspn(token, "\n")] = '\0';
    return token;
}

START_TEST(a_token_for_some_components_cannot_move_all_of_them)
{
    HF_AUTO(free) char *directory = hf_test_temp_directory();
    HF_AUTO(free) char *file = hf_format("%s/tokens", directory);
    HF_AUTO(free) char *all = make_token(file, "operator", NULL);
    HF_AUTO(free) char *viewer = make_token(file, "viewer", NULL);
    HF_AUTO(free) char *some = make_token(file, "operator", "ca");
    HF_AUTO(free) char *setting = hf_format("PERSISTENCE_TOKENS_FILE=%s", file);
    const char *const environment[] = {setting, NULL};
    const struct hf_test_server_options options = {.postgres = _i != 0, .environment = environment};
    struct hf_api_test t;
    hf_api_start(&t, &options);
    t.token = all;
    hf_api_call(&t, 201, "PUT", SHOP "/components/cart/state", "1");
    hf_api_call(&t, 201, "POST", SHOP "/snapshots", "{}");
    t.token = viewer;
    struct archive archive = download(&t, SHOP "/snapshots/latest/archive");
    hf_api_send(&t, 403, "POST", SHOP "/snapshots/import", as_tar, archive.data, archive.bytes);
    t.token = some;
    hf_api_call(&t, 200, "GET", SHOP "/components/cart/state", NULL);
    hf_api_refused(&t, 403, "forbidden", "GET", SHOP "/snapshots/latest/archive", NULL);
    hf_api_send(&t, 403, "POST", SHOP "/snapshots/import", as_tar, archive.data, archive.bytes);
    hf_api_problem(&t, "forbidden");
    t.token = all;
    hf_api_send(&t, 201, "POST", SHOP "/snapshots/import", as_tar, archive.data, archive.bytes);
    t.token = NULL;
    free(archive.data);
    hf_api_stop(&t);
    hf_test_remove_tree(directory);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        an_archive_comes_back_into_another_system_and_is_restored, a_download_takes_what_damage_took_from_elsewhere,
        a_head_has_no_archive_and_leaves_nothing_leased,           what_is_asked_wrongly_is_refused,
        a_token_for_some_components_cannot_move_all_of_them,
    };
    return hf_api_run_on_both("archives", tests, (int)(sizeof(tests) / sizeof(tests[0])));
}
