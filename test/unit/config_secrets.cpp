#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "libha/config/config.hpp"

using namespace wardom;
namespace fs = std::filesystem;

namespace {

// A folder of its own that goes with the test.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "wardom-secrets-XXXXXX").native();
    path_ = mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path_); }
  fs::path file(const std::string& content, mode_t mode) {
    const auto path = path_ / ("f" + std::to_string(++count_));
    std::ofstream(path) << content;
    chmod(path.c_str(), mode);
    return path;
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
  int count_ = 0;
};

const std::string kDigits = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";

}  // namespace

TEST_CASE("load_key_reads_hex_digits") {
  Folder folder;
  for (const auto* end : {"", "\n"}) {
    const auto key = load_key(folder.file(kDigits + end, 0600));
    REQUIRE(key);
    for (std::size_t i = 0; i < key.value().size(); ++i) CHECK(key.value()[i] == i);
  }
  CHECK(load_key(folder.file(kDigits, 0400)));
}

TEST_CASE("load_key_refuses_files_that_others_may_use") {
  Folder folder;
  for (mode_t mode : {0640u, 0604u, 0620u, 0700u, 0644u}) {
    const auto key = load_key(folder.file(kDigits, mode));
    REQUIRE_FALSE(key);
    CHECK(key.error().message.find("run `chmod 0600 ") != std::string::npos);
  }
  if (geteuid() != 0) return;  // only root can give a file away
  const auto foreign = folder.file(kDigits, 0600);
  REQUIRE(chown(foreign.c_str(), 65534, 65534) == 0);
  const auto key = load_key(foreign);
  REQUIRE_FALSE(key);
  CHECK(key.error().message.find("chown root:root") != std::string::npos);
}

TEST_CASE("load_key_refuses_other_content_without_showing_it") {
  Folder folder;
  for (const auto& text : {std::string(), kDigits.substr(1), kDigits + "0", "g" + kDigits.substr(1),
                           std::string(1000, 'a')}) {
    const auto key = load_key(folder.file(text, 0600));
    REQUIRE_FALSE(key);
    CHECK(key.error().message.find("64 hex digits") != std::string::npos);
    CHECK(key.error().message.find("090a0b") == std::string::npos);
  }
}

TEST_CASE("load_key_refuses_what_is_no_file") {
  Folder folder;
  CHECK_FALSE(load_key(folder.path()));
  CHECK_FALSE(load_key(folder.path() / "missing"));
  const auto fifo = folder.path() / "fifo";
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  CHECK_FALSE(load_key(fifo));  // and does not wait for a writer
}

TEST_CASE("load_password_takes_first_line") {
  Folder folder;
  CHECK(load_password(folder.file("secret\n", 0600)).value() == "secret");
  CHECK(load_password(folder.file("with blank", 0600)).value() == "with blank");
  CHECK(load_password(folder.file(std::string(20, 'p'), 0600)));
  CHECK_FALSE(load_password(folder.file(std::string(21, 'p'), 0600)));
  CHECK_FALSE(load_password(folder.file("\n", 0600)));
  CHECK_FALSE(load_password(folder.file("secret", 0644)));
}
