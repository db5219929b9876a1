#include "libha/libvirt/session.hpp"

#include <pthread.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "libha/libvirt/guest_calls.hpp"
#include "libha/libvirt/limits.hpp"

namespace wardom::libvirt {
namespace {

using Holder = std::shared_ptr<const SessionEvents>;

// libvirt frees a callback's data when no call of it can come any more; until then it keeps the
// functions alive.
void* hold(const Holder& events) { return new Holder(events); }
void release(void* opaque) { delete static_cast<Holder*>(opaque); }
const SessionEvents& held(void* opaque) { return **static_cast<Holder*>(opaque); }

int on_lifecycle(virConnectPtr, virDomainPtr guest, int event, int detail, void* opaque) {
  held(opaque).lifecycle(id_of(guest), virDomainGetName(guest), event, detail);
  return 0;
}
void on_device(virConnectPtr, virDomainPtr guest, const char*, void* opaque) {
  held(opaque).definition_touched(id_of(guest));
}
void on_metadata(virConnectPtr, virDomainPtr guest, int, const char*, void* opaque) {
  held(opaque).definition_touched(id_of(guest));
}

void on_close(virConnectPtr, int reason, void* opaque) {
  const char* text = "the connection to libvirtd was lost";
  if (reason == VIR_CONNECT_CLOSE_REASON_EOF) text = "libvirtd closed the connection";
  if (reason == VIR_CONNECT_CLOSE_REASON_KEEPALIVE) text = "libvirtd does not answer";
  held(opaque).closed(text);
}

void* run_event_loop(void*) {
  for (;;)
    if (virEventRunDefaultImpl() < 0) std::fputs("wardom: libvirt's event loop failed\n", stderr);
  return nullptr;
}

void ignore_error(void*, virErrorPtr) {}

}  // namespace

void start_event_loop() {
  static std::once_flag once;
  std::call_once(once, [] {
    virSetErrorFunc(nullptr, ignore_error);
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kStackBytes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0 ||
        pthread_create(&thread, &attributes, run_event_loop, nullptr) != 0) {
      std::fputs("wardom: cannot start libvirt's event loop\n", stderr);
      std::abort();
    }
    pthread_setname_np(thread, "libvirt-events");
    pthread_attr_destroy(&attributes);
  });
}

Result<std::shared_ptr<Session>> Session::open(const std::string& uri,
                                                const std::string& definitions_dir,
                                                SessionEvents events) {
  std::shared_ptr<Session> session(new Session);
  session->events_ = std::make_shared<const SessionEvents>(std::move(events));
  for (Connect* connection : {&session->watcher_, &session->calls_}) {
    connection->reset(virConnectOpen(uri.c_str()));
    if (!*connection || !session->watch(connection->get()))
      return failure("cannot connect to " + uri + ": " + last_fault().text);
  }
  if (!session->subscribe())
    return failure("cannot subscribe to the events of " + uri + ": " + last_fault().text);
  if (!definitions_dir.empty())
    session->files_ = std::make_unique<DefinitionWatch>(
        definitions_dir,
        [held = session->events_](const std::string& name) { held->file_touched(name); });
  return session;
}

bool Session::watch(virConnectPtr conn) {
  void* data = hold(events_);
  if (virConnectRegisterCloseCallback(conn, on_close, data, release) != 0) {
    release(data);
    return false;
  }
  // A driver inside our own process (test:///) has no peer that could fall silent.
  return virConnectSetKeepAlive(conn, kKeepAliveSeconds, kKeepAliveCount) >= 0 ||
         last_fault().code == VIR_ERR_NO_SUPPORT;
}

bool Session::subscribe() {
  const std::pair<int, virConnectDomainEventGenericCallback> wanted[] = {
      {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle)},
      {VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device)},
      {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device)},
      {VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata)},
  };
  for (const auto& [id, callback] : wanted) {
    void* data = hold(events_);
    const int number = virConnectDomainEventRegisterAny(watcher_.get(), nullptr, id, callback,
                                                        data, release);
    if (number < 0) {
      release(data);
      return false;
    }
    subscriptions_.push_back(number);
  }
  return true;
}

Session::~Session() {
  for (int number : subscriptions_) virConnectDomainEventDeregisterAny(watcher_.get(), number);
  for (const Connect* connection : {&watcher_, &calls_})
    if (*connection) virConnectUnregisterCloseCallback(connection->get(), on_close);
}

Result<std::vector<port::GuestState>> Session::list() const {
  virDomainPtr* all = nullptr;
  const int count = virConnectListAllDomains(watcher_.get(), &all, 0);
  if (count < 0) return failure("cannot list the guests: " + last_fault().text);
  std::vector<port::GuestState> guests;
  for (int i = 0; i < count; ++i) {
    const Domain guest(all[i]);
    // A guest that vanishes in between is no failure: its event is on the way.
    if (auto state = read_guest(guest.get())) guests.push_back(std::move(*state));
  }
  free(all);
  if (virConnectIsAlive(watcher_.get()) != 1)
    return failure("the connection was lost while the guests were listed");
  return guests;
}

}  // namespace wardom::libvirt
