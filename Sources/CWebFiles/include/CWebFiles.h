// The files of Web/ as they are in the executable.
#pragma once

#include <stddef.h>
#include <stdint.h>

// One file. All of it lives as long as the process.
struct web_file {
    // Where it is served: "/swarm-space.js".
    const char *_Nonnull path;
    const uint8_t *_Nonnull bytes;
    size_t count;
};

size_t web_file_count(void);

// `index` is below `web_file_count()`.
const struct web_file *_Nonnull web_file_at(size_t index);

// The most bytes that gzip makes of so many.
size_t web_gzip_bound(size_t count);

// Compresses for gzip (RFC 1952), as well as zlib can. Returns the length written to `output`, 0 when it fails.
size_t web_gzip(const uint8_t *_Nonnull input, size_t count, uint8_t *_Nonnull output, size_t capacity);
