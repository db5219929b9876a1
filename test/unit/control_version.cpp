// The control socket, asked by programs of this release and of others.
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <filesystem>
#include <thread>

#include "libha/control/control_server.hpp"

using namespace wardom;
namespace asio = boost::asio;
namespace json = boost::json;

namespace {

json::object ask(const std::string& path, const std::string& line) {
  asio::io_context io;
  asio::local::stream_protocol::socket socket(io);
  socket.connect(path);
  asio::write(socket, asio::buffer(line + "\n"));
  asio::streambuf buffer;
  const auto size = asio::read_until(socket, buffer, '\n');
  const auto* raw = static_cast<const char*>(buffer.data().data());
  return json::parse(std::string(raw, size)).as_object();
}

}  // namespace

TEST_CASE("request_of_an_unknown_version_is_refused") {
  char name[] = "/tmp/wardom-control-XXXXXX";
  REQUIRE(::mkdtemp(name) != nullptr);
  const std::string path = std::string(name) + "/sock";
  asio::io_context io;
  int handled = 0;
  auto server = control::ControlServer::create(
      io, {path}, [&](const json::object&, control::Answer answer) {
        ++handled;
        answer(control::reply_with("done"));
      });
  REQUIRE(server.has_value());
  std::thread loop([&] { io.run(); });
  CHECK(ask(path, R"({"do":"status"})").at("ok") == true);
  CHECK(ask(path, R"({"do":"status","version":1})").at("ok") == true);
  for (const char* other : {"0", "2", "\"1\"", "null"}) {
    const auto reply = ask(path, R"({"do":"status","version":)" + std::string(other) + "}");
    CHECK(reply.at("ok") == false);
    CHECK(reply.at("exit") == 2);
    CHECK(std::string(reply.at("error").as_string()).find("restart wardomd") != std::string::npos);
  }
  io.stop();
  loop.join();
  CHECK(handled == 2);
  server.value().reset();
  std::filesystem::remove_all(name);
}

TEST_CASE("only_users_who_are_named_are_heard") {
  char name[] = "/tmp/wardom-control-XXXXXX";
  REQUIRE(::mkdtemp(name) != nullptr);
  const std::string path = std::string(name) + "/sock";
  asio::io_context io;
  int handled = 0;
  const auto handler = [&](const json::object&, control::Answer answer) {
    ++handled;
    answer(control::reply_with("done"));
  };
  control::ServerOptions options{path};
  options.users = {::geteuid()};
  options.max_request = 64;
  auto server = control::ControlServer::create(io, options, handler);
  options.path += ".others";
  options.users = {::geteuid() + 1};
  auto others = control::ControlServer::create(io, options, handler);
  REQUIRE(server.has_value());
  REQUIRE(others.has_value());
  std::thread loop([&] { io.run(); });
  CHECK(ask(path, R"({"do":"status"})").at("ok") == true);
  CHECK_THROWS(ask(options.path, R"({"do":"status"})"));
  CHECK_THROWS(ask(path, "{\"do\":\"" + std::string(200, 'x') + "\"}"));
  CHECK((std::filesystem::status(path).permissions() & std::filesystem::perms::mask) ==
        std::filesystem::perms{0666});
  io.stop();
  loop.join();
  CHECK(handled == 1);
  others.value().reset();
  server.value().reset();
  std::filesystem::remove_all(name);
}
