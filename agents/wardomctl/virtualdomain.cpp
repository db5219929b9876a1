#include "agents/wardomctl/virtualdomain.hpp"

#include <algorithm>
#include <map>
#include <pugixml.hpp>
#include <sstream>
#include <string_view>

namespace wardom::ctl {
namespace {

// Nothing is translated, neither when it is read nor when it is written: what is not changed here
// is byte for byte what it was.
constexpr unsigned kAsItStands = (pugi::parse_full | pugi::parse_ws_pcdata) &
                                 ~(pugi::parse_escapes | pugi::parse_eol |
                                   pugi::parse_wconv_attribute);
constexpr unsigned kWriteAsItStands = pugi::format_raw | pugi::format_no_escapes;
constexpr const char* kUri = "qemu:///system";

using Names = std::vector<std::string>;

bool is_one_of(std::string_view word, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* one) { return word == one; });
}
// As ocf/agent.cpp takes them.
bool is_yes(std::string_view value) {
  return is_one_of(value, {"1", "true", "yes", "y", "on", "True", "TRUE", "YES", "ON"});
}
bool is_no(std::string_view value) {
  return is_one_of(value, {"0", "false", "no", "n", "off", "False", "FALSE", "NO", "OFF"});
}

// What VirtualDomain does when it is told to, and Guest never does: told not to, it is as Guest.
bool guest_never_does(std::string_view name) {
  return is_one_of(name, {"autoset_utilization_cpu", "autoset_utilization_host_memory",
                          "autoset_utilization_hv_memory", "unset_utilization_cpu",
                          "unset_utilization_host_memory", "unset_utilization_hv_memory",
                          "save_config_on_stop", "sync_config_on_stop", "start_resources",
                          "stateless"});
}

// How VirtualDomain sends a guest. Of Wardom's guests that is said once, for all.
bool says_how_to_migrate(std::string_view name) {
  return is_one_of(name, {"migration_transport", "migration_user", "migration_speed",
                          "migration_network_suffix", "migrateuri", "remoteuri"});
}

bool is_virtualdomain(const pugi::xml_node& node) {
  const std::string_view name = node.name();
  return (name == "primitive" || name == "template") &&
         std::string_view(node.attribute("class").value()) == "ocf" &&
         std::string_view(node.attribute("provider").value()) == "heartbeat" &&
         std::string_view(node.attribute("type").value()) == "VirtualDomain";
}

// A rule's expression that is true of VirtualDomain and would not be of Guest.
bool means_virtualdomain(const pugi::xml_node& node) {
  const std::string_view provider = node.attribute("provider").value();
  const std::string_view type = node.attribute("type").value();
  return std::string_view(node.name()) == "rsc_expression" &&
         (provider.empty() || provider == "heartbeat") &&
         (type.empty() || type == "VirtualDomain") && !(provider.empty() && type.empty());
}

// A CIB is some ten levels deep. What follows goes down into it by recursion.
struct DepthLimit : pugi::xml_tree_walker {
  static constexpr int kMost = 200;
  bool for_each(pugi::xml_node& /*node*/) override { return depth() <= kMost; }
};

template <typename Visit>
void each_below(const pugi::xml_node& node, const Visit& visit) {
  for (auto child : node.children()) {
    if (child.type() != pugi::node_element) continue;
    visit(child);
    each_below(child, visit);
  }
}

// A parameter in one of a resource's sets, and whether it may be taken out of there.
struct Parameter {
  pugi::xml_node pair;
  std::string name;
  std::string value;
  bool shared{false};  // other resources refer to it, or to its set
  std::string text() const { return name + "=" + value; }
};

// Resources that change together: a template and the primitives made from it, or one primitive.
struct Unit {
  std::vector<pugi::xml_node> agents;      // those that name the agent
  std::vector<pugi::xml_node> primitives;  // those that run
  std::vector<pugi::xml_node> all() const {
    auto both = agents;
    for (const auto& one : primitives)
      if (std::find(both.begin(), both.end(), one) == both.end()) both.push_back(one);
    return both;
  }
};

class Importer {
 public:
  Importer(pugi::xml_document& document, const std::set<std::string>& dropped)
      : configuration_(document.child("cib").child("configuration")), dropped_(dropped) {
    each_below(configuration_, [this](const pugi::xml_node& node) {
      if (const auto id = node.attribute("id")) by_id_.emplace(id.value(), node);
      if (const auto id = node.attribute("id-ref")) referred_.insert(id.value());
      if (means_virtualdomain(node)) rules_by_agent_.push_back(node.attribute("id").value());
    });
  }

  std::vector<ImportedResource> run() {
    const auto units = find_units();
    for (const auto& unit : units)
      for (const auto& primitive : unit.primitives) ++users_of_[config_of(unit, primitive)];
    std::vector<ImportedResource> done;
    for (const auto& unit : units) {
      for (auto& one : treat(unit)) done.push_back(std::move(one));
    }
    return done;
  }

 private:
  std::vector<Unit> find_units() const {
    std::vector<Unit> units;
    each_below(configuration_.child("resources"), [&](const pugi::xml_node& node) {
      if (!is_virtualdomain(node)) return;
      Unit unit;
      unit.agents.push_back(node);
      if (std::string_view(node.name()) == "primitive") {
        unit.primitives.push_back(node);
      } else {
        each_below(configuration_.child("resources"), [&](const pugi::xml_node& user) {
          if (std::string_view(user.name()) == "primitive" && user.attribute("template") &&
              std::string_view(user.attribute("template").value()) == node.attribute("id").value())
            unit.primitives.push_back(user);
        });
      }
      units.push_back(std::move(unit));
    });
    return units;
  }

  // The element itself, or the one that it refers to.
  pugi::xml_node meant(const pugi::xml_node& node) const {
    const auto reference = node.attribute("id-ref");
    if (!reference) return node;
    const auto found = by_id_.find(reference.value());
    return found == by_id_.end() ? pugi::xml_node() : found->second;
  }

  std::vector<Parameter> parameters_of(const pugi::xml_node& resource) const {
    std::vector<Parameter> found;
    for (const auto& child : resource.children("instance_attributes")) {
      const auto set = meant(child);
      const bool shared = set != child || referred_.count(set.attribute("id").value()) > 0;
      for (const auto& written : set.children("nvpair")) {
        const auto pair = meant(written);
        const auto name = written.attribute("name") ? written.attribute("name")
                                                    : pair.attribute("name");
        found.push_back({written, name.value(), pair.attribute("value").value(),
                         shared || pair != written ||
                             referred_.count(pair.attribute("id").value()) > 0});
      }
    }
    return found;
  }

  std::string config_of(const Unit& unit, const pugi::xml_node& primitive) const {
    std::string config;
    for (const auto& resource : {unit.agents.front(), primitive})
      for (const auto& one : parameters_of(resource))
        if (one.name == "config") config = one.value;
    return config;
  }

  std::vector<ImportedResource> treat(const Unit& unit) {
    std::vector<Parameter> out;
    std::vector<ImportedResource> told;
    bool stays = false;
    for (const auto& resource : unit.all()) {
      ImportedResource one;
      one.id = resource.attribute("id").value();
      judge(resource, one, out);
      if (std::find(unit.primitives.begin(), unit.primitives.end(), resource) !=
          unit.primitives.end())
        judge_config(config_of(unit, resource), one);
      stays = stays || !one.reasons.empty();
      told.push_back(std::move(one));
    }
    if (stays) {
      for (auto& one : told) {
        one.left_out.clear();
        if (one.reasons.empty())
          one.reasons.push_back("shares a template with a resource that stays with VirtualDomain");
      }
      return told;
    }
    for (auto agent : unit.agents) {
      agent.attribute("provider").set_value("wardom");
      agent.attribute("type").set_value("Guest");
    }
    for (const auto& parameter : out) take_out(parameter.pair);
    return told;
  }

  // What of one resource stands in the way, and what is left out.
  void judge(const pugi::xml_node& resource, ImportedResource& one,
             std::vector<Parameter>& out) const {
    for (auto above = resource.parent(); above; above = above.parent())
      if (is_one_of(above.name(), {"clone", "master", "bundle"}))
        one.reasons.push_back("is in " + std::string(above.name()) + " " +
                              above.attribute("id").value() +
                              ": a guest runs once, so its resource cannot be there");
    for (const auto& rule : rules_by_agent_)
      one.reasons.push_back("the rule " + rule +
                            " is about resources by their agent, and would not mean this one");
    for (const auto& parameter : parameters_of(resource)) judge(parameter, one, out);
  }

  void judge(const Parameter& parameter, ImportedResource& one, std::vector<Parameter>& out) const {
    const auto& [pair, name, value, shared] = parameter;
    const bool unsaid = value.empty() || (guest_never_does(name) && is_no(value));
    if (dropped_.count(name) > 0 || unsaid) {
      if (shared) {
        one.reasons.push_back(parameter.text() + " is left out, but other resources refer to it "
                              "by id-ref: give this one parameters of its own first");
        return;
      }
      one.left_out.push_back(parameter.text());
      out.push_back(parameter);
      return;
    }
    if (name == "config") return;
    if (name == "hypervisor" && value == kUri) return;
    if (name == "force_stop" && (is_yes(value) || is_no(value))) return;
    if (name == "hypervisor")
      one.reasons.push_back(parameter.text() + ": Wardom's guests are those of " + kUri);
    else if (name == "force_stop")
      one.reasons.push_back(parameter.text() + ": is neither yes nor no");
    else if (says_how_to_migrate(name))
      one.reasons.push_back(parameter.text() + ": how guests migrate is [migration] in "
                            "wardom.toml, for all of them; once it is there, say --drop " + name);
    else
      one.reasons.push_back(parameter.text() + ": Guest has no such parameter; where it can do "
                            "without, say --drop " + name);
  }

  void judge_config(const std::string& config, ImportedResource& one) const {
    if (config.empty())
      one.reasons.push_back("has no config, the file with the guest's XML");
    else if (config.front() != '/')
      one.reasons.push_back("config=" + config + ": is not an absolute path");
    else if (users_of_.at(config) > 1)
      one.reasons.push_back("config=" + config + " is another resource's too: a guest runs once");
  }

  // With the blanks before it, so that no empty line stays.
  static void take_out(pugi::xml_node pair) {
    auto parent = pair.parent();
    if (const auto blank = pair.previous_sibling(); blank.type() == pugi::node_pcdata)
      parent.remove_child(blank);
    parent.remove_child(pair);
  }

  pugi::xml_node configuration_;
  const std::set<std::string>& dropped_;
  std::map<std::string, pugi::xml_node> by_id_;
  std::set<std::string> referred_;  // ids that an id-ref names
  std::vector<std::string> rules_by_agent_;
  std::map<std::string, unsigned> users_of_;  // primitives by their config
};

std::string written(const pugi::xml_document& document) {
  std::ostringstream out;
  document.save(out, "", kWriteAsItStands | pugi::format_no_declaration);
  return out.str();
}

// Double quotes are what is written around every value; one inside must not end it.
void quote_values(const pugi::xml_node& node) {
  for (auto attribute : node.attributes()) {
    std::string value = attribute.value();
    if (value.find('"') == std::string::npos) continue;
    std::string quoted;
    for (const char c : value) quoted += c == '"' ? std::string("&quot;") : std::string(1, c);
    attribute.set_value(quoted.c_str());
  }
  for (const auto& child : node.children()) quote_values(child);
}

std::string place_in(const std::string& text, std::ptrdiff_t offset) {
  const auto end = std::clamp<std::ptrdiff_t>(offset, 0, std::ssize(text));
  return "line " + std::to_string(1 + std::count(text.begin(), text.begin() + end, '\n'));
}

bool is_in_maintenance(const pugi::xml_document& document) {
  const auto config = document.child("cib").child("configuration").child("crm_config");
  for (const auto& set : config.children("cluster_property_set"))
    for (const auto& pair : set.children("nvpair"))
      if (std::string_view(pair.attribute("name").value()) == "maintenance-mode")
        return is_yes(pair.attribute("value").value());
  return false;
}

}  // namespace

bool Imported::all() const {
  return std::all_of(resources.begin(), resources.end(),
                     [](const auto& one) { return one.reasons.empty(); });
}
bool Imported::some() const {
  return std::any_of(resources.begin(), resources.end(),
                     [](const auto& one) { return one.reasons.empty(); });
}

Result<Imported> import_virtualdomain(const std::string& cib,
                                      const std::set<std::string>& dropped) {
  pugi::xml_document document;
  const auto parsed = document.load_buffer(cib.data(), cib.size(), kAsItStands,
                                           pugi::encoding_utf8);
  if (!parsed)
    return failure(place_in(cib, parsed.offset) + ": not well-formed XML: " + parsed.description());
  if (DepthLimit limit; !document.traverse(limit))
    return failure("not a CIB: nested more than " + std::to_string(DepthLimit::kMost) + " deep");
  if (!document.child("cib").child("configuration").child("resources"))
    return failure("not a whole CIB: it has no cib/configuration/resources");
  quote_values(document);
  Imported imported;
  imported.before = written(document);
  imported.in_maintenance = is_in_maintenance(document);
  imported.resources = Importer(document, dropped).run();
  imported.after = written(document);
  return imported;
}

}  // namespace wardom::ctl
