/// OpenSSL's DTLS timers on virtual time: this target's `gettimeofday` stands in for the C library's in a test process.
#ifndef SWARM_VIRTUAL_CLOCK_H
#define SWARM_VIRTUAL_CLOCK_H

#include <stdint.h>

/// Sets what `gettimeofday` says on this thread, in microseconds since 1970; a negative number gives real time back.
void swarm_virtual_clock_set(int64_t microseconds);

#endif
