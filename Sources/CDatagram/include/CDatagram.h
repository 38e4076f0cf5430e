#ifndef C_DATAGRAM_H
#define C_DATAGRAM_H

#include <stddef.h>
#include <stdint.h>

/// How many messages one call carries at most, and how many pieces all of them together.
#define SWARM_DATAGRAM_BATCH 64

/// An IPv6 address in two halves, or an IPv4-mapped one, and a port; all in the machine's own order.
typedef struct {
  uint64_t high;
  uint64_t low;
  uint16_t port;
} swarm_address;

/// Bytes that somebody else holds.
typedef struct {
  const void *bytes;
  size_t count;
} swarm_piece;

/// One message to be sent: a datagram, or several of one size that the kernel cuts apart.
typedef struct {
  /// For an IPv4 socket an IPv4-mapped one.
  swarm_address destination;
  const swarm_piece *pieces;
  uint32_t piece_count;
  /// The length of each datagram, the last of which may be shorter; 0 when it is only one (UDP_SEGMENT).
  uint16_t segment_size;
} swarm_outgoing;

/// One message that was received.
typedef struct {
  swarm_address source;
  uint32_t length;
  /// The length of each datagram, the last of which may be shorter; 0 when it is only one (UDP_GRO).
  uint16_t segment_size;
  /// It was longer than its slot.
  uint8_t is_truncated;
} swarm_incoming;

/// Sends up to SWARM_DATAGRAM_BATCH messages in one system call, without waiting (sendmmsg(2)).
///
/// Returns how many the kernel took, or the negative error number of the first one.
int swarm_send_datagrams(int socket, int is_ipv4, const swarm_outgoing *messages, unsigned count);

/// Receives up to SWARM_DATAGRAM_BATCH messages in one system call, without waiting (recvmmsg(2)): the n-th goes to
/// `slots + n * slot_size`.
///
/// Returns how many there were, or a negative error number; -EAGAIN when there was none.
int swarm_receive_datagrams(int socket, uint8_t *slots, size_t slot_size, swarm_incoming *messages, unsigned count);

/// Lets the kernel hand over several datagrams of one size as one message (UDP_GRO). Returns 0 or a negative error number.
int swarm_enable_receive_offload(int socket);

/// Whether what is sent from now on may be fragmented (IP_MTU_DISCOVER): when it is forbidden, DF is set, and the kernel's own
/// idea of the path's MTU is not believed (IP_PMTUDISC_PROBE), else DF is not set (IP_PMTUDISC_DONT).
/// Returns 0 or a negative error number.
int swarm_set_fragmentation(int socket, int is_ipv4, int is_forbidden);

#endif
