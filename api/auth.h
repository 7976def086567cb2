/* Who may do what: bearer tokens (RFC 6750) from a file, kept as SHA-256 hashes, compared in constant time.
 *
 * The file is JSON lines:
 * {"id":"t1a2b3","hash":"sha256:…","role":"agent","system":"default","componentPrefix":"agent-",
 * "description":"…","createdAt":"…"}; system and componentPrefix are optional scopes. A token is hft_<id>_<secret>. */
#ifndef HF_API_AUTH_H
#define HF_API_AUTH_H

#include "api/routes.h"

struct hf_principal {
    char id[24]; /* token id; "anonymous" without tokens */
    enum hf_role role;
    const char *system;           /* NULL: every system */
    const char *component_prefix; /* NULL: every component */
};

struct hf_auth;

/* path NULL: no tokens, everyone is an operator. Re-read when the file changes (hf_auth_refresh). */
HF_MUST_USE bool hf_auth_open(struct hf_auth **out, const char *path, struct hf_error *err);
void hf_auth_close(struct hf_auth *auth);
bool hf_auth_has_tokens(const struct hf_auth *auth);
/* Re-reads the file when its mtime changed; a bad file keeps the old tokens and says so in the log. Scheduler thread.
 */
void hf_auth_refresh(struct hf_auth *auth);

/* Who sent this Authorization header (NULL: none). HF_UNAUTHORIZED. The principal stays valid until hf_auth_close. */
HF_MUST_USE bool hf_auth_check(struct hf_auth *auth, const char *authorization, const struct hf_principal **out,
                               struct hf_error *err);

/* May the principal use this route with these path parameters? HF_FORBIDDEN says which role or scope is missing.
 * Routes with role NONE are open to everyone. A principal scoped to a system may not use service-wide routes that
 * show or change other systems. */
HF_MUST_USE bool hf_auth_allow(const struct hf_principal *principal, const struct hf_route *route,
                               const char *const params[4], struct hf_error *err);

/* For bodies that name components (batches, restores): is this component within the principal's prefix? */
bool hf_auth_component_allowed(const struct hf_principal *principal, const char *component);

/* Makes a token and appends its line durably to the file (created with mode 0600). token_out is shown once. */
HF_MUST_USE bool hf_auth_create_token(const char *path, const char *role, const char *system,
                                      const char *component_prefix, const char *description, char token_out[96],
                                      struct hf_error *err);

#endif
