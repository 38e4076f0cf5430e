#include "CWebFiles.h"

#include <zlib.h>

// 15 bits of window; 16 more ask for gzip's header and trailer.
enum { GZIP_WINDOW = 15 + 16, MEMORY_LEVEL = 9, GZIP_OVERHEAD = 18 };

size_t web_gzip_bound(size_t count) { return compressBound(count) + GZIP_OVERHEAD; }

size_t web_gzip(const uint8_t *input, size_t count, uint8_t *output, size_t capacity) {
    z_stream stream = {0};
    if (count > UINT32_MAX || capacity > UINT32_MAX) return 0;
    if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) return 0;
    stream.next_in = (Bytef *)input;
    stream.avail_in = (uInt)count;
    stream.next_out = output;
    stream.avail_out = (uInt)capacity;
    int result = deflate(&stream, Z_FINISH);
    size_t length = stream.total_out;
    deflateEnd(&stream);
    return result == Z_STREAM_END ? length : 0;
}
