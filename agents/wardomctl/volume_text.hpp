// The state volume's geometry in words.
#pragma once

#include <cstdint>
#include <string>

#include "libha/core/records.hpp"

namespace wardom::ctl {

// What a guest's entry takes in a packed table, generously: XML without repetition packs to less.
inline constexpr std::uint64_t kTableBytesPerGuest = 2048;

std::string size_text(std::uint64_t bytes);  // "36 KiB", "4000 MiB"
void print_geometry(const std::string& path, const Geometry& geometry);
// Every region with its number of cells and its size.
void print_plan(const Geometry& geometry);
// What an outage of the volume does to guests, and how long each proof of a host's death takes.
void print_costs(const Geometry& geometry);

}  // namespace wardom::ctl
