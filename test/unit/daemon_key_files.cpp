// The files of the cluster's key, as a daemon that starts finds them.
#include <catch2/catch.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agents/wardomd/key_files.hpp"
#include "libha/config/config.hpp"

using namespace wardom;
using namespace wardom::daemon;
using runtime::KeyMark;
using runtime::NextKey;

namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/wardom-key-XXXXXX";
    path = ::mkdtemp(name);
    write("key", std::string(64, '1') + "\n");
  }
  ~Folder() { std::filesystem::remove_all(path); }
  void write(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    std::ofstream(path / name) << text;
    ::chmod((path / name).c_str(), mode);
  }
  mode_t mode(const std::string& name) const {
    struct stat found {};
    return ::stat((path / name).c_str(), &found) == 0 ? found.st_mode & 07777 : 0;
  }
  std::filesystem::path path;
};

wire::Secret secret(std::uint8_t fill) {
  wire::Secret bytes{};
  bytes.fill(fill);
  return bytes;
}

}  // namespace

TEST_CASE("what_is_kept_is_found_again") {
  const Folder folder;
  const KeyFiles files(folder.path / "key");
  REQUIRE(files.read());
  CHECK(files.read().value() == std::nullopt);
  for (const auto mark :
       {KeyMark::held, KeyMark::wanted, KeyMark::sending, KeyMark::given_up})
    for (const bool drawn : {false, true}) {
      const NextKey next{secret(2), drawn, mark, 1763780000000};
      REQUIRE(files.keep(next));
      CHECK(files.read().value() == next);
    }
  CHECK(folder.mode("key.next") == 0600);
}

TEST_CASE("a_key_put_there_by_hand_has_no_marks") {
  const Folder folder;
  const KeyFiles files(folder.path / "key");
  const auto* const second_line =
      GENERATE("", "\n", "\n# next year's\n", "\nwardom: drawn soon 7\n", "\nwardom: drawn held\n");
  folder.write("key.next", std::string(64, '2') + second_line);
  CHECK(files.read().value() == NextKey{secret(0x22), false, KeyMark::held, 0});
}

TEST_CASE("adopting_leaves_one_key_of_mode_0600") {
  const Folder folder;
  const KeyFiles files(folder.path / "key");
  // What others may have left there does not become the key, nor lend it its mode.
  folder.write("key.next.new", "?", 0644);
  folder.write("key.new", "the operator's", 0644);
  const bool removed = GENERATE(false, true);
  REQUIRE(files.keep({secret(2), true, KeyMark::sending, 1}));
  if (removed) std::filesystem::remove(files.next_file());
  REQUIRE(files.adopt(secret(2)));
  CHECK(load_key(folder.path / "key").value() == secret(2));
  CHECK(folder.mode("key") == 0600);
  CHECK(files.read().value() == std::nullopt);
  CHECK_FALSE(std::filesystem::exists(folder.path / "key.next.new"));
  CHECK(std::filesystem::exists(folder.path / "key.new"));
}

TEST_CASE("a_next_key_that_is_the_present_one_is_none") {
  const Folder folder;
  folder.write("key.next", std::string(64, '1') + "\n");
  CHECK(KeyFiles(folder.path / "key").read().value() == std::nullopt);
}

TEST_CASE("a_next_key_that_cannot_be_one_is_named") {
  const Folder folder;
  const KeyFiles files(folder.path / "key");
  folder.write("key.next", std::string(64, '2') + "\n", 0644);
  CHECK(files.read().error().message.find("key.next") != std::string::npos);
  folder.write("key.next", "2222\n");
  CHECK(files.read().error().message.find("64 hex digits") != std::string::npos);
}

TEST_CASE("a_link_stays_one") {
  const Folder folder;
  std::filesystem::create_directory(folder.path / "secrets");
  std::filesystem::rename(folder.path / "key", folder.path / "secrets" / "real");
  std::filesystem::create_symlink("secrets/real", folder.path / "key");
  const KeyFiles files(folder.path / "key");
  REQUIRE(files.adopt(secret(2)));
  CHECK(std::filesystem::is_symlink(folder.path / "key"));
  CHECK(load_key(folder.path / "key").value() == secret(2));
}

TEST_CASE("drawn_keys_differ") {
  CHECK(draw_key().value() != draw_key().value());
}
