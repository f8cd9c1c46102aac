/* Counts the bytes that a program copies by memcpy and memmove, into the eight bytes of the file that COPIES names.
 * Loaded before libc (LD_PRELOAD), so that these two are taken from here. Copies of a few bytes are the compiler's own,
 * and not seen. */
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned long before_start;
static unsigned long *copied = &before_start;

__attribute__((constructor)) static void start(void)
{
    const char *name = getenv("COPIES");
    int file = name ? open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (file < 0 || ftruncate(file, sizeof *copied) != 0)
        _exit(127);
    void *shared = mmap(NULL, sizeof *copied, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared == MAP_FAILED)
        _exit(127);
    copied = shared;
}

static void count(size_t bytes)
{
    __atomic_fetch_add(copied, bytes, __ATOMIC_RELAXED);
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
    void *start = to;
    count(bytes);
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
    return start;
}

void *memmove(void *to, const void *from, size_t bytes)
{
    if ((size_t)((char *)to - (const char *)from) >= bytes)
        return memcpy(to, from, bytes);
    count(bytes);
    char *last = (char *)to + bytes - 1;
    const char *source = (const char *)from + bytes - 1;
    __asm__ volatile("std\n\trep movsb\n\tcld" : "+D"(last), "+S"(source), "+c"(bytes) : : "memory");
    return to;
}
