// The local control socket: one JSON object on one line comes in, one JSON value on one line goes
// out, then the connection ends. Operators' tools and the libvirt hook ask here. A request of
// another version (core/local_formats.hpp) is refused.
//
// The socket is 0600, so that only root (or the daemon's own user) can ask, unless users are named.
// Runs on the io_context of its creator; a request's handler is called there and may answer later.
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "libha/core/result.hpp"

namespace wardom::control {

// A guest's XML (kMaxGuestXmlBytes) as a JSON text, and some more.
inline constexpr std::size_t kMaxRequestBytes = 1024 * 1024;
inline constexpr std::size_t kMaxConnections = 64;
inline constexpr int kRequestPatienceSeconds = 60;  // from connection to the end of the answer
// A request that says its `patience_ms` is given that time and some more, up to this; and never
// less than the time above.
inline constexpr int kMostRequestPatienceSeconds = 3700;

// Called once per request. An answer after the client has gone is dropped.
using Answer = std::function<void(boost::json::value)>;
using Handler = std::function<void(const boost::json::object& request, Answer answer)>;

struct ServerOptions {
  std::string path;
  std::size_t max_request{kMaxRequestBytes};
  std::size_t max_connections{kMaxConnections};
  std::chrono::seconds patience{kRequestPatienceSeconds};
  // Empty: the socket is 0600. Otherwise anybody can connect, and whoever is none of these users
  // (SO_PEERCRED) is left without an answer.
  std::vector<uid_t> users{};
};

class ControlServer {
 public:
  // Error: the socket cannot be made there; or a living process answers on it already.
  static Result<std::unique_ptr<ControlServer>> create(boost::asio::io_context& io,
                                                       ServerOptions options, Handler handler);
  // Closes and removes the socket.
  ~ControlServer();

 private:
  class Impl;
  explicit ControlServer(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

// {"ok":true,"result":…} and {"ok":false,"exit":…,"error":…}
boost::json::value reply_with(boost::json::value result);
boost::json::value reply_error(int exit_code, std::string error);

}  // namespace wardom::control
