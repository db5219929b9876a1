#include "agents/wardomctl/volume_text.hpp"

#include <iostream>

#include "agents/wardomctl/table.hpp"
#include "agents/wardomctl/volume_json.hpp"

namespace wardom::ctl {

std::string size_text(std::uint64_t bytes) {
  constexpr std::uint64_t kMiB = 1024 * 1024;
  if (bytes % kMiB == 0 || bytes > 16 * kMiB)
    return std::to_string((bytes + kMiB - 1) / kMiB) + " MiB";
  return std::to_string((bytes + 1023) / 1024) + " KiB";
}

void print_geometry(const std::string& path, const Geometry& g) {
  const auto sums = sums_of(g);
  const auto line = [](const char* name, const std::string& value) {
    std::cout << name << std::string(11 - std::string_view(name).size(), ' ') << value << "\n";
  };
  line("volume", path);
  line("cluster", printable(g.cluster));
  line("uuid", to_uuid(g.volume_uuid));
  line("room for", std::to_string(g.hosts) + " hosts, " + std::to_string(g.domains) +
                       " domains; tables of " + size_text(g.table_blocks * wire::kBlockBytes) +
                       "; " + size_text(wire::Layout(g).size()) + " in all");
  line("T_F", span_text(g.t_f_ms) + "  a heartbeat extends a host's lease by this");
  line("W", span_text(g.w_ms) + "  its watchdog resets it within this");
  line("D", span_text(sums.d_ms) + "  silence that proves the lease expired");
  line("L_late", span_text(g.l_late_ms) + "  a write may land this late; after a power-off " +
                     span_text(g.l_late_after_off_ms));
  line("D+L_late",
       span_text(sums.starts_ms) + "  guests of a host whose BMC is dead too start after this");
}

void print_plan(const Geometry& g) {
  const wire::Layout layout(g);
  TextTable table({"REGION", "CELLS", "OF EACH", "IN ALL"});
  const auto row = [&table](const char* name, std::uint64_t cells, const std::string& each,
                            std::uint64_t bytes) {
    table.add({{name},
               {std::to_string(cells), Colour::none, true},
               {each},
               {size_text(bytes), Colour::none, true}});
  };
  row("superblock", wire::kSuperblockCopies, "one copy", wire::kRegionsStart);
  for (const auto region : wire::kPairRegions) {
    const auto& place = layout.place(region);
    const auto extent = std::uint64_t{place.blocks} * wire::kBlockBytes;
    row(wire::to_text(region), place.count, "2 x " + size_text(extent), place.end() - place.start);
  }
  std::cout << table.print(Paint(false)) << size_text(layout.size()) << " in all; a table of "
            << size_text(g.table_blocks * wire::kBlockBytes) << " has room for about "
            << g.table_blocks * wire::kBlockBytes / kTableBytesPerGuest << " guests\n";
}

void print_costs(const Geometry& g) {
  const auto sums = sums_of(g);
  std::cout << "\nA host that holds a lease and cannot write to this volume for longer than "
            << span_text(sums.kills_ms)
            << "\n(3/4 T_F) KILLS ITS PROTECTED GUESTS, and by " << span_text(sums.resets_ms)
            << " (T_F + W) its watchdog resets it.\nFrom " << span_text(g.t_f_ms / 2)
            << " (T_F/2) on it starts and decides nothing; without a lease it does only that.\n"
               "With [volume] outage = \"ride-out\" in every wardom.toml, an outage that all\n"
               "hosts of a domain see is lived through, for as long as each that is not proved\n"
               "dead is up and hears the others.\n\n"
               "Before a silent host's guests start elsewhere, one proof of its death must come:\n";
  TextTable table({"PROOF", "COMES", "GUESTS START"});
  const auto later = [](std::uint64_t ms) {
    return ms == 0 ? std::string("at once") : span_text(ms) + " later";
  };
  table.add({{"power-off"},
             {"about 0.5 s after a power cut that its BMC tells; 4 s if it hangs"},
             {later(g.l_late_after_off_ms)}});
  table.add({{"lease-expired"},
             {"after " + span_text(sums.d_ms) + " (D), if it held a lease"},
             {later(g.l_late_ms)}});
  table.add({{"released"},
             {"about 1 s after " + span_text(sums.kills_ms + g.l_late_ms) +
              " (3/4 T_F + L_late), if it cannot write and stays up"},
             {"at once"}});
  table.add({{"rebooted"}, {"with its next boot"}, {later(g.l_late_ms)}});
  table.add({{"operator"}, {"when somebody confirms it dead"}, {later(g.l_late_ms)}});
  std::cout << table.print(Paint(false)) << "\n";
}

}  // namespace wardom::ctl
