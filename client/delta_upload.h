/* Saving a large state by what is new in it: the service tells what it has, and gets the difference (docs/api.md,
 * "Change a large state"). */
#ifndef HF_CLIENT_DELTA_UPLOAD_H
#define HF_CLIENT_DELTA_UPLOAD_H

#include "client/upload.h"

enum hf_delta_outcome {
    HF_DELTA_SAVED,  /* out is filled */
    HF_DELTA_FAILED, /* err is, and sending the whole state would fail as well */
    HF_DELTA_WHOLE,  /* the whole state is to be sent: that is not more, or the only way */
};

/* The conditions, the epoch and the event of the upload hold as in a PUT. err is not NULL. Any thread. */
enum hf_delta_outcome hf_delta_upload(struct holdfast *service, const struct hf_upload *upload,
                                      struct holdfast_receipt *out, struct holdfast_error *err);

#endif
