// Marks functions that both the host and a CUDA device run.
#pragma once

#ifdef __CUDACC__
#define HRVMAMBA_HOST_DEVICE __host__ __device__
#else
#define HRVMAMBA_HOST_DEVICE
#endif
