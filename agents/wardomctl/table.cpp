#include "agents/wardomctl/table.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <utility>

namespace wardom::ctl {
namespace {

// Terminal columns of UTF-8 text: one per code point, which holds for what Wardom prints.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

const char* escape(Colour colour) {
  switch (colour) {
    case Colour::none:
      return "";
    case Colour::good:
      return "\033[32m";
    case Colour::warning:
      return "\033[33m";
    case Colour::bad:
      return "\033[1;31m";
    case Colour::faint:
      return "\033[2m";
    case Colour::strong:
      return "\033[1m";
  }
  return "";
}

std::string two_units(std::int64_t whole, const char* big, std::int64_t rest, const char* small) {
  return std::to_string(whole) + " " + big + " " + std::to_string(rest) + " " + small;
}

}  // namespace

std::string Paint::operator()(Colour colour, std::string_view text) const {
  if (!colours_ || colour == Colour::none || text.empty()) return std::string(text);
  return escape(colour) + std::string(text) + "\033[0m";
}

bool stdout_takes_colours() {
  const char* refused = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) == 1 && (refused == nullptr || *refused == '\0');
}

TextTable::TextTable(std::vector<std::string> titles) {
  std::vector<TextCell> row;
  for (auto& title : titles) row.push_back({std::move(title), Colour::strong});
  rows_.push_back(std::move(row));
}

void TextTable::add(std::vector<TextCell> row) {
  // The title of a column of numbers stands over their ends.
  for (std::size_t i = 0; i < row.size() && i < rows_[0].size(); ++i)
    if (row[i].to_the_right) rows_[0][i].to_the_right = true;
  rows_.push_back(std::move(row));
}

std::string TextTable::print(const Paint& paint) const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], width(row[i].text));
  }
  std::string out;
  for (const auto& row : rows_) {
    std::string line;
    std::string gap;  // written only before a cell that has text: no blanks at a line's end
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string pad(widths[i] - width(row[i].text), ' ');
      if (row[i].to_the_right) gap += pad;
      if (!row[i].text.empty()) line += std::exchange(gap, {}) + paint(row[i].colour, row[i].text);
      if (!row[i].to_the_right) gap += pad;
      gap += "  ";
    }
    out += line + "\n";
  }
  return out;
}

std::string printable(std::string_view text) {
  std::string safe(text);
  for (auto& c : safe)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = c == '\n' || c == '\t' ? ' ' : '?';
  return safe;
}

std::string span_text(std::int64_t ms) {
  if (ms < 0) return "-" + span_text(-ms);
  if (ms < 1000) return std::to_string(ms) + " ms";
  if (ms < 100 * 1000) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.2f s", static_cast<double>(ms) / 1000);
    return text.data();
  }
  const auto minutes = ms / 60000;
  if (minutes < 60) return two_units(minutes, "min", ms / 1000 % 60, "s");
  if (minutes < 48 * 60) return two_units(minutes / 60, "h", minutes % 60, "min");
  return two_units(minutes / 1440, "d", minutes / 60 % 24, "h");
}

std::string clock_text(std::int64_t wall_ms, bool date) {
  const auto seconds = static_cast<std::time_t>(wall_ms / 1000);
  std::tm local{};
  localtime_r(&seconds, &local);
  std::array<char, 64> text{};
  std::strftime(text.data(), text.size(), date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &local);
  std::array<char, 8> fraction{};
  std::snprintf(fraction.data(), fraction.size(), ".%03d", static_cast<int>(wall_ms % 1000));
  return std::string(text.data()) + fraction.data();
}

}  // namespace wardom::ctl
