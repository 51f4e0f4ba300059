// Guest memory whose pages come while the guest already runs (vhost-user: POSTCOPY_*): a
// userfaultfd of this process, which the front-end reads and fills the pages by.
#ifndef VHOST_CORE_POSTCOPY_H_
#define VHOST_CORE_POSTCOPY_H_

#include "guest-memory.h"

namespace vhost {

// A userfaultfd that serves shared memory and faults of system calls (io_uring writes into guest
// memory); -errno where the kernel forbids one, -EOPNOTSUPP where it can't do that.
int createUserfault();

// From here on a missing page of any region waits for the front-end. 0 or -errno; then none is.
int registerUserfault(int fd, const GuestMemory& memory);

// Whoever waits for a page goes on; a page that never came reads as zeroes.
void unregisterUserfault(int fd, const GuestMemory& memory);

}  // namespace vhost

#endif  // VHOST_CORE_POSTCOPY_H_
