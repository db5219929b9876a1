#include "libha/corosync_conf/device_section.hpp"

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace wardom::corosync_conf {
namespace {

constexpr const char* kProvider = "corosync_votequorum";
// votequorum refuses a device beside any of them.
constexpr const char* kExcluding[] = {"two_node", "last_man_standing", "auto_tie_breaker",
                                      "allow_downscale"};

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::string line_text(std::size_t line) { return "line " + std::to_string(line + 1) + ": "; }

// A line "KEY: VALUE" and the sections that it is in, as "quorum.device".
struct Setting {
  std::size_t line;
  std::string section;
  std::string key;
  std::string value;
};
struct Section {
  std::string name;  // with those around it
  std::size_t begins;
  std::size_t ends;
};

struct File {
  std::vector<std::string> lines;
  std::vector<Setting> settings;
  std::vector<Section> sections;

  const Setting* find(const std::string& section, const std::string& key) const {
    for (const auto& one : settings)
      if (one.section == section && one.key == key) return &one;
    return nullptr;
  }
  std::vector<Section> all(const std::string& name) const {
    std::vector<Section> found;
    for (const auto& one : sections)
      if (one.name == name) found.push_back(one);
    return found;
  }
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::string text_of(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  return text;
}

Result<File> parse(const std::string& text) {
  File file;
  file.lines = lines_of(text);
  std::vector<Section> open;
  for (std::size_t i = 0; i < file.lines.size(); ++i) {
    const auto line = trimmed(file.lines[i]);
    if (line.empty() || line.front() == '#') continue;
    const auto around = open.empty() ? std::string{} : open.back().name;
    if (line.back() == '{') {
      const auto name = trimmed(line.substr(0, line.size() - 1));
      if (name.empty() || name.find_first_of("{}:") != std::string::npos)
        return failure(line_text(i) + "is no section's first line");
      open.push_back({around.empty() ? name : around + "." + name, i, 0});
    } else if (line == "}") {
      if (open.empty()) return failure(line_text(i) + "ends a section, and none is open");
      open.back().ends = i;
      file.sections.push_back(open.back());
      open.pop_back();
    } else {
      const auto colon = line.find(':');
      if (colon == std::string::npos || line.find_first_of("{}") != std::string::npos)
        return failure(line_text(i) + "is neither a section nor \"KEY: VALUE\"");
      file.settings.push_back(
          {i, around, trimmed(line.substr(0, colon)), trimmed(line.substr(colon + 1))});
    }
  }
  if (!open.empty())
    return failure(line_text(open.back().begins) + "section " + open.back().name +
                   " does not end");
  return file;
}

std::optional<unsigned> number_of(const Setting* setting) {
  if (setting == nullptr) return std::nullopt;
  return static_cast<unsigned>(std::strtoul(setting->value.c_str(), nullptr, 10));
}

std::optional<DeviceSection> device_of(const File& file) {
  const auto* model = file.find("quorum.device", "model");
  if (model == nullptr || model->value.empty()) return std::nullopt;
  DeviceSection device;
  device.model = model->value;
  device.timeout_ms = number_of(file.find("quorum.device", "timeout"));
  device.sync_timeout_ms = number_of(file.find("quorum.device", "sync_timeout"));
  if (const auto* votes = file.find("quorum.device", "votes")) device.votes = votes->value;
  return device;
}

// What votequorum takes at run time, and what then stops corosync at its next start, or keeps
// quorum away when it is needed.
std::string trap_in(const File& file) {
  for (const auto& one : file.settings) {
    const bool ours = one.section == "quorum" || one.section == "quorum.device";
    const auto* first = file.find(one.section, one.key);
    if (ours && first->line != one.line)
      return line_text(one.line) + one.key + " stands in line " + std::to_string(first->line + 1) +
             " already, and the last one counts: take one out";
    if (one.section == "quorum" && one.key == "expected_votes")
      return line_text(one.line) + "expected_votes beside a quorum device would keep corosync from "
                                   "starting: take it out, the nodelist tells as much";
    if (one.section == "quorum" && one.key == "wait_for_all" && one.value != "0")
      return line_text(one.line) + "wait_for_all would keep quorum away, after each loss of it, "
                                   "until every host is back: set it to 0, and restart corosync";
    if (one.section == "nodelist.node" && one.key == "quorum_votes" && one.value != "1")
      return line_text(one.line) + "quorum_votes other than 1 beside a quorum device would keep "
                                   "corosync from starting: take it out";
  }
  return file.all("nodelist.node").empty() ? "there is no nodelist: votes cannot be counted" : "";
}

// Why Wardom cannot be this file's device; empty: it can.
std::string objection(const File& file) {
  if (file.all("quorum").size() != 1)
    return "there must be one quorum section, with \"provider: corosync_votequorum\"";
  if (file.all("quorum.device").size() > 1) return "there is more than one quorum device";
  const auto* provider = file.find("quorum", "provider");
  if (provider == nullptr || provider->value != kProvider)
    return "the quorum section needs \"provider: corosync_votequorum\"";
  if (const auto device = device_of(file); device && device->model != kDeviceModel)
    return "another quorum device is named, model " + device->model +
           ": stop it and take it out first";
  for (const char* key : kExcluding)
    if (const auto* found = file.find("quorum", key); found != nullptr && found->value != "0")
      return line_text(found->line) + key + " excludes any quorum device: take it out first";
  return trap_in(file);
}

std::string indent_of(const std::string& line) {
  return line.substr(0, line.find_first_not_of(" \t"));
}

// Sets a key of the device, where it stands or before the section's end; nullopt: takes it out.
Result<std::string> with_key(const std::string& text, const std::string& key,
                             const std::optional<std::string>& value) {
  auto parsed = parse(text);
  if (!parsed) return parsed.error();
  auto& file = parsed.value();
  const auto* found = file.find("quorum.device", key);
  const auto device = file.all("quorum.device").front();
  if (found != nullptr) {
    const auto at = file.lines.begin() + static_cast<std::ptrdiff_t>(found->line);
    if (value)
      *at = indent_of(*at) + key + ": " + *value;
    else
      file.lines.erase(at);
  } else if (value) {
    const auto& begins = file.lines[device.begins];
    const auto& provider = file.lines[file.find("quorum", "provider")->line];
    file.lines.insert(file.lines.begin() + static_cast<std::ptrdiff_t>(device.ends),
                      indent_of(begins) + indent_of(provider) + key + ": " + *value);
  }
  return text_of(file.lines);
}

}  // namespace

Result<std::optional<DeviceSection>> device_section(const std::string& text) {
  const auto file = parse(text);
  if (!file) return file.error();
  return device_of(file.value());
}

Result<std::vector<std::uint32_t>> node_ids(const std::string& text) {
  const auto file = parse(text);
  if (!file) return file.error();
  std::vector<std::uint32_t> ids;
  for (const auto& one : file.value().settings)
    if (one.section == "nodelist.node" && one.key == "nodeid")
      ids.push_back(static_cast<std::uint32_t>(std::strtoul(one.value.c_str(), nullptr, 10)));
  return ids;
}

Result<std::string> with_device(const std::string& text, const DeviceTimes& times) {
  auto parsed = parse(text);
  if (!parsed) return parsed.error();
  auto& file = parsed.value();
  if (auto why = objection(file); !why.empty()) return failure(std::move(why));
  if (file.all("quorum.device").empty()) {
    const auto indent = indent_of(file.lines[file.find("quorum", "provider")->line]);
    const auto at =
        file.lines.begin() + static_cast<std::ptrdiff_t>(file.all("quorum").front().ends);
    const std::string section[] = {indent + "device {", indent + "}"};
    file.lines.insert(at, std::begin(section), std::end(section));
  }
  auto edited = text_of(file.lines);
  const std::pair<const char*, std::optional<std::string>> keys[] = {
      {"model", kDeviceModel},
      {"timeout", std::to_string(times.timeout_ms)},
      {"sync_timeout", std::to_string(times.sync_timeout_ms)},
      // Left out it is the number of hosts less one, and that is what the rules rest on.
      {"votes", std::nullopt}};
  for (const auto& [key, value] : keys) {
    auto next = with_key(edited, key, value);
    if (!next) return next;
    edited = std::move(next).value();
  }
  return edited;
}

Result<std::string> without_device(const std::string& text) {
  auto parsed = parse(text);
  if (!parsed) return parsed.error();
  auto& file = parsed.value();
  const auto device = device_of(file);
  if (!device) return text;
  if (device->model != kDeviceModel)
    return failure("the quorum device is another one, model " + device->model);
  const auto sections = file.all("quorum.device");
  if (sections.size() != 1) return failure("there is more than one quorum device");
  const auto at = [&](std::size_t line) {
    return file.lines.begin() + static_cast<std::ptrdiff_t>(line);
  };
  file.lines.erase(at(sections.front().begins), at(sections.front().ends + 1));
  return text_of(file.lines);
}

}  // namespace wardom::corosync_conf
