#define HRVMAMBA_INSTRUCTION_SET avx512
#include "kernel_table.h"
