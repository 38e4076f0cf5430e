#define _GNU_SOURCE
#include "CDatagram.h"

#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

typedef union {
  struct cmsghdr alignment;
  char bytes[CMSG_SPACE(sizeof(uint16_t))];
} segment_control;

/* Room for a UDP_GRO size and for what somebody else may have asked the kernel to add. */
typedef union {
  struct cmsghdr alignment;
  char bytes[128];
} receive_control;

typedef union {
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} socket_address;

static socklen_t to_socket_address(swarm_address address, int is_ipv4, socket_address *result) {
  memset(result, 0, sizeof *result);
  if (is_ipv4) {
    result->v4.sin_family = AF_INET;
    result->v4.sin_port = htons(address.port);
    result->v4.sin_addr.s_addr = htonl((uint32_t)address.low);
    return sizeof result->v4;
  }
  uint64_t high = htobe64(address.high), low = htobe64(address.low);
  result->v6.sin6_family = AF_INET6;
  result->v6.sin6_port = htons(address.port);
  memcpy(&result->v6.sin6_addr.s6_addr[0], &high, sizeof high);
  memcpy(&result->v6.sin6_addr.s6_addr[8], &low, sizeof low);
  return sizeof result->v6;
}

static swarm_address from_socket_address(const socket_address *address) {
  swarm_address result = {0, 0, 0};
  if (address->v4.sin_family == AF_INET) {
    result.low = (uint64_t)0xffff << 32 | ntohl(address->v4.sin_addr.s_addr);
    result.port = ntohs(address->v4.sin_port);
  } else if (address->v6.sin6_family == AF_INET6) {
    memcpy(&result.high, &address->v6.sin6_addr.s6_addr[0], sizeof result.high);
    memcpy(&result.low, &address->v6.sin6_addr.s6_addr[8], sizeof result.low);
    result.high = be64toh(result.high);
    result.low = be64toh(result.low);
    result.port = ntohs(address->v6.sin6_port);
  }
  return result;
}

int swarm_send_datagrams(int socket, int is_ipv4, const swarm_outgoing *messages, unsigned count) {
  struct mmsghdr headers[SWARM_DATAGRAM_BATCH];
  segment_control controls[SWARM_DATAGRAM_BATCH];
  socket_address addresses[SWARM_DATAGRAM_BATCH];
  struct iovec pieces[SWARM_DATAGRAM_BATCH];
  size_t used = 0;
  if (count > SWARM_DATAGRAM_BATCH) count = SWARM_DATAGRAM_BATCH;
  for (unsigned i = 0; i < count; i++) {
    const swarm_outgoing *message = &messages[i];
    struct msghdr *header = &headers[i].msg_hdr;
    if (message->piece_count > SWARM_DATAGRAM_BATCH - used) return -EINVAL;
    memset(&headers[i], 0, sizeof headers[i]);
    header->msg_name = &addresses[i];
    header->msg_namelen = to_socket_address(message->destination, is_ipv4, &addresses[i]);
    header->msg_iov = &pieces[used];
    header->msg_iovlen = message->piece_count;
    for (uint32_t n = 0; n < message->piece_count; n++, used++) {
      pieces[used].iov_base = (void *)message->pieces[n].bytes;
      pieces[used].iov_len = message->pieces[n].count;
    }
    if (message->segment_size != 0) {
      header->msg_control = controls[i].bytes;
      header->msg_controllen = sizeof controls[i].bytes;
      struct cmsghdr *control = CMSG_FIRSTHDR(header);
      control->cmsg_level = SOL_UDP;
      control->cmsg_type = UDP_SEGMENT;
      control->cmsg_len = CMSG_LEN(sizeof(uint16_t));
      memcpy(CMSG_DATA(control), &message->segment_size, sizeof(uint16_t));
    }
  }
  int sent;
  do sent = sendmmsg(socket, headers, count, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

int swarm_receive_datagrams(int socket, uint8_t *slots, size_t slot_size, swarm_incoming *messages, unsigned count) {
  struct mmsghdr headers[SWARM_DATAGRAM_BATCH];
  receive_control controls[SWARM_DATAGRAM_BATCH];
  socket_address sources[SWARM_DATAGRAM_BATCH];
  struct iovec pieces[SWARM_DATAGRAM_BATCH];
  if (count > SWARM_DATAGRAM_BATCH) count = SWARM_DATAGRAM_BATCH;
  for (unsigned i = 0; i < count; i++) {
    struct msghdr *header = &headers[i].msg_hdr;
    memset(&headers[i], 0, sizeof headers[i]);
    pieces[i].iov_base = slots + i * slot_size;
    pieces[i].iov_len = slot_size;
    header->msg_name = &sources[i];
    header->msg_namelen = sizeof sources[i];
    header->msg_iov = &pieces[i];
    header->msg_iovlen = 1;
    header->msg_control = controls[i].bytes;
    header->msg_controllen = sizeof controls[i].bytes;
  }
  int received;
  do received = recvmmsg(socket, headers, count, MSG_DONTWAIT, NULL);
  while (received < 0 && errno == EINTR);
  if (received < 0) return -errno;
  for (int i = 0; i < received; i++) {
    struct msghdr *header = &headers[i].msg_hdr;
    messages[i].length = headers[i].msg_len;
    messages[i].is_truncated = (header->msg_flags & MSG_TRUNC) != 0;
    messages[i].segment_size = 0;
    for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control)) {
      if (control->cmsg_level != SOL_UDP || control->cmsg_type != UDP_GRO) continue;
      int size = 0;
      memcpy(&size, CMSG_DATA(control), sizeof size);
      if (size > 0 && size <= UINT16_MAX) messages[i].segment_size = (uint16_t)size;
    }
    messages[i].source = from_socket_address(&sources[i]);
  }
  return received;
}

int swarm_enable_receive_offload(int socket) {
  int on = 1;
  return setsockopt(socket, SOL_UDP, UDP_GRO, &on, sizeof on) == 0 ? 0 : -errno;
}

int swarm_set_fragmentation(int socket, int is_ipv4, int is_forbidden) {
  int mode = is_forbidden ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT;
  int result = setsockopt(socket, IPPROTO_IP, IP_MTU_DISCOVER, &mode, sizeof mode);
  if (is_ipv4) return result == 0 ? 0 : -errno;
  mode = is_forbidden ? IPV6_PMTUDISC_PROBE : IPV6_PMTUDISC_DONT;
  return setsockopt(socket, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &mode, sizeof mode) == 0 ? 0 : -errno;
}
