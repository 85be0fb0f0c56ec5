// A token's channels in vectors: two, one, or a part of one.
#pragma once

#include "vector.h"

namespace hrvmamba {
namespace {

template <typename T, int kVectors, bool kPart>
struct Channels {
  static_assert(!kPart || kVectors == 1, "only a single vector can be filled in part");
  static constexpr int64_t kLength = kVectors * kLanes<T>;

  int count;  // filled lanes, where kPart

  void load(const T* source, Vector<T>* x) const {
    if constexpr (kPart) {
      x[0] = load_part(source, count);
    } else {
      for (int v = 0; v < kVectors; ++v) x[v] = load_vector(source + v * kLanes<T>);
    }
  }

  void store(T* target, const Vector<T>* x) const {
    if constexpr (kPart) {
      store_part(target, x[0], count);
    } else {
      for (int v = 0; v < kVectors; ++v) store_vector(target + v * kLanes<T>, x[v]);
    }
  }

  int64_t size() const { return kPart ? count : kLength; }
};

template <typename T>
constexpr int64_t kMaxChannels = Channels<T, 2, false>::kLength;

// Cuts channels [begin, end) and calls f(first channel, Channels) for each piece.
template <typename T, typename F>
inline void for_each_channels(int64_t begin, int64_t end, F f) {
  for (; begin + kMaxChannels<T> <= end; begin += kMaxChannels<T>) {
    f(begin, Channels<T, 2, false>{});
  }
  if (begin + kLanes<T> <= end) {
    f(begin, Channels<T, 1, false>{});
    begin += kLanes<T>;
  }
  if (begin < end) f(begin, Channels<T, 1, true>{static_cast<int>(end - begin)});
}

}  // namespace
}  // namespace hrvmamba
