#include "libha/control/control_server.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <boost/json.hpp>
#include <chrono>

#include "libha/core/local_formats.hpp"

namespace wardom::control {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;
using Protocol = asio::local::stream_protocol;
using boost::system::error_code;

// What is asked for, and time for the answer.
std::chrono::milliseconds patience_of(const json::object& request) {
  constexpr std::chrono::milliseconds kMost = std::chrono::seconds(kMostRequestPatienceSeconds);
  constexpr std::chrono::milliseconds kForTheAnswer = std::chrono::seconds(30);
  const auto* asked = request.if_contains("patience_ms");
  const auto* ms = asked == nullptr ? nullptr : asked->if_int64();
  if (ms == nullptr || *ms < 0) return {};
  return std::min(std::chrono::milliseconds(std::min<std::int64_t>(*ms, kMost.count())) +
                      kForTheAnswer, kMost);
}

}  // namespace

class ControlServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, ServerOptions options, Handler handler)
      : io_(io),
        options_(std::move(options)),
        path_(options_.path),
        handler_(std::move(handler)),
        acceptor_(io) {}

  Result<void> listen() {
    error_code ignored;
    Protocol::socket probe(io_);
    error_code connected;
    probe.connect(Protocol::endpoint(path_), connected);
    if (!connected)
      return failure(path_ + ": another wardomd answers there; stop it first");
    ::unlink(path_.c_str());
    error_code failed;
    acceptor_.open(Protocol(), failed);
    const mode_t old = ::umask(options_.users.empty() ? 0177 : 0111);  // as it is born
    if (!failed) acceptor_.bind(Protocol::endpoint(path_), failed);
    ::umask(old);
    if (!failed) acceptor_.listen(asio::socket_base::max_listen_connections, failed);
    if (failed) return failure(path_ + ": cannot listen there: " + failed.message());
    accept();
    return success();
  }

  void stop() {
    stopped_ = true;
    error_code ignored;
    acceptor_.close(ignored);
    ::unlink(path_.c_str());
  }

 private:
  struct Session : std::enable_shared_from_this<Session> {
    Session(asio::io_context& io, Protocol::socket s, std::size_t most)
        : socket(std::move(s)), buffer(most), timer(io) {}
    Protocol::socket socket;
    asio::streambuf buffer;
    asio::steady_timer timer;
    std::string out;
    bool answered{false};
  };

  void accept() {
    acceptor_.async_accept([self = shared_from_this()](error_code failed, Protocol::socket socket) {
      if (self->stopped_) return;
      if (!failed && self->open_ < self->options_.max_connections && self->may_ask(socket))
        self->serve(std::move(socket));
      self->accept();
    });
  }

  bool may_ask(Protocol::socket& socket) const {
    const auto& users = options_.users;
    if (users.empty()) return true;
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           std::find(users.begin(), users.end(), peer.uid) != users.end();
  }

  void serve(Protocol::socket socket) {
    ++open_;
    auto session = std::shared_ptr<Session>(new Session(io_, std::move(socket),
                                                        options_.max_request),
                                            [self = shared_from_this()](Session* ended) {
                                              --self->open_;
                                              delete ended;
                                            });
    end_after(session, options_.patience);
    asio::async_read_until(session->socket, session->buffer, '\n',
                           [self = shared_from_this(), session](error_code failed, std::size_t n) {
                             if (!failed) self->handle(session, n);
                           });
  }

  // From now on, whatever was said before.
  static void end_after(const std::shared_ptr<Session>& session, std::chrono::milliseconds time) {
    session->timer.expires_after(time);
    session->timer.async_wait([weak = std::weak_ptr(session)](error_code cancelled) {
      const auto held = weak.lock();
      error_code ignored;
      if (!cancelled && held) held->socket.close(ignored);
    });
  }

  void handle(const std::shared_ptr<Session>& session, std::size_t bytes) {
    const auto data = session->buffer.data();
    const std::string line(asio::buffers_begin(data),
                           asio::buffers_begin(data) + static_cast<std::ptrdiff_t>(bytes));
    error_code failed;
    const auto request = json::parse(line, failed);
    const auto answer = [self = shared_from_this(), session](json::value value) {
      self->send(session, value);
    };
    if (failed || !request.is_object())
      return answer(reply_error(2, "the request is not a JSON object on one line"));
    const auto* version = request.get_object().if_contains("version");
    if (version != nullptr && *version != json::value(kControlVersion))
      return answer(reply_error(2, "the request is of version " + json::serialize(*version) +
                                       ", and this wardomd speaks " +
                                       std::to_string(kControlVersion) +
                                       "; who asks and wardomd are of two releases: restart "
                                       "wardomd after an upgrade, guests run on"));
    // Where few may ask, nobody is given more time than all are.
    if (const auto time = patience_of(request.get_object());
        options_.users.empty() && time > options_.patience)
      end_after(session, time);
    handler_(request.get_object(), answer);
  }

  static void send(const std::shared_ptr<Session>& session, const json::value& value) {
    if (std::exchange(session->answered, true)) return;
    session->out = json::serialize(value) + "\n";
    asio::async_write(session->socket, asio::buffer(session->out),
                      [session](error_code, std::size_t) { session->timer.cancel(); });
  }

  asio::io_context& io_;
  ServerOptions options_;
  std::string path_;
  Handler handler_;
  Protocol::acceptor acceptor_;
  std::size_t open_{0};
  bool stopped_{false};
};

ControlServer::ControlServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlServer::~ControlServer() { impl_->stop(); }

Result<std::unique_ptr<ControlServer>> ControlServer::create(asio::io_context& io,
                                                             ServerOptions options,
                                                             Handler handler) {
  auto impl = std::make_shared<Impl>(io, std::move(options), std::move(handler));
  auto listening = impl->listen();
  if (!listening) return listening.error();
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(impl)));
}

json::value reply_with(json::value result) {
  return json::object{{"ok", true}, {"result", std::move(result)}};
}

json::value reply_error(int exit_code, std::string error) {
  return json::object{{"ok", false}, {"exit", exit_code}, {"error", std::move(error)}};
}

}  // namespace wardom::control
