/* The operations of the service, one row each. */
#include "api/handlers.h"

#define SYSTEM    "/v1/systems/{system}"
#define COMPONENT SYSTEM "/components/{component}"
#define SNAPSHOT  SYSTEM "/snapshots/{id}"

/* clang-format off */
const struct hf_route hf_routes[] = {
    {HF_GET,    "/v1/systems",               hf_api_systems_list,        HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_LOOP,          "systems_list", NULL},
    {HF_POST,   "/v1/systems",               hf_api_system_create,       HF_ROLE_OPERATOR, HF_BODY_SMALL, HF_ON_TASK,          "system_create", NULL},
    {HF_GET,    SYSTEM,                      hf_api_system_get,          HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_LOOP,          "system_get", NULL},
    {HF_PUT,    SYSTEM,                      hf_api_system_put,          HF_ROLE_OPERATOR, HF_BODY_SMALL, HF_ON_WORKER,        "system_put", NULL},
    {HF_DELETE, SYSTEM,                      hf_api_system_delete,       HF_ROLE_OPERATOR, HF_BODY_NONE,  HF_ON_TASK,          "system_delete", "confirm force"},

    {HF_GET,    SYSTEM "/components",        hf_api_components_list,     HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_WORKER,        "components_list", "kind health cursor limit"},
    {HF_PUT,    COMPONENT,                   hf_api_component_register,  HF_ROLE_AGENT,    HF_BODY_SMALL, HF_ON_WORKER,        "component_register", NULL},
    {HF_GET,    COMPONENT,                   hf_api_component_get,       HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_LOOP,          "component_get", NULL},
    {HF_DELETE, COMPONENT,                   hf_api_component_delete,    HF_ROLE_OPERATOR, HF_BODY_NONE,  HF_ON_LOOP,          "component_delete", NULL},
    {HF_POST,   COMPONENT "/heartbeat",      hf_api_component_heartbeat, HF_ROLE_AGENT,    HF_BODY_SMALL, HF_ON_LOOP_IF_SMALL, "component_heartbeat", NULL},

    {HF_PUT,    COMPONENT "/state",          hf_api_state_put,           HF_ROLE_AGENT,    HF_BODY_STATE, HF_ON_LOOP_IF_SMALL, "state_put", NULL},
    {HF_POST,   COMPONENT "/state",          hf_api_state_put,           HF_ROLE_AGENT,    HF_BODY_STATE, HF_ON_LOOP_IF_SMALL, "state_post", NULL},
    {HF_PATCH,  COMPONENT "/state",          hf_api_state_patch,         HF_ROLE_AGENT,    HF_BODY_STATE, HF_ON_WORKER,        "state_patch", NULL},
    {HF_GET,    COMPONENT "/state",          hf_api_state_get,           HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_LOOP,          "state_get", "version at sequence snapshot"},
    {HF_GET,    COMPONENT "/state/signature", hf_api_state_signature,    HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_WORKER,        "state_signature", NULL},
    {HF_GET,    COMPONENT "/versions",       hf_api_state_versions,      HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_WORKER,        "state_versions", "cursor limit"},
    {HF_POST,   SYSTEM "/states",            hf_api_states_batch,        HF_ROLE_AGENT,    HF_BODY_BATCH, HF_ON_LOOP_IF_SMALL, "states_batch", NULL},

    {HF_POST,   SYSTEM "/snapshots",         hf_api_snapshot_create,     HF_ROLE_OPERATOR, HF_BODY_SMALL, HF_ON_TASK,          "snapshot_create", NULL},
    {HF_GET,    SYSTEM "/snapshots",         hf_api_snapshots_list,      HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_WORKER,        "snapshots_list", "kind before cursor limit"},
    {HF_GET,    SNAPSHOT,                    hf_api_snapshot_get,        HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_WORKER,        "snapshot_get", NULL},
    {HF_DELETE, SNAPSHOT,                    hf_api_snapshot_delete,     HF_ROLE_OPERATOR, HF_BODY_NONE,  HF_ON_TASK,          "snapshot_delete", NULL},
    {HF_PATCH,  SNAPSHOT,                    hf_api_snapshot_patch,      HF_ROLE_OPERATOR, HF_BODY_SMALL, HF_ON_TASK,          "snapshot_patch", NULL},
    {HF_GET,    SNAPSHOT "/components",      hf_api_snapshot_components, HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_WORKER,        "snapshot_components", "cursor limit"},
    {HF_GET,    SNAPSHOT "/archive",         hf_api_snapshot_archive,    HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_TRANSFER,      "snapshot_archive", "compress"},
    {HF_POST,   SYSTEM "/snapshots/import",  hf_api_snapshot_import,     HF_ROLE_OPERATOR, HF_BODY_STREAM, HF_ON_TRANSFER,     "snapshot_import", "label"},
    {HF_POST,   SNAPSHOT "/validate",        hf_api_snapshot_validate,   HF_ROLE_OPERATOR, HF_BODY_SMALL, HF_ON_TASK,          "snapshot_validate", NULL},
    {HF_POST,   SNAPSHOT "/restore",         hf_api_snapshot_restore,    HF_ROLE_OPERATOR, HF_BODY_SMALL, HF_ON_TASK,          "snapshot_restore", NULL},

    {HF_POST,   SYSTEM "/recoveries",        hf_api_recovery_create,     HF_ROLE_OPERATOR, HF_BODY_SMALL, HF_ON_TASK,          "recovery_create", NULL},
    {HF_GET,    SYSTEM "/recoveries",        hf_api_recoveries_list,     HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_WORKER,        "recoveries_list", "cursor limit"},
    {HF_GET,    SYSTEM "/recoveries/{id}",   hf_api_recovery_get,        HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_WORKER,        "recovery_get", "format"},
    {HF_PUT,    SYSTEM "/recoveries/{id}/components/{component}", hf_api_recovery_report, HF_ROLE_AGENT, HF_BODY_SMALL, HF_ON_WORKER, "recovery_report", NULL},
    {HF_POST,   SYSTEM "/recoveries/{id}/apply", hf_api_recovery_apply,  HF_ROLE_OPERATOR, HF_BODY_SMALL, HF_ON_TASK,          "recovery_apply", NULL},

    {HF_GET,    SYSTEM "/diff",              hf_api_diff,                HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_WORKER,        "diff", "from to component cursor limit"},
    {HF_POST,   SYSTEM "/drills",            hf_api_drill_create,        HF_ROLE_OPERATOR, HF_BODY_SMALL, HF_ON_TASK,          "drill_create", NULL},
    {HF_GET,    SYSTEM "/drills",            hf_api_drills_list,         HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_WORKER,        "drills_list", "cursor limit"},

    {HF_GET,    SYSTEM "/retention/preview", hf_api_retention_preview,   HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_WORKER,        "retention_preview", NULL},
    {HF_GET,    SYSTEM "/events",            hf_api_events_list,         HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_WORKER,        "events_list", "severity after before order limit"},
    {HF_GET,    SYSTEM "/status",            hf_api_system_status,       HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_WORKER,        "system_status", "format"},
    {HF_GET,    "/v1/status",                hf_api_service_status,      HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_WORKER,        "service_status", "format"},

    {HF_GET,    "/",                         hf_api_root,                HF_ROLE_NONE,     HF_BODY_NONE,  HF_ON_LOOP,          "root", NULL},
    {HF_GET,    "/livez",                    hf_api_livez,               HF_ROLE_NONE,     HF_BODY_NONE,  HF_ON_LOOP,          "livez", "verbose"},
    {HF_GET,    "/readyz",                   hf_api_readyz,              HF_ROLE_NONE,     HF_BODY_NONE,  HF_ON_LOOP,          "readyz", "verbose exclude"},
    {HF_GET,    "/metrics",                  hf_api_metrics,             HF_ROLE_VIEWER,   HF_BODY_NONE,  HF_ON_LOOP,          "metrics", NULL},
    {HF_GET,    "/v1/openapi.json",          hf_api_openapi,             HF_ROLE_NONE,     HF_BODY_NONE,  HF_ON_LOOP,          "openapi", NULL},
};
/* clang-format on */
const int hf_route_count = sizeof(hf_routes) / sizeof(hf_routes[0]);
