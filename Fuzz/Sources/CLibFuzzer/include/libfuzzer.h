/// The entry of libFuzzer as a library (compiler-rt, FuzzerInterface.h): runs `callback` on inputs until the arguments say stop.
#ifndef SWARM_LIBFUZZER_H
#define SWARM_LIBFUZZER_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8_t *data, size_t size));

#endif
