/* lookup NAME: prints what getaddrinfo says and errno, as one line. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	struct addrinfo *a;
	int code;

	errno = 0;
	code = getaddrinfo(argc > 1 ? argv[1] : "", 0, 0, &a);
	printf("%d %d\n", code, code ? errno : 0);
	return 0;
}
