// Writing the own cells: encodes, chooses the twin, keeps one write in flight per cell, quarantines
// what does not end. Lives on the event loop's thread; the I/O itself runs in a lane.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libha/disk/cell_reader.hpp"
#include "libha/disk/in_flight_list.hpp"
#include "libha/disk/lane.hpp"
#include "libha/disk/twin_writer.hpp"
#include "libha/disk/volume_file.hpp"

namespace wardom::disk {

inline constexpr std::size_t kMaxWaitingWrites = 16;  // behind the one in flight, per cell

class CellStore {
 public:
  struct Outcome {
    bool acknowledged{false};  // false: unknown whether it landed, or refused; see error
    Sequence sequence;
    std::string error;
  };
  using Done = std::function<void(const Outcome&)>;

  // `patience`: how long a write may take before it is given up and its extent quarantined; none
  // is put on heartbeats, see write(). The store, `completions` and `list` live equally long.
  // nullptr: nobody needs to know, after this process, what it had in flight.
  CellStore(VolumeFile volume, HostId self, Incarnation incarnation, Completions& completions,
            Duration patience, InFlightList* list = nullptr);

  // Takes a cell into care, with what stands on the volume. Before any write of that cell. What the
  // list has of it stays in doubt until settle(). `used`: the highest sequence that this process
  // has used for the cell before it opened the volume anew.
  void recover(const Cell& cell, const CellExtents& found, Sequence used = {});
  // Of the cells that `due` names: what was in doubt until `issued` has landed or never will;
  // `found` was read by a request issued then. Ends the doubt, unless the cell cannot be read:
  // false.
  bool settle(const Cell& cell, const CellExtents& found, Instant issued);
  // Cells with a doubt that can be settled by now.
  std::vector<Cell> due(Instant now) const;
  // When the next one can be; nullopt: nothing is in doubt.
  std::optional<Instant> next_due() const;
  // Writes or queues. `done` is called exactly once, from run() of the completions, from tick(), or
  // at once when the write is refused: a cell not in care or of another version of Wardom, a
  // payload larger than its extent, what may be written quarantined, too many waiting.
  //
  // A heartbeat does not wait: one that has not ended is given up, and the new one goes to the
  // other extent. The earlier one's `done` is called when it ends, late as that may be, since an
  // acknowledgement is worth as much then.
  void write(Lane& lane, const Cell& cell, wire::Bytes payload, Done done,
             Level level = wire::spoken_levels().newest);
  // What the head of every write says that this host speaks, and of which domain it is.
  void set_speaks(const Levels& speaks) { speaks_ = speaks; }
  void set_domain(DomainId domain) { domain_ = domain; }
  bool busy(const Cell& cell) const;        // a write is awaited or waits
  std::size_t quarantined(const Cell& cell) const;  // extents: given up, or in doubt
  // Nothing of the cell is in flight, waits, or is in doubt.
  bool settled(const Cell& cell) const { return !busy(cell) && quarantined(cell) == 0; }
  std::map<Cell, Sequence> used() const;    // see recover()
  bool in_flight() const;                   // any I/O, given up or not
  // Gives up what is overdue. Call when next_deadline() has come.
  void tick(Instant now);
  std::optional<Instant> next_deadline() const;

  const VolumeFile& volume() const { return volume_; }

 private:
  struct Waiting {
    Lane* lane;
    wire::Bytes payload;
    Done done;
    Level level;  // of the payload
  };
  struct Care {
    TwinWriter writer;
    Instant since;
    Done done;  // of the awaited write
    std::deque<Waiting> waiting;
    std::map<Sequence, Done> overtaken;  // heartbeats that were given up
    std::size_t in_flight{0};
  };
  void start(const Cell& cell, Care& care, Waiting job);
  void finish(const Cell& cell, const TwinWriter::Started& write, const Result<void>& result);
  void start_next(const Cell& cell, Care& care);

  VolumeFile volume_;
  HostId self_;
  Incarnation incarnation_;
  Completions& completions_;
  Duration patience_;
  Duration late_;  // L_late
  InFlightList* list_;
  Levels speaks_{wire::spoken_levels()};
  DomainId domain_;
  std::map<Cell, Care> cells_;
};

}  // namespace wardom::disk
