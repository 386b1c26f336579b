/* What goes through the socket between a process and its helper. Private to io/helper*.c. */
#ifndef CTAUG_IO_HELPER_WIRE_H
#define CTAUG_IO_HELPER_WIRE_H

#include "io/helper.h"

/* File descriptors of the child. */
enum { HELPER_SOCKET = 3, HELPER_MEMORY = 4 };

/* Followed by `bytes` bytes. */
typedef struct wire_request {
    int64_t job, bytes, shared;
    helper_limits limits;
} wire_request;

/* Followed by `bytes` bytes. */
typedef struct wire_reply {
    int64_t status, bytes;
    char message[1024];
} wire_reply;

/* All bytes, or false: the other side has ended. Local. */
bool wire_send(int socket, const void *data, int64_t bytes);
bool wire_receive(int socket, void *data, int64_t bytes);

#endif
