#!/usr/bin/env python3
"""Copies files of libha/wire as the next release of Wardom might have them: changed_copies.py.

The next release speaks one format level more, in which beats, slots and decisions have another
layout, and one version more of the keeper's protocol. It speaks the present ones too.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from changed_copies import run

# What stands in the new places, and must be found there.
MARK = "0x5458454e"  # "NEXT"

# file: (text, what to write for it)
CHANGES = {
    "wire/level.cpp": [
        ("constexpr Levels kSpoken{Level{1}, Level{1}};",
         "constexpr Levels kSpoken{Level{1}, Level{2}};"),
    ],
    # A level 2 beat is four bytes longer, behind its flags.
    "wire/beat.cpp": [
        ("constexpr std::size_t kBeatLevelAt = 4;\n",
         "constexpr std::size_t kBeatLevelAt = 4;\n"
         "std::size_t bytes_of(Level level) { return kBeatBytes + (level < Level{2} ? 0 : 4); }\n"),
        ("  Writer out(kBeatBytes);\n", "  Writer out(bytes_of(beat.level));\n"),
        ("                                   (beat.restarting ? kRestarting : 0)));\n",
         "                                   (beat.restarting ? kRestarting : 0)));\n"
         f"  if (beat.level >= Level{{2}}) out.u32({MARK});\n"),
        ("  WARDOM_CHECK(out.size() == kBeatBytes);\n",
         "  WARDOM_CHECK(out.size() == bytes_of(beat.level));\n"),
        ("  WARDOM_CHECK(beat.size() == kBeatBytes);\n",
         "  WARDOM_CHECK(beat.size() == bytes_of(Level{beat[kBeatLevelAt]}));\n"),
        ("  const auto hash = key.beat_hash(View(beat).first(kBeatBytes - kBeatHashBytes));\n",
         "  const auto hash = key.beat_hash(View(beat).first(beat.size() - kBeatHashBytes));\n"),
        ("  if (datagram.size() != kBeatBytes) return BeatError::wrong_size;\n",
         "  if (datagram.size() != bytes_of(Level{datagram[kBeatLevelAt]}))\n"
         "    return BeatError::wrong_size;\n"),
        ("  Beat beat = read_body(in, link, flags);\n",
         f"  if (head.value().level >= Level{{2}} && in.u32() != {MARK}) in.fail();\n"
         "  Beat beat = read_body(in, link, flags);\n"),
    ],
    "wire/slot.cpp": [
        ("  out.flag(s.reaches);\n", f"  out.flag(s.reaches);\n  if (level >= Level{{2}}) out.u32({MARK});\n"),
        ("  s.reaches = in.flag();\n",
         f"  s.reaches = in.flag();\n  if (level >= Level{{2}} && in.u32() != {MARK}) in.fail();\n"),
    ],
    "wire/decision.cpp": [
        ("  out.u16(decision.domain.value);\n",
         "  out.u16(decision.domain.value);\n"
         f"  if (decision.level >= Level{{2}}) out.u32({MARK});\n"),
        ("  decision.domain = DomainId{in.u16()};\n",
         "  decision.domain = DomainId{in.u16()};\n"
         f"  if (level >= Level{{2}} && in.u32() != {MARK}) in.fail();\n"),
    ],
    "wire/keeper_protocol.cpp": [
        ("constexpr ProtocolVersions kSpoken{6, 6};", "constexpr ProtocolVersions kSpoken{6, 7};"),
        ("    out.incarnation(m.yielded);\n",
         f"    out.incarnation(m.yielded);\n    if (version >= 7) out.u32({MARK});\n"),
        ("  m.yielded = in.incarnation();\n",
         "  m.yielded = in.incarnation();\n"
         f"  if (version >= 7 && in.u32() != {MARK}) in.fail();\n"),
    ],
}

if __name__ == "__main__":
    run(CHANGES)
