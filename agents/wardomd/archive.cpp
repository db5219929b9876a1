#include "agents/wardomd/archive.hpp"

#include <boost/json.hpp>
#include <fstream>
#include <utility>

namespace wardom::daemon {
namespace {

namespace json = boost::json;

std::string line_of(const wire::StepMessage& step) {
  return json::serialize(json::object{{"recovery", to_hex(step.recovery)},
                                      {"at_ms", step.at.ms},
                                      {"teller", step.teller.value},
                                      {"host", step.host.value},
                                      {"guest", to_uuid(step.guest)},
                                      {"source", step.source},
                                      {"step", step.step},
                                      {"text", step.text}}) +
         "\n";
}

std::uint16_t host_of(const json::object& fields, const char* key) {
  return fields.at(key).to_number<std::uint16_t>();
}

wire::StepMessage step_of(const std::string& line) {
  const auto fields = json::parse(line).as_object();
  const auto bits = [&](const char* key) {
    return parse_bits(fields.at(key).as_string()).value();
  };
  const auto text = [&](const char* key) { return std::string(fields.at(key).as_string()); };
  wire::StepMessage step;
  step.recovery = RecoveryId{bits("recovery")};
  step.at = WallTime{fields.at("at_ms").to_number<std::int64_t>()};
  step.teller = HostId{host_of(fields, "teller")};
  step.host = HostId{host_of(fields, "host")};
  step.guest = GuestId{bits("guest")};
  step.source = text("source");
  step.step = text("step");
  step.text = text("text");
  return step;
}

}  // namespace

Archive::Archive(std::filesystem::path file)
    : file_(std::move(file)), writer_([this] { work(); }) {}

Archive::~Archive() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  more_.notify_one();
  writer_.join();
}

std::vector<wire::StepMessage> Archive::load() const {
  std::vector<wire::StepMessage> steps;
  std::ifstream in(file_);
  std::string line;
  while (std::getline(in, line)) {
    if (line.size() > kMaxArchiveLine) continue;
    try {
      steps.push_back(step_of(line));
    } catch (const std::exception&) {
      continue;  // torn by a power cut, or of another release
    }
  }
  return steps;
}

void Archive::add(const wire::StepMessage& step) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= kMaxArchiveQueue) {
      trouble_ = file_.string() + ": writing does not keep up, steps were dropped";
      return;
    }
    waiting_.push_back(line_of(step));
  }
  more_.notify_one();
}

std::string Archive::trouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

void Archive::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    more_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    const auto lines = std::exchange(waiting_, {});
    lock.unlock();
    write(lines);
    lock.lock();
  }
}

void Archive::write(const std::deque<std::string>& lines) {
  std::error_code ignored;
  const auto size = std::filesystem::file_size(file_, ignored);
  if (!ignored && size > kMaxArchiveBytes) {
    auto old = file_;
    old += ".old";
    std::filesystem::rename(file_, old, ignored);
  }
  std::ofstream out(file_, std::ios::app);
  for (const auto& line : lines) out << line;
  out.close();
  const std::lock_guard lock(mutex_);
  trouble_.clear();
  if (!out) trouble_ = file_.string() + ": cannot be written; timelines end with this daemon";
}

}  // namespace wardom::daemon
