#define HRVMAMBA_INSTRUCTION_SET portable
#include "kernel_table.h"
