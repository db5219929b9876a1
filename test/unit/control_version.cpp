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
      io, path, [&](const json::object&, control::Answer answer) {
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
