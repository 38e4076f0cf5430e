#ifndef C_CHECKSUM_H
#define C_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/// Continues a CRC32C (Castagnoli, RFC 9260 appendix A): start with `crc` = 0, feed the pieces in order; the value
/// returned is both the checksum so far and the `crc` of the next call. Chooses the processor's instruction where
/// it has one.
uint32_t swarm_crc32c(uint32_t crc, const uint8_t *bytes, size_t count);

/// The same by tables (slicing by 8), on every processor.
uint32_t swarm_crc32c_table(uint32_t crc, const uint8_t *bytes, size_t count);

/// Whether `swarm_crc32c` uses a processor instruction here.
int swarm_crc32c_is_accelerated(void);

#endif
