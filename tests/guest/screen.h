/* The screen: VGA text of 80 by 25, white on blue, without a blinking cursor; or four solid quadrants. */
#pragma once

void screen_clear(void);
void screen_put(char c);
void screen_text(const char *text);

/* 640 by 480: red, green / blue, white. Text that is put later is not seen, until a reboot. */
void screen_quadrants(void);
