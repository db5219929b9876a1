#include "libha/libvirt/migration_calls.hpp"


#include "libha/libvirt/guest_answers.hpp"
#include "libha/libvirt/states.hpp"

namespace wardom::libvirt {

using port::ActDone;
using port::RunState;
using port::StopCause;

namespace {

class Params {
 public:
  Params() = default;
  ~Params() { virTypedParamsFree(list_, count_); }
  Params(const Params&) = delete;
  Params& operator=(const Params&) = delete;

  bool add(const char* name, const std::string& text) {
    return virTypedParamsAddString(&list_, &count_, &room_, name, text.c_str()) == 0;
  }
  bool add(const char* name, std::uint64_t number) {
    return virTypedParamsAddULLong(&list_, &count_, &room_, name, number) == 0;
  }
  virTypedParameterPtr list() const { return list_; }
  int count() const { return count_; }

 private:
  virTypedParameterPtr list_{nullptr};
  int count_{0};
  int room_{0};
};

enum class Job { none, outgoing, other, unknown };

// What libvirt is doing with the guest that takes long.
Job job_of(virDomainPtr guest) {
  int type = VIR_DOMAIN_JOB_NONE;
  virTypedParameterPtr stats = nullptr;
  int count = 0;
  if (virDomainGetJobStats(guest, &type, &stats, &count, 0) != 0) {
    const int code = last_fault().code;
    // Of a guest that is off, or that arrives here just now, libvirt refuses to tell.
    if (code == VIR_ERR_OPERATION_INVALID) return Job::other;
    return code == VIR_ERR_NO_DOMAIN ? Job::none : Job::unknown;
  }
  int operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;
  virTypedParamsGetInt(stats, count, VIR_DOMAIN_JOB_OPERATION, &operation);
  virTypedParamsFree(stats, count);
  if (type == VIR_DOMAIN_JOB_NONE) return Job::none;
  return operation == VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT ? Job::outgoing : Job::other;
}

// libvirt stops the guest for a migration's last moments, and lets it run again when that fails;
// but not always. Whom a person or a broken disk has stopped stays as it is.
void resume_if_left_paused(virConnectPtr conn, const GuestId& guest) {
  const auto condition = condition_of(conn, guest);
  if (condition.now.state != RunState::paused || condition.reason != VIR_DOMAIN_PAUSED_MIGRATION)
    return;
  const Found found = find(conn, guest);
  if (found.guest && job_of(found.guest.get()) == Job::none) virDomainResume(found.guest.get());
}

}  // namespace

ActDone migrate_guest(virConnectPtr conn, GuestId guest, const MigrationWay& way) {
  const Found found = find(conn, guest);
  if (!found.answered) return failed(conn, guest, "look-up: " + found.fault.text);
  if (!found.guest || state_of(conn, guest) != RunState::running)
    return failed(conn, guest, "it does not run here, and only a running guest is migrated");
  Params params;
  if (!params.add(VIR_MIGRATE_PARAM_URI, way.data_uri) ||
      (way.bandwidth_mib > 0 && !params.add(VIR_MIGRATE_PARAM_BANDWIDTH, way.bandwidth_mib)))
    return failed(conn, guest, "migrate: " + last_fault().text);
  unsigned flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_PERSIST_DEST |
                   VIR_MIGRATE_PAUSED | VIR_MIGRATE_ABORT_ON_ERROR;
  if (way.auto_converge) flags |= VIR_MIGRATE_AUTO_CONVERGE;
  if (virDomainMigrateToURI3(found.guest.get(), way.uri.c_str(), params.list(),
                             static_cast<unsigned>(params.count()), flags) != 0) {
    const std::string error = last_fault().text;
    resume_if_left_paused(conn, guest);
    return failed(conn, guest, "migrate: " + error);
  }
  ActDone answer = done(conn, guest);
  answer.ok = answer.state == RunState::absent ||
              (answer.state == RunState::shut_off && answer.cause == StopCause::migrated);
  if (answer.ok) return answer;
  resume_if_left_paused(conn, guest);
  return failed(conn, guest,
                "migrate: libvirt says that it is done, and not that the guest has gone");
}

ActDone abort_migration(virConnectPtr conn, GuestId guest, const std::function<bool()>& expected,
                        const std::function<bool()>& wait) {
  for (;;) {
    const bool may_begin = expected();
    const Found found = find(conn, guest);
    if (!found.answered) return failed(conn, guest, "look-up: " + found.fault.text);
    const RunState state = state_of(conn, guest);
    if (!may_begin && state != RunState::unknown && !is_active(state)) break;
    const Job job = found.guest ? job_of(found.guest.get()) : Job::none;
    if (job == Job::unknown) return failed(conn, guest, "job: " + last_fault().text);
    if (job == Job::outgoing) virDomainAbortJob(found.guest.get());  // refused: it is about to end
    if (job != Job::outgoing && !may_begin) break;
    if (!wait()) {
      ActDone answer = failed(conn, guest, "the migration was told to stop, and goes on");
      answer.settled = false;
      return answer;
    }
  }
  resume_if_left_paused(conn, guest);
  // What the state tells is what it has come to: without it, nothing is known.
  ActDone answer = done(conn, guest);
  answer.settled = answer.state != RunState::unknown;
  answer.ok = answer.settled;
  return answer;
}

ActDone resume_guest(virConnectPtr conn, GuestId guest) {
  const Found found = find(conn, guest);
  if (!found.answered) return failed(conn, guest, "look-up: " + found.fault.text);
  const auto condition = condition_of(conn, guest);
  if (condition.now.state == RunState::running) return done(conn, guest);
  // The reason that libvirt gives to a guest that has arrived whole and is to stay paused; while it
  // still arrives, the reason is VIR_DOMAIN_PAUSED_MIGRATION.
  if (condition.now.state != RunState::paused || condition.reason != VIR_DOMAIN_PAUSED_USER)
    return failed(conn, guest, "resume: it is not here, paused, with all of it arrived");
  if (virDomainResume(found.guest.get()) != 0)
    return failed(conn, guest, "resume: " + last_fault().text);
  return done(conn, guest);
}

}  // namespace wardom::libvirt
