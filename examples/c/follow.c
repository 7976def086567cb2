/* Prints the events of the system as they happen: follow [COUNT [ID]], after the event with this id, until so many. */
#include <holdfast.h>

#include <stdio.h>
#include <stdlib.h>

static bool print(void *context, const struct holdfast_event *event)
{
    long *left = context;
    printf("%s %-7s %s: %s\n", event->time, event->severity, event->type, event->text);
    fflush(stdout);
    return *left < 0 || --*left > 0; /* below 0: no end */
}

int main(int argc, char **argv)
{
    long left = argc > 1 ? strtol(argv[1], NULL, 10) : -1;
    struct holdfast *service = NULL;
    struct holdfast_error err;
    const struct holdfast_follow_options options = {
        .after = argc > 2 ? argv[2] : NULL,
        .on_event = print,
        .context = &left,
    };
    bool ok = holdfast_open(NULL, &service, &err) && holdfast_follow(service, &options, &err);
    if (!ok)
        fprintf(stderr, "%s\n", err.text);
    holdfast_close(service);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
