// Reads the text of wardom.toml into a Config. The only file that knows toml++.
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "libha/config/config.hpp"
#include "libha/config/values.hpp"

namespace wardom {
namespace {

using Problems = std::vector<ConfigProblem>;

struct Place {
  unsigned line{0};
  unsigned column{0};
};

Place place_of(const toml::source_region& source) {
  return {source.begin.line, source.begin.column};
}

const char* type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::none:
      return "nothing";
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "a bare number";
    case toml::node_type::floating_point:
      return "a bare number with a fraction";
    case toml::node_type::boolean:
      return "true or false";
    case toml::node_type::date:
      return "a date";
    case toml::node_type::time:
      return "a time";
    case toml::node_type::date_time:
      return "a date and time";
  }
  return "something else";
}

std::string in_quotes(std::string_view text) { return "\"" + std::string(text) + "\""; }

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// One table of the file. Every key that is asked for counts as known; finish() reports the rest.
// A getter leaves its target untouched where the key is missing or wrong, so that reading goes on
// and later faults are found too.
class Section {
 public:
  // `absent`: the table itself is missing and reported, so that its keys are not missed as well.
  Section(const toml::table& table, std::string prefix, Problems& problems, bool absent = false)
      : table_(table), prefix_(std::move(prefix)), problems_(problems), absent_(absent) {}

  // nullptr: the key is missing.
  const toml::node* get(const char* key) {
    known_.emplace_back(key);
    return table_.get(key);
  }

  // The key's node, or a report that it is missing.
  const toml::node* need(const char* key, const char* example) {
    const auto* node = get(key);
    if (node == nullptr && !absent_)
      report(place_of(table_.source()), key,
             std::string("is missing; add ") + key + " = " + example);
    return node;
  }

  void report(Place place, std::string_view key, std::string what) {
    problems_.push_back({place.line, place.column, prefix_ + std::string(key), std::move(what)});
  }
  void report(const toml::node& node, std::string_view key, std::string what) {
    report(place_of(node.source()), key, std::move(what));
  }

  std::optional<std::string> text(const toml::node* node, const char* key) {
    if (node == nullptr) return std::nullopt;
    if (const auto* value = node->as_string()) return value->get();
    report(*node, key, std::string("is ") + type_name(*node) + "; give a string in quotes");
    return std::nullopt;
  }

  std::optional<std::int64_t> number(const toml::node* node, const char* key, std::int64_t least,
                                     std::int64_t most) {
    if (node == nullptr) return std::nullopt;
    const auto range =
        "give a whole number from " + std::to_string(least) + " to " + std::to_string(most);
    const auto* value = node->as_integer();
    if (value == nullptr) {
      report(*node, key, std::string("is ") + type_name(*node) + "; " + range);
    } else if (value->get() < least || value->get() > most) {
      report(*node, key, "is " + std::to_string(value->get()) + "; " + range);
    } else {
      return value->get();
    }
    return std::nullopt;
  }

  void duration(const char* key, Duration& target) {
    const auto* node = get(key);
    if (node == nullptr) return;
    places_[prefix_ + key] = place_of(node->source());
    constexpr auto help = "write a string with a unit, such as \"100ms\", \"2s\" or \"1m\"";
    if (!node->is_string()) {
      const auto* lack = node->is_number() ? " without a unit" : "";
      report(*node, key, std::string("is ") + type_name(*node) + lack + "; " + help);
    } else if (const auto value = parse_duration(node->as_string()->get())) {
      target = *value;
    } else {
      report(*node, key, "is " + in_quotes(node->as_string()->get()) + ", not a duration; " + help);
    }
  }

  void mebibytes(const char* key, std::uint64_t& target) {
    const auto* node = get(key);
    if (node == nullptr) return;
    constexpr auto help = "write a string with a unit, such as \"512MiB\" or \"2GiB\"";
    const auto* text = node->as_string();
    const auto value = text == nullptr ? std::nullopt : parse_mebibytes(text->get());
    if (value)
      target = *value;
    else if (text == nullptr)
      report(*node, key, std::string("is ") + type_name(*node) + "; " + help);
    else
      report(*node, key, "is " + in_quotes(text->get()) + ", no size; " + help);
  }

  void path(const toml::node* node, const char* key, std::filesystem::path& target) {
    const auto value = text(node, key);
    if (!value) return;
    if (!value->starts_with('/') || value->find('\0') != std::string::npos)
      report(*node, key, "is " + in_quotes(*value) + "; give an absolute path");
    else
      target = *value;
  }

  void name(const toml::node* node, const char* key, bool host_name, std::string& target) {
    const auto value = text(node, key);
    if (!value) return;
    if (is_name(*value, host_name)) {
      target = *value;
      return;
    }
    report(*node, key,
           "is " + in_quotes(*value) + "; give 1 to 64 of " +
               (host_name ? "A-Z a-z 0-9 . -" : "a-z 0-9 -") + ", with a letter or digit first");
  }

  void address(const toml::node* node, const char* key, std::string& target) {
    const auto value = text(node, key);
    if (!value) return;
    if (auto canonical = canonical_address(*value))
      target = std::move(*canonical);
    else
      report(*node, key, "is " + in_quotes(*value) + "; give an IPv4 or IPv6 address, not a name");
  }

  // A list of strings; `each` gets every one with its node. false: no list is given.
  template <class Each>
  bool strings(const char* key, Each each) {
    const auto* node = get(key);
    if (node == nullptr) return false;
    const auto* list = node->as_array();
    if (list == nullptr) {
      report(*node, key, std::string("is ") + type_name(*node) + "; give a list of strings");
      return false;
    }
    for (const auto& item : *list)
      if (const auto value = text(&item, key)) each(item, *value);
    return true;
  }

  // One of the given words; its position, or nullopt.
  std::optional<std::size_t> word(const char* key, const std::vector<std::string>& words) {
    const auto* node = get(key);
    const auto value = text(node, key);
    if (!value) return std::nullopt;
    const auto found = std::find(words.begin(), words.end(), *value);
    if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
    report(*node, key, "is " + in_quotes(*value) + "; give one of " + joined(words));
    return std::nullopt;
  }

  std::optional<bool> flag(const char* key) {
    const auto* node = get(key);
    if (node == nullptr) return std::nullopt;
    if (const auto* value = node->as_boolean()) return value->get();
    report(*node, key, std::string("is ") + type_name(*node) + "; give true or false");
    return std::nullopt;
  }

  // Reports every key that nobody asked for.
  void finish() {
    for (const auto& [key, node] : table_) {
      if (std::find(known_.begin(), known_.end(), key.str()) != known_.end()) continue;
      auto what = std::string("is not a key of Wardom; ");
      if (const auto near = nearest(key.str(), known_))
        what += "did you mean `" + prefix_ + *near + "`?";
      else
        what += "known here: " + joined(known_);
      report(place_of(key.source()), key.str(), std::move(what));
    }
  }

  bool absent() const { return absent_; }
  const std::string& prefix() const { return prefix_; }
  const std::map<std::string, Place>& places() const { return places_; }

 private:
  const toml::table& table_;
  std::string prefix_;
  Problems& problems_;
  bool absent_;
  std::vector<std::string> known_;
  std::map<std::string, Place> places_;  // of durations, for faults between several keys
};

// It has to tell one host from another, and to be of the guests that wardomd looks after.
bool is_migration_uri(std::string_view text) {
  const auto count = [&](char c) { return std::count(text.begin(), text.end(), c); };
  const bool names = text.find("{name}") != text.npos || text.find("{address}") != text.npos;
  return text.size() <= kMaxMigrationUriBytes && text.starts_with("qemu+") && names &&
         count('{') == 1 && count('}') == 1 && text.find("/system") != text.npos &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

// Values that may stand only once in the file, with the name of the first user.
class Once {
 public:
  explicit Once(const char* what) : what_(what) {}
  void claim(Section& section, const toml::node* node, const char* key, const std::string& value,
             const std::string& user) {
    if (node == nullptr || value.empty()) return;
    const auto [first, fresh] = users_.emplace(value, user);
    if (fresh) return;
    section.report(*node, key,
                   std::string(what_) + " " + value + " is already that of " + first->second +
                       "; each needs its own");
  }

 private:
  const char* what_;
  std::map<std::string, std::string> users_;
};

// FreeIPMI's names for IPMI 2.0 sessions (ipmipower(8), WORKAROUNDS).
const std::vector<std::string> kWorkarounds = {
    "authcap",        "intel20", "supermicro20", "sun20", "opensesspriv", "integritycheckvalue",
    "nochecksumcheck"};

class Reader {
 public:
  CheckedConfig read(const toml::table& root) {
    Section top(root, "", problems_);
    read_cluster(section(top, root, "cluster", true));
    read_volume(section(top, root, "volume", true));
    read_timing(section(top, root, "timing", false));
    read_watchdog(section(top, root, "watchdog", false));
    read_beats(section(top, root, "beats", false));
    read_bmc(section(top, root, "bmc", false));
    read_placement(section(top, root, "placement", false));
    read_guests(section(top, root, "guests", false));
    read_isolation(section(top, root, "isolation", false));
    read_migration(section(top, root, "migration", false));
    each_table(top, "domain", [this](Section& s) { read_domain(s); });
    each_table(top, "host", [this](Section& s) { read_host(s); });
    top.finish();
    check_timing();
    check_watchdog();
    check_domains();
    sort_all();
    return {std::move(config_), std::move(problems_)};
  }

 private:
  // The named table, or an empty one, so that missing keys are reported one by one.
  Section section(Section& top, const toml::table& root, const char* key, bool required) {
    static const toml::table kEmpty;
    const auto* node = top.get(key);
    const std::string prefix = std::string(key) + ".";
    if (node != nullptr && node->is_table()) return {*node->as_table(), prefix, problems_};
    if (node != nullptr) {
      top.report(*node, key,
                 std::string("is ") + type_name(*node) + "; write a table [" + key + "]");
    } else if (required) {
      top.report(place_of(root.source()), key,
                 std::string("is missing; add a table [") + key + "]");
    }
    return {kEmpty, prefix, problems_, true};
  }

  // Calls `read` for each [[key]].
  template <class Read>
  void each_table(Section& top, const char* key, Read read) {
    const auto* node = top.get(key);
    const auto wanted = std::string("write one [[") + key + "]] for each " + key;
    const auto* list = node == nullptr ? nullptr : node->as_array();
    if (list == nullptr || list->empty()) {
      if (node == nullptr)
        top.report(Place{}, key, "is missing; " + wanted);
      else
        top.report(*node, key, std::string("is ") + type_name(*node) + "; " + wanted);
      return;
    }
    std::size_t position = 0;
    for (const auto& item : *list) {
      ++position;
      const auto* table = item.as_table();
      if (table == nullptr) {
        top.report(item, key, std::string("has ") + type_name(item) + " in it; " + wanted);
        continue;
      }
      // Faults speak of the host by its name where it has one.
      auto label = table->get_as<std::string>("name") != nullptr
                       ? table->get_as<std::string>("name")->get()
                       : std::string();
      if (!is_name(label, true)) label = "#" + std::to_string(position);
      Section s(*table, std::string(key) + "." + label + ".", problems_);
      read(s);
      s.finish();
    }
  }

  void read_cluster(Section s) {
    s.name(s.need("name", "\"…\""), "name", false, config_.cluster.name);
    s.path(s.get("key_file"), "key_file", config_.cluster.key_file);
    s.finish();
  }

  void read_volume(Section s) {
    s.path(s.need("path", "\"/…\""), "path", config_.volume.path);
    const auto* node = s.get("uuid");
    if (const auto text = s.text(node, "uuid")) {
      config_.volume.uuid = parse_bits(*text);
      if (!config_.volume.uuid)
        s.report(*node, "uuid",
                 "is " + in_quotes(*text) + "; give the UUID that `wardomctl volume show` prints");
    }
    if (const auto outage = s.word("outage", {"ride-out", "fence"}))
      config_.volume.ride_out = *outage == 0;
    s.finish();
  }

  void read_timing(Section s) {
    auto& timing = config_.timing;
    if (const auto profile = s.word("profile", {"fast", "default", "tolerant"}))
      timing = timing_of(std::array{Profile::fast, Profile::normal, Profile::tolerant}[*profile]);
    s.duration("beat_interval", timing.beat_interval);
    s.duration("suspect_after", timing.suspect_after);
    s.duration("disk_interval", timing.disk_interval);
    s.duration("power_poll", timing.power_poll);
    s.finish();
    places_.insert(s.places().begin(), s.places().end());
  }

  void read_watchdog(Section s) {
    auto& watchdog = config_.watchdog;
    const auto* device = s.get("device");
    std::filesystem::path path;
    s.path(device, "device", path);
    if (!path.empty()) watchdog.device = path;
    const auto* timeout = s.get("timeout");
    s.duration("timeout", watchdog.timeout);
    const bool whole = watchdog.timeout % std::chrono::seconds{1} == Duration::zero();
    if (watchdog.timeout < kWatchdogTimeoutMin || watchdog.timeout > kWatchdogTimeoutMax || !whole)
      s.report(*timeout, "timeout",
               "is " + to_text(watchdog.timeout) + "; give whole seconds from " +
                   to_text(kWatchdogTimeoutMin) + " to " + to_text(kWatchdogTimeoutMax) +
                   ", as watchdogs count");
    if (const auto stay = s.flag("stay_up")) watchdog.stay_up = *stay;
    if (const auto lab = s.flag("lab")) watchdog.lab = *lab;
    s.finish();
    places_.insert(s.places().begin(), s.places().end());
  }

  void read_beats(Section s) {
    if (const auto port = s.number(s.get("port"), "port", 1, 65535))
      config_.beats.port = static_cast<std::uint16_t>(*port);
    s.finish();
  }

  // The defaults for every host's BMC.
  void read_bmc(Section s) {
    read_bmc_access(s, bmc_);
    s.duration("session_timeout", config_.timing.bmc_timeout);
    s.finish();
    places_.insert(s.places().begin(), s.places().end());
  }

  // What [bmc] and a host's own table have in common.
  void read_bmc_access(Section& s, BmcConfig& bmc) {
    const auto* user = s.get("user");
    if (const auto text = s.text(user, "user")) {
      if (text->empty() || text->size() > kMaxBmcUserBytes)
        s.report(*user, "user",
                 "has " + std::to_string(text->size()) + " bytes; give 1 to " +
                     std::to_string(kMaxBmcUserBytes));
      bmc.user = *text;
    }
    s.path(s.get("password_file"), "password_file", bmc.password_file);
    if (const auto suite = s.number(s.get("cipher_suite"), "cipher_suite", 0, 17))
      bmc.cipher_suite = static_cast<unsigned>(*suite);
    std::vector<std::string> workarounds;
    const bool given = s.strings("workarounds", [&](const toml::node& node, const auto& name) {
      if (std::find(kWorkarounds.begin(), kWorkarounds.end(), name) == kWorkarounds.end())
        s.report(node, "workarounds",
                 "has unknown " + in_quotes(name) + "; FreeIPMI knows " + joined(kWorkarounds));
      workarounds.push_back(name);
    });
    if (given) bmc.workarounds = std::move(workarounds);
    if (const auto privilege = s.word("privilege", {"operator", "admin"}))
      bmc.privilege = *privilege == 0 ? BmcPrivilege::operator_level : BmcPrivilege::admin;
  }

  void read_placement(Section s) {
    s.mebibytes("memory_reserve", config_.placement.memory_reserve_mib);
    if (const auto n = s.number(s.get("parallel_starts"), "parallel_starts", 1, 64))
      config_.placement.parallel_starts = static_cast<unsigned>(*n);
    s.finish();
  }

  void read_guests(Section s) {
    s.strings("shared_paths", [&](const toml::node& node, const std::string& value) {
      if (!value.starts_with('/'))
        s.report(node, "shared_paths", "has " + in_quotes(value) + "; give absolute paths");
      else if (config_.guests.shared_paths.size() == kMaxSharedPaths)
        s.report(node, "shared_paths",
                 "has more than " + std::to_string(kMaxSharedPaths) +
                     " paths; name their common folder");
      else
        config_.guests.shared_paths.emplace_back(std::filesystem::path(value).lexically_normal());
    });
    s.finish();
  }

  void read_isolation(Section s) {
    if (const auto response = s.word("response", {"leave", "shutdown", "kill"}))
      config_.isolation.response =
          std::array{IsolationResponse::leave, IsolationResponse::shutdown,
                     IsolationResponse::kill}[*response];
    s.duration("delay", config_.timing.isolation_delay);
    s.duration("patience", config_.timing.shutdown_patience);
    s.finish();
    places_.insert(s.places().begin(), s.places().end());
  }

  void read_migration(Section s) {
    if (s.absent()) return;
    Config::Migration migration;
    const auto* uri = s.need("uri", "\"qemu+tls://{name}/system\"");
    if (const auto text = s.text(uri, "uri")) {
      if (is_migration_uri(*text))
        migration.uri = *text;
      else
        s.report(*uri, "uri",
                 "is " + in_quotes(*text) + "; give libvirt's URI of a host, with {name} or "
                     "{address} for the host, such as \"qemu+tls://{name}/system\"");
    }
    if (const auto link = s.word("link", {"mgmt", "storage"}))
      migration.link = *link == 0 ? Link::mgmt : Link::storage;
    if (const auto n = s.number(s.get("max"), "max", 1, kMaxMigrations))
      migration.max = static_cast<unsigned>(*n);
    s.mebibytes("bandwidth", migration.bandwidth_mib);
    if (const auto converge = s.flag("auto_converge")) migration.auto_converge = *converge;
    s.finish();
    config_.migration = std::move(migration);
  }

  void read_domain(Section& s) {
    DomainConfig domain;
    const auto* name = s.need("name", "\"…\"");
    s.name(name, "name", false, domain.name);
    const auto* id = s.need("id", "1");
    if (const auto value = s.number(id, "id", 1, kMaxDomainId))
      domain.id = DomainId{static_cast<std::uint16_t>(*value)};
    const auto user = "domain " + in_quotes(domain.name);
    domain_names_.claim(s, name, "name", domain.name, "another domain");
    if (domain.id != DomainId{})
      domain_ids_.claim(s, id, "id", std::to_string(domain.id.value), user);
    if (name != nullptr) domain_places_[domain.name] = place_of(name->source());
    config_.domains.push_back(std::move(domain));
  }

  void read_host(Section& s) {
    HostConfig host;
    const auto* name = s.need("name", "\"…\"");
    s.name(name, "name", true, host.name);
    const auto user = "host " + in_quotes(host.name);
    host_names_.claim(s, name, "name", host.name, "another host");
    const auto* id = s.need("id", "1");
    if (const auto value = s.number(id, "id", 1, kMaxHostId))
      host.id = HostId{static_cast<std::uint16_t>(*value)};
    if (host.id != kNoHost) host_ids_.claim(s, id, "id", std::to_string(host.id.value), user);
    const auto* domain = s.need("domain", "\"…\"");
    if (const auto text = s.text(domain, "domain")) host.domain = domain_of(s, *domain, *text);
    const auto* mgmt = s.need("mgmt", "\"192.0.2.1\"");
    s.address(mgmt, "mgmt", host.mgmt);
    addresses_.claim(s, mgmt, "mgmt", host.mgmt, user);
    const auto* storage = s.need("storage", "\"198.51.100.1\"");
    s.address(storage, "storage", host.storage);
    if (!host.mgmt.empty() && host.mgmt == host.storage)
      s.report(*storage, "storage", "is the same as `mgmt`; the two links need two networks");
    else
      addresses_.claim(s, storage, "storage", host.storage, user);
    if (const auto* bmc = s.get("bmc")) host.bmc = read_host_bmc(s, *bmc, user);
    config_.hosts.push_back(std::move(host));
  }

  DomainId domain_of(Section& s, const toml::node& node, const std::string& name) {
    std::vector<std::string> names;
    for (const auto& domain : config_.domains) {
      if (domain.name == name) return domain.id;
      names.push_back(domain.name);
    }
    const auto near = nearest(name, names);
    s.report(node, "domain",
             "names " + in_quotes(name) + ", which no [[domain]] has; " +
                 (near ? "did you mean " + in_quotes(*near) + "?" : "known: " + joined(names)));
    return {};
  }

  // bmc = "host[:port]", or a table that overrides [bmc] for this host.
  std::optional<BmcConfig> read_host_bmc(Section& s, const toml::node& node,
                                         const std::string& user) {
    BmcConfig bmc = bmc_;
    const toml::node* address = &node;
    if (const auto* table = node.as_table()) {
      Section own(*table, s.prefix() + "bmc.", problems_);
      address = own.need("address", "\"host[:port]\"");
      read_bmc_access(own, bmc);
      own.finish();
    }
    const auto text = s.text(address, "bmc");
    if (!text) return std::nullopt;
    const auto target = parse_host_port(*text);
    if (!target) {
      s.report(*address, "bmc", "is " + in_quotes(*text) + "; give \"host\" or \"host:port\"");
      return std::nullopt;
    }
    bmc.address = target->host;
    bmc.port = target->port.value_or(kDefaultBmcPort);
    // Two hosts behind one BMC would mean that one's power-off hits the other.
    bmcs_.claim(s, address, "bmc", bmc.address + " port " + std::to_string(bmc.port), user);
    if (bmc.user.empty())
      s.report(*address, "bmc", "has no user; set `bmc.user` for all hosts or in this table");
    if (bmc.password_file.empty())
      s.report(*address, "bmc",
               "has no password_file; set `bmc.password_file` for all hosts or in this table");
    return bmc;
  }

  // The profile's W is what the volume promises to everybody. The real one is measured, and cannot
  // be below the nominal one.
  void check_watchdog() {
    const auto& watchdog = config_.watchdog;
    if (!watchdog.device || watchdog.timeout <= config_.timing.watchdog) return;
    const auto at = places_["watchdog.timeout"];
    problems_.push_back({at.line, at.column, "watchdog.timeout",
                         "is " + to_text(watchdog.timeout) + "; with profile \"" +
                             to_text(config_.timing.profile) + "\" it must be at most W = " +
                             to_text(config_.timing.watchdog)});
  }

  void check_timing() {
    for (auto& fault : check(config_.timing)) {
      const auto place = places_.find(fault.key);
      const auto at = place == places_.end() ? Place{} : place->second;
      problems_.push_back({at.line, at.column, fault.key, std::move(fault.what)});
    }
  }

  void check_domains() {
    if (config_.hosts.empty()) return;  // reported already, once
    std::set<std::string> seen;
    for (const auto& domain : config_.domains) {
      const auto place = domain_places_[domain.name];
      const auto count = config_.members(domain.id).size();
      const auto key = "domain." + domain.name;
      // Reported already: no id, or a second domain of that name, which no host can mean.
      if (domain.id == DomainId{} || !seen.insert(domain.name).second) continue;
      if (count == 0)
        problems_.push_back(
            {place.line, place.column, key, "has no hosts; remove it or add a [[host]] with it"});
      if (count > kMaxDomainHosts)
        problems_.push_back({place.line, place.column, key,
                             "has " + std::to_string(count) + " hosts; split it, a domain holds " +
                                 "at most " + std::to_string(kMaxDomainHosts)});
    }
  }

  void sort_all() {
    const auto by_id = [](const auto& a, const auto& b) { return a.id < b.id; };
    std::stable_sort(config_.domains.begin(), config_.domains.end(), by_id);
    std::stable_sort(config_.hosts.begin(), config_.hosts.end(), by_id);
    std::stable_sort(problems_.begin(), problems_.end(), [](const auto& a, const auto& b) {
      return std::pair(a.line, a.column) < std::pair(b.line, b.column);
    });
    if (problems_.size() > kMaxConfigProblems) problems_.resize(kMaxConfigProblems);
  }

  Config config_;
  BmcConfig bmc_;  // [bmc]
  Problems problems_;
  Problems own_problems_;                       // of the bmc table being read
  std::map<std::string, Place> places_;         // of durations
  std::map<std::string, Place> domain_places_;  // by name
  Once domain_names_{"name"}, domain_ids_{"id"};
  Once host_names_{"name"}, host_ids_{"id"}, addresses_{"address"}, bmcs_{"BMC"};
};

}  // namespace

CheckedConfig check_config(std::string_view text) {
  const auto parsed = toml::parse(text);
  if (parsed) {
    auto checked = Reader().read(parsed.table());
    checked.config.text_digest =
        static_cast<std::uint32_t>(XXH3_64bits(text.data(), text.size()));
    return checked;
  }
  const auto& error = parsed.error();
  const auto place = place_of(error.source());
  CheckedConfig checked;
  checked.problems.push_back({place.line, place.column, "",
                              "this is not TOML: " + std::string(error.description()) +
                                  "; mend this first, the rest of the file was not checked"});
  return checked;
}

}  // namespace wardom
