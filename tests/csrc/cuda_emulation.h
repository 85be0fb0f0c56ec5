// Runs CUDA kernels on the host, each thread of a block as a thread of the process: for tests of
// what a kernel computes, and with -fsanitize=thread of its barriers.
//
// Include it before a kernel's header, and start the kernel with emulation::launch. It supplies
// the names of CUDA that the kernels in csrc/cuda use and no more. Lanes of a warp may run ahead of
// one another between shuffles and barriers; a thread that has returned counts as having arrived at
// every later barrier, as on a device.
#pragma once

#include <cmath>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// Blocks run one after another, so that one copy serves them all.
#define __shared__ static

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

struct __half {
  _Float16 value;
};
inline float __half2float(__half x) { return static_cast<float>(x.value); }
inline __half __float2half_rn(float x) { return {static_cast<_Float16>(x)}; }

struct __nv_bfloat16 {
  uint16_t bits;
};
inline float __bfloat162float(__nv_bfloat16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}
inline __nv_bfloat16 __float2bfloat16_rn(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  if (x != x) return {0x7FFF};
  bits += 0x7FFF + (bits >> 16 & 1);  // to the nearest, ties to even
  return {static_cast<uint16_t>(bits >> 16)};
}

namespace emulation {

constexpr int kWarp = 32;

class Barrier {
 public:
  explicit Barrier(int threads) : expected_(threads) {}

  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (++arrived_ == expected_) return release();
    const uint64_t phase = phase_;
    released_.wait(lock, [&] { return phase_ != phase; });
  }

  // The calling thread arrives at no later phase.
  void leave() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (arrived_ == --expected_ && expected_ > 0) release();
  }

 private:
  void release() {
    arrived_ = 0;
    ++phase_;
    released_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable released_;
  int expected_;
  int arrived_ = 0;
  uint64_t phase_ = 0;
};

struct Warp {
  explicit Warp(int threads) : barrier(threads), size(threads) {}
  Barrier barrier;
  int size;
  // What each lane offers in a shuffle. Shuffles take the two rows in turns, so that a lane does
  // not overwrite what another has yet to read.
  uint64_t values[2][kWarp] = {};
};

struct Block {
  Block(int threads, size_t shared_bytes) : barrier(threads), shared(shared_bytes / 16 + 1) {
    for (int first = 0; first < threads; first += kWarp) {
      warps.push_back(std::make_unique<Warp>(threads - first < kWarp ? threads - first : kWarp));
    }
  }
  struct alignas(16) Line {
    unsigned char bytes[16];
  };
  Barrier barrier;
  std::vector<std::unique_ptr<Warp>> warps;
  std::vector<Line> shared;
};

inline thread_local Block* block = nullptr;
inline thread_local int thread = 0;         // its number in the block
inline thread_local unsigned shuffles = 0;  // that it has taken part in

inline Warp& warp() { return *block->warps[thread / kWarp]; }

// Dynamic shared memory of the running block.
inline unsigned char* shared_memory() { return block->shared[0].bytes; }

// Each lane offers x and takes what lane `source` offers, or its own where there is no such lane.
template <typename T>
T exchange(T x, int source) {
  static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable<T>::value,
                "a shuffle moves up to 8 bytes");
  Warp& own = warp();
  uint64_t* values = own.values[shuffles++ % 2];
  std::memcpy(&values[thread % kWarp], &x, sizeof(T));
  own.barrier.wait();
  T result = x;
  if (source >= 0 && source < own.size) std::memcpy(&result, &values[source], sizeof(T));
  return result;
}

}  // namespace emulation

inline thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

inline void __syncthreads() { emulation::block->barrier.wait(); }
inline void __syncwarp(unsigned = 0xFFFFFFFFu) { emulation::warp().barrier.wait(); }

// Shuffles in segments of `width` lanes, with all lanes of the warp taking part.
template <typename T>
T __shfl_sync(unsigned, T x, int source, int width = emulation::kWarp) {
  const int lane = emulation::thread % emulation::kWarp;
  return emulation::exchange(x, lane / width * width + source % width);
}
template <typename T>
T __shfl_xor_sync(unsigned, T x, int mask, int width = emulation::kWarp) {
  const int lane = emulation::thread % emulation::kWarp;
  const int source = lane ^ mask;
  return emulation::exchange(x, source / width == lane / width ? source : lane);
}
template <typename T>
T __shfl_up_sync(unsigned, T x, unsigned delta, int width = emulation::kWarp) {
  const int lane = emulation::thread % emulation::kWarp;
  const int source = lane - static_cast<int>(delta);
  return emulation::exchange(x, source >= lane / width * width ? source : lane);
}
template <typename T>
T __shfl_down_sync(unsigned, T x, unsigned delta, int width = emulation::kWarp) {
  const int lane = emulation::thread % emulation::kWarp;
  const int source = lane + static_cast<int>(delta);
  return emulation::exchange(x, source < (lane / width + 1) * width ? source : lane);
}

// Atomics on integers.
template <typename T>
T atomicAdd(T* address, T x) {
  static_assert(std::is_integral<T>::value, "only integers");
  return __atomic_fetch_add(address, x, __ATOMIC_RELAXED);
}
template <typename T>
T atomicMax(T* address, T x) {
  static_assert(std::is_integral<T>::value, "only integers");
  T before = __atomic_load_n(address, __ATOMIC_RELAXED);
  while (before < x && !__atomic_compare_exchange_n(address, &before, x, false, __ATOMIC_RELAXED,
                                                    __ATOMIC_RELAXED)) {
  }
  return before;
}

// The atomic on floats.
inline float atomicAdd(float* address, float x) {
  uint32_t* word = reinterpret_cast<uint32_t*>(address);
  uint32_t before = __atomic_load_n(word, __ATOMIC_RELAXED), after;
  float sum;
  do {
    std::memcpy(&sum, &before, sizeof(sum));
    sum += x;
    std::memcpy(&after, &sum, sizeof(after));
  } while (!__atomic_compare_exchange_n(word, &before, after, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED));
  std::memcpy(&sum, &before, sizeof(sum));
  return sum;
}

template <typename T>
T __ldg(const T* address) {
  return *address;
}

namespace emulation {

// kernel<<<grid, threads, shared_bytes>>>(arguments...), to its end. Shared memory is filled with
// NaN first: what a kernel does not write it must not read.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 threads, size_t shared_bytes,
            const Arguments&... arguments) {
  const int count = static_cast<int>(threads.x * threads.y * threads.z);
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        Block running(count, shared_bytes);
        std::memset(static_cast<void*>(running.shared.data()), 0xFF,
                    running.shared.size() * sizeof(Block::Line));
        const auto body = [&](int number) {
          block = &running;
          thread = number;
          const unsigned n = static_cast<unsigned>(number);
          threadIdx = dim3(n % threads.x, n / threads.x % threads.y, n / threads.x / threads.y);
          blockIdx = dim3(x, y, z);
          blockDim = threads;
          gridDim = grid;
          kernel(arguments...);
          warp().barrier.leave();
          running.barrier.leave();
        };
        std::vector<std::thread> pool;
        for (int number = 0; number < count; ++number) pool.emplace_back(body, number);
        for (std::thread& worker : pool) worker.join();
      }
    }
  }
}

}  // namespace emulation
