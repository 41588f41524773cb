/* The component of the growth bench: it writes when it began, and sleeps.
 *
 *   child FILE INDEX     FILE holds an unsigned 64-bit number for each component */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	if (argc != 3)
		return 2;
	uint64_t now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	int file = open(argv[1], O_WRONLY | O_CLOEXEC);
	if (file < 0 || pwrite(file, &now, sizeof now, atol(argv[2]) * 8) != sizeof now)
		return 3;
	close(file);
	for (;;)
		pause();
}
