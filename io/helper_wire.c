/* Sending and receiving whole pieces. */
#include "io/helper_wire.h"

#include <errno.h>
#include <sys/socket.h>

bool wire_send(int socket, const void *data, int64_t bytes) {
    const char *at = data;
    while (bytes > 0) {
        ssize_t n = send(socket, at, (size_t)bytes, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n;
        bytes -= n;
    }
    return true;
}

bool wire_receive(int socket, void *data, int64_t bytes) {
    char *at = data;
    while (bytes > 0) {
        ssize_t n = recv(socket, at, (size_t)bytes, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n;
        bytes -= n;
    }
    return true;
}
