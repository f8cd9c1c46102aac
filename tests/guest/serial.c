#include "serial.h"

#include "machine.h"

/* Registers of a 16550, from its first port on. */
enum { DATA = 0, INTERRUPTS = 1, FIFO = 2, LINE = 3, MODEM = 4, LINE_STATUS = 5, SCRATCH = 7 };
enum { HAS_INPUT = 0x01, BREAK = 0x10, CAN_SEND = 0x20, FIFO_SIZE = 16, RING_SIZE = 4096 };

static const u16 first_port[SERIAL_PORTS] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};

static struct {
    int present;
    u32 written, sent; /* counts that never wrap in a test; their difference is what waits in the ring */
    char ring[RING_SIZE];
} ports[SERIAL_PORTS];

void serial_start(void)
{
    for (int port = 0; port < SERIAL_PORTS; port++) {
        u16 base = first_port[port];
        outb(base + SCRATCH, 0x5a);
        if (inb(base + SCRATCH) != 0x5a)
            continue;
        ports[port].present = 1;
        outb(base + LINE, 0x80); /* the next two set the divisor: 115200 baud */
        outb(base + DATA, 1);
        outb(base + INTERRUPTS, 0);
        outb(base + LINE, 3); /* 8 bits, no parity, 1 stop */
        outb(base + FIFO, 7);
        outb(base + MODEM, 0x0b);
        outb(base + INTERRUPTS, 1); /* input wakes us */
    }
}

int serial_present(int port)
{
    return ports[port].present;
}

int serial_get(int port)
{
    u16 base = first_port[port];
    u8 status = inb(base + LINE_STATUS);
    if (status & BREAK) {
        inb(base + DATA); /* a break comes with a byte that nobody sent */
        return SERIAL_BREAK;
    }
    return status & HAS_INPUT ? inb(base + DATA) : -1;
}

int serial_room(int port)
{
    return RING_SIZE - (int)(ports[port].written - ports[port].sent);
}

void serial_put(int port, char c)
{
    if (c == '\n')
        serial_put(port, '\r');
    if (serial_room(port) > 0)
        ports[port].ring[ports[port].written++ % RING_SIZE] = c;
}

void serial_text(int port, const char *text)
{
    while (*text)
        serial_put(port, *text++);
}

int serial_pump(int port)
{
    u16 base = first_port[port];
    int count = 0;
    while (count < 16 * FIFO_SIZE && ports[port].sent != ports[port].written) {
        if (!(inb(base + LINE_STATUS) & CAN_SEND)) /* the host does not take it now */
            break;
        for (int i = 0; i < FIFO_SIZE && ports[port].sent != ports[port].written; i++, count++)
            outb(base + DATA, (u8)ports[port].ring[ports[port].sent++ % RING_SIZE]);
    }
    return count;
}

void serial_flush(int port)
{
    for (int tries = 0; tries < 10000 && ports[port].written != ports[port].sent; tries++)
        serial_pump(port);
}
