#include "virtual_clock.h"

#include <sys/time.h>
#include <time.h>

static _Thread_local int64_t virtual_microseconds = -1;

void swarm_virtual_clock_set(int64_t microseconds) { virtual_microseconds = microseconds; }

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    if (virtual_microseconds >= 0) {
        now->tv_sec = virtual_microseconds / 1000000;
        now->tv_usec = virtual_microseconds % 1000000;
        return 0;
    }
    struct timespec real;
    clock_gettime(CLOCK_REALTIME, &real);
    now->tv_sec = real.tv_sec;
    now->tv_usec = real.tv_nsec / 1000;
    return 0;
}
