#include "screen.h"

#include "machine.h"

enum { COLUMNS = 80, ROWS = 25, BLANK = 0x1f20, WHITE_ON_BLUE = 0x1f00 };
enum { CRTC_INDEX = 0x3d4, CRTC_DATA = 0x3d5, CRTC_CURSOR_START = 0x0a, CURSOR_OFF = 0x20 };
enum { VBE_INDEX = 0x1ce, VBE_DATA = 0x1cf, VBE_ID = 0, VBE_WIDTH = 1, VBE_HEIGHT = 2, VBE_DEPTH = 3, VBE_ENABLE = 4 };
enum { PCI_ADDRESS = 0xcf8, PCI_DATA = 0xcfc, PCI_CLASS = 8, PCI_FIRST_BAR = 0x10, PCI_CLASS_DISPLAY = 3 };

static volatile u16 *const text = (u16 *)0xb8000;
static int row, column;

void screen_clear(void)
{
    for (int cell = 0; cell < COLUMNS * ROWS; cell++)
        text[cell] = BLANK;
    row = column = 0;
    /* A cursor would make two pictures of the same screen differ. */
    outb(CRTC_INDEX, CRTC_CURSOR_START);
    outb(CRTC_DATA, CURSOR_OFF);
}

static void scroll(void)
{
    for (int cell = 0; cell < (ROWS - 1) * COLUMNS; cell++)
        text[cell] = text[cell + COLUMNS];
    for (int cell = (ROWS - 1) * COLUMNS; cell < ROWS * COLUMNS; cell++)
        text[cell] = BLANK;
    row = ROWS - 1;
}

void screen_put(char c)
{
    if (c == '\r') {
        column = 0;
    } else if (c == '\n') {
        column = 0;
        row++;
    } else if (c == '\b') {
        if (column > 0)
            text[row * COLUMNS + --column] = BLANK;
    } else {
        text[row * COLUMNS + column] = WHITE_ON_BLUE | (u8)c;
        if (++column == COLUMNS) {
            column = 0;
            row++;
        }
    }
    if (row == ROWS)
        scroll();
}

void screen_text(const char *string)
{
    while (*string)
        screen_put(*string++);
}

static u32 pci_read(u32 device, u32 offset)
{
    outl(PCI_ADDRESS, 0x80000000 | device << 11 | offset);
    return inl(PCI_DATA);
}

/* Where the first display adapter of bus 0 keeps its pixels; 0 without one. */
static u32 find_framebuffer(void)
{
    for (u32 device = 0; device < 32; device++)
        if (pci_read(device, PCI_CLASS) >> 24 == PCI_CLASS_DISPLAY)
            return pci_read(device, PCI_FIRST_BAR) & ~15u;
    return 0;
}

static void vbe_write(u16 index, u16 value)
{
    outw(VBE_INDEX, index);
    outw(VBE_DATA, value);
}

void screen_quadrants(void)
{
    outw(VBE_INDEX, VBE_ID);
    if ((inw(VBE_DATA) & 0xfff0) != 0xb0c0) /* Bochs' extension, which QEMU's `vga` has */
        return;
    u32 framebuffer = find_framebuffer();
    if (!framebuffer)
        return;
    vbe_write(VBE_ENABLE, 0);
    vbe_write(VBE_WIDTH, 640);
    vbe_write(VBE_HEIGHT, 480);
    vbe_write(VBE_DEPTH, 32);
    vbe_write(VBE_ENABLE, 0x41); /* on, linear framebuffer */
    volatile u32 *pixel = (u32 *)framebuffer;
    for (int y = 0; y < 480; y++)
        for (int x = 0; x < 640; x++)
            *pixel++ = y < 240 ? (x < 320 ? 0xff0000 : 0x00ff00) : (x < 320 ? 0x0000ff : 0xffffff);
}
