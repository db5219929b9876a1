// golden-core [--rewrite] FILE...: runs each script and compares what comes out with what stands
// below each line of input (indented lines). --rewrite puts what came out into the file.
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

#include "test/golden/core/script.hpp"

namespace {

bool run(const char* path, bool rewrite) {
  std::ifstream in(path);
  std::string expected;
  std::string got;
  wardom::golden::Script script;
  for (std::string line; std::getline(in, line);) {
    expected += line + "\n";
    if (line.starts_with("  ")) continue;
    got += line + "\n";
    if (!line.empty() && !line.starts_with("#")) got += script.feed(line);
  }
  in.close();
  if (got == expected) return true;
  if (rewrite) {
    std::ofstream(path, std::ios::trunc) << got;
    std::printf("%s: rewritten\n", path);
    return true;
  }
  std::istringstream a(expected);
  std::istringstream b(got);
  std::string want;
  std::string have;
  for (int number = 1;; ++number) {
    const bool more_a = static_cast<bool>(std::getline(a, want));
    const bool more_b = static_cast<bool>(std::getline(b, have));
    if (!more_a) want = "(end)";
    if (!more_b) have = "(end)";
    if (want == have && more_a && more_b) continue;
    std::printf("%s:%d: expected\n%s\nbut got\n%s\nSee with --rewrite and git diff.\n", path,
                number, want.c_str(), have.c_str());
    return false;
  }
}

}  // namespace

int main(int argc, char** argv) {
  bool rewrite = false;
  bool good = true;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--rewrite") == 0)
      rewrite = true;
    else
      good = run(argv[i], rewrite) && good;
  }
  return good ? 0 : 1;
}
