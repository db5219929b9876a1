// Writes the seeds of every fuzz target: DIRECTORY/TARGET/NAME. Built and run by the build, so that
// the corpus always fits the format.
#include <filesystem>
#include <fstream>

#include "libha/wire/ballot.hpp"
#include "libha/wire/beat.hpp"
#include "libha/wire/decision.hpp"
#include "libha/wire/envelope.hpp"
#include "libha/wire/guest_list.hpp"
#include "libha/wire/keeper_protocol.hpp"
#include "libha/wire/slot.hpp"
#include "libha/wire/superblock.hpp"
#include "libha/wire/table.hpp"
#include "wire_samples.hpp"

using namespace wardom;
using namespace wardom::wire;

namespace {

std::filesystem::path root;

void seed(const std::string& target, const std::string& name, const Bytes& bytes) {
  std::filesystem::create_directories(root / target);
  std::ofstream file(root / target / name, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

void seed_cells() {
  Head head;
  head.volume = samples::bits(77);
  head.cell = {Region::table, 1};
  head.writer = HostId{1};
  head.incarnation = samples::incarnation(2);
  head.sequence = Sequence{3};
  for (std::size_t size : {std::size_t{0}, std::size_t{300}, std::size_t{1000}, std::size_t{9000}})
    seed("cell", std::to_string(size), encode_extent(head, Bytes(size, 5)));
  seed("cell", "empty", Bytes(kBlockBytes));
}

void seed_records() {
  seed("superblock", "lab", encode_superblock({samples::geometry(), {}}));
  seed("superblock", "moved",
       encode_superblock({samples::geometry(), {VolumeUse::moved, 9, "/dev/new", "n1", {}}}));
  seed("slot", "up", encode_slot(samples::slot()));
  seed("slot", "new", encode_slot(Slot{}));
  seed("ballot", "empty", encode_ballot(Ballot{}).value());
  seed("ballot", "full", encode_ballot(samples::ballot()).value());
  auto change = samples::ballot();
  change.input.directory.pop_back();
  seed("ballot", "change", encode_ballot(change).value());
  Decision decision;
  seed("decision", "empty", encode_decision(decision, 4096).value());
  decision.verdicts = {samples::verdict()};
  decision.assignments = {samples::assignment(), samples::assignment()};
  seed("decision", "full", encode_decision(decision, 4096).value());
  decision.lying_bmcs = {{HostId{2}, 7}, {HostId{2000}, 8}};
  seed("decision", "lying_bmcs", encode_decision(decision, 4096).value());
  HostTable table;
  seed("table", "empty", encode_table(table, 4096).value());
  table.guests = {samples::guest(1), samples::guest(2)};
  const auto packed = encode_table(table, 4096).value();
  seed("table", "two", packed);
}

void seed_protocol() {
  const auto daemon = [](const std::string& name, const DaemonMessage& message) {
    const auto frame = encode_frame(message);
    seed("keeper_protocol", name + "-stream", frame);
    seed("keeper_protocol", name, Bytes(frame.begin() + 4, frame.end()));
  };
  const auto keeper = [](const std::string& name, const KeeperMessage& message) {
    const auto frame = encode_frame(message);
    seed("keeper_protocol", name, Bytes(frame.begin() + 4, frame.end()));
  };
  daemon("hello", Hello{1, 2});
  daemon("read", ReadRequest{Ticket{7}, {{Region::slot, 3}, {Region::table, 4}}});
  daemon("write", WriteRequest{Ticket{8}, {Region::decision, 3}, Bytes(50, 6)});
  daemon("publish", PublishRequest{});
  daemon("list-start", ListStartRequest{Ticket{9}, GuestId{samples::bits(5)}});
  daemon("settle-start", SettleStartRequest{GuestId{samples::bits(5)}, {4711, 12, "/qemu"}});
  daemon("unlist", UnlistRequest{GuestId{samples::bits(5)}});
  daemon("extend", ExtendRequest{5, {HostId{2}}});
  keeper("start-listed", StartListedMessage{Ticket{9}, {}, false, "why"});
  keeper("troubles", TroublesMessage{{{"what", "remedy"}}});
  keeper("ready", ReadyMessage{HostId{1}, {}, {}, {{{}, {4711, 12, "/qemu"}, DaemonEpoch{1}}},
                               samples::geometry()});
  CellView view;
  view.payload = Bytes(20, 1);
  view.error = "why";
  keeper("read-answer", ReadAnswer{Ticket{7}, true, {view, view}});
  keeper("write-answer", WriteAnswer{Ticket{8}, {}, true, Sequence{1}, ""});
  keeper("rights", RightsMessage{LeaseState::held, 2, 3, true, {}});
  keeper("rights-released", RightsMessage{LeaseState::released, 2, 3, false, {4, {}}});
  keeper("ask-stamp", AskStampMessage{4});
  keeper("heartbeat", HeartbeatMessage{Sequence{1}, 2, {}});
  keeper("refused", RefusedMessage{"no"});
}

void seed(const std::string& target, const std::string& name, std::string_view text) {
  seed(target, name, Bytes(text.begin(), text.end()));
}

constexpr std::string_view kGuest = R"(<domain type='kvm' xmlns:wardom='urn:wardom:guest:1'>
  <name>g1</name><uuid>5e2f0a8c-7c1d-4a35-9d0e-0f4b8f7a1c22</uuid>
  <metadata><wardom:guest protected="yes" generation="7"/></metadata>
  <memory unit='GiB'>2</memory><vcpu placement='static'>4</vcpu>
  <os><type arch='x86_64'>hvm</type><nvram template='/a'>/var/g1_VARS.fd</nvram></os>
  <cpu mode='host-passthrough'/>
  <devices>
    <disk type='file' device='disk'><source file='/srv/shared/g1'/><target dev='vda'/></disk>
    <disk type='network'><source protocol='nbd' name='g1'><host name='10.0.0.1'/></source></disk>
    <hostdev mode='subsystem' type='pci'><source><address domain='0' bus='3'/></source></hostdev>
    <interface type='bridge'><source bridge='br0'/></interface>
    <tpm model='tpm-crb'><backend type='emulator'/></tpm>
  </devices>
</domain>)";

void seed_texts(const char* example) {
  std::ifstream file(example, std::ios::binary);
  seed("config", "example",
       Bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()});
  seed("guest_xml", "full", kGuest);
  seed("guest_xml", "least", "<domain><name>g</name></domain>");
  seed("hook_reply", "yes", "{\"ok\":true,\"result\":{}}\n");
  seed("hook_reply", "no", "{\"ok\":false,\"exit\":3,\"error\":\"g1 belongs to n2\"}\n");
  seed("hook_reply", "list", "5e2f0a8c-7c1d-4a35-9d0e-0f4b8f7a1c22\n");
  seed("hook_reply", "guest", kGuest);
  seed("volume_dump", "slot", encode_slot(samples::slot()));
  Decision decision;
  decision.verdicts = {samples::verdict()};
  decision.assignments = {samples::assignment()};
  seed("volume_dump", "decision", encode_decision(decision, 4096).value());
  HostTable table;
  table.guests = {samples::guest(1)};
  seed("volume_dump", "table", encode_table(table, 4096).value());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  root = argv[1];
  seed_texts(argv[2]);
  const Key key{{}};
  auto beat = samples::beat();
  beat.link = Link::mgmt;
  seed("beat", "good", encode_beat(key, beat));
  seed("envelope", "good", seal(key, kFirstLevel, MessageKind{3}, Bytes(40, 1)));
  seed_cells();
  seed_records();
  seed_protocol();
  const auto list = encode_guest_list({{GuestId{samples::bits(1)}, {4711, 12, "/a/qemu"}, {}},
                                       {GuestId{samples::bits(2)}, {}, DaemonEpoch{3}}});
  seed("guest_list", "two", Bytes(list.begin(), list.end()));
  return 0;
}
