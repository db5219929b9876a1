// A log whose reader stands still, comes back, or is gone.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <csignal>
#include <string>
#include <vector>

#include "libha/proc/line_sink.hpp"

using wardom::proc::kMaxLineBytes;
using wardom::proc::kMaxWaitingBytes;
using wardom::proc::LineSink;

namespace {

// The reader's end does not wait, the writer's does: a write that waited would hang the test.
struct Ends {
  int reader{-1};
  int writer{-1};
  explicit Ends(bool socket) {
    std::array<int, 2> both{-1, -1};
    const int made = socket ? ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both.data())
                            : ::pipe2(both.data(), O_CLOEXEC);
    REQUIRE(made == 0);
    reader = both[0];
    writer = both[1];
    REQUIRE(::fcntl(reader, F_SETFL, O_NONBLOCK) == 0);
  }
  ~Ends() {
    hang_up();
    ::close(writer);
  }
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;
  void hang_up() {
    if (reader >= 0) ::close(reader);
    reader = -1;
  }
  std::string read_all() const {
    std::string all;
    std::array<char, 4096> part;
    for (ssize_t got = 0; (got = ::read(reader, part.data(), part.size())) > 0;)
      all.append(part.data(), static_cast<std::size_t>(got));
    return all;
  }
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find('\n', at);
    REQUIRE(end != std::string::npos);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::string line(int i) { return "line " + std::to_string(i) + std::string(100, '.'); }

}  // namespace

TEST_CASE("lines_arrive_at_once_and_long_ones_are_cut") {
  Ends ends(GENERATE(false, true));
  LineSink sink(ends.writer);
  sink.write("one");
  sink.write(std::string(2 * kMaxLineBytes, 'x'));
  const auto lines = lines_of(ends.read_all());
  REQUIRE(lines.size() == 2);
  CHECK(lines[0] == "one");
  CHECK(lines[1].size() < kMaxLineBytes);
  CHECK(lines[1].ends_with("x..."));
}

TEST_CASE("a_reader_that_hangs_holds_nobody_up_and_misses_nothing_that_fits") {
  Ends ends(GENERATE(false, true));
  LineSink sink(ends.writer);
  constexpr int kLines = 1500;  // more than a pipe or a socket takes
  for (int i = 0; i < kLines; ++i) sink.write(line(i));
  std::string text;
  for (std::string part; !(part = ends.read_all()).empty(); sink.flush()) text += part;
  const auto lines = lines_of(text);
  REQUIRE(lines.size() == kLines);
  for (int i = 0; i < kLines; ++i) CHECK(lines[static_cast<std::size_t>(i)] == line(i));
}

TEST_CASE("what_does_not_fit_is_counted") {
  Ends ends(GENERATE(false, true));
  LineSink sink(ends.writer);
  int written = 0;
  for (std::size_t bytes = 0; bytes < 4 * kMaxWaitingBytes; bytes += line(written).size())
    sink.write(line(written++));
  std::string text;
  for (std::string part; !(part = ends.read_all()).empty(); sink.flush()) text += part;
  sink.write("after");
  const auto kept = lines_of(text).size();
  const auto end = lines_of(ends.read_all());
  REQUIRE(end.size() == 2);
  CHECK(end[0] == "<4>" + std::to_string(static_cast<std::size_t>(written) - kept) +
                      " lines are lost: the log took none");
  CHECK(end[1] == "after");
}

TEST_CASE("a_reader_that_is_gone_matters_to_nobody") {
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  Ends ends(GENERATE(false, true));
  LineSink sink(ends.writer);
  sink.write("one");
  ends.hang_up();
  for (int i = 0; i < 10'000; ++i) sink.write(line(i));
  sink.flush();
  std::signal(SIGPIPE, before);
}
