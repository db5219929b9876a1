// What operators and the libvirt hook ask of the daemon over the control socket. Decides nothing:
// reads views, or hands a checked request to the core and passes its answer back.
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "agents/wardomd/views.hpp"
#include "libha/control/control_server.hpp"
#include "libha/port/hypervisor.hpp"

namespace wardom::daemon {

// What an operator wants of the cluster's key: see runtime::KeyChange.
struct KeyWishes {
  std::function<Result<void>(const std::optional<wire::Secret>& drawn, const std::string& by)>
      change;
  std::function<Result<void>(const std::string& by)> give_up;
};

class Requests {
 public:
  // submit: gives an input to the loop. ask_devices: see runtime::DeviceRounds.
  Requests(std::function<Sight()> sight, port::Hypervisor& hypervisor,
           std::function<void(core::Input)> submit, KeyWishes key,
           std::function<Result<void>(wire::DeviceAsk)> ask_devices)
      : sight_(std::move(sight)),
        hypervisor_(hypervisor),
        submit_(std::move(submit)),
        key_(std::move(key)),
        ask_devices_(std::move(ask_devices)),
        last_(first_ticket()) {}

  void handle(const boost::json::object& request, control::Answer answer);
  // The loop's answers to what was submitted or asked.
  void on_reply(const core::Reply& reply);
  void on_described(const port::ActDone& done);
  void on_device_round(const runtime::DeviceRounds::Ended& ended);

 private:
  struct Protecting {
    control::Answer answer;
    std::vector<std::string> waive;
    std::int32_t priority{0};
    std::optional<IsolationResponse> isolation;
  };

  struct Known {
    GuestId guest;
    std::string name;
    bool recorded{false};  // on the volume
  };
  struct Starting {
    core::StartGuest start;
    std::vector<std::string> waive;
    control::Answer answer;
  };
  struct Waived {
    std::vector<std::string> names;
    std::optional<boost::json::value> refusal{};
  };

  Waived check_local(const std::string& name, const std::string& xml,
                     const std::vector<std::string>& waive) const;
  std::optional<Known> known_guest(const std::string& guest) const;
  void may_start(const boost::json::object& request, const control::Answer& answer);
  void protect(const boost::json::object& request, control::Answer answer);
  void unprotect(const boost::json::object& request, control::Answer answer);
  void start_guest(const boost::json::object& request, control::Answer answer);
  void start_as_defined(core::StartGuest start, const boost::json::object& request,
                        const control::Answer& answer);
  void submit_start(core::StartGuest start, control::Answer answer);
  void migrate_guest(const boost::json::object& request, control::Answer answer);
  void stop_guest(const boost::json::object& request, control::Answer answer);
  void confirm_dead(const boost::json::object& request, control::Answer answer);
  void trust_bmc(const boost::json::object& request, control::Answer answer);
  void fence(const boost::json::object& request, control::Answer answer);
  void change_key(const boost::json::object& request, const control::Answer& answer);
  void give_up_key(const boost::json::object& request, const control::Answer& answer);
  void ask_devices(wire::DeviceStep step, const boost::json::object& request,
                   control::Answer answer);
  std::string asker(const boost::json::object& request) const;
  void arm(const boost::json::object& request, control::Answer answer);
  void disarm(const boost::json::object& request, control::Answer answer);
  void submit(core::OperatorAsk ask, const boost::json::object& request, control::Answer answer);
  void submit_protection(const port::ActDone& done, Protecting protecting);
  Ticket ticket();
  static std::uint64_t first_ticket();

  std::function<Sight()> sight_;
  port::Hypervisor& hypervisor_;
  std::function<void(core::Input)> submit_;
  KeyWishes key_;
  std::function<Result<void>(wire::DeviceAsk)> ask_devices_;
  std::map<Ticket, Protecting> describing_;
  std::map<Ticket, Starting> starting_;
  std::map<Ticket, control::Answer> submitted_;
  std::uint64_t last_;  // from a number of its own for each run: answers to an earlier run's
                        // requests may still be on the ring
};

}  // namespace wardom::daemon
