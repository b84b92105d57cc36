#include "allocation_counter.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <new>
#include <thread>

namespace {

TEST_CASE("allocation counter counts every form of operator new") {
  // The functions themselves are called: the compiler may leave out a new expression, but not these.
  const hawser::AllocationCount scope;
  CHECK(scope.count() == 0);
  ::operator delete(::operator new(1));
  ::operator delete[](::operator new[](1));
  ::operator delete(::operator new(1, std::nothrow), std::nothrow);
  ::operator delete[](::operator new[](1, std::nothrow), std::nothrow);
  ::operator delete(::operator new(1, std::align_val_t{64}), std::align_val_t{64});
  ::operator delete[](::operator new[](1, std::align_val_t{64}), std::align_val_t{64});
  ::operator delete(::operator new(1, std::align_val_t{64}, std::nothrow), std::align_val_t{64},
                    std::nothrow);
  ::operator delete[](::operator new[](1, std::align_val_t{64}, std::nothrow), std::align_val_t{64},
                      std::nothrow);
  CHECK(scope.count() == 8);
}

TEST_CASE("allocation counter counts one thread only") {
  std::uint64_t elsewhere = 0;
  std::thread other([&elsewhere] {
    const hawser::AllocationCount scope;
    ::operator delete(::operator new(1));
    elsewhere = scope.count();
  });
  const hawser::AllocationCount scope;
  other.join();
  CHECK(scope.count() == 0);
  CHECK(elsewhere == 1);
}

}  // namespace
