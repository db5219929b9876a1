#include "agents/wardomctl/import_command.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <vector>

#include "agents/wardomctl/command.hpp"
#include "agents/wardomctl/virtualdomain.hpp"
#include "libha/proc/descriptor.hpp"

namespace wardom::ctl {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::size_t kMaxCibBytes = 64 * 1024 * 1024;

struct ImportOptions {
  std::string file;  // empty: this cluster's CIB; "-": standard input
  std::vector<std::string> dropped;
  bool dry_run{false};
  bool apply{false};
  bool print{false};
  bool restart_guests{false};
  bool as_json{false};
};

// A program of Pacemaker's, or diff(1): what it prints, if it ends with 0 or `fine`.
Result<std::string> said_by(const std::vector<std::string>& words, int fine = 0) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return failure(std::string("pipe: ") + std::strerror(errno));
  const proc::Descriptor out(ends[0]);
  std::vector<char*> argv;
  for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  pid_t pid = 0;
  const int failed = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (failed != 0) return failure(words[0] + ": " + std::strerror(failed));
  std::string text;
  char buffer[65536];
  for (ssize_t got = 1; got != 0;) {
    got = ::read(out.get(), buffer, sizeof buffer);
    if (got < 0 && errno != EINTR) break;
    if (got > 0 && text.size() <= kMaxCibBytes)
      text.append(buffer, static_cast<std::size_t>(got));
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != fine))
    return failure(words[0] + " failed; what it said stands above");
  return text;
}

// A directory of our own, gone with its owner. A CIB holds passwords of fencing devices.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "wardomctl-XXXXXX").string();
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  Result<std::string> put(const char* name, const std::string& text) const {
    const auto path = (path_ / name).string();
    std::ofstream file(path, std::ios::binary);
    file << text << "\n";
    if (path_.empty() || !file.flush())
      return failure("a temporary file cannot be written: " + std::string(std::strerror(errno)));
    return path;
  }

 private:
  fs::path path_;
};

// Both texts as files, for a program that compares them.
Result<std::string> compared(std::vector<std::string> words, const std::string& before,
                             const std::string& after, const std::string& before_option = "",
                             const std::string& after_option = "") {
  const Folder folder;
  const auto one = folder.put("before", before);
  if (!one) return one.error();
  const auto two = folder.put("after", after);
  if (!two) return two.error();
  words.push_back(before_option + one.value());
  words.push_back(after_option + two.value());
  return said_by(words, 1);
}

std::string name_of(const ImportOptions& options) {
  if (options.file.empty()) return "the cluster's CIB";
  return options.file == "-" ? "standard input" : options.file;
}

Result<std::string> read_cib(const ImportOptions& options) {
  if (options.file.empty()) return said_by({"cibadmin", "--query"});
  std::ifstream opened;
  if (options.file != "-") opened.open(options.file, std::ios::binary);
  std::istream& in = options.file == "-" ? std::cin : opened;
  if (!in) return failure(options.file + ": " + std::strerror(errno));
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  if (in.bad() || text.size() > kMaxCibBytes)
    return failure(name_of(options) + ": cannot be read, or is too large for a CIB");
  return text;
}

std::string report(const Imported& imported) {
  std::string text;
  for (const auto& one : imported.resources) {
    text += one.id + (one.reasons.empty() ? ": becomes ocf:wardom:Guest\n"
                                          : ": stays ocf:heartbeat:VirtualDomain\n");
    for (const auto& out : one.left_out) text += "  left out: " + out + "\n";
    for (const auto& reason : one.reasons) text += "  " + reason + "\n";
  }
  return text.empty() ? "no resource is of ocf:heartbeat:VirtualDomain\n" : text;
}

json::value to_json(const Imported& imported, bool applied) {
  json::array resources;
  for (const auto& one : imported.resources)
    resources.push_back(json::object{{"id", one.id},
                                     {"becomes_guest", one.reasons.empty()},
                                     {"left_out", json::value_from(one.left_out)},
                                     {"reasons", json::value_from(one.reasons)}});
  return json::object{{"resources", std::move(resources)}, {"applied", applied}};
}

// By what has changed, so that what others changed meanwhile stays.
Result<void> apply(const Imported& imported) {
  const auto patch = compared({"crm_diff", "--no-version"}, imported.before, imported.after,
                              "--original=", "--new=");
  if (!patch) return patch.error();
  const Folder folder;
  const auto file = folder.put("patch", patch.value());
  if (!file) return file.error();
  const auto done = said_by({"cibadmin", "--patch", "--xml-file=" + file.value()});
  if (!done) return done.error();
  return success();
}

int import(const ImportOptions& options) {
  if (options.apply && !options.file.empty())
    return fail(kUsage, "--apply changes this cluster's CIB, and takes no file");
  const auto cib = read_cib(options);
  if (!cib) return fail(kFailed, cib.error().message);
  const auto imported = import_virtualdomain(
      cib.value(), std::set<std::string>(options.dropped.begin(), options.dropped.end()));
  if (!imported)
    return fail(kFailed, name_of(options) + ": " + imported.error().message);
  const auto& found = imported.value();
  if (options.apply && found.some()) {
    if (!found.in_maintenance && !options.restart_guests)
      return fail(kRefused,
                  "Pacemaker stops and starts a resource whose agent changes: set the cluster's "
                  "property maintenance-mode to true first, run `crm_resource --refresh` "
                  "afterwards, and see all guests Started before it is false again; or say "
                  "--restart-guests");
    if (const auto done = apply(found); !done) return fail(kFailed, done.error().message);
  }
  if (options.print) {
    std::cerr << report(found);
    std::cout << found.after << "\n";
  } else if (options.as_json) {
    std::cout << to_json(found, options.apply && found.some()) << "\n";
  } else {
    const auto changes = compared({"diff", "--unified=1", "--label=before", "--label=after"},
                                  found.before, found.after);
    if (!changes) return fail(kFailed, changes.error().message);
    std::cout << report(found) << changes.value();
    if (found.some())
      std::cout << (options.apply ? "applied; now: crm_resource --refresh\n"
                                  : "nothing was changed; --apply does it\n");
  }
  return found.all() ? kDone : kRefused;
}

}  // namespace

void add_import_command(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ImportOptions>();
  auto* command = app.add_subcommand(
      "import-virtualdomain", "Make Pacemaker's VirtualDomain resources resources of Wardom");
  command->add_option("FILE", options->file,
                      "A CIB; -: standard input; default: this cluster's, by cibadmin");
  auto* dry = command->add_flag("--dry-run", options->dry_run,
                                "Show what would change and what would not; the default");
  command->add_flag("--apply", options->apply, "Change this cluster's CIB")->excludes(dry);
  command->add_flag("--print", options->print, "Print the whole changed CIB")->excludes("--apply");
  command->add_option("--drop", options->dropped,
                      "Leave out a parameter that Guest does not have; may be repeated")
      ->allow_extra_args(false);
  command->add_flag("--restart-guests", options->restart_guests,
                    "With --apply, outside of maintenance mode: Pacemaker restarts the guests");
  add_json_flag(*command, options->as_json);
  command->callback([options, &exit_code] { exit_code = import(*options); });
}

}  // namespace wardom::ctl
