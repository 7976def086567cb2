#include "api/auth.h"
#include "core/auto.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/support/check_main.h"
#include "tests/support/temp.h"

static char *directory;
static char path[256];

static void make_directory(void)
{
    directory = hf_test_temp_directory();
    snprintf(path, sizeof(path), "%s/tokens", directory);
}

static void remove_directory(void)
{
    hf_test_remove_tree(directory);
    free(directory);
}

static void create(const char *role, const char *system, const char *prefix, char header_out[128])
{
    char token[96];
    struct hf_error err;
    ck_assert_msg(hf_auth_create_token(path, role, system, prefix, "made by a test", token, &err), "%s", err.text);
    snprintf(header_out, 128, "Bearer %s", token);
}

static struct hf_auth *open_auth(void)
{
    struct hf_auth *auth;
    struct hf_error err;
    ck_assert_msg(hf_auth_open(&auth, path, &err), "%s", err.text);
    return auth;
}

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static bool is_known(struct hf_auth *auth, const char *header)
{
    const struct hf_principal *principal = NULL;
    struct hf_error err;
    bool known = hf_auth_check(auth, header, &principal, &err);
    ck_assert(known == (principal != NULL));
    if (!known)
        ck_assert_int_eq(err.code, HF_UNAUTHORIZED);
    return known;
}

START_TEST(without_a_file_everyone_is_an_operator)
{
    struct hf_auth *auth;
    struct hf_error err;
    const struct hf_principal *principal;
    ck_assert(hf_auth_open(&auth, NULL, &err));
    ck_assert(!hf_auth_has_tokens(auth));
    ck_assert(hf_auth_check(auth, NULL, &principal, &err));
    ck_assert_str_eq(principal->id, "anonymous");
    ck_assert_int_eq(principal->role, HF_ROLE_OPERATOR);
    hf_auth_close(auth);
}
END_TEST

START_TEST(a_created_token_is_known_with_its_role_and_scope)
{
    char agent[128], viewer[128];
    const struct hf_principal *principal;
    struct hf_error err;
    make_directory();
    create("agent", "default", "agent-", agent);
    create("viewer", NULL, NULL, viewer);
    struct hf_auth *auth = open_auth();
    ck_assert(hf_auth_has_tokens(auth));
    ck_assert(hf_auth_check(auth, agent, &principal, &err));
    ck_assert_int_eq(principal->role, HF_ROLE_AGENT);
    ck_assert_str_eq(principal->system, "default");
    ck_assert_str_eq(principal->component_prefix, "agent-");
    ck_assert(hf_auth_check(auth, viewer, &principal, &err));
    ck_assert_int_eq(principal->role, HF_ROLE_VIEWER);
    ck_assert_ptr_null(principal->system);
    hf_auth_close(auth);
    remove_directory();
}
END_TEST

START_TEST(the_file_is_private_and_holds_no_token)
{
    char header[128], text[4096] = "";
    struct stat status;
    make_directory();
    create("operator", NULL, NULL, header);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(status.st_mode & 0777, 0600);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_gt(fread(text, 1, sizeof(text) - 1, file), 0);
    fclose(file);
    ck_assert_ptr_nonnull(strstr(text, "made by a test"));
    ck_assert_ptr_null(strstr(text, strrchr(header, '_') + 1));
    remove_directory();
}
END_TEST

START_TEST(anything_but_the_exact_token_is_refused)
{
    char header[128], changed[320];
    make_directory();
    create("operator", NULL, NULL, header);
    struct hf_auth *auth = open_auth();
    ck_assert(is_known(auth, header));
    ck_assert(!is_known(auth, NULL));
    ck_assert(!is_known(auth, ""));
    ck_assert(!is_known(auth, "Bearer"));
    ck_assert(!is_known(auth, "Bearer "));
    ck_assert(!is_known(auth, "Basic dTpw"));
    ck_assert(!is_known(auth, header + strlen("Bearer ")));
    ck_assert(!is_known(auth, "Bearer hft_unknown_secret"));
    ck_assert(!is_known(auth, "Bearer hft__"));
    ck_assert(!is_known(auth, "Bearer hft_"));
    ck_assert(!is_known(auth, "Bearer hft_an-id-that-is-longer-than-any-of-ours_x"));
    snprintf(changed, sizeof(changed), "%sx", header);
    ck_assert(!is_known(auth, changed));
    snprintf(changed, sizeof(changed), "%s, %s", header, header);
    ck_assert(!is_known(auth, changed));
    snprintf(changed, sizeof(changed), "%s", header);
    changed[strlen(changed) - 1] ^= 1;
    ck_assert(!is_known(auth, changed));
    snprintf(changed, sizeof(changed), "bEARER  %s", header + strlen("Bearer "));
    ck_assert(is_known(auth, changed));
    hf_auth_close(auth);
    remove_directory();
}
END_TEST

START_TEST(a_changed_file_is_read_again_and_principals_stay_valid)
{
    char first[128], second[128];
    const struct hf_principal *principal;
    struct hf_error err;
    make_directory();
    create("agent", "default", NULL, first);
    struct hf_auth *auth = open_auth();
    ck_assert(hf_auth_check(auth, first, &principal, &err));
    create("viewer", NULL, NULL, second);
    ck_assert(!is_known(auth, second));
    hf_auth_refresh(auth);
    ck_assert(is_known(auth, second));
    ck_assert(is_known(auth, first));
    write_file("\n");
    hf_auth_refresh(auth);
    ck_assert(!is_known(auth, first));
    ck_assert_str_eq(principal->system, "default"); /* of a table that is no longer current */
    hf_auth_close(auth);
    remove_directory();
}
END_TEST

START_TEST(a_bad_or_missing_file_keeps_the_old_tokens)
{
    char header[128];
    make_directory();
    create("agent", NULL, NULL, header);
    struct hf_auth *auth = open_auth();
    write_file("{\"id\":\"x\"}\n");
    hf_auth_refresh(auth);
    ck_assert(is_known(auth, header));
    ck_assert_int_eq(unlink(path), 0);
    hf_auth_refresh(auth);
    ck_assert(is_known(auth, header));
    hf_auth_close(auth);
    remove_directory();
}
END_TEST

START_TEST(a_bad_file_is_refused_at_start_with_its_line)
{
#define HASH "sha256:0123456789012345678901234567890123456789012345678901234567890123"
    static const struct {
        const char *text;
        const char *word;
    } rows[] = {
        {"{\"id\":\"a\",\"hash\":\"" HASH "\",\"role\":\"agent\"}\nx\n", "line 2"},
        {"{\"id\":\"a\",\"hash\":\"" HASH "\",\"role\":\"admin\"}\n", "role must be"},
        {"{\"id\":\"a\",\"hash\":\"" HASH "\",\"role\":\"none\"}\n", "role must be"},
        {"{\"id\":\"a\",\"hash\":\"sha256:12\",\"role\":\"agent\"}\n", "hash must be"},
        {"{\"id\":\"a_b\",\"hash\":\"" HASH "\",\"role\":\"agent\"}\n", "id must"},
        {"{\"id\":\"a\",\"hash\":\"" HASH "\",\"role\":\"agent\",\"sistem\":\"b\"}\n", "sistem"},
        {"{\"id\":\"a\",\"hash\":\"" HASH "\",\"role\":\"agent\",\"system\":\"b c\"}\n", "system"},
        {"{\"id\":\"a\",\"hash\":\"" HASH "\",\"role\":\"agent\"}\n{\"id\":\"a\",\"hash\":\"" HASH
         "\",\"role\":\"agent\"}\n",
         "twice"},
    };
    struct hf_auth *auth;
    struct hf_error err;
    make_directory();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        write_file(rows[i].text);
        ck_assert_msg(!hf_auth_open(&auth, path, &err), "%s", rows[i].text);
        ck_assert_int_eq(err.code, HF_CONFIG);
        ck_assert_msg(strstr(err.text, rows[i].word) && strstr(err.text, path), "%s", err.text);
    }
    ck_assert_int_eq(unlink(path), 0);
    ck_assert(!hf_auth_open(&auth, path, &err));
    ck_assert_int_eq(err.code, HF_CONFIG);
    remove_directory();
}
END_TEST

START_TEST(a_token_is_not_made_for_a_wrong_role_or_scope)
{
    char token[96];
    struct hf_error err;
    make_directory();
    ck_assert(!hf_auth_create_token(path, "none", NULL, NULL, NULL, token, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "viewer, agent or operator"));
    ck_assert(!hf_auth_create_token(path, "agent", "a b", NULL, NULL, token, &err));
    ck_assert(!hf_auth_create_token(path, "agent", NULL, "-", NULL, token, &err));
    ck_assert_int_ne(access(path, F_OK), 0);
    remove_directory();
}
END_TEST

START_TEST(a_line_without_its_end_does_not_swallow_the_next_token)
{
    char header[128];
    make_directory();
    write_file("{\"id\":\"a\",\"hash\":\"" HASH "\",\"role\":\"agent\"}");
    create("agent", NULL, NULL, header);
    struct hf_auth *auth = open_auth();
    ck_assert(is_known(auth, header));
    hf_auth_close(auth);
    remove_directory();
}
END_TEST

static const struct hf_route state_get = {HF_GET, "/v1/systems/{system}/components/{component}/state", NULL,
                                          HF_ROLE_VIEWER};
static const struct hf_route state_put = {HF_PUT, "/v1/systems/{system}/components/{component}/state", NULL,
                                          HF_ROLE_AGENT};
static const struct hf_route system_delete = {HF_DELETE, "/v1/systems/{system}", NULL, HF_ROLE_OPERATOR};
static const struct hf_route system_get = {HF_GET, "/v1/systems/{system}", NULL, HF_ROLE_VIEWER};
static const struct hf_route snapshots_list = {HF_GET, "/v1/systems/{system}/snapshots", NULL, HF_ROLE_VIEWER};
static const struct hf_route snapshot_create = {HF_POST, "/v1/systems/{system}/snapshots", NULL, HF_ROLE_OPERATOR};
static const struct hf_route snapshot_patch = {HF_PATCH, "/v1/systems/{system}/snapshots/{id}", NULL, HF_ROLE_OPERATOR};
static const struct hf_route restore = {HF_POST, "/v1/systems/{system}/snapshots/{id}/restore", NULL, HF_ROLE_OPERATOR};
static const struct hf_route systems_list = {HF_GET, "/v1/systems", NULL, HF_ROLE_VIEWER};
static const struct hf_route livez = {HF_GET, "/livez", NULL, HF_ROLE_NONE};

START_TEST(roles_and_scopes_decide_what_a_principal_may_do)
{
    static const struct hf_principal viewer = {"v", HF_ROLE_VIEWER, NULL, NULL};
    static const struct hf_principal agent = {"a", HF_ROLE_AGENT, "default", "agent-"};
    static const struct hf_principal full = {"o", HF_ROLE_OPERATOR, NULL, NULL};
    static const struct hf_principal tenant = {"t", HF_ROLE_OPERATOR, "default", NULL};
    static const struct hf_principal narrow = {"n", HF_ROLE_OPERATOR, NULL, "agent-"};
    static const struct {
        const struct hf_principal *who;
        const struct hf_route *route;
        const char *system;
        const char *component;
        const char *refusal; /* NULL: allowed */
    } rows[] = {
        {&viewer, &state_get, "default", "agent-1", NULL},
        {&viewer, &state_put, "default", "agent-1", "role agent"},
        {&viewer, &systems_list, NULL, NULL, NULL},
        {&agent, &state_put, "default", "agent-1", NULL},
        {&agent, &state_get, "default", "agent-1", NULL},
        {&agent, &state_put, "other", "agent-1", "system default"},
        {&agent, &state_put, "default", "world", "named agent-… only"},
        {&agent, &system_delete, "default", NULL, "role operator"},
        {&agent, &systems_list, NULL, NULL, "every system"},
        {&agent, &livez, NULL, NULL, NULL},
        {&full, &system_delete, "default", NULL, NULL},
        {&tenant, &system_delete, "default", NULL, NULL},
        {&tenant, &system_delete, "other", NULL, "not for other"},
        {&tenant, &systems_list, NULL, NULL, "every system"},
        {&narrow, &system_get, "default", NULL, NULL},
        {&narrow, &system_delete, "default", NULL, "whole system"},
        {&narrow, &snapshots_list, "default", NULL, NULL},
        {&narrow, &snapshot_create, "default", NULL, "named agent-… only"},
        {&narrow, &snapshot_patch, "default", "full-1", "whole system"},
        {&narrow, &restore, "default", "full-1", NULL},
        {&tenant, &snapshot_create, "default", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *params[4] = {rows[i].system, rows[i].component, NULL, NULL};
        struct hf_error err = {HF_OK, ""};
        bool allowed = hf_auth_allow(rows[i].who, rows[i].route, params, &err);
        ck_assert_msg(allowed == (rows[i].refusal == NULL), "row %zu: %s", i, err.text);
        if (allowed)
            continue;
        ck_assert_int_eq(err.code, HF_FORBIDDEN);
        ck_assert_msg(strstr(err.text, rows[i].refusal) != NULL, "row %zu: %s", i, err.text);
    }
}
END_TEST

START_TEST(component_prefixes_apply_to_names_in_bodies)
{
    static const struct hf_principal agent = {"a", HF_ROLE_AGENT, NULL, "agent-"};
    static const struct hf_principal anyone = {"b", HF_ROLE_AGENT, NULL, NULL};
    ck_assert(hf_auth_component_allowed(&agent, "agent-7"));
    ck_assert(!hf_auth_component_allowed(&agent, "agen"));
    ck_assert(!hf_auth_component_allowed(&agent, "world"));
    ck_assert(hf_auth_component_allowed(&anyone, "world"));
}
END_TEST

HF_TEST_MAIN("auth", without_a_file_everyone_is_an_operator, a_created_token_is_known_with_its_role_and_scope,
             the_file_is_private_and_holds_no_token, anything_but_the_exact_token_is_refused,
             a_changed_file_is_read_again_and_principals_stay_valid, a_bad_or_missing_file_keeps_the_old_tokens,
             a_bad_file_is_refused_at_start_with_its_line, a_token_is_not_made_for_a_wrong_role_or_scope,
             a_line_without_its_end_does_not_swallow_the_next_token, roles_and_scopes_decide_what_a_principal_may_do,
             component_prefixes_apply_to_names_in_bodies);
