/* COM1 to COM4. Output goes through a ring per port, so that a port nobody reads never stops another. */
#pragma once

enum { SERIAL_PORTS = 4, SERIAL_BREAK = 256 };

/* Finds the ports; serial_present() says which are there. */
void serial_start(void);
int serial_present(int port);

/* The next byte of input, SERIAL_BREAK for a break on the line, or -1. */
int serial_get(int port);

/* Output. What does not fit is dropped: whoever has much to say asks serial_room() first. "\n" is sent as "\r\n". */
void serial_put(int port, char c);
void serial_text(int port, const char *text);
int serial_room(int port);

/* Hands to the chip what it takes now; says how many bytes that were. */
int serial_pump(int port);

/* Hands over all of it, unless the host takes nothing for a while: for the last words before the machine ends. */
void serial_flush(int port);
