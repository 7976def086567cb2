/* What the doctor finds: one line for each thing it examined, and in the end one verdict. */
#ifndef HF_CLI_DOCTOR_H
#define HF_CLI_DOCTOR_H

#include "cli/cli.h"

enum hf_finding { HF_FOUND_GOOD, HF_FOUND_WARNING, HF_FOUND_DANGER };

struct hf_doctor {
    struct hf_cli *cli;
    json_t *findings; /* in the order of the examination */
    enum hf_finding worst;
    char next[256]; /* what to do about the first of the worst */
    bool overdue;   /* changes are in no snapshot for longer than was promised */
};

/* next: a command, without "holdfast"; NULL or "": nothing to be done with this command. */
void hf_doctor_add(struct hf_doctor *doctor, enum hf_finding finding, const char *name, const char *next,
                   const char *format, ...) HF_PRINTF(5, 6);

/* Each looks at a part of what the service told. */
void hf_doctor_examine_service(struct hf_doctor *doctor, const json_t *service);
void hf_doctor_examine_system(struct hf_doctor *doctor, const json_t *status);
void hf_doctor_examine_snapshots(struct hf_doctor *doctor, const json_t *snapshots);
void hf_doctor_examine_components(struct hf_doctor *doctor, const json_t *components);
void hf_doctor_examine_recoveries(struct hf_doctor *doctor, const json_t *recoveries);
void hf_doctor_examine_events(struct hf_doctor *doctor, const json_t *errors);

#endif
