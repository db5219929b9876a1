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

class Requests {
 public:
  // submit: gives an input to the loop.
  Requests(std::function<Sight()> sight, port::Hypervisor& hypervisor,
           std::function<void(core::Input)> submit)
      : sight_(std::move(sight)), hypervisor_(hypervisor), submit_(std::move(submit)) {}

  void handle(const boost::json::object& request, control::Answer answer);
  // The loop's answers to what was submitted or asked.
  void on_reply(const core::Reply& reply);
  void on_described(const port::ActDone& done);

 private:
  struct Protecting {
    control::Answer answer;
    std::vector<std::string> waive;
    std::int32_t priority{0};
    std::optional<IsolationResponse> isolation;
  };

  void may_start(const boost::json::object& request, const control::Answer& answer);
  void protect(const boost::json::object& request, control::Answer answer);
  void unprotect(const boost::json::object& request, control::Answer answer);
  void confirm_dead(const boost::json::object& request, control::Answer answer);
  void arm(const boost::json::object& request, control::Answer answer);
  void disarm(const boost::json::object& request, control::Answer answer);
  void submit(core::OperatorAsk ask, const boost::json::object& request, control::Answer answer);
  void submit_protection(const port::ActDone& done, Protecting protecting);
  Ticket ticket();

  std::function<Sight()> sight_;
  port::Hypervisor& hypervisor_;
  std::function<void(core::Input)> submit_;
  std::map<Ticket, Protecting> describing_;
  std::map<Ticket, control::Answer> submitted_;
  std::uint64_t last_{0};
};

}  // namespace wardom::daemon
