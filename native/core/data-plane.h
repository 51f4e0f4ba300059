// The data plane of one worker: its vrings, its I/O engine and the turn that moves requests between
// them. It knows no device: what a request means is decided by whoever fills the commands.
#ifndef VHOST_CORE_DATA_PLANE_H_
#define VHOST_CORE_DATA_PLANE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "exchange.h"
#include "io-engine.h"
#include "operation-runner.h"
#include "spin-policy.h"
#include "vring.h"

namespace vhost {

struct DataPlaneOptions {
  bool uring = true;
  int wakeFd = -1;  // eventfd: another thread has something to say; borrowed
  uint32_t pollUs = 0;
  uint32_t headerBytes = 0;
  Exchange* exchange = nullptr;  // borrowed
};

struct VringStart {
  uint32_t queue;
  uint32_t size;
  RingAddresses addresses;
  uint16_t availBase;
  bool eventIdx;
  int kickFd;  // -1: the front-end does not kick, the ring is polled
  int callFd;
  int errFd;
  Addressing addressing = {};
};

class DataPlane {
 public:
  // vhost-user carries the vring index in 8 bits.
  static constexpr uint32_t kQueuesMax = 256;

  // nullptr and *error = -errno.
  static std::unique_ptr<DataPlane> create(const DataPlaneOptions& options, int* error);
  ~DataPlane();

  // Takes no ownership of the file. directAlign: 0 for the page cache, else O_DIRECT alignment.
  int addFile(uint32_t index, int fd, uint32_t directAlign) {
    return operations_.addFile(index, fd, directAlign);
  }

  // Takes ownership of the descriptors, also on failure. The vring pops only once enabled.
  int startVring(const VringStart& start, std::shared_ptr<GuestMemory> memory);
  void enableVring(uint32_t queue, bool enabled);
  void setCall(uint32_t queue, int fd);
  void setErr(uint32_t queue, int fd);

  // Stop in two steps: no more pops, then (in flight = 0, reached by turns) gone. endVring returns
  // the next avail index, or -errno (-EBUSY while requests are in flight).
  void drainVring(uint32_t queue);
  int endVring(uint32_t queue);
  uint32_t inFlight(uint32_t queue) const;
  uint32_t inFlightTotal() const;

  // Pops nothing on any vring while held; for changes of memory.
  void hold(bool held) { held_ = held; }
  // Only while nothing is in flight. Vrings that lie outside the new memory are given up.
  void changeMemory(const std::shared_ptr<GuestMemory>& memory);

  // Goes over to other translations of the same memory, changed in `range`, at once. Requests in
  // flight that use the range go on; translationsSettled() says when the last one has gone.
  void changeTranslations(const std::shared_ptr<GuestMemory>& memory, const IoRange& range);
  bool translationsSettled();
  // The I/O address a kMissing or kNoPermission event of the queue is about.
  uint64_t missingAddress(uint32_t queue) const;

  // One turn: run commands, finish what is done, tell the driver, pop what is new. Without any of
  // that it sleeps (mayBlock) until there is something, or until what is drained or held has
  // nothing in flight. Returns the packed counts of exchange.h.
  uint32_t turn(uint32_t commandCount, bool mayBlock);

  // Copies between a chain in flight and private memory, for headers longer than the snapshot and
  // answers that are no file's; bytes copied, or -EINVAL when the chain is not in flight.
  int64_t copyOut(uint32_t chain, uint32_t offset, void* to, uint32_t bytes);
  int64_t copyIn(uint32_t chain, uint32_t offset, const void* from, uint32_t bytes);

  // Our own code broke on this queue (LF-012): it stops like a broken ring.
  void giveUp(uint32_t queue, RingFault fault);

  uint64_t requestCount(uint32_t queue) const;
  uint64_t callCount(uint32_t queue) const;

 private:
  DataPlane(const DataPlaneOptions& options, std::unique_ptr<IoEngine> engine);

  Vring* vring(uint32_t queue) const;
  Vring* vringOf(uint32_t chain, uint16_t* head) const;
  void runCommands(uint32_t count);
  void reap();
  void finish(const Operation& op, int result);
  void complete(uint32_t chain, uint32_t flags, uint32_t tailOffset, uint32_t tailByte,
                uint32_t usedLength);
  void addCompletion(uint32_t chain, uint32_t tag, int result, OperationCode code);
  void addEvent(EventCode code, uint32_t queue, uint32_t detail);
  void publish();
  void popAll();
  void popVring(uint32_t queue, Vring* vring);
  void takePolled();
  bool anyWork() const;
  bool quiesced() const;
  bool staleInFlight() const;
  void leaveRings();
  void stopPopping(uint32_t queue, Vring* vring, RingFault fault);
  void reportMissing(uint32_t queue, Vring* vring, RingFault fault);
  bool spin(uint64_t sinceNs);
  void sleep();
  void dropReportedEvents();
  uint32_t packTurn();

  DataPlaneOptions options_;
  std::unique_ptr<IoEngine> engine_;
  OperationRunner operations_;
  SpinPolicy spinPolicy_;
  std::vector<std::unique_ptr<Vring>> vrings_;  // by queue index
  std::vector<uint32_t> active_;                // queue indices that exist
  std::map<uint32_t, uint32_t> queueOfToken_;
  uint32_t nextToken_ = 1;
  uint32_t firstActive_ = 0;  // rotates, so that no queue is always last
  uint32_t requests_ = 0;
  uint32_t completions_ = 0;
  uint32_t events_ = 0;
  uint32_t eventsReported_ = 0;  // those TypeScript has been told of
  // For which the table had no room: at most a few for each vring.
  std::vector<EventRecord> lateEvents_;
  std::set<uint32_t> stale_;  // chains in flight whose translation was taken back
  bool settling_ = false;     // somebody waits for those
  bool wake_ = false;
  bool held_ = false;
};

}  // namespace vhost

#endif  // VHOST_CORE_DATA_PLANE_H_
