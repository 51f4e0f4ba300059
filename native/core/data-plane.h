// The data plane of one worker: its vrings, its I/O engine and the turn that moves requests between
// them. It knows no device: what a request means is decided by whoever fills the commands.
#ifndef VHOST_CORE_DATA_PLANE_H_
#define VHOST_CORE_DATA_PLANE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "exchange.h"
#include "frame-capture.h"
#include "frame-copier.h"
#include "frame-flow.h"
#include "frame-receiver.h"
#include "io-engine.h"
#include "operation-runner.h"
#include "scattered-receive.h"
#include "spin-policy.h"
#include "vring.h"

namespace vhost {

struct DataPlaneOptions {
  bool uring = true;
  int wakeFd = -1;      // eventfd: another thread has something to say; borrowed
  uint32_t pollUs = 0;  // how long to look for the driver's next request before sleeping
  uint32_t headerBytes = 0;
  Exchange* exchange = nullptr;  // borrowed
  uint32_t operationPollUs = 0;  // the same while operations run
};

struct VringStart {
  uint32_t queue;
  uint32_t size;
  RingAddresses addresses;
  uint32_t availBase;  // packed: avail position in bits 0-15, used position in 16-31
  bool eventIdx;
  int kickFd;  // -1: the front-end does not kick, the ring is polled
  int callFd;
  int errFd;
  bool packed = false;
  std::shared_ptr<InflightArea> inflight = nullptr;  // none: requests are not recorded
  Addressing addressing = {};
  uint32_t areaQueue = 0;  // in the inflight area: the device's own index of the vring
  bool inOrder = false;
  bool readOnly = false;
};

// Vrings by their index, both ends included: those of one device, where a data plane serves
// several, each with a guest memory of its own.
struct QueueRange {
  uint32_t first;
  uint32_t last;
  bool holds(uint32_t queue) const { return queue >= first && queue <= last; }
};
constexpr QueueRange kAllQueues = {0, UINT32_MAX};

class ListedChains;

class DataPlane {
 public:
  // vhost-user carries the vring index in 8 bits; several devices share them.
  static constexpr uint32_t kQueuesMax = 256;
  // A vsock device has one for each connection; a bound, so that a device's leak is an error.
  static constexpr size_t kWatchesMax = 65536;

  // nullptr and *error = -errno.
  static std::unique_ptr<DataPlane> create(const DataPlaneOptions& options, int* error);
  ~DataPlane();

  // Takes no ownership of the file. directAlign: 0 for the page cache, else O_DIRECT alignment.
  int addFile(uint32_t index, int fd, uint32_t directAlign) {
    return operations_.addFile(index, fd, directAlign);
  }

  // Private memory for commands with kCommandArena; borrowed for the data plane's life.
  void setArena(const Arena& arena) {
    arena_ = arena;
    operations_.setArena(arena);
  }

  // Takes ownership of the descriptors, also on failure. The vring pops only once enabled.
  int startVring(const VringStart& start, std::shared_ptr<GuestMemory> memory);
  void enableVring(uint32_t queue, bool enabled);
  // vhost-user in-band notifications, of a ring that has just started: see Vring.
  void setInband(uint32_t queue, bool kicks, bool calls);
  // Whether the driver is asked for kicks, and a spin watches the ring. Without, new chains are
  // popped in turns that come for another reason.
  void askKicks(uint32_t queue, bool asked);
  // Holds calls of a vring that runs back, together or for a while.
  void paceCalls(uint32_t queue, const CallPacing& pacing);
  void setCall(uint32_t queue, int fd);
  void setErr(uint32_t queue, int fd);

  // Stop in two steps: no more pops, then (in flight = 0, reached by turns) gone. endVring returns
  // the availBase to go on with, or -errno (-EBUSY while requests are in flight). suspend: what is
  // in flight still runs to its end, but the driver is not told; the inflight area keeps it.
  void drainVring(uint32_t queue, bool suspend = false);
  int64_t endVring(uint32_t queue);
  uint32_t inFlight(uint32_t queue) const;
  uint32_t inFlightTotal(QueueRange range = kAllQueues) const;

  // The dirty log of some vrings, nullptr: none; whether what is written into buffers goes into it
  // (VHOST_F_LOG_ALL). In force for every request that completes from now on.
  void setLog(std::shared_ptr<const DirtyLog> log, bool data, QueueRange range = kAllQueues);
  // Whether a vring's used ring goes into it too, and at which address (VHOST_VRING_F_LOG); also
  // before the vring starts.
  void setUsedLog(uint32_t queue, bool on, uint64_t address);

  // Pops nothing on these vrings while held; for changes of memory.
  void hold(bool held, QueueRange range = kAllQueues);
  // Only while nothing is in flight. Vrings that lie outside the new memory are given up.
  void changeMemory(const std::shared_ptr<GuestMemory>& memory, QueueRange range = kAllQueues);

  // Goes over to other translations of the same memory, changed in `range`, at once. Requests in
  // flight that use the range go on; translationsSettled() says when the last one has gone.
  void changeTranslations(const std::shared_ptr<GuestMemory>& memory, const IoRange& range,
                          QueueRange queues = kAllQueues);
  bool translationsSettled();
  // The I/O address a kMissing or kNoPermission event of the queue is about.
  uint64_t missingAddress(uint32_t queue) const;

  // Readable bytes of one vring's requests after which a turn pops no more of it: where a request
  // means a copy, one guest must not keep the others waiting. No limit by default.
  void limitTurn(uint64_t bytes) { turnBytesMax_ = bytes; }

  // One turn: run commands, finish what is done, tell the driver, pop what is new. Without any of
  // that it sleeps (mayBlock) until there is something, or until what is drained or held has
  // nothing in flight. Returns the packed counts of exchange.h.
  uint32_t turn(uint32_t commandCount, bool mayBlock);

  // Copies between a chain in flight and private memory, for headers longer than the snapshot and
  // answers that are no file's; bytes copied, or -EINVAL when the chain is not in flight.
  int64_t copyOut(uint32_t chain, uint32_t offset, void* to, uint32_t bytes);
  int64_t copyIn(uint32_t chain, uint32_t offset, const void* from, uint32_t bytes);

  // kSend or kReceive at once, for a device that decides by how much moved (a socket that may be
  // full); bytes moved or -errno. The chain stays open.
  int64_t moveNow(const CommandRecord& command);

  // receiveScattered() into chains in flight, all of one queue; -EINVAL when one is not. They stay
  // open.
  int64_t receiveScattered(int fd, const uint32_t* chains, uint32_t count, uint64_t bytes,
                           const Prefix& prefix, bool whole);

  // From now on chains of a queue are not shown but kept on the ChainShelf at this place of the
  // arena; of one that drains they are, for nobody to keep. Counts: see frame-flow.h; borrowed for
  // the data plane's life. -EINVAL: the arena has no such table there.
  int keepChains(uint32_t queue, uint64_t shelf, double* counts);
  // From now on frames of a queue go where the kFlowsPerQueue flows at this place say; only those
  // that none speaks for are shown.
  int forwardFrames(uint32_t queue, uint64_t flows, double* counts);

  // Frames shown to somebody who looks on go into this memory; borrowed for the data plane's life.
  // -EINVAL when it can't be a FrameCapture's.
  int setCapture(uint8_t* memory, size_t bytes);
  // Shows a frame: `prefix`, then that part of a chain's readable side (kNoChain: nothing).
  void capture(uint32_t tag, const iovec& prefix, uint32_t chain, uint32_t offset, uint32_t bytes);

  // Watches a descriptor of the device's: a kReadable event with this token each time it becomes
  // readable (or, if asked, writable). Borrowed; one that hung up is watched no longer. -EEXIST,
  // -ENOSPC, or the engine's.
  int watch(int fd, uint32_t token, bool writable = false);
  void unwatch(uint32_t token);

  // Our own code broke on this queue (LF-012): it stops like a broken ring.
  void giveUp(uint32_t queue, RingFault fault);

  uint64_t requestCount(uint32_t queue) const;
  uint64_t callCount(uint32_t queue) const;

 private:
  // The descriptor of options_.wakeFd; those of kicks and watches follow.
  static constexpr uint32_t kWakeToken = 0;

  // A descriptor of the device's.
  struct Watch {
    int fd;
    uint32_t pollToken;
    bool told = false;  // an event of it waits for TypeScript; another would say the same
  };

  DataPlane(const DataPlaneOptions& options, std::unique_ptr<IoEngine> engine);

  Vring* vring(uint32_t queue) const;
  Vring* vringOf(uint32_t chain, uint16_t* head) const;
  const DescriptorChain* chainOf(uint32_t chain) const;
  RingLog ringLog(uint32_t queue) const;
  void runCommands(uint32_t count);
  void receiveFrames(const CommandRecord& command);
  int receiveFramesInto(const CommandRecord& command, FrameSource source,
                        std::vector<ListedChains>* lists, FrameReport* reports);
  void captureReceived(const CommandRecord& command, const WaitingChains& chains);
  void copyFrame(const CommandRecord& command);
  void used(Vring* owner, uint32_t chain, uint32_t length);
  void copyInto(uint32_t to, const iovec& prefix, const DescriptorChain* from, uint32_t offset,
                uint64_t length);
  uint8_t* arenaTable(uint64_t offset, uint64_t bytes) const;
  void keepPopped(uint32_t queue, const uint16_t* heads, uint32_t count);
  uint32_t forwardPopped(uint32_t queue, const uint16_t* heads, uint32_t count);
  bool forward(uint32_t queue, uint16_t head, double nowMs);
  void refill(uint32_t queue);
  void prefetchRoom(uint32_t chain) const;
  bool frameTargets(const CommandRecord& command, const uint32_t** chains);
  void unpop(uint32_t chain);
  void completeList(const CommandRecord& command);
  void reap();
  void finish(const Operation& op, int result);
  void complete(uint32_t chain, uint32_t flags, uint32_t tailOffset, uint32_t tailByte,
                uint32_t usedLength);
  void addCompletion(uint32_t chain, uint32_t tag, int result, OperationCode code);
  void addEvent(EventCode code, uint32_t queue, uint32_t detail);
  void publish();
  bool holdCall(Vring* owner);
  void call(uint32_t queue, Vring* owner);
  void callDue();
  int64_t untilCallUs() const;
  void popAll();
  void popVring(uint32_t queue, Vring* vring);
  void takePolled();
  void kickLost(uint32_t queue);
  void watchedReadable(uint32_t token, bool hungUp);
  bool anyWork() const;
  bool quiesced() const;
  bool staleInFlight() const;
  void leaveRings();
  void stopPopping(uint32_t queue, Vring* vring, RingFault fault);
  void reportMissing(uint32_t queue, Vring* vring, RingFault fault);
  bool spin(uint64_t sinceNs, uint64_t limitNs);
  void sleep();
  void dropReportedEvents();
  uint32_t packTurn();

  DataPlaneOptions options_;
  std::unique_ptr<IoEngine> engine_;
  OperationRunner operations_;
  SpinPolicy driverSpin_;  // no operation runs: the driver is next
  SpinPolicy operationSpin_;
  Arena arena_;
  FrameReceiver frames_;
  FrameCopier copier_;
  std::unique_ptr<FrameCapture> capture_;       // nobody looks on: none
  std::vector<iovec> captureSegments_;          // scratch of capture
  std::vector<uint32_t> frameUsed_;             // scratch of receiveFrames
  std::vector<const DescriptorChain*> chains_;  // scratch of receiveScattered
  std::vector<iovec> segments_;                 // the same
  std::vector<FrameQueue> frameQueues_;         // by queue index, running or not
  bool forwarded_ = false;                      // chains were completed that nobody has seen
  bool commandsFull_ = false;
  std::vector<std::unique_ptr<Vring>> vrings_;  // by queue index
  std::vector<uint32_t> active_;                // queue indices that exist
  std::map<uint32_t, uint32_t> queueOfToken_;
  std::unordered_map<uint32_t, Watch> watches_;          // by the device's token
  std::unordered_map<uint32_t, uint32_t> watchOfToken_;  // poll token to the device's
  uint32_t nextToken_ = 1;
  uint32_t firstActive_ = 0;  // rotates, so that no queue is always last
  uint32_t requests_ = 0;
  uint32_t completions_ = 0;
  uint32_t events_ = 0;
  uint32_t eventsReported_ = 0;  // those TypeScript has been told of
  // For which the table had no room: at most 5 for each vring and 2 for each watched descriptor.
  std::vector<EventRecord> lateEvents_;
  struct RangeLog {
    QueueRange range;
    std::shared_ptr<const DirtyLog> log;
    bool data;
  };
  const RangeLog* logOf(uint32_t queue) const;
  std::vector<RangeLog> logs_;             // one for each device that has one
  std::map<uint32_t, uint64_t> usedLogs_;  // queue index to address
  std::set<uint32_t> stale_;               // chains in flight whose translation was taken back
  bool settling_ = false;                  // somebody waits for those
  uint32_t heldCalls_ = 0;                 // vrings with a callDueNs
  bool wake_ = false;
  bool held(uint32_t queue) const;
  std::vector<QueueRange> held_;
  uint64_t turnBytesMax_ = UINT64_MAX;
};

}  // namespace vhost

#endif  // VHOST_CORE_DATA_PLANE_H_
