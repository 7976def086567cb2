#include "engine/row_of.h"

struct hf_system_row hf_system_row_of(const struct hf_system *system)
{
    return (struct hf_system_row){.id = system->id,
                                  .name = system->name,
                                  .description = system->description,
                                  .sequence = system->sequence,
                                  .epoch = system->epoch,
                                  .folded_sequence = system->folded_sequence,
                                  .backup_interval_ms = system->backup_interval_ms,
                                  .incremental_interval_ms = system->incremental_interval_ms,
                                  .max_retention_hours = system->max_retention_hours,
                                  .created_at_ms = system->created_at_ms,
                                  .committed_at_ms = system->committed_at_ms};
}

struct hf_system_row hf_system_row_of_header(int64_t system_id, const struct hf_manifest_header *header)
{
    return (struct hf_system_row){.id = system_id,
                                  .name = header->system,
                                  .description = header->description,
                                  .sequence = header->sequence,
                                  .epoch = header->epoch,
                                  .folded_sequence = header->sequence,
                                  .backup_interval_ms = header->backup_interval_ms,
                                  .incremental_interval_ms = header->incremental_interval_ms,
                                  .max_retention_hours = header->max_retention_hours,
                                  .created_at_ms = header->created_at_ms,
                                  .committed_at_ms = header->cut_at_ms};
}

struct hf_component_row hf_component_row_of(const struct hf_registration *registration, const struct hf_head *head)
{
    static const struct hf_head no_state = {.content_type = ""};
    const struct hf_registration unregistered = hf_registration_of_entry(NULL);
    if (!registration)
        registration = &unregistered;
    if (!head)
        head = &no_state;
    return (struct hf_component_row){.kind = registration->kind,
                                     .depends_on = registration->depends_on_json,
                                     .required_pointers = registration->required_pointers_json,
                                     .heartbeat_interval_ms = registration->heartbeat_interval_ms,
                                     .registered_at_ms = registration->registered_at_ms,
                                     .version = head->version,
                                     .sequence = head->sequence,
                                     .hash = head->hash,
                                     .bytes = head->bytes,
                                     .content_type = head->content_type,
                                     .committed_at_ms = head->committed_at_ms,
                                     .deleted = head->deleted,
                                     .health = -1,
                                     .status = "",
                                     .metrics = "{}"};
}

struct hf_state_row hf_state_row_of(const struct hf_head *head)
{
    return (struct hf_state_row){.sequence = head->sequence,
                                 .version = head->version,
                                 .hash = head->hash,
                                 .bytes = head->bytes,
                                 .content_type = head->content_type,
                                 .committed_at_ms = head->committed_at_ms,
                                 .deleted = head->deleted};
}

struct hf_head hf_head_of_row(const struct hf_state_row *row)
{
    return (struct hf_head){.version = row->version,
                            .sequence = row->sequence,
                            .hash = row->hash,
                            .bytes = row->bytes,
                            .content_type = row->content_type,
                            .committed_at_ms = row->committed_at_ms,
                            .deleted = row->deleted};
}

struct hf_head hf_head_of_entry(const struct hf_manifest_entry *entry)
{
    return (struct hf_head){.version = entry->version,
                            .sequence = entry->sequence,
                            .hash = entry->hash,
                            .bytes = entry->bytes,
                            .content_type = entry->content_type,
                            .committed_at_ms = entry->committed_at_ms,
                            .deleted = entry->deleted};
}

struct hf_past_entry hf_past_entry_of(const char *component, const struct hf_head *head)
{
    return (struct hf_past_entry){.component = component,
                                  .version = head->version,
                                  .sequence = head->sequence,
                                  .hash = head->hash,
                                  .bytes = head->bytes,
                                  .content_type = head->content_type,
                                  .committed_at_ms = head->committed_at_ms,
                                  .deleted = head->deleted};
}

struct hf_registration hf_registration_of_entry(const struct hf_manifest_entry *entry)
{
    if (!entry)
        return (struct hf_registration){.kind = "", .depends_on_json = "[]", .required_pointers_json = "[]"};
    return (struct hf_registration){.kind = entry->component_kind,
                                    .depends_on_json = entry->depends_on,
                                    .required_pointers_json = entry->required_pointers,
                                    .heartbeat_interval_ms = entry->heartbeat_interval_ms,
                                    .registered_at_ms = entry->registered_at_ms};
}
