/* What one module knows of a system or a component, said in another's words: rows of the database, the catalogue, the
 * manifest of a snapshot, a past. Texts are borrowed from what they are made of. */
#ifndef HF_ENGINE_ROW_OF_H
#define HF_ENGINE_ROW_OF_H

#include "engine/catalog_write.h"
#include "engine/past.h"
#include "repository/manifest.h"
#include "store/components.h"
#include "store/states.h"
#include "store/systems.h"

/* While the catalogue is locked, whose texts these are. */
struct hf_system_row hf_system_row_of(const struct hf_system *system);

/* As it was at the cut. */
struct hf_system_row hf_system_row_of_header(int64_t system_id, const struct hf_manifest_header *header);

/* Without its place (system_id, component_id, name), activity and creation; health was never reported. registration
 * NULL: never registered. head NULL: no state yet. */
struct hf_component_row hf_component_row_of(const struct hf_registration *registration, const struct hf_head *head);

/* Without its place (system_id, component_id), previous_sequence, epoch, event and content. */
struct hf_state_row hf_state_row_of(const struct hf_head *head);

struct hf_head hf_head_of_row(const struct hf_state_row *row);
struct hf_head hf_head_of_entry(const struct hf_manifest_entry *entry);

/* Not lost, nor stored in a snapshot. A head without a state gives an entry without one. */
struct hf_past_entry hf_past_entry_of(const char *component, const struct hf_head *head);

/* entry NULL: never registered. depends_on itself, the list of names, is left empty: hf_names_parse reads it. */
struct hf_registration hf_registration_of_entry(const struct hf_manifest_entry *entry);

#endif
