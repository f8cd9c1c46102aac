/* The processor and the chips of QEMU's `pc` machine: ports, interrupts, ways to end. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

static inline void outb(u16 port, u8 value)
{
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline void outw(u16 port, u16 value)
{
    __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port));
}

static inline void outl(u16 port, u32 value)
{
    __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
    u8 value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline u16 inw(u16 port)
{
    u16 value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline u32 inl(u16 port)
{
    u32 value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* Flat segments, and interrupts that only wake the processor: everything else is polled. */
void machine_start(void);

/* Sleeps until the next interrupt: the timer's (100 a second), a key or a serial port's input. */
void machine_sleep(void);

/* The host asked for an orderly shutdown (ACPI power button). */
int machine_power_button(void);

/* Three ways to end: a reset, power off (ACPI S5), and a panic as `<panic model='isa'/>` reports it to libvirt. */
void machine_reboot(void);
void machine_power_off(void);
void machine_panic(void);
