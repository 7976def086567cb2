/* Counts to three, saving every step; the next run goes on from there, whatever ended this one. */
#include <holdfast.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const struct holdfast_error *err)
{
    fprintf(stderr, "%s (%s%s)\n", err->text, err->code, err->retryable ? ", may work later" : "");
    return EXIT_FAILURE;
}

int main(void)
{
    struct holdfast *service = NULL;
    struct holdfast_error err;
    if (!holdfast_open(NULL, &service, &err)) /* HOLDFAST_URL, HOLDFAST_TOKEN, HOLDFAST_SYSTEM */
        return fail(&err);

    int step = 0;
    struct holdfast_state state = {0};
    if (holdfast_load(service, "counter", NULL, &state, &err))
        step = (int)strtol((const char *)state.data, NULL, 10);
    else if (strcmp(err.code, "not_found") != 0) /* nothing yet: the first run */
        return fail(&err);
    holdfast_state_free(&state);
    printf("begins at %d\n", step);

    for (int end = step + 3; step < end;) {
        char text[16];
        struct holdfast_receipt receipt;
        snprintf(text, sizeof(text), "%d", ++step);
        if (!holdfast_save(service, "counter", text, strlen(text), NULL, &receipt, &err))
            return fail(&err);
        printf("step %d is safe as version %lld\n", step, (long long)receipt.version);
    }
    holdfast_close(service);
    return EXIT_SUCCESS;
}
