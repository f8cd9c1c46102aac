/*
 * The guest of Porthole's tests: boots in a tenth of a second in 8 MiB, and does what a test wants to see.
 *
 * It says "TINYGUEST READY (vga)" on the screen and "TINYGUEST READY COMn" on each serial port, in this order, then:
 *
 *   keys (PS/2)       appear on the screen; each also as "K<key>" on COM1, Ctrl-Alt-Del as "K<Ctrl-Alt-Del>"
 *   serial input      is echoed on its port, and appears on the screen; a break is answered by "<break>"
 *   a serial line     is answered by "you said: <line>", then by what it commands:
 *     gfx             the screen becomes four quadrants: red, green / blue, white
 *     count N         the lines "1" to "N", then "counted N": none is lost however slowly they are read
 *     flood           endless lines as fast as they are read, until a byte comes on that port ("flood over")
 *     reboot          a reset
 *     poweroff        ACPI power off, as after the host's request (virsh shutdown), which the guest obeys too
 *     panic           tells the host of a crash (where the domain has a panic device)
 */
#include "machine.h"
#include "screen.h"
#include "serial.h"

enum { LINE_SIZE = 128, KEYBOARD_DATA = 0x60, KEYBOARD_STATUS = 0x64 };
enum { KEY_CONTROL = 0x1d, KEY_ALT = 0x38, KEY_DELETE = 0x53, KEY_RELEASED = 0x80 };

/* What a serial port is doing. */
static struct session {
    char line[LINE_SIZE];
    int length;
    u32 counted, count_to; /* `count` under way while counted < count_to */
    int flooding;
} sessions[SERIAL_PORTS];

static const char plain_keys[] =
    "\0\0331234567890-=\b\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted_keys[] =
    "\0\033!@#$%^&*()_+\b\tQWERTYUIOP{}\n\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";

static int equal(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* The number behind `prefix`, or 0 where the line is another. */
static u32 number_behind(const char *line, const char *prefix)
{
    while (*prefix)
        if (*line++ != *prefix++)
            return 0;
    u32 number = 0;
    while (*line >= '0' && *line <= '9')
        number = number * 10 + (u32)(*line++ - '0');
    return *line ? 0 : number;
}

static void put_number(int port, u32 number)
{
    char digits[11];
    char *first = digits + sizeof digits - 1;
    *first = 0;
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    serial_text(port, first);
}

static void prompt(int port)
{
    serial_text(port, "> ");
}

static void obey(int port)
{
    struct session *session = &sessions[port];
    session->line[session->length] = 0;
    session->length = 0;
    serial_text(port, "\nyou said: ");
    serial_text(port, session->line);
    serial_text(port, "\n");
    u32 count = number_behind(session->line, "count ");
    if (count) {
        session->counted = 0;
        session->count_to = count;
        return; /* the prompt comes behind the last line */
    }
    if (equal(session->line, "flood")) {
        session->flooding = 1;
        return;
    }
    prompt(port);
    serial_flush(port);
    if (equal(session->line, "gfx"))
        screen_quadrants();
    else if (equal(session->line, "reboot"))
        machine_reboot();
    else if (equal(session->line, "poweroff"))
        machine_power_off();
    else if (equal(session->line, "panic"))
        machine_panic();
}

static void take_byte(int port, char c)
{
    struct session *session = &sessions[port];
    if (session->flooding) {
        session->flooding = 0;
        serial_text(port, "\nflood over\n");
        prompt(port);
        return;
    }
    if (c == '\r' || c == '\n') {
        screen_put('\n');
        obey(port);
        return;
    }
    screen_put(c);
    serial_put(port, c);
    if (session->length < LINE_SIZE - 1)
        session->line[session->length++] = c;
}

/* The next piece of what the port has to say by itself. */
static void produce(int port)
{
    struct session *session = &sessions[port];
    while (session->counted < session->count_to && serial_room(port) > 64) {
        put_number(port, ++session->counted);
        serial_put(port, '\n');
        if (session->counted == session->count_to) {
            serial_text(port, "counted ");
            put_number(port, session->count_to);
            serial_put(port, '\n');
            prompt(port);
        }
    }
    while (session->flooding && serial_room(port) > 128)
        serial_text(port, "flood 0123456789abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ\n");
}

static int serve_port(int port)
{
    int busy = 0;
    /* Input is left with the chip while there is no room to answer it. */
    while (serial_room(port) > 2 * LINE_SIZE || sessions[port].flooding) {
        int c = serial_get(port);
        if (c < 0)
            break;
        busy = 1;
        if (c == SERIAL_BREAK)
            serial_text(port, "<break>");
        else
            take_byte(port, (char)c);
    }
    produce(port);
    return busy | serial_pump(port);
}

static int serve_keyboard(void)
{
    static int shift, control, alt;
    u8 status = inb(KEYBOARD_STATUS);
    if (!(status & 1))
        return 0;
    u8 code = inb(KEYBOARD_DATA);
    if (status & 0x20) /* the mouse's */
        return 1;
    if (code == 0x2a || code == 0x36)
        shift = 1;
    else if (code == 0xaa || code == 0xb6)
        shift = 0;
    else if ((code & ~KEY_RELEASED) == KEY_CONTROL)
        control = !(code & KEY_RELEASED);
    else if ((code & ~KEY_RELEASED) == KEY_ALT)
        alt = !(code & KEY_RELEASED);
    else if (code == KEY_DELETE && control && alt && serial_present(0))
        serial_text(0, "K<Ctrl-Alt-Del>");
    else if (code < sizeof plain_keys - 1) {
        char c = shift ? shifted_keys[code] : plain_keys[code];
        if (c) {
            screen_put(c);
            if (c == '\n')
                screen_text("> ");
            if (serial_present(0)) {
                serial_put(0, 'K');
                serial_put(0, c);
            }
        }
    }
    return 1;
}

__attribute__((noreturn, used)) void main(void)
{
    machine_start();
    serial_start(); /* first: who sees the screen may type */
    screen_clear();
    screen_text("TINYGUEST READY (vga)\n> ");
    for (int port = 0; port < SERIAL_PORTS; port++)
        if (serial_present(port)) {
            char greeting[] = "TINYGUEST READY COM1\n";
            greeting[19] = (char)('1' + port);
            serial_text(port, greeting);
            prompt(port);
        }
    for (;;) {
        int busy = serve_keyboard();
        for (int port = 0; port < SERIAL_PORTS; port++)
            if (serial_present(port))
                busy |= serve_port(port);
        if (machine_power_button())
            machine_power_off();
        if (!busy)
            machine_sleep();
    }
}
