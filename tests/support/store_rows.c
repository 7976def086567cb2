#include "tests/support/store_rows.h"

#include <stdio.h>
#include <string.h>

void hf_test_add_name(struct hf_test_names *names, const char *name)
{
    size_t used = strlen(names->joined);
    snprintf(names->joined + used, sizeof(names->joined) - used, "%s ", name);
    names->count++;
}

struct hf_component_row hf_test_component_row(int64_t id, const char *name)
{
    struct hf_component_row row = {.system_id = HF_TEST_SYSTEM,
                                   .component_id = id,
                                   .name = name,
                                   .kind = "agent",
                                   .depends_on = "[\"world-model\"]",
                                   .required_pointers = "[\"/qTable\"]",
                                   .heartbeat_interval_ms = 5000,
                                   .registered_at_ms = 11,
                                   .version = 2,
                                   .sequence = 20 + id,
                                   .bytes = 3,
                                   .content_type = "application/json",
                                   .committed_at_ms = 12,
                                   .health = -1,
                                   .status = "",
                                   .metrics = "{}",
                                   .created_at_ms = 10};
    hf_hash_of("abc", 3, &row.hash);
    return row;
}

struct hf_snapshot_row hf_test_snapshot_row(const char *id, const char *kind, int64_t cut_at_ms)
{
    struct hf_snapshot_row row = {.system_id = HF_TEST_SYSTEM,
                                  .id = id,
                                  .kind = kind,
                                  .trigger = "schedule",
                                  .label = "before the upgrade",
                                  .reason = "",
                                  .generation = "s1",
                                  .parent = "s0",
                                  .sequence = 5,
                                  .epoch = 1,
                                  .components = 2,
                                  .changed = 3,
                                  .deleted = 4,
                                  .state_bytes = 50,
                                  .file_bytes = 60,
                                  .file = "f/x.snap",
                                  .cut_at_ms = cut_at_ms,
                                  .completed_at_ms = cut_at_ms + 2,
                                  .duration_ms = 2,
                                  .state = "complete",
                                  .validation_status = "pending",
                                  .quality_score = -1};
    hf_hash_of(id, strlen(id), &row.root_hash);
    return row;
}

void hf_test_insert_snapshots(struct hf_session *write)
{
    struct hf_error err;
    for (int i = 1; i <= HF_TEST_SNAPSHOTS; i++) {
        char id[] = {'s', (char)('0' + i), '\0'};
        struct hf_snapshot_row row = hf_test_snapshot_row(id, i % 2 ? "full" : "incremental", i == 4 ? 300 : i * 100);
        if (i == HF_TEST_SNAPSHOTS)
            row.state = "failed";
        HF_TEST_OK(hf_snapshots_insert(write, &row, &err));
    }
}

void hf_test_insert_events(struct hf_session *write)
{
    struct hf_error err;
    struct hf_event_row rows[HF_TEST_EVENTS];
    for (int i = 0; i < HF_TEST_EVENTS; i++)
        rows[i] = (struct hf_event_row){.system_id = HF_TEST_SYSTEM,
                                        .at_ms = i * 10,
                                        .severity = i % 5 ? "info" : "warning",
                                        .type = "snapshot.completed",
                                        .text = "a snapshot was taken",
                                        .data = "{}"};
    HF_TEST_OK(hf_events_insert(write, rows, HF_TEST_EVENTS, &err));
}
