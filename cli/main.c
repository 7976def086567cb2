/* holdfast: the operator's command. */
#include "cli/cli.h"

int main(int argc, char *argv[])
{
    return hf_cli_main(argc, argv);
}
