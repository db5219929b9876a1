// The qemu hook: its pure parts, its conversation over a real socket, and the program itself.
#include <catch2/catch.hpp>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "hook.hpp"
#include "libvirt_daemon_double.hpp"

using namespace wardom;
using namespace std::chrono_literals;
using contract::DaemonDouble;

namespace {

const std::string kUuid = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0";
const std::string kPlain = "<domain type='kvm'><name>g1</name><uuid>" + kUuid +
                           "</uuid><memory>16384</memory></domain>";
const std::string kMarked =
    "<domain type='kvm'><name>g1</name><uuid>" + kUuid +
    "</uuid><metadata><wardom:guest xmlns:wardom='urn:wardom:guest:1' protected='yes' "
    "generation='3'/></metadata><memory>16384</memory></domain>";

struct RunDir {
  std::string path;
  RunDir() {
    char name[] = "/tmp/wardom-hook-XXXXXX";
    path = mkdtemp(name);
  }
  ~RunDir() { std::filesystem::remove_all(path); }
  hook::Places places() const { return hook::places_from(path.c_str()); }
  void list(const std::string& text) const { std::ofstream(path + "/protected") << text; }
};

std::optional<std::string> refusal(const RunDir& run, const std::string& xml,
                                   std::chrono::milliseconds deadline = 2s) {
  return hook::refusal(run.places(), "g1", "prepare", xml, deadline);
}

struct Ran {
  int status;
  std::string out;
  std::string err;
};
Ran run_program(const RunDir& run, const std::string& arguments, const std::string& xml) {
  std::ofstream(run.path + "/in") << xml;
  const auto slurp = [&](const char* name) {
    std::ifstream in(run.path + "/" + name);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  const std::string command = "cd " + run.path + " && WARDOM_RUN_DIR=" + run.path + " " +
                              WARDOM_HOOK + " " + arguments + " <in >out 2>err";
  const int status = std::system(command.c_str());
  return {WEXITSTATUS(status), slurp("out"), slurp("err")};
}

}  // namespace

TEST_CASE("hook_guards_what_brings_a_guest_to_life") {
  for (const char* operation : {"prepare", "start", "migrate", "restore"}) {
    CHECK(hook::guarded(operation, "begin") == operation);
    CHECK_FALSE(hook::guarded(operation, "end"));
  }
  for (const char* operation : {"started", "stopped", "release", "reconnect", "attach"})
    CHECK_FALSE(hook::guarded(operation, "begin"));
}

TEST_CASE("hook_places_are_fixed_without_a_run_directory") {
  CHECK(hook::places_from(nullptr).socket == "/run/wardom/wardomd.sock");
  CHECK(hook::places_from("").protected_list == "/var/lib/wardom/protected");
  CHECK(hook::places_from("/x").socket == "/x/wardomd.sock");
}

TEST_CASE("hook_request_escapes_the_name") {
  CHECK(hook::request({true, kUuid, false}, "a\"b\\c\n", "prepare") ==
        R"({"version":1,"do":"may-start","guest":")" + kUuid +
            R"(","name":"a\"b\\c\u000a","op":"prepare"})" + "\n");
}

TEST_CASE("hook_understands_replies_and_nothing_else") {
  CHECK(hook::parse_reply(R"({"ok":true})")->ok);
  CHECK(hook::parse_reply(R"( { "x" : "y" , "ok" : true } )")->ok);
  const auto no = hook::parse_reply(R"({"ok":false,"error":"a \"b\" c\u00e9"})");
  REQUIRE(no);
  CHECK_FALSE(no->ok);
  CHECK(no->error == "a \"b\" c?");
  for (const char* junk :
       {"", "true", "{}", "{\"ok\":1}", "{\"ok\":\"true\"}", "{\"ok\":true", "{\"ok\":true}x",
        "{\"ok\":true,\"ok\":true}", "{\"ok\":tru}", "[true]", "{\"ok\":true,}", "{ok:true}",
        "{\"ok\":true,\"error\":\"\\", "{\"ok\":true,\"error\":\"\\u12"}) {
    INFO(junk);
    CHECK_FALSE(hook::parse_reply(junk));
  }
}

TEST_CASE("hook_obeys_the_daemon") {
  const RunDir run;
  std::string reply = "{\"ok\":true}\n";
  DaemonDouble daemon(run.path + "/wardomd.sock", [&](auto&) { return reply; });
  CHECK_FALSE(refusal(run, kMarked));
  CHECK_FALSE(refusal(run, kPlain));
  reply = "{\"ok\":false,\"error\":\"it belongs to n2\"}\n";
  CHECK_THAT(*refusal(run, kMarked), Catch::Contains("it belongs to n2"));
  CHECK_THAT(*refusal(run, kPlain), Catch::Contains("it belongs to n2"));
  CHECK_THAT(*refusal(run, "no xml"), Catch::Contains("it belongs to n2"));
  REQUIRE(daemon.lines().size() == 5);
  CHECK(daemon.lines()[0] == R"({"version":1,"do":"may-start","guest":")" + kUuid +
                                 R"(","name":"g1","op":"prepare"})" + "\n");
}

TEST_CASE("hook_without_daemon_refuses_protected_guests_only") {
  const RunDir run;
  CHECK_FALSE(refusal(run, kPlain));
  CHECK_THAT(*refusal(run, kMarked), Catch::Contains("systemctl start wardomd"));
  run.list("# comment\n\n00000000-0000-0000-0000-000000000001\n");
  CHECK_FALSE(refusal(run, kPlain));
  run.list("00000000-0000-0000-0000-000000000001\n" + kUuid);
  CHECK_THAT(*refusal(run, kPlain), Catch::Contains("protected by Wardom"));
}

TEST_CASE("hook_without_daemon_and_with_unreadable_xml_errs_on_the_safe_side") {
  const RunDir run;
  CHECK_FALSE(refusal(run, "broken"));
  CHECK(refusal(run, "broken " + kMarked));
  run.list(kUuid + "\n");
  CHECK_FALSE(refusal(run, "broken"));
  CHECK(refusal(run, "broken <uuid>" + kUuid));
}

TEST_CASE("hook_with_a_list_that_cannot_be_read_refuses") {
  const RunDir run;
  std::filesystem::create_directory(run.path + "/protected");
  CHECK_THAT(*refusal(run, kPlain), Catch::Contains("cannot be read"));
}

TEST_CASE("hook_takes_a_list_of_another_version_for_one_that_cannot_be_read") {
  const RunDir run;
  run.list("wardom protected 2\n");
  CHECK_THAT(*refusal(run, kPlain), Catch::Contains("cannot be read"));
  run.list("wardom protected 1\n");
  CHECK_FALSE(refusal(run, kPlain));
  run.list("wardom protected 1\n" + kUuid + "\n");
  CHECK_THAT(*refusal(run, kPlain), Catch::Contains("protected by Wardom"));
}

TEST_CASE("hook_with_a_silent_or_mad_daemon_judges_by_itself") {
  const RunDir run;
  std::string reply;
  DaemonDouble daemon(run.path + "/wardomd.sock", [&](auto&) { return reply; });
  const auto began = std::chrono::steady_clock::now();
  CHECK_THAT(*refusal(run, kMarked, 100ms), Catch::Contains("no answer"));
  CHECK(std::chrono::steady_clock::now() - began >= 100ms);
  CHECK_FALSE(refusal(run, kPlain, 100ms));
  for (const std::string& mad : {std::string("yes\n"), std::string("{\"ok\":true}"),
                                std::string(hook::kMaxReplyBytes + 2048, 'x')}) {
    reply = mad;
    CHECK(refusal(run, kMarked, 100ms));
    CHECK_FALSE(refusal(run, kPlain, 100ms));
  }
}

TEST_CASE("hook_program_tells_libvirt_by_exit_code_and_stderr") {
  const RunDir run;
  auto ran = run_program(run, "g1 prepare begin -", kMarked);
  CHECK(ran.status == 1);
  CHECK(ran.out.empty());
  CHECK_THAT(ran.err, Catch::Contains("guest g1 is protected by Wardom"));
  ran = run_program(run, "g1 prepare begin -", kPlain);
  CHECK(ran.status == 0);
  CHECK((ran.out + ran.err).empty());
  CHECK(run_program(run, "g1 stopped end -", kMarked).status == 0);
  CHECK(run_program(run, "g1 migrate begin -", kMarked).status == 1);
  CHECK(run_program(run, "g1 migrate begin -", kPlain).out.empty());
  CHECK(run_program(run, "g1", kPlain).status == 2);
  const std::string large(hook::kMaxStdinBytes + 1, ' ');
  CHECK(run_program(run, "g1 prepare begin -", kMarked + large).status == 1);
  CHECK(run_program(run, "g1 prepare begin -", kPlain + large).status == 0);
  DaemonDouble daemon(run.path + "/wardomd.sock", [](auto&) { return "{\"ok\":true}\n"; });
  CHECK(run_program(run, "g1 prepare begin -", kMarked).status == 0);
}
