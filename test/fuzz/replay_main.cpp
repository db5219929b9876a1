// Feeds every file of the given directories, and each cut short and with single bytes changed, to
// the target: what ctest runs where there is no libFuzzer.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "targets.hpp"

namespace {

constexpr std::size_t kMaxVariants = 300;  // of one file and kind

void replay(const std::vector<std::uint8_t>& bytes) {
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  const std::size_t step = bytes.size() / kMaxVariants + 1;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    LLVMFuzzerTestOneInput(bytes.data(), at);
    for (const unsigned change : {0x01u, 0x80u, 0xffu}) {
      auto changed = bytes;
      changed[at] = static_cast<std::uint8_t>(changed[at] ^ change);
      LLVMFuzzerTestOneInput(changed.data(), changed.size());
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t files = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream file(entry.path(), std::ios::binary);
      replay({std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()});
      ++files;
    }
  }
  std::printf("%zu files\n", files);
  // An empty corpus would be a test that cannot fail.
  return files == 0 ? 1 : 0;
}
