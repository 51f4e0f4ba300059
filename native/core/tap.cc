#include "tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "host-file.h"

namespace vhost {
namespace {

int setHeaderBytes(int fd, uint32_t headerBytes) {
  int bytes = static_cast<int>(headerBytes);
  return ioctl(fd, TUNSETVNETHDRSZ, &bytes) == 0 ? 0 : -errno;
}

}  // namespace

int tapOpen(const char* name, bool multiQueue, uint32_t headerBytes) {
  ifreq request = {};
  if (std::strlen(name) >= sizeof request.ifr_name) return -ENAMETOOLONG;
  std::strcpy(request.ifr_name, name);
  request.ifr_flags =
      static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (multiQueue ? IFF_MULTI_QUEUE : 0));
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -errno;
  int error = ioctl(fd, TUNSETIFF, &request) == 0 ? 0 : -errno;
  if (error == 0) error = setHeaderBytes(fd, headerBytes);
  if (error == 0) return fd;
  close(fd);
  return error;
}

int tapAdopt(int fd, uint32_t headerBytes) {
  ifreq request = {};
  if (ioctl(fd, TUNGETIFF, &request) != 0) return -errno;
  if (!(request.ifr_flags & IFF_TAP)) return -EINVAL;
  if (!(request.ifr_flags & IFF_VNET_HDR)) return -ENOTSUP;
  makeNonBlocking(fd);
  return setHeaderBytes(fd, headerBytes);
}

int tapSetPersistent(int fd, bool persistent) {
  return ioctl(fd, TUNSETPERSIST, persistent ? 1ul : 0ul) == 0 ? 0 : -errno;
}

int tapSetOffload(int fd, uint32_t offload) {
  return ioctl(fd, TUNSETOFFLOAD, static_cast<unsigned long>(offload)) == 0 ? 0 : -errno;
}

int tapSetQueue(int fd, bool attached) {
  ifreq request = {};
  request.ifr_flags = attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
  return ioctl(fd, TUNSETQUEUE, &request) == 0 ? 0 : -errno;
}

int tapAddress(int fd, uint8_t* address) {
  ifreq request = {};
  if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) return -errno;
  std::memcpy(address, request.ifr_hwaddr.sa_data, kTapAddressBytes);
  return 0;
}

int tapSetAddress(int fd, const uint8_t* address) {
  ifreq request = {};
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  std::memcpy(request.ifr_hwaddr.sa_data, address, kTapAddressBytes);
  return ioctl(fd, SIOCSIFHWADDR, &request) == 0 ? 0 : -errno;
}

}  // namespace vhost
