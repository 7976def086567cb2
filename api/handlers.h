/* Every handler of the route table; see openapi.yaml for what each does. */
#ifndef HF_API_HANDLERS_H
#define HF_API_HANDLERS_H

#include "api/routes.h"

/* systems.c */
hf_handler hf_api_systems_list, hf_api_system_get, hf_api_system_put, hf_api_system_delete;
hf_handler hf_api_system_create;
/* components.c */
hf_handler hf_api_components_list, hf_api_component_register, hf_api_component_get, hf_api_component_delete;
hf_handler hf_api_component_heartbeat;
/* states.c, batch.c */
hf_handler hf_api_state_put, hf_api_state_get, hf_api_state_versions, hf_api_states_batch;
/* state_patch.c */
hf_handler hf_api_state_patch;
/* state_delta.c */
hf_handler hf_api_state_signature;
/* snapshots.c */
hf_handler hf_api_snapshot_create, hf_api_snapshots_list, hf_api_snapshot_get, hf_api_snapshot_delete;
hf_handler hf_api_snapshot_patch, hf_api_snapshot_components;
/* archives.c */
hf_handler hf_api_snapshot_archive, hf_api_snapshot_import;
/* validations.c */
hf_handler hf_api_snapshot_validate;
/* recoveries.c */
hf_handler hf_api_recovery_create, hf_api_recoveries_list, hf_api_recovery_get, hf_api_snapshot_restore;
hf_handler hf_api_recovery_apply;
/* hydrations.c */
hf_handler hf_api_recovery_report;
/* diff.c */
hf_handler hf_api_diff;
/* drills.c */
hf_handler hf_api_drill_create, hf_api_drills_list;
/* retention.c */
hf_handler hf_api_retention_preview;
/* events.c */
hf_handler hf_api_events_list;
/* status.c */
hf_handler hf_api_service_status, hf_api_system_status;
/* service.c: what runs it and watches it */
hf_handler hf_api_root, hf_api_livez, hf_api_readyz, hf_api_metrics, hf_api_openapi;

#endif
