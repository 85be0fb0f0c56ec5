// Work in parallel whose result does not depend on the number of threads.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <cstdint>
#include <memory>

namespace hrvmamba {

// Scratch memory begins with a cache line, so that no vector lies across two.
struct alignas(64) CacheLine {
  unsigned char bytes[64];
};

// Calls f(task, scratch) for each task; tasks that run at a time have scratch memory of their own.
template <typename T, typename F>
void for_each_task(int64_t tasks, int64_t scratch_length, const F& f) {
  torch::stable::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    const int64_t lines = scratch_length * sizeof(T) / sizeof(CacheLine) + 1;
    const std::unique_ptr<CacheLine[]> scratch(new CacheLine[lines]);
    for (int64_t task = begin; task < end; ++task) f(task, reinterpret_cast<T*>(scratch.get()));
  });
}

// target[i] = parts[0][i] + parts[1][i] + ..., in that order.
template <typename T>
void add_up(const T* parts, int64_t count, int64_t length, T* target) {
  constexpr int64_t kGrain = 32768;
  torch::stable::parallel_for(0, length, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) target[i] = parts[i];
    for (int64_t part = 1; part < count; ++part) {
      for (int64_t i = begin; i < end; ++i) target[i] += parts[part * length + i];
    }
  });
}

}  // namespace hrvmamba
