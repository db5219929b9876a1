#include "libha/ipmi/bmc_session.hpp"

#include <freeipmi/freeipmi.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace wardom {
namespace {

struct WorkaroundName {
  std::string_view name;
  unsigned flag;
};

constexpr std::array<WorkaroundName, 7> kWorkarounds{{
    {"authcap", IPMI_WORKAROUND_FLAGS_OUTOFBAND_2_0_AUTHENTICATION_CAPABILITIES},
    {"intel20", IPMI_WORKAROUND_FLAGS_OUTOFBAND_2_0_INTEL_2_0_SESSION},
    {"supermicro20", IPMI_WORKAROUND_FLAGS_OUTOFBAND_2_0_SUPERMICRO_2_0_SESSION},
    {"sun20", IPMI_WORKAROUND_FLAGS_OUTOFBAND_2_0_SUN_2_0_SESSION},
    {"opensesspriv", IPMI_WORKAROUND_FLAGS_OUTOFBAND_2_0_OPEN_SESSION_PRIVILEGE},
    {"integritycheckvalue", IPMI_WORKAROUND_FLAGS_OUTOFBAND_2_0_NON_EMPTY_INTEGRITY_CHECK_VALUE},
    {"nochecksumcheck", IPMI_WORKAROUND_FLAGS_OUTOFBAND_2_0_NO_CHECKSUM_CHECK},
}};

BmcFailure::Kind kind_of(int error) {
  switch (error) {
    case IPMI_ERR_USERNAME_INVALID:
    case IPMI_ERR_PASSWORD_INVALID:
    case IPMI_ERR_K_G_INVALID:
    case IPMI_ERR_PRIVILEGE_LEVEL_CANNOT_BE_OBTAINED:
    case IPMI_ERR_AUTHENTICATION_TYPE_UNAVAILABLE:
    case IPMI_ERR_CIPHER_SUITE_ID_UNAVAILABLE:
      return BmcFailure::Kind::credentials;
    case IPMI_ERR_PRIVILEGE_LEVEL_INSUFFICIENT:
    case IPMI_ERR_COMMAND_INVALID_OR_UNSUPPORTED:
    case IPMI_ERR_BAD_COMPLETION_CODE:
    case IPMI_ERR_BMC_BUSY:
      return BmcFailure::Kind::refused;
    default:  // a library's open list of errors: all others say nothing about the BMC
      return BmcFailure::Kind::session;
  }
}

// How BMCs say that they do not know a cipher suite: the error meant for it, another RMCP+ status,
// or (OpenIPMI's) an answer too short to be read. Silence is none of these.
bool suite_is_unknown(int error) {
  return error == IPMI_ERR_CIPHER_SUITE_ID_UNAVAILABLE ||
         error == IPMI_ERR_BAD_RMCPPLUS_STATUS_CODE || error == IPMI_ERR_IPMI_ERROR;
}

BmcFailure failure_of(ipmi_ctx_t context) {
  return {kind_of(ipmi_ctx_errnum(context)), ipmi_ctx_errormsg(context)};
}

// A response of FreeIPMI's dynamic kind, freed with its scope.
class Response {
 public:
  explicit Response(fiid_field_t* shape) : object_(fiid_obj_create(shape)) {}
  ~Response() {
    if (object_ != nullptr) fiid_obj_destroy(object_);
  }
  Response(const Response&) = delete;
  Response& operator=(const Response&) = delete;
  fiid_obj_t get() const { return object_; }

 private:
  fiid_obj_t object_;
};

}  // namespace

struct BmcSession::Context {
  ipmi_ctx_t ipmi{ipmi_ctx_create()};
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() {
    if (ipmi == nullptr) return;
    ipmi_ctx_close(ipmi);
    ipmi_ctx_destroy(ipmi);
  }
};

Result<unsigned> workaround_flags(const std::vector<std::string>& names) {
  unsigned flags = IPMI_WORKAROUND_FLAGS_DEFAULT;
  for (const auto& name : names) {
    bool found = false;
    for (const auto& known : kWorkarounds) {
      if (known.name != name) continue;
      flags |= known.flag;
      found = true;
    }
    if (found) continue;
    std::string message = "unknown BMC workaround \"" + name + "\"; known are";
    for (const auto& known : kWorkarounds) message += " " + std::string(known.name);
    return failure(std::move(message));
  }
  return flags;
}

Result<void> check(const BmcAccess& access) {
  const std::string who = "BMC of host " + std::to_string(access.host.value) + ": ";
  if (access.host == kNoHost) return failure("a BMC without a host");
  if (access.address.empty()) return failure(who + "no address");
  if (access.user.size() > kMaxBmcUserBytes)
    return failure(who + "the user name is longer than 16 bytes, IPMI's limit");
  if (access.password.size() > kMaxBmcPasswordBytes)
    return failure(who + "the password is longer than 20 bytes, IPMI's limit");
  if (access.cipher_suites.empty()) return failure(who + "no cipher suite");
  for (auto suite : access.cipher_suites)
    if (!IPMI_CIPHER_SUITE_ID_SUPPORTED(suite))
      return failure(who + "cipher suite " + std::to_string(suite) + " is not supported");
  auto flags = workaround_flags(access.workarounds);
  if (!flags) return failure(who + flags.error().message);
  return success();
}

Result<void> BmcSession::initialise() {
  if (ipmi_rmcpplus_init() < 0)
    return failure(std::string("FreeIPMI's cryptography does not initialise: ") +
                   std::strerror(errno));
  return success();
}

BmcSession::BmcSession(std::unique_ptr<Context> context) : context_(std::move(context)) {}
BmcSession::~BmcSession() = default;

std::unique_ptr<BmcSession> BmcSession::open(const BmcAccess& access, SessionTimes times,
                                             BmcFailure* failure) {
  const auto flags = workaround_flags(access.workarounds);
  const std::uint8_t privilege = access.privilege == BmcPrivilege::admin
                                     ? IPMI_PRIVILEGE_LEVEL_ADMIN
                                     : IPMI_PRIVILEGE_LEVEL_OPERATOR;
  *failure = {BmcFailure::Kind::credentials, "no cipher suite is configured"};
  for (auto suite : access.cipher_suites) {
    auto context = std::make_unique<Context>();
    if (context->ipmi == nullptr) {
      *failure = {BmcFailure::Kind::session, "out of memory"};
      return nullptr;
    }
    if (ipmi_ctx_open_outofband_2_0(context->ipmi, access.address.c_str(), access.user.c_str(),
                                    access.password.c_str(), nullptr, 0, privilege, suite,
                                    static_cast<unsigned>(times.idle_timeout.count()),
                                    static_cast<unsigned>(times.retransmission.count()),
                                    flags.value(), IPMI_FLAGS_DEFAULT) == 0)
      return std::unique_ptr<BmcSession>(new BmcSession(std::move(context)));
    *failure = failure_of(context->ipmi);
    failure->message += " (cipher suite " + std::to_string(suite) + ")";
    if (!suite_is_unknown(ipmi_ctx_errnum(context->ipmi))) return nullptr;
  }
  return nullptr;
}

port::PowerState BmcSession::read(BmcFailure* failure) {
  const Response status(tmpl_cmd_get_chassis_status_rs);
  if (status.get() == nullptr ||
      ipmi_cmd_get_chassis_status(context_->ipmi, status.get()) < 0) {
    *failure = failure_of(context_->ipmi);
    return port::PowerState::unknown;
  }
  std::uint64_t on = 0;
  if (fiid_obj_get(status.get(), "current_power_state.power_is_on", &on) != 1) {
    *failure = {BmcFailure::Kind::refused, "the BMC's answer carries no power state"};
    return port::PowerState::unknown;
  }
  return on != 0 ? port::PowerState::on : port::PowerState::off;
}

bool BmcSession::control(unsigned what, BmcFailure* failure) {
  const Response answer(tmpl_cmd_chassis_control_rs);
  if (answer.get() != nullptr &&
      ipmi_cmd_chassis_control(context_->ipmi, static_cast<std::uint8_t>(what), answer.get()) == 0)
    return true;
  *failure = failure_of(context_->ipmi);
  return false;
}

bool BmcSession::power_down(BmcFailure* failure) {
  return control(IPMI_CHASSIS_CONTROL_POWER_DOWN, failure);
}

bool BmcSession::power_up(BmcFailure* failure) {
  return control(IPMI_CHASSIS_CONTROL_POWER_UP, failure);
}

}  // namespace wardom
