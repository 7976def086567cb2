/* What one module knows of a component, said in another's words: rows of the database, heads of the catalogue, entries
 * of a snapshot. Texts are borrowed from what they are made of. */
#ifndef HF_ENGINE_ROW_OF_H
#define HF_ENGINE_ROW_OF_H

#include "engine/catalog.h"
#include "repository/manifest.h"
#include "store/components.h"
#include "store/states.h"

/* Without its place (system_id, component_id, name), activity and creation; health was never reported. registration
 * NULL: never registered. head NULL: no state yet. */
struct hf_component_row hf_component_row_of(const struct hf_registration *registration, const struct hf_head *head);

/* Without its place (system_id, component_id), previous_sequence, epoch, event and content. */
struct hf_state_row hf_state_row_of(const struct hf_head *head);

struct hf_head hf_head_of_row(const struct hf_state_row *row);
struct hf_head hf_head_of_entry(const struct hf_manifest_entry *entry);

/* entry NULL: never registered. depends_on itself, the list of names, is left empty: hf_names_parse reads it. */
struct hf_registration hf_registration_of_entry(const struct hf_manifest_entry *entry);

#endif
