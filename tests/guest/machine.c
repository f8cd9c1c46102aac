/* Entry, segments, interrupts, ACPI. */
#include "machine.h"

enum {
    PIC1_COMMAND = 0x20, PIC1_DATA = 0x21, PIC2_COMMAND = 0xa0, PIC2_DATA = 0xa1,
    TIMER_DATA = 0x40, TIMER_COMMAND = 0x43,
    KEYBOARD_STATUS = 0x64,
    /* Where SeaBIOS puts the PIIX4's power management on this machine. */
    ACPI_STATUS = 0x600, ACPI_ENABLE = 0x602, ACPI_CONTROL = 0x604,
    PANIC_EVENT = 0x505,
};

enum { POWER_BUTTON = 1 << 8, SLEEP_ENABLE = 1 << 13, FIRST_VECTOR = 32 };

__attribute__((section(".multiboot"), used)) static const u32 multiboot[3] = {0x1BADB002, 0, -0x1BADB002u};

__asm__(
    ".globl _start\n"
    "_start:\n"
    "    cli\n"
    "    mov $stack + 8192, %esp\n"
    "    call main\n"
    /* An interrupt of the first controller: acknowledge it and go on. */
    "wake:\n"
    "    push %eax\n"
    "    mov $0x20, %al\n"
    "    out %al, $0x20\n"
    "    pop %eax\n"
    "ignore:\n"
    "    iret\n"
    ".bss\n"
    ".align 16\n"
    "stack: .space 8192\n"
    ".text\n");
extern void wake(void);
extern void ignore(void);

struct __attribute__((packed)) table_pointer {
    u16 limit;
    u32 base;
};

struct __attribute__((packed)) gate {
    u16 low, selector;
    u8 zero, type;
    u16 high;
};

static const unsigned long long segments[3] = {0, 0x00cf9a000000ffffull, 0x00cf92000000ffffull};
static struct gate gates[256];

static void load_segments(void)
{
    struct table_pointer pointer = {sizeof segments - 1, (u32)segments};
    __asm__ volatile(
        "lgdt %0\n"
        "ljmp $8, $1f\n"
        "1: mov $16, %%eax\n"
        "mov %%eax, %%ds\n"
        "mov %%eax, %%es\n"
        "mov %%eax, %%ss\n" ::"m"(pointer) : "eax", "memory");
}

static void load_gates(void)
{
    for (int vector = 0; vector < 256; vector++) {
        int ours = vector >= FIRST_VECTOR && vector < FIRST_VECTOR + 8;
        u32 address = (u32)(ours ? wake : ignore);
        gates[vector] = (struct gate){(u16)address, 8, 0, 0x8e, (u16)(address >> 16)};
    }
    struct table_pointer pointer = {sizeof gates - 1, (u32)gates};
    __asm__ volatile("lidt %0" ::"m"(pointer));
}

static void start_interrupts(void)
{
    outb(PIC1_COMMAND, 0x11);
    outb(PIC2_COMMAND, 0x11);
    outb(PIC1_DATA, FIRST_VECTOR);
    outb(PIC2_DATA, FIRST_VECTOR + 8);
    outb(PIC1_DATA, 4);
    outb(PIC2_DATA, 2);
    outb(PIC1_DATA, 1);
    outb(PIC2_DATA, 1);
    /* Open: 0 timer, 1 keyboard, 3 and 4 serial. The timer covers an edge lost where two ports share a line. */
    outb(PIC1_DATA, (u8)~0x1b);
    outb(PIC2_DATA, 0xff);
    const u16 divisor = 11932; /* 1193182 Hz / 100 */
    outb(TIMER_COMMAND, 0x34);
    outb(TIMER_DATA, divisor & 0xff);
    outb(TIMER_DATA, divisor >> 8);
}

void machine_start(void)
{
    load_segments();
    load_gates();
    start_interrupts();
    outw(ACPI_ENABLE, POWER_BUTTON);
}

void machine_sleep(void)
{
    /* `sti` takes effect after the next instruction, so that no interrupt can come between the two. */
    __asm__ volatile("sti; hlt; cli");
}

int machine_power_button(void)
{
    u16 status = inw(ACPI_STATUS);
    if (status == 0xffff || !(status & POWER_BUTTON))
        return 0;
    outw(ACPI_STATUS, POWER_BUTTON);
    return 1;
}

void machine_reboot(void)
{
    while (inb(KEYBOARD_STATUS) & 2) /* the controller has not taken the last byte yet */
        ;
    outb(KEYBOARD_STATUS, 0xfe);
    for (;;)
        machine_sleep();
}

void machine_power_off(void)
{
    outw(ACPI_CONTROL, SLEEP_ENABLE);
}

void machine_panic(void)
{
    outb(PANIC_EVENT, 1);
}
