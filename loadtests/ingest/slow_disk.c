/* Adds a delay to every sync of a file: LD_PRELOAD this library, UNSKEW_SYNC_DELAY_US says how long. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static void wait_a_little(void) {
    const char *told = getenv("UNSKEW_SYNC_DELAY_US");
    if (told != NULL) usleep((useconds_t)atoi(told));
}

int fsync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_a_little();
    return real(fd);
}

int fdatasync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_a_little();
    return real(fd);
}

int msync(void *start, size_t length, int flags) {
    int (*real)(void *, size_t, int) = (int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "msync");
    wait_a_little();
    return real(start, length, flags);
}
