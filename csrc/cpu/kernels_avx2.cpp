#define HRVMAMBA_INSTRUCTION_SET avx2
#include "kernel_table.h"
