// Text for a terminal: colours, aligned columns, spans of time. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace wardom::ctl {

enum class Colour : std::uint8_t { none, good, warning, bad, faint, strong };

// Puts colours around text, or leaves it as it is.
class Paint {
 public:
  explicit Paint(bool colours) : colours_(colours) {}
  std::string operator()(Colour colour, std::string_view text) const;

 private:
  bool colours_;
};

// Whether standard output takes colours: a terminal, and NO_COLOR is unset (no-color.org).
bool stdout_takes_colours();

struct TextCell {
  std::string text;
  Colour colour{Colour::none};
  bool to_the_right{false};  // numbers
};

// Columns as wide as their longest cell, two blanks apart; the last one is not padded.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> titles);
  void add(std::vector<TextCell> row);
  bool empty() const { return rows_.size() == 1; }
  std::string print(const Paint& paint) const;

 private:
  std::vector<std::vector<TextCell>> rows_;
};

// Text from elsewhere, safe for a terminal: control characters become "?".
std::string printable(std::string_view text);

// "240 ms", "1.24 s", "2 min 5 s", "3 h 10 min", "4 d 2 h".
std::string span_text(std::int64_t ms);
// "12:00:00.123" on this machine's wall clock; with the day in front where `date` is set.
std::string clock_text(std::int64_t wall_ms, bool date);

}  // namespace wardom::ctl
